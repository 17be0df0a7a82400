"""Where a cluster lives on disk, and which operating-system user its server runs as.

PostgreSQL refuses to run as root, so root hands the server to another user: the owner of the place
where the cluster lives, else a service account. When that user cannot get to the configured
directory (a checkout below /root), the cluster lives below ROOT_STATE and the configured path
becomes a symbolic link to it; permissions of directories that exist already are never widened.
ROOT_STATE is not a temporary directory because those are swept by age and writable by everyone.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import ClusterBelongsToAnother, UnsupportedPlatform

if sys.platform != "win32":
    import pwd

ROOT_STATE = Path("/var/lib/embedded-postgres")
SERVICE_ACCOUNTS = ("postgres", "_postgres", "nobody")
SOCKET_STATE = Path("/tmp")  # noqa: S108 - the one short path; _secure() checks what is there
SOCKET_NAME = ".s.PGSQL.5432"
# sun_path holds 104 bytes on macOS and 108 on Linux, with the closing zero.
SOCKET_PATH_BYTES = 103
# libpq splits a host at commas and PostgreSQL its directory list at commas and quotes.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+-]+")
OUR_FILES = ("data", "server.log", SOCKET_NAME, "lost+found", ".git")


@dataclass(frozen=True)
class ServerUser:
    """The operating-system account that runs the server."""

    name: str
    uid: int
    gid: int

    def run(
        self,
        arguments: Sequence[object],
        *,
        directory: Path = Path("/"),
        keep_open: Sequence[int] = (),
        timeout_seconds: int = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program with these arguments as this user; its exit status is the caller's.

        The environment is a fresh one: ours holds secrets, and PG* variables would reconfigure the
        server. Raises OSError when it cannot be started, subprocess.TimeoutExpired when it hangs.
        """
        drop = os.geteuid() != self.uid
        return subprocess.run(
            [str(argument) for argument in arguments],
            check=False,
            cwd=directory,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            umask=0o077,
            pass_fds=keep_open,
            user=self.uid if drop else None,
            group=self.gid if drop else None,
            extra_groups=[] if drop else None,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
        )


@dataclass(frozen=True)
class Cluster:
    """One PostgreSQL cluster: its directory (data, log, usually the socket) and its user."""

    directory: Path
    user: ServerUser

    @property
    def name(self) -> str:
        """PostgreSQL's cluster_name: how its processes are told apart from any others."""
        return f"embedded-{digest(self.directory)}"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    @property
    def pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    @property
    def socket_directory(self) -> Path:
        """The cluster's directory, or a short stand-in when a socket's path cannot be that long."""
        length = len(os.fsencode(self.directory / SOCKET_NAME))
        if length <= SOCKET_PATH_BYTES and PLAIN_PATH.fullmatch(str(self.directory)):
            return self.directory
        return SOCKET_STATE / f"{self.name}-{self.user.uid}"

    @property
    def socket(self) -> Path:
        return self.socket_directory / SOCKET_NAME


