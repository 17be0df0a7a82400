"""Every kind of line says in words why it is there."""

import pytest
from django.utils import timezone

from credits import queries, services
from credits.explanations import EXPLAIN, explain
from credits.models import LedgerEntry, Pool
from credits.services import Direction

pytestmark = pytest.mark.django_db

Kind = LedgerEntry.Kind
WORK = "generation:0199f3a2-7a10-7d42-9c6e-0a1b2c3d4e5f"
PLAN = {
    "name": "Basic",
    "subscription": "sub_1",
    "period_start": "2026-03-01T00:00:00+00:00",
    "period_end": "2026-04-01T00:00:00+00:00",
}
PERIOD = "Plan Basic, period 1 Mar – 1 Apr 2026"  # noqa: RUF001


def why(customer, kind=None, position=0):
    """The newest line (of that kind) in words."""
    lines = queries.history(account_id=customer.account_id)
    return str(explain([line for line in lines if kind in (None, line.kind)][position]))


def pack(customer, amount=100, source_key="checkout:cs_1", **more):
    terms = {"name": "Pack", "credits": 50}
    return customer.grant(
        amount, source_key=source_key, amount_paid=1500, currency="usd", terms=terms, **more
    )


def renew(customer, invoice="in_1", **more):
    return customer.renew(
        20, source_key=f"invoice:{invoice}", amount_paid=900, currency="usd", terms=PLAN, **more
    )


def test_every_kind_has_its_function():
    assert set(EXPLAIN) == set(Kind)


class TestGrants:
    def test_of_a_plan_name_plan_period_price_and_invoice(self, customer):
        renew(customer)
        assert why(customer) == f"{PERIOD}, $9.00, invoice in_1"

    def test_of_a_change_of_plan(self, customer):
        customer.grant(
            5, Pool.SUBSCRIPTION, source_key="invoice:in_2", terms={"name": "Pro"},
            amount_paid=300, currency="eur",
        )  # fmt: skip
        assert why(customer) == "Change to plan Pro, €3.00, invoice in_2"

    def test_of_packs_name_how_many(self, customer):
        pack(customer)
        assert why(customer) == "2 × Pack, $15.00, purchase cs_1"  # noqa: RUF001

    def test_of_purchases_whose_terms_are_not_known(self, customer):
        customer.grant(5, source_key="checkout:cs_2")
        assert why(customer) == "Purchase cs_2"

    def test_by_staff_give_the_note(self, customer):
        customer.gift(5, days=3, actor="cli:root", note="For the outage")
        assert why(customer) == "Given by staff: For the outage"

    def test_of_an_opening_balance(self, customer):
        customer.grant(
            5, source_key="import:a@example.com:bulk", actor="cli:root", note="opening balance"
        )
        assert why(customer) == "Opening balance, brought over from the system before"

    def test_of_anything_else_give_the_note_or_at_least_the_reference(self, customer):
        customer.grant(5, source_key="promo:SPRING:1", note="Promotion code SPRING")
        assert why(customer) == "Promotion code SPRING"
        customer.grant(5, source_key="promo:SPRING:2")
        assert why(customer) == "Promo:SPRING:2"


class TestWork:
    def test_links_the_generation_that_took_credits(self, customer):
        pack(customer)
        customer.hold(3, reference=WORK)
        line = explain(queries.history(account_id=customer.account_id)[0])
        assert str(line) == "Price of the work: generation 0199f3a2"
        assert line.url == f"/generations/{WORK.removeprefix('generation:')}/"

    def test_without_a_generation_names_the_reference(self, customer):
        pack(customer)
        customer.hold(3, reference="job:7")
        line = explain(queries.history(account_id=customer.account_id)[0])
        assert (str(line), line.url) == ("Job:7", "")

    def test_given_back_when_it_failed(self, customer):
        pack(customer)
        customer.release(customer.hold(3, reference=WORK))
        assert why(customer).startswith("The work was not done, so it costs nothing: generation")

    def test_given_back_into_new_credits_when_its_own_had_ended(self, customer):
        customer.gift(5, days=1)
        held = customer.hold(3, reference=WORK)
        customer.wait(days=2)
        customer.release(held)
        assert why(customer).startswith("The work was not done; its credits had ended meanwhile")

    def test_given_back_for_goodwill(self, customer):
        pack(customer)
        customer.refund(customer.spend(3, reference=WORK))
        assert why(customer, Kind.REFUND) == (
            "Goodwill: the price of the work given back (goodwill): generation 0199f3a2"
        )


