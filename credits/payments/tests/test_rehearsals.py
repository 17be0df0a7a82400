"""What staff is shown beforehand is what happens, and showing it leaves no trace."""

from datetime import timedelta

import pytest
from django.db import connection

from credits import queries, services
from credits.models import (
    Account,
    CreditLot,
    InboxEvent,
    LedgerEntry,
    Notice,
    Payment,
    Refund,
    RetailToken,
)
from credits.payments import rehearsals
from credits.payments.rehearsals import NothingToRehearse, What
from credits.payments.tests import events as stripe
from credits.payments.tests.events import MONTH

pytestmark = pytest.mark.django_db
WATCHED = (Account, CreditLot, InboxEvent, LedgerEntry, Notice, Payment, Refund, RetailToken)


def trace():
    """Every row of every table that a rule may touch."""
    return {model: list(model.objects.order_by("pk").values()) for model in WATCHED}


def plain(entries):
    return [
        (line.sequence, line.kind, line.pool, line.amount, line.balance_after, line.owed_after)
        for line in entries
    ]


@pytest.fixture
def outlook(account, now):
    """What would happen now; proves by the way that nothing did."""

    def find(what, payment=None, **more):
        before = trace()
        found = rehearsals.rehearse(
            account_id=account.pk, what=what, payment=payment, now=now, **more
        )
        assert trace() == before
        return found

    return find


@pytest.fixture
def happened(account, now):
    """The lines that were posted since this was asked for, and the balance after them."""
    sequence = Account.objects.get(pk=account.pk).sequence

    def find():
        balance = queries.balance(account_id=account.pk, now=now)
        return plain(services.lines_since(account.pk, sequence)), balance

    return find


@pytest.fixture
def subscriber(at_stripe, account, now):
    """A plan of 100 credits, 30 of them used, that is to be renewed in a month."""
    lines = [at_stripe.line("price_pro")]
    at_stripe.pays_invoice("1", lines=lines, reason="subscription_create")
    at_stripe.changes_subscription("created")
    account.subscriptions.update(price_id="price_pro")
    spend(account, 30, now)
    return at_stripe


@pytest.fixture
def buyer(at_stripe, account, now):
    """A pack of 50, 20 of them used."""
    at_stripe.sends("checkout.session.completed", stripe.session("1", offer="pack-50"))
    spend(account, 20, now)
    return at_stripe


def spend(account, amount, now):
    services.spend(
        account_id=account.pk, amount=amount, reference="r", idempotency_key=f"k{amount}", now=now
    )


def payment():
    return Payment.objects.get()


def equal(outlook, happened):
    assert (plain(outlook.entries), outlook.after) == happened


class TestAPreviewEqualsWhatHappens:
    def test_when_the_plan_is_renewed(self, subscriber, outlook, happened, now):
        expected = outlook(What.RENEWAL)
        new = subscriber.line("price_pro", now + MONTH, now + 2 * MONTH)
        subscriber.pays_invoice("2", lines=[new])
        lines, balance = happened()
        assert plain(expected.entries) == lines
        assert [line[1] for line in lines] == ["rollover", "expire", "grant", "rollover"]
        assert expected.after.available == balance.available == 105

    def test_when_the_plan_ends(self, subscriber, outlook, happened):
        expected = outlook(What.END)
        subscriber.changes_subscription("deleted", status="canceled")
        equal(expected, happened())
        assert expected.after.available == 0

    @pytest.mark.parametrize("amount", [500, 250, 100])
    def test_when_a_purchase_is_refunded(self, buyer, outlook, happened, now, amount):
        expected = outlook(What.REFUND, payment(), amount=amount)
        made = stripe.refund("1", "pi_cs_1", amount=amount, made=now)
        buyer.sends("refund.created", made)
        equal(expected, happened())
        assert expected.before.available > expected.after.available

    def test_when_it_is_refunded_in_full_as_nothing_else_is_said(self, buyer, outlook):
        expected = outlook(What.REFUND, payment())
        assert (expected.after.available, expected.after.owed) == (0, 20)

    def test_when_it_is_disputed(self, buyer, outlook, happened):
        expected = outlook(What.DISPUTE, payment())
        dispute = stripe.dispute("pi_cs_1", status="needs_response", amount=500)
        buyer.sends("charge.dispute.created", dispute)
        equal(expected, happened())

    def test_when_the_dispute_is_lost(self, buyer, outlook, happened):
        dispute = stripe.dispute("pi_cs_1", status="needs_response", amount=500)
        buyer.sends("charge.dispute.created", dispute)
        expected = outlook(What.DISPUTE_LOST, payment())
        sequence = expected.entries[0].sequence
        buyer.sends("charge.dispute.closed", {**dispute, "status": "lost"})
        lines, balance = happened()
        assert plain(expected.entries) == [line for line in lines if line[0] >= sequence]
        assert expected.after == balance

    def test_when_single_generations_are_refunded(self, at_stripe, outlook, happened, now):
        session = stripe.session("1", offer="single", metadata={"offer": "single"})
        at_stripe.sends("checkout.session.completed", session)
        expected = outlook(What.REFUND, payment())
        made = stripe.refund("1", "pi_cs_1", amount=500, made=now)
        at_stripe.sends("refund.created", made)
        equal(expected, happened())
        assert (expected.before.retail_tokens, expected.after.retail_tokens) == (1, 0)


class TestNothingToRehearse:
    def test_without_a_plan(self, at_stripe, outlook):
        for what in (What.RENEWAL, What.END):
            with pytest.raises(NothingToRehearse, match="no plan"):
                outlook(what)

    def test_a_renewal_of_a_plan_that_ends(self, subscriber, account, outlook):
        account.subscriptions.update(cancel_at_period_end=True)
        with pytest.raises(NothingToRehearse, match="will not be renewed"):
            outlook(What.RENEWAL)

    def test_without_a_purchase(self, buyer, outlook):
        with pytest.raises(NothingToRehearse, match="Which purchase"):
            outlook(What.REFUND)

    def test_of_somebody_else(self, buyer, new_account, now):
        with pytest.raises(NothingToRehearse, match="Which purchase"):
            rehearsals.rehearse(
                account_id=new_account().pk, what=What.REFUND, payment=payment(), now=now
            )

    def test_more_than_was_paid(self, buyer, outlook):
        with pytest.raises(NothingToRehearse, match="whole number from 1 to 500"):
            outlook(What.REFUND, payment(), amount=501)


def test_a_renewal_lives_until_the_same_day_of_the_next_month(subscriber, account, outlook, now):
    renewed = outlook(What.RENEWAL)
    (lot,) = {line.lot for line in renewed.entries if line.kind == "grant"}
    starts = account.subscriptions.get().period_end
    assert lot.expires_at.day == (starts + timedelta(days=3)).day
    assert lot.expires_at > starts + timedelta(days=28)


def test_a_rehearsal_inside_a_transaction_leaves_what_was_there(buyer, account, outlook):
    assert connection.in_atomic_block, "the test itself"
    outlook(What.REFUND, payment())
    assert queries.balance(account_id=account.pk, now=buyer.now).available == 30
