"""The database refuses to change the ledger, and what the code forbids."""

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import ProtectedError

from credits.append_only import MESSAGE
from credits.models import Account, CreditLot, Hold, LedgerEntry, Offer, RetailToken

pytestmark = pytest.mark.django_db

on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="TRUNCATE with triggers exists on PostgreSQL only"
)


def refused(call, message: str) -> None:
    with pytest.raises(DatabaseError, match=message), transaction.atomic():
        call()


def sql(statement: str):
    def run():
        with connection.cursor() as cursor:
            cursor.execute(statement)

    return run


class TestLedger:
    @pytest.fixture(autouse=True)
    def two_lines(self, customer):
        customer.grant(5)
        customer.grant(7)
        yield
        assert customer.lines() == ["grant 5", "grant 7"]

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE credits_ledgerentry SET amount = 1000",
            "UPDATE credits_ledgerentry SET note = 'x' WHERE sequence = 1",
            "UPDATE credits_ledgerentry SET amount = amount",
            "DELETE FROM credits_ledgerentry",
            "DELETE FROM credits_ledgerentry WHERE sequence = 2",
        ],
    )
    def test_refuses_sql(self, statement):
        refused(sql(statement), MESSAGE)

    def test_refuses_to_have_a_line_replaced(self):
        """INSERT OR REPLACE deletes, and SQLite's triggers do not see that by themselves."""
        if connection.vendor == "postgresql":
            pytest.skip("PostgreSQL has no REPLACE")
        columns = ", ".join(field.column for field in LedgerEntry._meta.fields)
        table = "credits_ledgerentry"
        refused(sql(f"REPLACE INTO {table} ({columns}) SELECT {columns} FROM {table}"), MESSAGE)

    def test_refuses_a_saved_line(self):
        line = LedgerEntry.objects.first()
        line.amount = 1000

        refused(line.save, MESSAGE)

    def test_refuses_a_queryset_update(self):
        refused(lambda: LedgerEntry.objects.update(amount=1000), MESSAGE)

    def test_refuses_bulk_update(self):
        line = LedgerEntry.objects.first()
        line.amount = 1000

        refused(lambda: LedgerEntry.objects.bulk_update([line], ["amount"]), MESSAGE)

    def test_refuses_a_deleted_line(self):
        refused(LedgerEntry.objects.first().delete, MESSAGE)

    def test_refuses_a_queryset_delete(self):
        refused(LedgerEntry.objects.all().delete, MESSAGE)

    def test_refuses_an_insert_that_would_replace_a_line(self):
        line = LedgerEntry.objects.first()
        values = [getattr(line, each.attname) for each in LedgerEntry._meta.concrete_fields]
        changed = LedgerEntry(*values)
        changed.amount = 1000

        refused(
            lambda: LedgerEntry.objects.bulk_create(
                [changed], update_conflicts=True, update_fields=["amount"],
                **({} if connection.vendor == "mysql" else {"unique_fields": ["id"]}),
            ),
            MESSAGE,
        )  # fmt: skip

    @on_postgresql
    @pytest.mark.parametrize(
        "statement",
        [
            "TRUNCATE credits_ledgerentry",
            "TRUNCATE credits_account CASCADE",
            "TRUNCATE credits_creditlot, credits_hold, credits_ledgerentry CASCADE",
        ],
    )
    def test_refuses_truncate(self, statement):
        connection.check_constraints()  # or PostgreSQL refuses because of pending events
        refused(sql(statement), MESSAGE)


class TestHistoryIsKept:
    def test_a_person_with_an_account_cannot_be_deleted(self, account):
        with pytest.raises(ProtectedError):
            account.user.delete()

    def test_an_account_with_lines_cannot_be_deleted(self, customer):
        customer.grant(5)

        with pytest.raises(ProtectedError):
            Account.objects.get().delete()

    def test_a_lot_and_a_hold_with_lines_cannot_be_deleted(self, customer):
        customer.grant(5)
        customer.spend(1)

        for row in (CreditLot.objects.get(), Hold.objects.get()):
            with pytest.raises(ProtectedError):
                row.delete()


