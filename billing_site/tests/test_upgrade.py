"""A database from before, with rows in it, is migrated to what it is now."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection

from credits.tests.test_proofs import configured, manage

__all__ = ["configured"]

APPS = ("accounts", "account", "credits", "generation")
BEFORE = [("credits", "0004"), ("accounts", "0001")]  # what the foundation had
HISTORY = (
    "from django.utils import timezone; from billing_site.sandbox import history;"
    "history.make(now=timezone.now())"
)


@pytest.fixture
def database(configured: str, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database beside that of the tests, of the same kind."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{tmp_path / 'upgrade.sqlite3'}"
        return
    url = urlsplit(configured)
    own = Path(url.path).name
    name = f"{own}_upgrade"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        try:
            yield urlunsplit(url._replace(path=url.path.removesuffix(own) + name))
        finally:
            cursor.execute(f"DROP DATABASE {name}")


@pytest.mark.django_db(transaction=True)
def test_books_written_before_are_read_after_and_cannot_be_changed(database: str) -> None:
    def run(*arguments: str) -> str:
        done = manage(database, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    for app in APPS:
        run("migrate", app, "-v0")
    run("init_pricing")
    run("shell", "-v0", "-c", HISTORY)
    books = run("check_ledger")
    for app, migration in BEFORE:
        run("migrate", app, migration, "-v0")

    for app in APPS:
        run("migrate", app, "-v0")

    assert "The books balance" in books
    assert run("check_ledger") == books
    change = "from credits.models import LedgerEntry; LedgerEntry.objects.update(amount=1)"
    changed = manage(database, "shell", "-v0", "-c", change)
    assert changed.returncode != 0 and "append-only" in changed.stderr
    assert run("check_ledger") == books
