"""Subscriptions over time: renewals, failing cards, other plans, the end."""

import json

import pytest
import stripe

from billing_site.sandbox.stripe import periods
from billing_site.sandbox.stripe.store import DAY
from billing_site.sandbox.stripe.tests.conftest import DECLINED, FAILS_LATER, GOOD

PAID = ["invoice.updated", "invoice.paid", "invoice.payment_succeeded", "invoice_payment.paid"]
START = [
    "payment_intent.created",
    "payment_method.attached",
    "charge.succeeded",
    "payment_intent.succeeded",
    "customer.subscription.created",
    "invoice.created",
    "invoice.finalized",
    *PAID,
    "customer.subscription.updated",
    "checkout.session.completed",
]
RENEWAL = [
    "invoice.created",
    "customer.subscription.updated",
    "invoice.finalized",
    "payment_intent.created",
    "charge.succeeded",
    "payment_intent.succeeded",
    *PAID,
]
FAILURE = ["charge.failed", "payment_intent.payment_failed", "invoice.updated"]


@pytest.fixture
def subscription(shop):
    bought = shop.buy(shop.plan, subscription_data={"metadata": {"shop": "1"}})
    shop.fresh()
    return shop.client.v1.subscriptions.retrieve(bought.subscription)


def change(shop, subscription, price, **more):
    items = [{"id": subscription["items"].data[0].id, "price": price.id}]
    return shop.client.v1.subscriptions.update(
        subscription.id, {"items": items, "proration_behavior": "always_invoice", **more}
    )


class TestTheStart:
    def test_sends_its_events_in_order(self, shop):
        shop.fresh()
        shop.buy(shop.plan)
        assert shop.delivered() == START

    def test_has_an_invoice_that_says_what_was_bought(self, shop):
        session = shop.buy(shop.plan, subscription_data={"metadata": {"shop": "1"}})
        shop.delivered()
        invoice = shop.receiver.last("invoice.paid")
        assert "payments" not in invoice
        assert (invoice["billing_reason"], invoice["amount_paid"]) == ("subscription_create", 900)
        details = invoice["parent"]["subscription_details"]
        assert details == {"subscription": session.subscription, "metadata": {"shop": "1"}}
        line = invoice["lines"]["data"][0]
        assert line["pricing"]["price_details"]["price"] == shop.plan.id
        assert not line["parent"]["subscription_item_details"]["proration"]

    def test_is_linked_to_its_payment(self, shop):
        session = shop.buy(shop.plan)
        shop.delivered()
        link = shop.receiver.last("invoice_payment.paid")
        assert link["invoice"] == session.invoice
        intent = link["payment"]["payment_intent"]
        found = shop.client.v1.invoice_payments.list(
            {"payment": {"type": "payment_intent", "payment_intent": intent}}
        )
        assert [row.invoice for row in found.data] == [session.invoice]
        invoice = shop.client.v1.invoices.retrieve(session.invoice, {"expand": ["payments"]})
        assert invoice.payments.data[0].payment.payment_intent == intent

    def test_declined_makes_no_subscription(self, shop):
        session = shop.buy(shop.plan, card=DECLINED)
        assert (session.status, session.subscription) == ("open", None)
        assert not shop.client.v1.subscriptions.list({"status": "all"}).data

    def test_with_a_trial_costs_nothing_yet(self, shop):
        session = shop.buy(shop.plan, subscription_data={"trial_period_days": 14})
        found = shop.client.v1.subscriptions.retrieve(session.subscription)
        assert found.status == "trialing"
        shop.fresh()
        shop.sandbox.advance(15)
        shop.delivered()
        assert shop.receiver.last("invoice.paid")["amount_paid"] == 900


