"""Start, find and stop the embedded PostgreSQL server.

`probes` explains the two locks that make this safe with any number of processes.
"""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from . import binaries, cluster, probes
from .cluster import Cluster
from .errors import EmbeddedPostgresError, ServerDidNotStart, ServerDidNotStop

if sys.platform != "win32":
    import fcntl

PORT = "5432"  # only names the socket: the server does not listen on the network
SUPERUSER = "postgres"
SERVER_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": PORT,
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# The built-in locale sorts alike on every machine and outlives upgrades of the C library.
INITDB_OPTIONS = (
    f"--username={SUPERUSER}",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)
START_SECONDS = 60
STOP_SECONDS = 60
POLL_SECONDS = 0.02
LEFTOVERS_QUIT_AFTER_SECONDS = 0.5
LEFTOVERS_KILL_AFTER_SECONDS = 3.0
LOG_BYTES = 16 * 1024 * 1024
LOG_TAIL_LINES = 6
# A connection that cannot be made carries no SQLSTATE, only this untranslated text.
TRANSIENT = (
    "the database system is",  # starting up, shutting down, in recovery mode, not yet accepting
    "failed: Connection refused",
    "failed: No such file or directory",
    "server closed the connection unexpectedly",
)


@dataclass(frozen=True)
class Server:
    """Where a running server takes connections."""

    host: str
    port: str
    user: str
    pid: int

    def connect(self, database: str = SUPERUSER) -> psycopg.Connection[TupleRow]:
        """A connection of its own, in autocommit, for the launcher's few questions."""
        return psycopg.connect(
            host=self.host, port=self.port, user=self.user, dbname=database, autocommit=True
        )


@dataclass(frozen=True)
class Status:
    """What there is to say about a cluster, running or not; size in bytes."""

    pid: int | None
    version: str | None
    data_directory: Path
    socket: Path
    size: int

    @property
    def is_running(self) -> bool:
        return self.pid is not None


# Databases known to exist, with the server they are in: spares every connection but a process's
# first a look into the catalogue.
_known_databases: set[tuple[Path, int, str]] = set()


def ensure(directory: Path, database: str | None = None) -> Server:
    """Have the server of this directory running, and the database in it; create what is missing.

    Takes a fraction of a millisecond when all is well. Safe to call from any number of processes
    and threads. Raises EmbeddedPostgresError with a sentence for the operator.
    """
    with _explained(directory):
        found = cluster.locate(directory)
        pid = probes.running_pid(found)
        if pid is None or (database and (found.directory, pid, database) not in _known_databases):
            cluster.prepare(found, directory)
            with probes.turn(found):
                pid = _bring_up(found, database)
        return _server(found, pid)


def stop(directory: Path) -> bool:
    """Stop the server, ending its sessions; False when it was not running.

    The next connection starts it again. Raises EmbeddedPostgresError.
    """
    with _explained(directory):
        found = cluster.locate(directory)
        if not found.data.exists():
            return False
        with probes.turn(found):
            if not probes.is_listening(found) and not probes.is_present(found):
                return False
            if probes.is_listening(found):
                _pg_ctl_stop(found)
            _wait_until_gone(found)
    return True


def status(directory: Path) -> Status:
    """Look at the cluster without starting or creating anything. Raises EmbeddedPostgresError."""
    with _explained(directory):
        found = cluster.locate(directory)
        pid = probes.recorded_pid(found) if probes.is_listening(found) else None
        return Status(
            pid=pid,
            version=_version(found, pid),
            data_directory=found.data,
            socket=found.socket,
            size=probes.size(found.data),
        )


@contextmanager
def _explained(directory: Path) -> Iterator[None]:
    """Turn what the operating system and the driver say into one sentence."""
    try:
        yield
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL cannot use {error.filename or directory}: {error.strerror}."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ServerDidNotStart(
            f"{Path(error.cmd[0]).name} did not finish within {error.timeout:.0f} s."
        ) from error
    except psycopg.Error as error:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL answers: {_tail(str(error))}."
        ) from error


def is_transient(error: psycopg.OperationalError) -> bool:
    """Whether a connection failed only because the server was coming up or going down."""
    return any(text in str(error) for text in TRANSIENT)


def _bring_up(found: Cluster, database: str | None) -> int:
    """Have server and database, waiting for one that recovers; in turn. Returns the pid."""
    began = time.monotonic()
    while True:
        _bring_up_server(found)
        pid = probes.recorded_pid(found) or 0
        try:
            if database:
                _have_database(found, pid, database)
        except psycopg.OperationalError as error:
            if not is_transient(error) or time.monotonic() - began > START_SECONDS:
                raise
            time.sleep(POLL_SECONDS)
        else:
            return pid


def _bring_up_server(found: Cluster) -> None:
    """Return once the server has said that it is ready. Raises ServerDidNotStart."""
    began = time.monotonic()
    while True:
        waited = time.monotonic() - began
        if probes.is_listening(found):
            if probes.is_ready(found):
                return
        elif not probes.is_present(found):
            _start(found)
            continue
        elif waited > LEFTOVERS_QUIT_AFTER_SECONDS:
            _clear_the_way(found, waited)
        if waited > START_SECONDS:
            what = f"The embedded PostgreSQL is not ready after {START_SECONDS} s"
            raise _failure(found, what, _log(found))
        time.sleep(POLL_SECONDS)


