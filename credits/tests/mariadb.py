"""A private MariaDB for tests: a temporary directory, a socket, no network, gone afterwards.

    .venv/bin/python -m credits.tests.mariadb manage.py prove_atomicity

runs a command of Python's on one, with an empty database; after `--`, any command.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql

MISSING = "there is no MariaDB server here: apt install mariadb-server"
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"  # where Debian puts mariadbd; not on everybody's PATH
START_SECONDS = 30
# Throwaway data: nothing is worth waiting for the disk.
OPTIONS = [
    "--skip-networking",
    "--skip-log-bin",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-buffer-pool-size=64M",
    "--character-set-server=utf8mb4",
    # Byte by byte, as on PostgreSQL and SQLite: in_1Ab and in_1aB are two invoices.
    "--collation-server=utf8mb4_bin",
]


class NoMariaDB(Exception):
    """The server did not start; the message says why."""


class MariaDBMissing(NoMariaDB):
    """The server is not installed; the message says what to install."""


@contextmanager
def private_mariadb() -> Iterator[str]:
    """A running server with an empty database; gives its DATABASE_URL. Raises NoMariaDB."""
    server, install = _program("mariadbd", "mysqld"), _program("mariadb-install-db")
    with tempfile.TemporaryDirectory(prefix="mariadb-", dir="/tmp") as name:  # sockets: 107 bytes
        folder = Path(name)
        common = ["--no-defaults", f"--datadir={folder / 'data'}"]
        if os.geteuid() == 0:
            common.append("--user=root")  # it refuses to run as root unless told to
        log = folder / "log"
        with log.open("wb") as output:
            _install([install, *common], output)
            arguments = [server, *common, *OPTIONS, f"--socket={folder / 'socket'}"]
            process = subprocess.Popen(
                [*arguments, f"--pid-file={folder / 'pid'}"], stdout=output, stderr=output
            )
        try:
            _create_database(folder / "socket", process, log)
            yield f"mysql://root@localhost/billing_site?unix_socket={folder / 'socket'}"
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _program(*names: str) -> str:
    for name in names:
        found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SBIN}")
        if found:
            return found
    raise MariaDBMissing(MISSING)


def _install(command: list[str], output: object) -> None:
    done = subprocess.run(
        [*command, "--auth-root-authentication-method=normal", "--skip-test-db"],
        stdout=output,  # type: ignore[call-overload]
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        raise NoMariaDB(f"{command[0]} failed with status {done.returncode}")


def _create_database(socket: Path, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Waits until the server answers, and makes the database."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with pymysql.connect(unix_socket=str(socket), user="root") as connection:
                connection.cursor().execute("CREATE DATABASE billing_site")
            return
        except pymysql.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoMariaDB(f"mariadbd did not start:\n{log.read_text()[-2000:]}") from error
        time.sleep(0.05)


def main(command: list[str]) -> int:
    try:
        with private_mariadb() as url:
            environment = {**os.environ, "DATABASE_URL": url}
            return subprocess.run(
                command[1:] if command[:1] == ["--"] else [sys.executable, *command],
                env=environment,
                check=False,
            ).returncode
    except NoMariaDB as error:
        sys.exit(str(error))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