class TestConstraints:
    @pytest.fixture(autouse=True)
    def rows(self, customer):
        customer.grant(10)
        customer.spend(3)
        customer.hold(2)
        customer.buy_token()

    @pytest.mark.parametrize(
        ("name", "statement"),
        [
            ("credits_account_never_negative", "credits_account SET bulk_credits = -1"),
            ("credits_account_never_negative", "credits_account SET subscription_credits = -1"),
            ("credits_account_never_negative", "credits_account SET promotional_credits = -1"),
            ("credits_account_never_negative", "credits_account SET owed = -1"),
            ("credits_account_status", "credits_account SET status = 'odd'"),
            ("credits_lot_within_granted", "credits_creditlot SET remaining = -1"),
            ("credits_lot_within_granted", "credits_creditlot SET remaining = 11"),
            ("credits_lot_within_granted", "credits_creditlot SET granted = 0, remaining = 0"),
            (
                "credits_lot_within_granted",
                "credits_creditlot SET frozen = -1, frozen_at = created_at",
            ),
            ("credits_lot_within_granted", "credits_creditlot SET clawed_back = 11"),
            ("credits_lot_within_granted", "credits_creditlot SET clawed_back_owed = 1"),
            (
                "credits_lot_within_granted",
                "credits_creditlot SET frozen = 6, frozen_at = created_at",
            ),
            ("credits_lot_frozen_only_in_dispute", "credits_creditlot SET frozen = 1"),
            ("credits_lot_amount_has_currency", "credits_creditlot SET amount_paid = 1"),
            ("credits_lot_amount_has_currency", "credits_creditlot SET amount_paid = -1"),
            ("credits_lot_pool", "credits_creditlot SET pool = 'gold'"),
            ("credits_hold_captured_within_amount", "credits_hold SET amount = 0, captured = 0"),
            ("credits_hold_captured_within_amount", "credits_hold SET captured = -1"),
            (
                "credits_hold_captured_within_amount",
                "credits_hold SET captured = 4 WHERE state = 'captured'",
            ),
            (
                "credits_hold_captured_only_when_settled",
                "credits_hold SET captured = 1 WHERE state = 'open'",
            ),
            ("credits_hold_settled_at_iff_settled", "credits_hold SET settled_at = NULL"),
            (
                "credits_hold_settled_at_iff_settled",
                "credits_hold SET settled_at = created_at WHERE state = 'open'",
            ),
            ("credits_token_reference_iff_taken", "credits_retailtoken SET state = 'reserved'"),
            (
                "credits_token_reference_iff_taken",
                "credits_retailtoken SET generation_reference = 'g'",
            ),
            ("credits_token_settled_at_iff_final", "credits_retailtoken SET state = 'revoked'"),
            (
                "credits_token_settled_at_iff_final",
                "credits_retailtoken SET settled_at = created_at",
            ),
        ],
    )
    def test_refuse_a_row_that_cannot_be(self, name, statement):
        refused(sql(f"UPDATE {statement}"), name)

    def test_refuse_a_second_lot_for_one_source_key(self):
        lot = CreditLot.objects.get()
        lot.pk += 1

        with pytest.raises(IntegrityError), transaction.atomic():
            lot.save(force_insert=True)

    def test_refuse_a_second_hold_for_one_key(self):
        held = Hold.objects.first()
        held.pk += 100

        with pytest.raises(IntegrityError), transaction.atomic():
            held.save(force_insert=True)

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"sequence": 900, "balance_after": -1},
            {"sequence": 900, "owed_after": -1},
            {"sequence": 900, "amount": 0},
            {"sequence": 0},
        ],
        ids=["the same sequence", "negative balance", "negative debt", "nothing", "sequence 0"],
    )
    def test_refuse_a_line_that_cannot_be(self, changes):
        line = LedgerEntry.objects.first()
        line.pk += 100
        for name, value in changes.items():
            setattr(line, name, value)

        with pytest.raises(IntegrityError), transaction.atomic():
            line.save(force_insert=True)

    def test_refuse_one_generation_for_two_tokens(self, customer):
        customer.buy_token()

        with pytest.raises(IntegrityError), transaction.atomic():
            RetailToken.objects.update(state="reserved", generation_reference="generation:1")

    @pytest.mark.parametrize(
        "changes",
        [
            {"amount": -1},
            {"credits": -1},
            {"rollover_cap": -1},
            {"kind": "retail"},
            {"kind": "plan"},
            {"interval": "month"},
            {"credits": 0},
            {"trial_days": 7, "trial_credits": 5},
            {"kind": "plan", "interval": "month", "trial_days": 7},
            {"kind": "plan", "interval": "month", "trial_credits": 5},
            {
                "kind": "plan",
                "interval": "month",
                "amount": 0,
                "trial_days": 7,
                "trial_credits": 5,
            },
        ],
    )
    def test_refuse_an_offer_that_makes_no_sense(self, changes):
        fields = {
            "slug": "p", "name": "P", "kind": "pack",
            "credits": 10, "amount": 100, "currency": "usd",
        }  # fmt: skip

        with pytest.raises(IntegrityError), transaction.atomic():
            Offer.objects.create(**{**fields, **changes})