def _start(found: Cluster) -> None:
    """Start the server that is known not to run, making the cluster first if there is none."""
    programs = binaries.find_for(found.user)
    if not found.data.exists():
        _initialise(found, programs)
    _check_version(found)
    _clear_stale_locks(found)
    _rotate_log(found)
    log_begins = found.log.stat().st_size if found.log.exists() else 0
    command: list[object] = [programs / "pg_ctl", "start", "-w", "-t", START_SECONDS, "-D", "data"]
    command += ["-l", "server.log", "-o", _server_options(found)]
    presence = os.open(found.data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(presence, fcntl.LOCK_SH)
        started = found.user.run(command, directory=found.directory, keep_open=[presence])
    finally:
        os.close(presence)
    if started.returncode != 0:
        said = _log(found, log_begins) or started.stderr
        raise _failure(found, "The embedded PostgreSQL did not start", said)


def _server_options(found: Cluster) -> str:
    settings = {
        **SERVER_SETTINGS,
        "cluster_name": found.name,
        "unix_socket_directories": str(found.socket_directory),
    }
    return shlex.join(part for key, value in settings.items() for part in ("-c", f"{key}={value}"))


def _initialise(found: Cluster, programs: Path) -> None:
    """Make a new cluster under another name first: an interrupted initdb leaves none behind."""
    for abandoned in found.directory.glob("data.new-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    scratch = found.directory / f"data.new-{secrets.token_hex(4)}"
    made = found.user.run(
        [programs / "initdb", "-D", scratch, *INITDB_OPTIONS], directory=found.directory
    )
    if made.returncode != 0:
        raise ServerDidNotStart(
            f"initdb could not make a database cluster in {found.directory}: "
            f"{_tail(made.stderr or made.stdout)}."
        )
    scratch.rename(found.data)


def _check_version(found: Cluster) -> None:
    version = (found.data / "PG_VERSION").read_text().strip()
    if version != str(binaries.MAJOR_VERSION):
        raise ServerDidNotStart(
            f"The cluster in {found.data} was made by PostgreSQL {version} and the programs are "
            f"{binaries.MAJOR_VERSION}: bring it over with pg_upgrade or a dump, or move it away."
        )


def _clear_stale_locks(found: Cluster) -> None:
    """Nobody is present, so these are a dead server's; PostgreSQL only trusts the ids in them."""
    found.pid_file.unlink(missing_ok=True)
    found.socket.with_name(f"{found.socket.name}.lock").unlink(missing_ok=True)


def _rotate_log(found: Cluster) -> None:
    if found.log.exists() and found.log.stat().st_size > LOG_BYTES:
        found.log.rename(found.log.with_name("server.log.1"))


def _clear_the_way(found: Cluster, waited_seconds: float) -> None:
    """End a server that lives but cannot be reached: two over one cluster would destroy it."""
    pid = probes.recorded_pid(found)
    if pid is None or not probes.is_postmaster(found, pid):
        _end_leftovers(found, kill=waited_seconds > LEFTOVERS_KILL_AFTER_SECONDS)
    elif probes.is_ready(found) and not found.socket.exists():
        _pg_ctl_stop(found)


def _end_leftovers(found: Cluster, *, kill: bool) -> None:
    """End what a killed postmaster left behind, such as a session in a long query."""
    for process in psutil.process_iter(["cmdline", "uids"]):
        title = " ".join(process.info["cmdline"] or [])
        if title.startswith(f"postgres: {found.name}: ") and (
            process.info["uids"].real == found.user.uid
        ):
            process.send_signal(signal.SIGKILL if kill else signal.SIGQUIT)


def _wait_until_gone(found: Cluster) -> None:
    began = time.monotonic()
    while probes.is_present(found):
        waited = time.monotonic() - began
        if waited > STOP_SECONDS:
            raise ServerDidNotStop(f"Processes of the server in {found.data} are still running.")
        if waited > LEFTOVERS_QUIT_AFTER_SECONDS:
            _clear_the_way(found, waited)
        time.sleep(POLL_SECONDS)


def _pg_ctl_stop(found: Cluster) -> None:
    programs = binaries.find_for(found.user)
    done = found.user.run(
        [programs / "pg_ctl", "-w", "-t", STOP_SECONDS, "-D", "data", "-m", "fast", "stop"],
        directory=found.directory,
    )
    if done.returncode != 0:
        raise ServerDidNotStop(f"The embedded PostgreSQL did not stop: {_tail(done.stderr)}.")


def _server(found: Cluster, pid: int) -> Server:
    return Server(host=str(found.socket_directory), port=PORT, user=SUPERUSER, pid=pid)


def _have_database(found: Cluster, pid: int, name: str) -> None:
    """Create the database if it is missing; in turn, because CREATE DATABASE cannot be raced."""
    with _server(found, pid).connect() as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if known.fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    _known_databases.add((found.directory, pid, name))


def _version(found: Cluster, pid: int | None) -> str | None:
    """The server's full version, or the cluster's major one when the server cannot be asked."""
    if pid is not None:
        # It may be full, or end just now.
        with suppress(psycopg.OperationalError), _server(found, pid).connect() as connection:
            return connection.info.parameter_status("server_version")
    version = found.data / "PG_VERSION"
    return version.read_text().strip() if version.exists() else None


def _log(found: Cluster, begin: int = 0) -> str:
    """What the server logged after that many bytes."""
    if not found.log.exists():
        return ""
    return found.log.read_bytes()[begin:].decode(errors="replace")


def _failure(found: Cluster, what: str, said: str) -> ServerDidNotStart:
    return ServerDidNotStart(f"{what}: {_tail(said)} (log: {found.log}).")


def _tail(output: str) -> str:
    """The last lines of a program's output, joined to one without a closing full stop."""
    lines = [line.strip() for line in output.strip().splitlines() if line.strip()]
    return " | ".join(lines[-LOG_TAIL_LINES:]).rstrip(".")
