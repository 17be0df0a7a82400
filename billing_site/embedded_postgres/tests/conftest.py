"""Servers of the tests' own, in directories that every user of the machine can pass through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from billing_site.embedded_postgres import cluster, launcher

from .servers import execute, temporary_place


@pytest.fixture(scope="session", autouse=True)
def quick_initdb() -> Iterator[None]:
    """Tests need no cluster that outlives a power cut; flushing its 1000 files takes longest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launcher, "INITDB_OPTIONS", (*launcher.INITDB_OPTIONS, "--no-sync"))
        yield


@pytest.fixture
def place() -> Iterator[Path]:
    with temporary_place() as directory:
        yield directory


@pytest.fixture
def empty(place: Path) -> Path:
    """Where a cluster would go."""
    return place / "var" / "postgres"


@pytest.fixture(scope="session")
def shared() -> Iterator[Path]:
    """A cluster for every test that leaves it usable, for initdb takes most of a test's time."""
    with temporary_place() as made_in:
        server = launcher.ensure(made_in / "postgres", "site")
        execute(server, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
        yield made_in / "postgres"


@pytest.fixture
def directory(shared: Path) -> Path:
    """The shared cluster with its server running and a table of 1000 rows in it."""
    launcher.ensure(shared, "site")
    return shared


@pytest.fixture
def root_state(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for /var/lib/embedded-postgres."""
    monkeypatch.setattr(cluster, "ROOT_STATE", place / "state")
    return place / "state"