class TestARenewal:
    def test_comes_with_the_end_of_the_period(self, shop, subscription):
        end = subscription["items"].data[0].current_period_end
        shop.sandbox.advance(31)
        assert shop.delivered() == RENEWAL
        invoice = shop.receiver.last("invoice.paid")
        assert invoice["billing_reason"] == "subscription_cycle"
        assert invoice["lines"]["data"][0]["period"]["start"] == end
        assert invoice["created"] == end

    def test_comes_each_month_that_has_passed(self, shop, subscription):
        shop.sandbox.advance(366)
        assert shop.delivered().count("invoice.paid") == 12

    def test_sends_events_of_the_time_at_which_they_happen(self, shop, subscription):
        shop.sandbox.advance(31)
        shop.delivered()
        times = [event["created"] for event in shop.receiver.events]
        assert times == sorted(times)
        assert times[-1] - times[0] == 3600  # Stripe keeps the draft for an hour


class TestAFailingCard:
    @pytest.fixture
    def failing(self, shop):
        bought = shop.buy(shop.plan, card=FAILS_LATER)
        shop.fresh()
        shop.sandbox.advance(31)
        return shop.client.v1.subscriptions.retrieve(bought.subscription)

    def test_makes_the_subscription_past_due(self, shop, failing):
        assert failing.status == "past_due"
        assert shop.delivered() == [
            *RENEWAL[:4],
            *FAILURE,
            "invoice.payment_failed",
            "customer.subscription.updated",
        ]
        invoice = shop.receiver.last("invoice.payment_failed")
        assert invoice["attempt_count"] == 1
        due = invoice["next_payment_attempt"] - invoice["status_transitions"]["finalized_at"]
        assert due == 3 * DAY

    def test_is_tried_three_times_more_and_then_ends_it(self, shop, failing):
        shop.sandbox.advance(15)
        assert shop.delivered().count("invoice.payment_failed") == 4
        assert shop.receiver.types[-1] == "customer.subscription.deleted"
        ended = shop.receiver.last("customer.subscription.deleted")
        assert ended["status"] == "canceled"
        assert ended["cancellation_details"]["reason"] == "payment_failed"
        shop.fresh()
        shop.sandbox.advance(60)
        assert not shop.delivered()

    def test_replaced_pays_at_the_next_attempt(self, shop, failing):
        method = shop.client.v1.payment_methods.attach(
            "pm_card_visa", {"customer": shop.customer.id}
        )
        shop.client.v1.subscriptions.update(failing.id, {"default_payment_method": method.id})
        shop.sandbox.advance(4)
        assert shop.client.v1.subscriptions.retrieve(failing.id).status == "active"
        assert "invoice.paid" in shop.delivered()


class TestAnotherPlan:
    def test_is_invoiced_at_once_with_the_old_plan_first(self, shop, subscription):
        shop.sandbox.advance(10)
        changed = change(shop, subscription, shop.pro)
        assert changed["items"].data[0].price.id == shop.pro.id
        assert shop.delivered()[:3] == [
            "customer.subscription.updated",
            "invoice.created",
            "invoice.finalized",
        ]
        invoice = shop.receiver.last("invoice.paid")
        assert invoice["billing_reason"] == "subscription_update"
        old, new = invoice["lines"]["data"]
        assert old["pricing"]["price_details"]["price"] == shop.plan.id
        assert new["pricing"]["price_details"]["price"] == shop.pro.id
        assert old["amount"] < 0 < new["amount"]
        assert invoice["amount_paid"] == old["amount"] + new["amount"]
        assert all(line["parent"]["subscription_item_details"]["proration"] for line in (old, new))
        assert old["period"]["end"] == subscription["items"].data[0].current_period_end

    def test_that_is_smaller_leaves_a_balance_for_the_next_invoice(self, shop, client):
        session = shop.buy(shop.pro)
        big = client.v1.subscriptions.retrieve(session.subscription)
        change(shop, big, shop.plan)
        balance = client.v1.customers.retrieve(shop.customer.id).balance
        assert -2001 <= balance <= -1999
        shop.sandbox.advance(31)
        shop.delivered()
        renewal = shop.receiver.last("invoice.paid")
        assert (renewal["total"], renewal["amount_paid"]) == (900, 0)
        assert client.v1.customers.retrieve(shop.customer.id).balance == balance + 900

    def test_without_proration_costs_from_the_next_period_on(self, shop, subscription):
        change(shop, subscription, shop.pro, proration_behavior="none")
        assert shop.delivered() == ["customer.subscription.updated"]
        shop.sandbox.advance(31)
        shop.delivered()
        assert shop.receiver.last("invoice.paid")["amount_paid"] == 2900

    def test_put_off_is_on_the_next_invoice(self, shop, subscription):
        change(shop, subscription, shop.pro, proration_behavior="create_prorations")
        shop.sandbox.advance(31)
        shop.delivered()
        assert len(shop.receiver.last("invoice.paid")["lines"]["data"]) == 3

    def test_is_refused_where_the_card_fails(self, shop, client):
        session = shop.buy(shop.plan, card=FAILS_LATER)
        bought = client.v1.subscriptions.retrieve(session.subscription)
        with pytest.raises(stripe.CardError):
            change(shop, bought, shop.pro, payment_behavior="error_if_incomplete")
        same = client.v1.subscriptions.retrieve(session.subscription)
        assert same["items"].data[0].price.id == shop.plan.id


