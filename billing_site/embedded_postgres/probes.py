"""What can be seen of a server from outside: its locks, its socket and its pid file.

Two locks carry the launcher, both flock on a directory, both gone with the process that held them:

* the *turn*, on the cluster's directory: one process at a time starts or stops the server;
* the *presence*, on the data directory: the postmaster inherits it, and so do its children. While
  it is held a process of this server lives, even one whose postmaster was killed; once it is free
  none does, whatever postmaster.pid says. A process id is no such proof: it may name a zombie, or a
  stranger after a reboot, and PostgreSQL would refuse to start because of it.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from .cluster import Cluster

if sys.platform != "win32":
    import fcntl

STATUS_LINE = 7  # of postmaster.pid, counted from 0


@contextmanager
def turn(found: Cluster) -> Iterator[None]:
    """Wait for our turn to change the state of this cluster."""
    opened = os.open(found.directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        # Explicitly, because a child that another thread forked may hold a copy of the descriptor.
        fcntl.flock(opened, fcntl.LOCK_UN)
        os.close(opened)


def is_present(found: Cluster) -> bool:
    """Whether any process of this server lives. Ask it only in turn: asking takes the lock."""
    if not found.data.exists():
        return False
    opened = os.open(found.data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(opened)


def is_listening(found: Cluster) -> bool:
    """Whether a postmaster takes connections, though it may answer that it is not ready yet."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(found.socket))
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return False
    return True


def _pid_file_lines(found: Cluster) -> list[str]:
    try:
        return found.pid_file.read_text().splitlines()
    except FileNotFoundError:
        return []


def recorded_pid(found: Cluster) -> int | None:
    """The postmaster's process id as written at its start; whether it lives is another question."""
    lines = _pid_file_lines(found)
    return int(lines[0]) if lines and lines[0].strip().isdigit() else None


def is_ready(found: Cluster) -> bool:
    """Whether the postmaster wrote that it takes sessions; believe it only while it lives."""
    lines = _pid_file_lines(found)
    return len(lines) > STATUS_LINE and lines[STATUS_LINE].strip() == "ready"


def running_pid(found: Cluster) -> int | None:
    """The live, ready postmaster's process id; None when a closer look is needed."""
    pid = recorded_pid(found)
    if pid is None or not is_ready(found) or not found.socket.exists():
        return None
    return pid if is_postmaster(found, pid) else None


def is_postmaster(found: Cluster, pid: int) -> bool:
    """Whether this process lives and is the cluster's postmaster."""
    try:
        # Empty for a zombie. Unlike its directory, a command line can be read in any container.
        return f"cluster_name={found.name}" in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def size(directory: Path) -> int:
    """Bytes in the files below a directory, which may change meanwhile."""
    total = 0
    for path, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size
            except FileNotFoundError:  # a running server removes files as it goes
                continue
    return total
