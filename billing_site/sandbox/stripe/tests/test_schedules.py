"""Schedules, previews, changes that wait for their payment, other intervals, and a failing API."""

import time

import pytest
import stripe

from billing_site.sandbox.stripe.tests.conftest import DECLINED, FAILS_LATER, GOOD
from billing_site.sandbox.stripe.tests.test_billing import change, subscription

__all__ = ["subscription"]


def then(price, **more):
    return {"items": [{"price": price.id}], **more}


@pytest.fixture
def schedule(shop, subscription):
    made = shop.client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    shop.fresh()
    return made


def plan(shop, made, price, **more):
    running = {"start_date": made.current_phase.start_date, "end_date": made.current_phase.end_date}
    return shop.client.v1.subscription_schedules.update(
        made.id, {"phases": [then(shop.plan, **running), then(price, **more)]}
    )


class TestASchedule:
    def test_changes_the_plan_when_the_period_ends(self, shop, schedule, subscription):
        plan(shop, schedule, shop.pro)
        assert shop.delivered() == ["subscription_schedule.updated"]
        shop.sandbox.advance(31)
        shop.delivered()
        assert shop.receiver.last("invoice.paid")["amount_paid"] == 2900
        assert shop.receiver.last("invoice.paid")["billing_reason"] == "subscription_cycle"

    def test_is_released_when_its_phases_are_over(self, shop, schedule, subscription):
        plan(shop, schedule, shop.pro)
        shop.sandbox.advance(62)
        assert "subscription_schedule.released" in shop.delivered()
        found = shop.client.v1.subscriptions.retrieve(subscription.id)
        assert (found.schedule, found["items"].data[0].price.id) == (None, shop.pro.id)

    def test_released_changes_nothing(self, shop, schedule, subscription):
        plan(shop, schedule, shop.pro)
        released = shop.client.v1.subscription_schedules.release(schedule.id)
        assert (released.status, released.released_subscription) == ("released", subscription.id)
        shop.sandbox.advance(31)
        shop.delivered()
        assert shop.receiver.last("invoice.paid")["amount_paid"] == 900
        with pytest.raises(stripe.InvalidRequestError, match="released"):
            shop.client.v1.subscription_schedules.release(schedule.id)

    def test_ends_with_its_subscription(self, shop, schedule, subscription):
        shop.client.v1.subscription_schedules.cancel(schedule.id)
        assert shop.delivered() == [
            "subscription_schedule.canceled",
            "customer.subscription.deleted",
        ]

    def test_is_the_only_one_and_guards_its_subscription(self, shop, schedule, subscription):
        with pytest.raises(stripe.InvalidRequestError, match="already attached"):
            shop.client.v1.subscription_schedules.create({"from_subscription": subscription.id})
        with pytest.raises(stripe.InvalidRequestError, match="managed by the subscription"):
            shop.client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})

    def test_with_another_interval_begins_a_new_cycle(self, shop, schedule):
        year = shop.price("Year", 9000, "year")
        plan(shop, schedule, year, duration={"interval": "year", "interval_count": 1})
        shop.sandbox.advance(31)
        shop.delivered()
        invoice = shop.receiver.last("invoice.paid")
        assert (invoice["amount_paid"], invoice["billing_reason"]) == (9000, "subscription_update")


class TestAPreview:
    def preview(self, shop, subscription, price, **more):
        items = [{"id": subscription["items"].data[0].id, "price": price.id}]
        details = {"items": items, "proration_behavior": "always_invoice", **more}
        return shop.client.v1.invoices.create_preview(
            {"subscription": subscription.id, "subscription_details": details}
        )

    @pytest.mark.parametrize("interval", ["month", "year"])
    def test_has_the_numbers_of_the_change(self, shop, subscription, interval):
        target = shop.price("Other", 9000, interval)
        shop.client.v1.customers.update(shop.customer.id, {"balance": -150})
        shop.sandbox.advance(10)
        shop.fresh()
        previewed = self.preview(shop, subscription, target)
        at = previewed.lines.data[0].period.start
        assert shop.delivered() == []
        change(shop, subscription, target, proration_date=at)
        shop.delivered()
        made = shop.receiver.last("invoice.paid")
        assert made["amount_due"] == previewed.amount_due > 0
        assert [row["amount"] for row in made["lines"]["data"]] == [
            row.amount for row in previewed.lines.data
        ]


class TestAChangeThatWaits:
    @pytest.fixture
    def waiting(self, shop):
        bought = shop.buy(shop.plan, card=FAILS_LATER)
        shop.fresh()
        found = shop.client.v1.subscriptions.retrieve(bought.subscription)
        return change(
            shop, found, shop.pro, payment_behavior="pending_if_incomplete",
            expand=["latest_invoice"],
        )  # fmt: skip

    def test_keeps_the_old_plan_until_it_is_paid(self, shop, waiting, visitor):
        assert waiting["items"].data[0].price.id == shop.plan.id
        assert waiting.pending_update.subscription_items[0].price.id == shop.pro.id
        url = waiting.latest_invoice.hosted_invoice_url
        assert visitor.open(url).press("action", "pay", card=DECLINED).status == 402
        assert visitor.open(url).press("action", "pay", card=GOOD).status == 200
        found = shop.client.v1.subscriptions.retrieve(waiting.id)
        assert found["items"].data[0].price.id == shop.pro.id
        assert found.pending_update is None
        assert shop.delivered()[-2:] == [
            "customer.subscription.updated",
            "customer.subscription.pending_update_applied",
        ]
        assert visitor.post(url, card=GOOD).status == 410

    def test_is_given_up_after_23_hours(self, shop, waiting):
        shop.sandbox.advance(1)
        assert "customer.subscription.pending_update_expired" in shop.delivered()
        found = shop.client.v1.subscriptions.retrieve(waiting.id)
        assert (found.status, found.pending_update) == ("active", None)
        assert shop.client.v1.invoices.retrieve(waiting.latest_invoice.id).status == "void"

    def test_is_given_up_with_its_invoice(self, shop, waiting):
        shop.client.v1.invoices.void_invoice(waiting.latest_invoice.id)
        assert shop.client.v1.subscriptions.retrieve(waiting.id).pending_update is None
        with pytest.raises(stripe.InvalidRequestError, match="open invoices"):
            shop.client.v1.invoices.void_invoice(waiting.latest_invoice.id)

    def test_goes_with_few_other_parameters(self, shop, subscription):
        with pytest.raises(stripe.InvalidRequestError, match="does not go with metadata"):
            change(
                shop, subscription, shop.pro, payment_behavior="pending_if_incomplete",
                metadata={"a": "1"},
            )  # fmt: skip


class TestTheApi:
    @pytest.mark.parametrize(("failure", "made"), [("refused", 0), ("lost", 1)])
    def test_fails_as_it_is_told(self, sandbox, client, failure, made):
        sandbox.set_api(failure=failure)
        with pytest.raises((stripe.APIError, stripe.APIConnectionError)):
            client.v1.customers.create({})
        sandbox.set_api()
        assert len(client.v1.customers.list().data) == made

    def test_is_slow_as_it_is_told_by_the_control_page(self, sandbox, client, visitor):
        visitor.post(f"{sandbox.address}/_sandbox/api", failure="", latency="1")
        before = time.monotonic()
        client.v1.customers.list()
        assert time.monotonic() - before >= 1
        visitor.post(f"{sandbox.address}/_sandbox/api", failure="sometimes", latency="0")
        assert visitor.status == 400
