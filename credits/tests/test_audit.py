"""The proof of the books finds every kind of tampering, and invents nothing."""

import pytest
from django.db import connection

from credits import audit, queries
from credits.models import Account, CreditLot, Hold, LedgerEntry

pytestmark = pytest.mark.django_db


@pytest.fixture
def busy(customer):
    """A customer to whom everything has happened: 12 lines and more."""
    pack = customer.grant(100)
    month = customer.renew(100, days=10)
    customer.gift(10, days=1)
    customer.spend(30)
    held = customer.hold(40)
    customer.wait(days=2)
    customer.capture(held, 25)
    customer.hold(20)
    customer.renew(50, rollover_cap=5)
    customer.claw_back(month, 90)
    customer.reverse_claw_back(month, 80)
    customer.release(customer.hold(3))
    customer.freeze(pack)
    customer.grant(500)
    customer.refund(customer.spend(7))
    return customer


def sql(statement: str, *params: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def found(customer) -> list[str]:
    return list(queries.find_imbalances([customer.account_id]))


def line(customer, **lookup) -> LedgerEntry:
    entries = LedgerEntry.objects.filter(account_id=customer.account_id, **lookup)
    return entries.order_by("sequence").first()


class TestCleanBooks:
    def test_of_nobody_balance(self, db):
        assert list(queries.find_imbalances()) == []

    def test_of_an_account_without_lines_balance(self, customer):
        assert found(customer) == []

    def test_of_a_busy_account_balance(self, busy):
        assert found(busy) == []

    def test_add_up_over_all_accounts(self, busy, new_customer):
        other = new_customer()
        other.grant(5)
        other.spend(2)

        totals = sum((totals for totals, _wrong in audit.audit()), audit.Totals())

        assert (totals.accounts, totals.entries) == (2, LedgerEntry.objects.count())
        assert totals.issued == (
            totals.spent + totals.held + totals.available
            + totals.expired + totals.clawed_back + totals.frozen
        )  # fmt: skip
        assert min(vars(totals).values()) > 0


@pytest.mark.django_db(transaction=True)  # taking triggers away commits on MariaDB
@pytest.mark.breaks_the_books
class TestTamperingWithLines:
    @pytest.fixture(autouse=True)
    def owner_of_the_database(self, without_triggers):
        pass

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("amount", 11),
            ("balance_after", 11),
            ("owed_after", 11),
            ("kind", "'adjust'"),
            ("reference", "'else'"),
            ("actor", "'else'"),
            ("note", "'else'"),
            ("created_at", "'2020-01-01 00:00:00'"),
            ("hash", "'0'"),
            ("previous_hash", "'0'"),
        ],
    )
    def test_an_edited_column_is_found(self, busy, column, value):
        target = line(busy, sequence=3)

        sql(f"UPDATE credits_ledgerentry SET {column} = {value} WHERE id = %s", target.pk)

        assert any("line 3 was changed" in sentence for sentence in found(busy))

    def test_a_line_moved_to_another_lot_is_found(self, busy):
        first, other = CreditLot.objects.order_by("pk")[:2]

        sql("UPDATE credits_ledgerentry SET lot_id = %s WHERE id = %s", other.pk, first.pk)

        assert any("the hash chain is broken" in sentence for sentence in found(busy))

    def test_a_line_taken_from_its_hold_is_found(self, busy):
        target = line(busy, kind="hold")

        sql("UPDATE credits_ledgerentry SET hold_id = NULL WHERE id = %s", target.pk)

        assert any("the hash chain is broken" in sentence for sentence in found(busy))
        assert any(f"hold {target.hold_id} is" in sentence for sentence in found(busy))

    def test_a_missing_line_is_found(self, busy):
        sql("DELETE FROM credits_ledgerentry WHERE id = %s", line(busy, sequence=3).pk)

        assert any("line 3 is missing" in sentence for sentence in found(busy))

    def test_a_lost_tail_is_found(self, busy):
        last = LedgerEntry.objects.order_by("sequence").last()

        sql("DELETE FROM credits_ledgerentry WHERE id = %s", last.pk)

        assert any(f"the account counts {last.sequence}" in sentence for sentence in found(busy))

    def test_all_lines_lost_are_found(self, busy):
        sql("DELETE FROM credits_ledgerentry")

        assert any(sentence for sentence in found(busy))

    def test_an_edited_line_with_its_own_hash_made_new_is_found(self, busy):
        """Whoever recomputes one hash breaks the next line's."""
        target = line(busy, sequence=3)
        target.note = "else"

        sql(
            "UPDATE credits_ledgerentry SET note = %s, hash = %s WHERE id = %s",
            target.note, audit.hash_of(target), target.pk,
        )  # fmt: skip

        assert any("line 4 was changed" in sentence for sentence in found(busy))

    def test_the_whole_chain_made_new_still_has_another_head(self, busy):
        head = ""
        for entry in LedgerEntry.objects.filter(account_id=busy.account_id).order_by("sequence"):
            entry.note, entry.previous_hash = "else", head
            head = audit.hash_of(entry)
            sql(
                "UPDATE credits_ledgerentry SET note = 'else', previous_hash = %s, hash = %s"
                " WHERE id = %s",
                entry.previous_hash, head, entry.pk,
            )  # fmt: skip

        assert any("another head" in sentence for sentence in found(busy))