class TestTheEnd:
    def test_at_the_period_is_announced_and_comes(self, shop, subscription):
        update = shop.client.v1.subscriptions.update
        changed = update(subscription.id, {"cancel_at_period_end": True})
        assert changed.cancel_at == subscription["items"].data[0].current_period_end
        shop.sandbox.advance(31)
        assert shop.delivered() == [
            "customer.subscription.updated",
            "customer.subscription.deleted",
        ]

    def test_taken_back_does_not_come(self, shop, subscription):
        update = shop.client.v1.subscriptions.update
        update(subscription.id, {"cancel_at_period_end": True})
        changed = update(subscription.id, {"cancel_at_period_end": False})
        assert (changed.cancel_at, changed.canceled_at) == (None, None)
        shop.sandbox.advance(31)
        assert "invoice.paid" in shop.delivered()

    def test_at_once_is_final(self, shop, subscription):
        assert shop.client.v1.subscriptions.cancel(subscription.id).status == "canceled"
        assert shop.delivered() == ["customer.subscription.deleted"]
        with pytest.raises(stripe.InvalidRequestError):
            shop.client.v1.subscriptions.cancel(subscription.id)
        assert not shop.client.v1.subscriptions.list({"customer": shop.customer.id}).data


def test_the_31st_is_the_last_day_of_a_shorter_month():
    january = 1_769_817_600  # 2026-01-31
    monthly = {"interval": "month", "interval_count": 1}
    february = periods.next_end(january, january, monthly)
    assert february - january == 28 * DAY
    assert periods.next_end(january, february, monthly) - january == 59 * DAY


def test_a_good_card_replaces_a_failing_one_by_hand(shop, visitor):
    shop.buy(shop.plan, card=FAILS_LATER)
    shop.sandbox.advance(31)
    portal = shop.client.v1.billing_portal.sessions.create({"customer": shop.customer.id})
    visitor.open(portal.url).press("action", "card", card=GOOD)
    visitor.open(portal.url).press("action", "pay")
    found = shop.client.v1.subscriptions.list({"customer": shop.customer.id})
    assert found.data[0].status == "active"


class TestATrip:
    def test_takes_along_only_who_starts_inside_and_ends_today(self, shop, client):
        before = shop.buy(shop.plan)
        shop.delivered()
        began = shop.sandbox.store.now()
        with shop.sandbox.trip():
            inside = shop.buy(shop.plan)
            shop.sandbox.advance(32)
            assert shop.sandbox.store.now() >= began + 32 * 86_400
        assert shop.sandbox.store.now() <= began + 60
        paid = client.v1.invoices.list({"status": "paid", "limit": 10}).data
        of = [row.parent.subscription_details.subscription for row in paid]
        assert of.count(inside.subscription) == 2
        assert of.count(before.subscription) == 1
        shop.sandbox.advance(32)
        newest = client.v1.invoices.list({"subscription": before.subscription}).data[0]
        assert newest.id != before.invoice

    def test_that_is_cut_short_has_moved_nothing(self, sandbox, state_file):
        with sandbox.trip():
            sandbox.advance(32)
            assert json.loads(state_file.read_text())["offset"] == 0
