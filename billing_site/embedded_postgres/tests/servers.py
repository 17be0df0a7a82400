"""What the tests need to run, question and crash servers of their own."""

from __future__ import annotations

import os
import pickle
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from billing_site.embedded_postgres import binaries, cluster, launcher

PROJECT = Path(__file__).resolve().parents[3]

only_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to drop from")


def base_directory() -> str:
    """Memory where it is large enough: a busy disk makes each start and stop take seconds."""
    with suppress(OSError):
        memory = os.statvfs("/dev/shm")
        if memory.f_bavail * memory.f_frsize > 2**30 and not memory.f_flag & os.ST_NOEXEC:
            return "/dev/shm"
    return "/tmp"


@contextmanager
def temporary_place() -> Iterator[Path]:
    """A directory with a short path that others may enter; servers below it are stopped."""
    place = Path(tempfile.mkdtemp(prefix="epg-", dir=base_directory()))
    place.chmod(0o755)
    try:
        yield place
    finally:
        for data in [*place.rglob("data/PG_VERSION")]:
            launcher.stop(data.parents[1])
        shutil.rmtree(place)


def query(server: launcher.Server, statement: str, database: str = "site") -> Any:
    """The first column of the first row."""
    with server.connect(database) as connection:
        row = connection.execute(statement.encode()).fetchone()
        return row and row[0]


def execute(server: launcher.Server, statement: str, database: str = "site") -> None:
    with server.connect(database) as connection:
        connection.execute(statement.encode())


def kill(pid: int) -> None:
    """End a process as a crash does, and wait until it is dead, though maybe never reaped."""
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: is_dead(pid))


def is_dead(pid: int) -> bool:
    """Gone, or a zombie that nobody reaps."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def wait_until(holds: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return start_python(code, *arguments)(30)


def start_python(
    code: str, *arguments: object
) -> Callable[[float], subprocess.CompletedProcess[str]]:
    """Start a Python process on the project; call the result with a time limit to wait for it."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def finish(seconds: float) -> subprocess.CompletedProcess[str]:
        out, err = process.communicate(timeout=seconds)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return finish


def ordinary_user() -> cluster.ServerUser:
    """An account without privileges that can run the wheel's programs, or skip the test."""
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        pytest.skip("needs an account 'nobody'")
    user = cluster.ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)
    if not cluster.is_reachable(binaries.find(), user):
        pytest.skip(f"needs 'nobody' to be able to enter {binaries.find()}")
    return user


def as_user(user: cluster.ServerUser, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function in a child process that gave up root; returns or raises what it did.

    A fork, because the interpreter itself may lie where the user cannot read it.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(user.gid)
        os.setuid(user.uid)
        try:
            outcome = (True, function(*arguments))
        except Exception as error:
            outcome = (False, repr(error))
        os.write(writer, pickle.dumps(outcome))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        succeeded, result = pickle.load(pipe)
    os.waitpid(child, 0)
    assert succeeded, result
    return result
