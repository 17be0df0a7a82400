"""Subscriptions, and events that nothing comes of."""

from datetime import timedelta

import pytest

from credits.models import InboxEvent, Subscription
from credits.payments import inbox
from credits.payments.tests import events as stripe
from credits.payments.tests.events import MONTH

pytestmark = pytest.mark.django_db
State = InboxEvent.State


class TestASubscription:
    def test_never_brings_credits(self, at_stripe):
        at_stripe.changes_subscription("created")
        assert at_stripe.balance.available == 0
        known = Subscription.objects.get()
        assert (known.status, known.period_end) == ("active", at_stripe.now + MONTH)

    def test_deleted_ends_its_credits_and_nothing_else(self, at_stripe):
        at_stripe.sends("checkout.session.completed", stripe.session("1", offer="pack-50"))
        at_stripe.pays_invoice()
        at_stripe.changes_subscription("deleted", status="canceled")
        assert at_stripe.balance.pools == {"subscription": 0, "promotional": 0, "bulk": 50}

    def test_deleted_before_its_invoice_arrives_brings_nothing(self, at_stripe):
        at_stripe.changes_subscription("deleted", status="canceled")
        assert at_stripe.pays_invoice().state == State.IGNORED
        assert at_stripe.balance.available == 0

    def test_past_due_keeps_the_credits_and_unpaid_ends_them(self, at_stripe):
        at_stripe.pays_invoice()
        at_stripe.changes_subscription(status="past_due")
        assert at_stripe.balance.available == 20
        at_stripe.changes_subscription(status="unpaid")
        assert at_stripe.balance.available == 0

    def test_keeps_the_newest_state_whatever_comes_last(self, at_stripe, now):
        at_stripe.changes_subscription(status="past_due", created=now)
        at_stripe.changes_subscription(status="active", created=now - timedelta(minutes=1))
        assert Subscription.objects.get().status == "past_due"

    @pytest.mark.parametrize("order", [1, -1])
    def test_of_two_news_in_one_second_its_birth_is_the_older(self, at_stripe, order):
        news = [("created", "incomplete"), ("updated", "active")]
        for kind, status in news[::order]:
            at_stripe.changes_subscription(kind, status=status)
        assert Subscription.objects.get().status == "active"

    def test_that_ended_does_not_end_the_one_after_it(self, at_stripe, now):
        at_stripe.pays_invoice("1")
        at_stripe.pays_invoice("2", subscription="sub_2", reason="subscription_create")
        at_stripe.changes_subscription("deleted", status="canceled")
        assert at_stripe.balance.available == 20


def test_events_without_a_rule_are_kept_and_ignored(at_stripe):
    event = at_stripe.sends("customer.updated", {"id": "cus_1", "object": "customer"})
    assert (event.state, event.next_attempt_at) == (State.IGNORED, None)


class TestWhoseItIs:
    """On the page of the customer support reads what failed, waits or brought nothing."""

    def test_stands_on_an_event_that_failed(self, at_stripe, account):
        session = stripe.session("1", offer="pack-50", amount_total=None)
        event = at_stripe.sends("checkout.session.completed", session)
        assert (event.state, event.account_id) == (State.FAILED, account.pk)

    def test_stands_on_an_event_that_waits(self, at_stripe, account):
        event = at_stripe.pays_invoice(lines=[at_stripe.line("price_unknown")])
        assert (event.state, event.account_id) == (State.WAITING, account.pk)
        charge = stripe.charge("pi_unknown", amount=500, refunded=100)
        event = at_stripe.sends("charge.refunded", {**charge, "customer": "cus_1"})
        assert (event.state, event.account_id) == (State.WAITING, account.pk)

    def test_stands_on_an_event_that_brought_nothing(self, at_stripe, account):
        at_stripe.changes_subscription("deleted", status="canceled")
        event = at_stripe.pays_invoice()
        assert (event.state, event.account_id) == (State.IGNORED, account.pk)

    def test_is_nobody_where_no_account_is_linked(self, at_stripe):
        session = stripe.session("1", offer="pack-50", customer="cus_nobody")
        event = at_stripe.sends("checkout.session.completed", session)
        assert (event.state, event.account_id) == (State.WAITING, None)

    def test_is_left_out_where_there_is_no_rule(self, at_stripe):
        event = at_stripe.sends("payment_intent.created", {"id": "pi_1", "customer": "cus_1"})
        assert (event.state, event.account_id) == (State.IGNORED, None)


def test_an_event_that_fails_is_tried_again_with_growing_pauses(at_stripe, monkeypatch):
    def broken(event):
        raise RuntimeError("disk on fire")

    monkeypatch.setitem(inbox.rules.RULES, "customer.updated", broken)
    event = at_stripe.sends("customer.updated", {"id": "cus_1"})
    assert event.state == State.FAILED
    assert "disk on fire" in event.reason
    first = event.next_attempt_at - at_stripe.now
    at_stripe.apply(later=timedelta(minutes=1))
    event.refresh_from_db()
    assert event.next_attempt_at - at_stripe.now - timedelta(minutes=1) == 2 * first