class TestTheEndOfCredits:
    def test_by_time(self, customer):
        customer.gift(5, days=1)
        customer.wait(days=2)
        pack(customer)
        assert why(customer, Kind.EXPIRE) == (
            "Their time was over on 11 Mar 2026: Promotional credits of 10 Mar 2026"
        )

    def test_by_a_new_period(self, customer):
        renew(customer)
        renew(customer, "in_2")
        assert why(customer, Kind.EXPIRE) == f"A new period began (invoice in_2): {PERIOD}"

    def test_by_the_end_of_the_plan(self, customer):
        renew(customer)
        services.end_subscription(
            account_id=customer.account_id, reference="sub_1", now=customer.now
        )
        assert why(customer, Kind.EXPIRE) == f"The plan ended: {PERIOD}"

    def test_while_they_were_out_for_work_that_was_cancelled(self, customer):
        renew(customer)
        held = customer.hold(3, reference=WORK)
        renew(customer, "in_2")
        customer.release(held, by_customer=True)
        assert why(customer).startswith("They came back after their time was over: generation")

    def test_after_a_dispute(self, customer):
        gift = customer.gift(5, days=1)
        customer.freeze(gift)
        customer.wait(days=2)
        customer.unfreeze(gift)
        assert why(customer, Kind.EXPIRE).startswith("Their time was over when the dispute ended")

    def test_except_what_is_carried_over(self, customer):
        renew(customer)
        renew(customer, "in_2", rollover_cap=5)
        assert why(customer, Kind.ROLLOVER) == (
            "Left over from the last period, into the one of invoice in_2"
        )
        assert why(customer, Kind.ROLLOVER, position=1) == (
            "Left over, into the new period of invoice in_2"
        )


class TestMoneyThatWentBack:
    def test_takes_credits_back(self, customer):
        customer.claw_back(pack(customer), 50)
        assert why(customer, Kind.CLAW_BACK) == (
            "The money for it went back: 2 × Pack"  # noqa: RUF001
        )

    def test_says_what_is_owed_for_what_was_spent(self, customer):
        bought = pack(customer)
        customer.spend(100)
        customer.claw_back(bought, 100)
        assert why(customer, Kind.CLAW_BACK).endswith("Owed after this, because it was spent: 100")

    def test_is_paid_by_the_next_credits(self, customer):
        bought = pack(customer)
        customer.spend(100)
        customer.claw_back(bought, 100)
        pack(customer, 60, source_key="checkout:cs_2")
        assert why(customer, Kind.REPAY) == (
            "Paid for credits that were spent before their purchase was refunded. Still owed: 40"
        )

    def test_takes_what_comes_back_from_work(self, customer):
        bought = pack(customer)
        held = customer.hold(100, reference=WORK)
        customer.claw_back(bought, 100)
        customer.release(held)
        assert why(customer, Kind.CLAW_BACK).startswith(
            "They came back after their purchase was refunded, and pay what is owed for it"
        )

    def test_first_frees_what_a_dispute_set_aside(self, customer):
        bought = pack(customer)
        customer.freeze(bought)
        customer.claw_back(bought, 50)
        assert why(customer, Kind.UNFREEZE).startswith("Out of what was set aside, to be taken")
        assert why(customer, Kind.FREEZE).startswith("Still set aside, the payment is disputed")


def test_what_a_failed_refund_brings_back_is_named(customer):
    bought = pack(customer)
    customer.claw_back(bought, 100)
    customer.reverse_claw_back(bought, 0)
    assert why(customer, Kind.RESTORE) == (
        "A refund failed, and what it had taken comes back: 2 × Pack"  # noqa: RUF001
    )


def test_disputes_are_named_when_they_open_and_when_they_are_over(customer):
    bought = pack(customer)
    customer.freeze(bought)
    customer.unfreeze(bought)
    assert why(customer, Kind.FREEZE) == (
        "The payment is disputed (du_1): 2 × Pack"  # noqa: RUF001
    )
    assert why(customer, Kind.UNFREEZE) == "The dispute du_1 is over: 2 × Pack"  # noqa: RUF001


def test_adjustments_give_the_reason_of_staff(customer):
    customer.adjust(5, Direction.ADD)
    customer.adjust(2, Direction.REMOVE)
    assert why(customer) == why(customer, position=1) == "By staff: because"


def test_a_smaller_plan_is_no_matter_of_staff(customer):
    renew(customer)
    services.adjust(
        account_id=customer.account_id, pool=Pool.SUBSCRIPTION, amount=5,
        direction=Direction.REMOVE, idempotency_key="invoice:in_3", actor="stripe",
        note="smaller plan", now=customer.now,
    )  # fmt: skip
    assert why(customer) == "Change to a smaller plan, invoice in_3"


def test_days_are_those_of_the_readers_time_zone(customer):
    renew(customer)
    with timezone.override("America/New_York"):
        assert "period 28 Feb – 31 Mar 2026" in why(customer)  # noqa: RUF001