def digest(path: Path) -> str:
    """A short name for a path, the same in every process."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def locate(configured: Path) -> Cluster:
    """Find the cluster configured at a path; creates nothing.

    Raises UnsupportedPlatform, and ClusterBelongsToAnother when the directory is another user's.
    """
    if sys.platform == "win32":
        raise UnsupportedPlatform("The embedded PostgreSQL runs on Linux and macOS only.")
    directory = configured.resolve()
    user = _server_user(directory)
    if os.geteuid() == 0 and not is_reachable(directory.parent, user):
        if (directory / "data").exists():
            raise ClusterBelongsToAnother(
                f"{user.name}, whose database cluster is in {directory}, may no longer enter a "
                "directory above it: allow that with chmod a+x, or move the cluster."
            )
        directory = ROOT_STATE / f"cluster-{digest(directory)}"
        user = _server_user(directory)
    return Cluster(directory, user)


def prepare(cluster: Cluster, configured: Path) -> None:
    """Make the cluster's directories, private to the server's user.

    They must be private: who can reach the socket is let in as the superuser. Raises
    ClusterBelongsToAnother when a directory is already there and is not ours, OSError otherwise.
    """
    if cluster.directory.parent == ROOT_STATE:
        make_root_state()
    for directory in (cluster.directory, cluster.socket_directory):
        if not directory.exists():
            _make_directory(directory, cluster.user)
        _secure(directory, cluster.user)
    if cluster.directory != configured.resolve():
        # A visible trace of where the data is, which also keeps naming it when the checkout moves.
        with suppress(OSError):
            configured.parent.mkdir(parents=True, exist_ok=True)
            configured.symlink_to(cluster.directory)


def make_root_state() -> None:
    """Make the directory for what root's server needs outside of the checkout.

    Raises ClusterBelongsToAnother when somebody other than root could write there.
    """
    _make_directory_as_root(ROOT_STATE)
    found = ROOT_STATE.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise ClusterBelongsToAnother(
            f"{ROOT_STATE} must be a directory that only root can write to; correct its owner."
        )


def is_reachable(directory: Path, user: ServerUser) -> bool:
    """Whether the user may enter the directory and everything above it, as far as these exist."""
    return all(_may_enter(path, user) for path in (directory, *directory.parents) if path.exists())


def _may_enter(path: Path, user: ServerUser) -> bool:
    found = path.stat()
    if found.st_uid == user.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == user.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _server_user(directory: Path) -> ServerUser:
    if os.geteuid() == 0:
        return _owner_of_place(directory) or _service_account()
    user = _account(os.geteuid())
    if user is None:
        raise UnsupportedPlatform(
            f"PostgreSQL needs a named account, and user id {os.geteuid()} has none: "
            "add it to /etc/passwd."
        )
    if directory.exists() and directory.stat().st_uid != user.uid:
        raise _belongs_to_another(directory, user)
    return user


def _owner_of_place(directory: Path) -> ServerUser | None:
    """The user, other than root, who owns the directory or the nearest one above that exists."""
    place = next(path for path in (directory, *directory.parents) if path.exists())
    owner = place.stat().st_uid
    return _account(owner) if owner != 0 else None


def _service_account() -> ServerUser:
    for name in SERVICE_ACCOUNTS:
        with suppress(KeyError):
            return _server_user_from(pwd.getpwnam(name))
    raise UnsupportedPlatform(
        "PostgreSQL refuses to run as root, and there is no account 'postgres' or 'nobody' "
        "to run it as: add one, or use an ordinary user."
    )


def _account(uid: int) -> ServerUser | None:
    with suppress(KeyError):
        return _server_user_from(pwd.getpwuid(uid))
    return None


def _server_user_from(entry: pwd.struct_passwd) -> ServerUser:
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _make_directory(directory: Path, user: ServerUser) -> None:
    """As the server's user where it may, so that root gives nothing away below a shared /tmp."""
    if os.geteuid() != 0:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif user.run(["mkdir", "-p", "-m", "700", directory]).returncode != 0:
        _make_directory_as_root(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)


def _make_directory_as_root(directory: Path) -> None:
    """Missing directories get mode 755 whatever the umask, so that the server's user can pass."""
    if directory.exists():
        return
    _make_directory_as_root(directory.parent)
    with suppress(FileExistsError):
        directory.mkdir()
        directory.chmod(0o755)


def _secure(directory: Path, user: ServerUser) -> None:
    """Hand a fresh directory to the server's user and close it to all others.

    Works on the opened directory, so that it cannot be exchanged in between.
    """
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        found = os.fstat(opened)
        fresh_from_root = os.geteuid() == 0 and found.st_uid == 0
        if found.st_uid != user.uid and not fresh_from_root:
            raise _belongs_to_another(directory, user)
        if found.st_uid == user.uid and not found.st_mode & 0o077:
            return
        _refuse_foreign_content(directory, os.listdir(opened), fresh=fresh_from_root)
        os.fchown(opened, user.uid, user.gid)
        os.fchmod(opened, 0o700)
    finally:
        os.close(opened)


def _refuse_foreign_content(directory: Path, names: list[str], *, fresh: bool) -> None:
    """A directory set by mistake, such as /etc, must not be handed over or closed."""
    if fresh and "data" in names:
        raise ClusterBelongsToAnother(
            f"The database cluster in {directory} belongs to root, and PostgreSQL refuses to run "
            "as root: give it to an ordinary user with chown -R."
        )
    if not all(name.startswith(OUR_FILES) for name in names):
        raise ClusterBelongsToAnother(
            f"{directory} is meant for the database cluster but holds other files: "
            "configure an empty directory."
        )


def _belongs_to_another(directory: Path, user: ServerUser) -> ClusterBelongsToAnother:
    owner = _account(directory.stat().st_uid)
    name = owner.name if owner else f"user id {directory.stat().st_uid}"
    return ClusterBelongsToAnother(
        f"The database cluster in {directory} belongs to {name}, not to {user.name}: "
        f"run this as {name} (or as root), or move the directory away to start a new one."
    )
