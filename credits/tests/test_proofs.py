"""The post-mortem's proofs, here and through `manage.py prove_atomicity` on three databases."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from threading import current_thread, main_thread
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from credits import proofs, proofs_without_lock, queries, services
from credits.models import Account
from credits.payments.proof import one_event_eight_times
from credits.proofs import Cast, Proof, ProofNotPossible, at_once
from credits.tests.commands import run_command
from credits.tests.mariadb import MariaDBMissing, private_mariadb

ALL_PROOFS = [*proofs.PROOFS, proofs.one_event_proof(one_event_eight_times)]
real_commits = pytest.mark.django_db(transaction=True)


@real_commits
class TestProofs:
    @pytest.mark.parametrize("proof", ALL_PROOFS, ids=lambda proof: proof.name)
    def test_holds(self, proof: Proof, now: datetime) -> None:
        assert proof.run(Cast(now)) == proof.expected

    def test_leave_no_credits_and_nobody_who_could_sign_in(self, now: datetime) -> None:
        results = list(proofs.run_all(now))

        assert all(result.holds for result in results)
        for account in Account.objects.select_related("user"):
            assert queries.balance(account_id=account.pk, now=now).available == 0
            assert account.user.email.endswith("@proof.invalid")
            assert not account.user.is_active and not account.user.has_usable_password()

    def test_take_the_credits_away_also_when_one_breaks_off(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def break_off(cast: Cast) -> str:
            cast.account(subscription=5, bulk=5)
            raise ProofNotPossible("no more connections")

        monkeypatch.setattr(proofs, "PROOFS", [Proof("one", "", break_off)])

        assert run_command("prove_atomicity").refusal == "no more connections"
        account = Account.objects.get()
        assert queries.balance(account_id=account.pk, now=now).available == 0


@real_commits
class TestWithoutTheLock:
    @pytest.fixture(autouse=True)
    def table(self) -> Iterator[None]:
        with proofs_without_lock.throwaway_table():
            yield

    @pytest.mark.parametrize("proof", proofs_without_lock.PROOFS, ids=lambda proof: proof.name)
    def test_does_not_hold(self, proof: Proof) -> None:
        lock_of_sqlite = connection.vendor == "sqlite" and "transaction.atomic" in proof.name

        assert (proof.run(None) == proof.expected) == lock_of_sqlite


@real_commits
class TestAtOnce:
    def test_a_refusal_is_no_failure(self) -> None:
        def refuse() -> None:
            raise services.InsufficientCredits(required=1, available=0)

        outcome = at_once([refuse, lambda: None], services.InsufficientCredits)

        assert (outcome.done, outcome.refused, outcome.failed.total()) == (1, 1, 0)

    def test_what_the_database_says_is_shown(self) -> None:
        def lock() -> None:
            raise OperationalError("database is locked")

        outcome = at_once([lock, lock, lambda: None], services.InsufficientCredits)

        assert str(outcome) == "1 of 3 succeed, 2 x OperationalError: database is locked"

    def test_a_bug_is_not_hidden(self) -> None:
        def stumble() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            at_once([stumble], services.InsufficientCredits)

    def test_too_few_connections_are_no_result(self, monkeypatch: pytest.MonkeyPatch) -> None:
        connect = BaseDatabaseWrapper.connect

        def refuse(self: BaseDatabaseWrapper) -> None:
            if current_thread() is not main_thread():
                raise OperationalError("too many clients")
            connect(self)

        monkeypatch.setattr(BaseDatabaseWrapper, "connect", refuse)

        with pytest.raises(
            ProofNotPossible, match=r"did not take 3 connections .*too many clients"
        ):
            at_once([lambda: None] * 3, services.InsufficientCredits)


@real_commits
class TestCommand:
    def test_a_miss_is_shown_and_ends_with_status_1(self, monkeypatch: pytest.MonkeyPatch) -> None:
        wrong = Proof("two packs", "0 + 3 left", proofs.packs_add_up)
        monkeypatch.setattr(proofs, "PROOFS", [wrong])

        ran = run_command("prove_atomicity")

        assert ran.refusal == "1 of 3 results are not what they must be."
        assert ran.output.splitlines()[2].split()[:9] == [
            "two", "packs", "0", "+", "3", "left", "0", "+", "400",
        ]  # fmt: skip
        assert " FAIL " in ran.output


# The command on three databases -------------------------------------------------------------------


def manage(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def migrated(url: str) -> str:
    for app in ("accounts", "credits"):  # the rest of the site takes 5 s more
        done = manage(url, "migrate", app, "--verbosity=0")
        assert done.returncode == 0, done.stderr
    return url


@pytest.fixture
def configured(transactional_db: None) -> str:
    """The URL of this test's own database, which is migrated."""
    parts = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{parts['NAME']}"
    if connection.vendor == "mysql":
        login = f"{quote(parts['USER'])}:{quote(parts['PASSWORD'])}"
        address = f"{parts['HOST']}:{parts['PORT']}".rstrip(":")
        socket = parts["OPTIONS"].get("unix_socket")
        query = f"?unix_socket={socket}" if socket else ""
        return f"mysql://{login}@{address}/{parts['NAME']}{query}"
    parts = connection.get_connection_params()
    login = f"{quote(parts['user'])}:{quote(parts.get('password') or '')}"
    host, port = str(parts.get("host", "")), parts.get("port") or 5432
    if host.startswith("/"):
        return f"postgres://{login}@:{port}/{host}/{parts['dbname']}"
    return f"postgres://{login}@{host or 'localhost'}:{port}/{parts['dbname']}"


@pytest.fixture(scope="module")
def mariadb() -> Iterator[str]:
    try:
        with private_mariadb() as url:
            yield migrated(url)
    except MariaDBMissing as missing:
        pytest.skip(str(missing))


def assert_proves(url: str, database: str) -> None:
    done = manage(url, "prove_atomicity")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert lines[0].startswith(database)
    assert lines[-1] == "All 7 proofs hold, and the books balance."


def assert_fails_naively(url: str, misses: int) -> None:
    done = manage(url, "prove_atomicity", "--naive")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"Without the lock {misses} of 5 proofs fail, as they have to." in done.stderr


class TestOnEachDatabase:
    def test_the_proofs_hold_on_the_configured_one(self, configured: str) -> None:
        names = {"postgresql": "PostgreSQL", "mysql": "MariaDB", "sqlite": "SQLite"}

        assert_proves(configured, names[connection.vendor])

    def test_and_fail_naively(self, configured: str) -> None:
        assert_fails_naively(configured, misses=4 if connection.vendor == "sqlite" else 5)

    def test_the_proofs_hold_on_sqlite(self, tmp_path: Path) -> None:
        url = migrated(f"sqlite:///{tmp_path / 'proof.sqlite3'}")

        assert_proves(url, "SQLite")
        assert_fails_naively(url, misses=4)

    @pytest.mark.mariadb
    def test_the_proofs_hold_on_mariadb(self, mariadb: str) -> None:
        assert_proves(mariadb, "MariaDB")

    @pytest.mark.mariadb
    def test_and_fail_naively_on_mariadb(self, mariadb: str) -> None:
        assert_fails_naively(mariadb, misses=5)

    def test_a_database_that_is_not_migrated_is_one_sentence(self, tmp_path: Path) -> None:
        done = manage(f"sqlite:///{tmp_path / 'empty.sqlite3'}", "prove_atomicity")

        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert "The database is not migrated: run `manage.py migrate` first." in done.stderr
