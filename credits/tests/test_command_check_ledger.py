from collections.abc import Callable

import pytest
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from credits.models import Account, CreditLot, LedgerEntry
from credits.tests.commands import run_command
from credits.tests.conftest import Customer

pytestmark = pytest.mark.django_db


class TestCheckLedger:
    def test_says_where_every_issued_credit_is(self, customer: Customer) -> None:
        customer.grant(50)
        customer.gift(10, days=1)
        customer.spend(15)
        customer.hold(5)

        ran = run_command("check_ledger")

        assert ran.refusal == "" and ran.errors == ""
        assert [line.split() for line in ran.output.splitlines()[:4]] == [
            ["issued", "60", "credits"], ["spent", "15"], ["held", "5"], ["available", "40"],
        ]  # fmt: skip
        assert ran.summary == "The books balance: 1 accounts, 5 ledger lines."

    def test_is_content_with_empty_books(self) -> None:
        assert (
            run_command("check_ledger").summary == "The books balance: 0 accounts, 0 ledger lines."
        )

    @pytest.mark.breaks_the_books
    def test_names_every_broken_account_and_lot(
        self, customer: Customer, new_customer: Callable[[], Customer]
    ) -> None:
        customer.grant(50)
        broken = new_customer()
        lot = broken.grant(50)
        CreditLot.objects.filter(pk=lot.pk).update(remaining=49)
        Account.objects.filter(pk=broken.account_id).update(bulk_credits=51)

        ran = run_command("check_ledger")

        assert ran.errors.splitlines() == [
            f"account {broken.account_id}: bulk: column 51, lines 50, lots 49",
            f"account {broken.account_id}: lot {lot.pk}: 49 remaining, its lines sum to 50",
            f"account {broken.account_id}: 50 credits were issued, 51 are explained",
        ]
        assert ran.refusal == "1 of 2 accounts do not balance: see the lines above."

    @pytest.mark.breaks_the_books
    @pytest.mark.django_db(transaction=True)  # MariaDB commits when a trigger is dropped
    def test_notices_a_line_that_was_changed_behind_the_triggers(
        self, customer: Customer, without_triggers: None
    ) -> None:
        customer.grant(50)
        LedgerEntry.objects.update(note="something else")

        ran = run_command("check_ledger")

        assert "line 1 was changed: the hash chain is broken" in ran.errors
        assert ran.refusal


class TestDatabaseTrouble:
    """What every command of the money core says when the database is the problem."""

    @pytest.fixture
    def broken_audit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_args: object) -> None:
            raise OperationalError("canceling statement\n  due to lock timeout")

        monkeypatch.setattr("credits.management.commands.check_ledger.audit", fail)

    def test_an_unreachable_database_is_one_sentence(
        self, broken_audit: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_self: object) -> None:
            raise OperationalError(2003, "connection refused")

        monkeypatch.setattr(BaseDatabaseWrapper, "connect", refuse)

        assert run_command("check_ledger").refusal == (
            "The database cannot be reached (connection refused): check DATABASE_URL."
        )

    def test_a_busy_database_is_one_sentence(self, broken_audit: None) -> None:
        assert run_command("check_ledger").refusal == (
            "The database refused (canceling statement due to lock timeout): "
            "try again, or look into its log."
        )

    def test_missing_migrations_are_named(
        self, broken_audit: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "django.db.migrations.recorder.MigrationRecorder.applied_migrations", lambda self: {}
        )

        assert run_command("check_ledger").refusal == (
            "The database is not migrated: run `manage.py migrate` first."
        )