@pytest.mark.breaks_the_books
class TestTamperingWithAccounts:
    @pytest.mark.parametrize("pool", ["subscription", "promotional", "bulk"])
    def test_another_balance_is_found(self, busy, pool):
        sql(f"UPDATE credits_account SET {pool}_credits = {pool}_credits + 1")

        assert any(f"{pool}: column" in sentence for sentence in found(busy))

    def test_a_balance_without_any_line_is_found(self, customer):
        sql("UPDATE credits_account SET bulk_credits = 1000000")

        assert any("bulk: column 1000000" in sentence for sentence in found(customer))

    def test_a_forgiven_debt_is_found(self, customer):
        pack = customer.grant(10)
        customer.spend(10)
        customer.claw_back(pack, 10)

        sql("UPDATE credits_account SET owed = 0")

        assert any("owes 0, the last line says 10" in sentence for sentence in found(customer))

    def test_an_invented_debt_is_found(self, customer):
        sql("UPDATE credits_account SET owed = 5")

        assert any("owes 5" in sentence for sentence in found(customer))

    @pytest.mark.parametrize("change", ["sequence = sequence + 1", "chain_head = 'else'"])
    def test_another_end_of_the_chain_is_found(self, busy, change):
        sql(f"UPDATE credits_account SET {change}")

        assert any("the account counts" in sentence for sentence in found(busy))


@pytest.mark.breaks_the_books
class TestTamperingWithLotsAndHolds:
    def test_another_remaining_is_found(self, busy):
        lot = CreditLot.objects.filter(remaining__gt=0).last()

        sql("UPDATE credits_creditlot SET remaining = remaining - 1 WHERE id = %s", lot.pk)

        assert any(f"lot {lot.pk}: {lot.remaining - 1} remaining" in each for each in found(busy))

    def test_another_grant_is_found(self, busy):
        lot = CreditLot.objects.last()

        sql("UPDATE credits_creditlot SET granted = granted + 1 WHERE id = %s", lot.pk)

        assert any(f"lot {lot.pk}: granted {lot.granted + 1}" in each for each in found(busy))

    def test_credits_that_left_the_dispute_are_found(self, busy):
        lot = CreditLot.objects.get(frozen__gt=0)

        sql("UPDATE credits_creditlot SET frozen = frozen - 1 WHERE id = %s", lot.pk)

        assert any(f"lot {lot.pk}: {lot.frozen - 1} frozen" in each for each in found(busy))

    @pytest.mark.parametrize("change", ["clawed_back = 0", "clawed_back_owed = clawed_back"])
    def test_a_claw_back_that_was_made_undone_is_found(self, customer, change):
        lot = customer.grant(10)
        customer.claw_back(lot, 6)

        sql(f"UPDATE credits_creditlot SET {change}")

        assert any(f"lot {lot.pk}: " in sentence for sentence in found(customer))

    def test_a_debt_that_no_purchase_made_is_found(self, customer):
        lot = customer.grant(10)
        customer.spend(10)
        customer.claw_back(lot, 6)

        sql("UPDATE credits_creditlot SET clawed_back_owed = 2")

        assert any("lots made 2 credits owed, 6 are" in sentence for sentence in found(customer))

    def test_a_lot_in_another_pool_is_found(self, busy):
        lot = CreditLot.objects.filter(pool="bulk", remaining__gt=0).last()

        sql("UPDATE credits_creditlot SET pool = 'promotional' WHERE id = %s", lot.pk)

        assert any("bulk: column" in sentence for sentence in found(busy))

    def test_an_invented_lot_is_found(self, customer):
        lot = customer.grant(5)
        lot.pk, lot.source_key, lot._state.adding = lot.pk + 1, "invented", True
        lot.save(force_insert=True)

        assert any(f"lot {lot.pk}" in sentence for sentence in found(customer))

    @pytest.mark.parametrize(
        "change",
        [
            "state = 'released', captured = 0",
            "captured = captured - 1",
            "state = 'open', captured = 0, settled_at = NULL, amount = amount + 1",
        ],
    )
    def test_a_hold_settled_by_hand_is_found(self, busy, change):
        held = Hold.objects.filter(captured__gt=1).first()

        sql(f"UPDATE credits_hold SET {change} WHERE id = %s", held.pk)

        assert any(f"hold {held.pk} is" in sentence for sentence in found(busy))

    def test_an_open_hold_of_another_amount_is_found(self, busy):
        held = Hold.objects.get(state="open")

        sql("UPDATE credits_hold SET amount = amount + 1 WHERE id = %s", held.pk)

        assert any(f"hold {held.pk} is open" in sentence for sentence in found(busy))

    def test_an_invented_hold_is_found(self, customer):
        customer.grant(5)
        held = customer.hold(2)
        held.pk, held.idempotency_key, held._state.adding = held.pk + 9, "invented", True
        held.save(force_insert=True)

        assert any(f"hold {held.pk} is open" in sentence for sentence in found(customer))


@pytest.mark.breaks_the_books
class TestFindImbalances:
    def test_names_the_broken_account_only(self, busy, new_customer):
        broken = new_customer()
        broken.grant(5)
        Account.objects.filter(pk=broken.account_id).update(bulk_credits=6)

        sentences = list(queries.find_imbalances())

        assert sentences
        assert all(each.startswith(f"account {broken.account_id}: ") for each in sentences)

    def test_looks_at_the_accounts_that_were_asked_for(self, busy, new_customer):
        broken = new_customer()
        Account.objects.filter(pk=broken.account_id).update(owed=6)

        assert list(queries.find_imbalances([busy.account_id])) == []
        assert list(queries.find_imbalances([busy.account_id, broken.account_id])) != []
