"""Periods whose invoices are told in another order than they were paid in."""

from datetime import timedelta
from itertools import permutations

import pytest

from credits import services
from credits.explanations import bought_words
from credits.models import CreditLot, InboxEvent, Offer
from credits.payments.tests import events as stripe
from credits.payments.tests.events import MONTH

pytestmark = pytest.mark.django_db
State = InboxEvent.State
ALLOWANCE, CAP = 100, 5  # of the plan pro


@pytest.fixture
def pays(at_stripe, now):
    """The invoice of the n-th month of the plan; the third is the running one."""

    def pays(number, price="price_pro"):
        start = now + (number - 3) * MONTH
        line = at_stripe.line(price, start=start)
        reason = "subscription_create" if number == 1 else "subscription_cycle"
        return at_stripe.pays_invoice(str(number), lines=[line], reason=reason)

    return pays


def spend(at_stripe, amount):
    if amount:
        services.spend(
            account_id=at_stripe.account.pk,
            amount=amount,
            reference="generation:1",
            idempotency_key="k",
            now=at_stripe.now,
        )


@pytest.mark.parametrize("order", list(permutations([2, 3])), ids=str)
@pytest.mark.parametrize("spent", [0, 97, ALLOWANCE])
def test_a_renewal_that_is_told_late_is_carried_over_as_in_order(at_stripe, pays, spent, order):
    at_stripe.now -= 2 * MONTH
    pays(1)
    spend(at_stripe, spent)
    at_stripe.now += 2 * MONTH
    for number in order:
        pays(number)
    assert at_stripe.balance.pools["subscription"] == ALLOWANCE + CAP


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])), ids=str)
def test_three_periods_come_to_the_same_in_every_order(at_stripe, pays, order):
    for number in order:
        pays(number)
    assert at_stripe.balance.pools["subscription"] == ALLOWANCE + CAP
    assert at_stripe.balance.owed == 0


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])), ids=str)
def test_an_allowance_below_the_cap_counts_once_in_every_order(at_stripe, pays, order):
    """The first period is over when it is told, and brings nothing: neither first nor last."""
    pro = Offer.objects.get(slug="pro")
    pro.credits = 3
    pro.save(never_bought=True)
    for number in order:
        pays(number)
    assert at_stripe.balance.pools["subscription"] == 3 + 3


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])), ids=str)
def test_a_plan_without_a_cap_carries_nothing_over_in_any_order(at_stripe, pays, order):
    for number in order:
        pays(number, "price_starter")
    assert at_stripe.balance.pools["subscription"] == 20


def test_a_late_period_ends_with_the_newer_one_and_says_what_it_is(at_stripe, pays):
    pays(3)
    assert pays(2).state == State.APPLIED
    newer, late = (CreditLot.objects.get(source_key=f"invoice:in_{number}") for number in (3, 2))
    assert late.expires_at == newer.expires_at
    assert bought_words(late) == "Carried over from a period of pro that was told late"
    at_stripe.now += MONTH
    pays(4)
    assert at_stripe.balance.pools["subscription"] == ALLOWANCE + CAP


def test_a_late_period_told_again_counts_once(at_stripe, pays):
    pays(3)
    for _ in range(2):
        assert pays(2).state == State.APPLIED
    assert at_stripe.balance.pools["subscription"] == ALLOWANCE + CAP


@pytest.mark.parametrize("order", list(permutations([2, 3])), ids=str)
def test_a_period_that_is_over_brings_nothing_in_any_order(at_stripe, pays, order):
    at_stripe.now += timedelta(days=4)
    states = {number: pays(number).state for number in order}
    assert states == {2: State.IGNORED, 3: State.APPLIED}
    assert at_stripe.balance.pools["subscription"] == ALLOWANCE


def test_a_second_invoice_for_a_period_that_was_booked_brings_nothing(at_stripe, pays, now):
    pays(2)
    spend(at_stripe, ALLOWANCE)
    pays(3)
    line = at_stripe.line("price_pro", start=now - MONTH)
    event = at_stripe.pays_invoice("2b", lines=[line])
    assert (event.state, event.reason) == (
        State.IGNORED,
        "A later period has already been granted.",
    )
    assert at_stripe.balance.pools["subscription"] == ALLOWANCE


@pytest.mark.parametrize(("order", "left"), [([2, 3], ALLOWANCE + CAP), ([3, 2], 95)], ids=str)
def test_what_is_owed_is_paid_by_what_is_told_first(at_stripe, pays, order, left):
    """The one thing that depends on the order (late_periods.py): who owes 10 credits gets 95, of
    which 5 were carried over, where the newer period has paid the debt."""
    at_stripe.sends("checkout.session.completed", stripe.session("1", offer="pack-50"))
    spend(at_stripe, 10)
    at_stripe.sends("charge.refunded", stripe.charge("pi_cs_1", amount=500, refunded=500))
    assert at_stripe.balance.owed == 10
    for number in order:
        pays(number)
    assert at_stripe.balance.pools["subscription"] == left
    assert at_stripe.balance.owed == 0
