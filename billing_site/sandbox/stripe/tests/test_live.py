"""The same scenarios against the sandbox, always, and against Stripe's test mode, with a key.

    STRIPE_SECRET_KEY=sk_test_… manage.py test -m live

What they make at Stripe they take away again, as far as Stripe lets them. The key is never printed.
"""

import json
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe
from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils import timezone

from billing_site.sandbox.stripe.store import DAY
from billing_site.sandbox.stripe.tests.conftest import ADDRESS, client_of
from billing_site.sandbox.stripe.tests.test_contract import class_of, is_optional
from credits import queries, services
from credits.models import InboxEvent, Offer
from credits.payments import inbox, intake
from credits.payments.rules import RULES
from credits.payments.tests.conftest import books_balance

__all__ = ["books_balance"]

pytestmark = pytest.mark.django_db
MONTH = 32 * DAY
REAL_KEY = settings.STRIPE_SECRET_KEY
PATIENCE_SECONDS = 120  # Stripe's clocks and events take their time


def why_not_real() -> str:
    if settings.STRIPE_API_BASE:
        return "STRIPE_API_BASE is set: this is no real account"
    if not REAL_KEY.startswith(("sk_test_", "rk_test_")):
        return "needs STRIPE_SECRET_KEY=sk_test_… of a real Stripe account"
    return ""


class Account:
    """A Stripe account, real or the sandbox, and what a scenario has made there."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self.api = client.v1
        self.began = int(time.time()) - 60
        self.name = f"billing-site-test-{secrets.token_hex(6)}"
        self._undo: list[Callable[[], Any]] = []

    def __repr__(self) -> str:
        return self.name

    def price(self) -> stripe.Price:
        made = self.api.prices.create(
            {
                "currency": "usd",
                "unit_amount": 900,
                "recurring": {"interval": "month"},
                "lookup_key": self.name,
                "product_data": {"name": self.name},
            }
        )
        self._undo.append(lambda: self.api.prices.update(made.id, {"active": False}))
        return made

    def clock(self) -> stripe.test_helpers.TestClock:
        made = self.api.test_helpers.test_clocks.create(
            {"frozen_time": int(time.time()), "name": self.name}
        )
        self._undo.append(lambda: self.api.test_helpers.test_clocks.delete(made.id))
        return made

    def customer(self, **more: Any) -> stripe.Customer:
        made = self.api.customers.create(
            {"email": f"{self.name}@example.com", "metadata": {"account": "7"}, **more}
        )
        if not more:
            self._undo.append(lambda: self.api.customers.delete(made.id))
        return made

    def subscriber(self) -> tuple[stripe.test_helpers.TestClock, stripe.Customer]:
        """A customer with a clock of their own and a card that works."""
        clock = self.clock()
        customer = self.customer(test_clock=clock.id)
        card = self.api.payment_methods.attach("pm_card_visa", {"customer": customer.id})
        self.api.customers.update(
            customer.id, {"invoice_settings": {"default_payment_method": card.id}}
        )
        return clock, customer

    def advance(self, clock: stripe.test_helpers.TestClock, seconds: int) -> datetime:
        """Returns the clock's new time, when everything that was due by then has happened."""
        goal = clock.frozen_time + seconds
        self.api.test_helpers.test_clocks.advance(clock.id, {"frozen_time": goal})
        self.until(lambda: self.api.test_helpers.test_clocks.retrieve(clock.id).status == "ready")
        return datetime.fromtimestamp(goal, UTC)

    def events(self, customer_id: str) -> list[dict[str, Any]]:
        """Those with a rule, about this customer, oldest first."""
        found = self.api.events.list(
            {"types": sorted(RULES)[:20], "created": {"gte": self.began}, "limit": 100}
        )
        ours = [event.to_dict(for_json=True) for event in found.auto_paging_iter()]
        return [
            event for event in ours if customer_id in json.dumps(event["data"]["object"])
        ][::-1]  # fmt: skip

    def until(self, done: Callable[[], Any]) -> Any:
        """What `done` returns, once it is something."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := done()):
            assert time.monotonic() < deadline, "Stripe did not get there in time"
            time.sleep(0.5)
        return found

    def clean_up(self) -> None:
        for undo in reversed(self._undo):
            undo()


@pytest.fixture(params=["sandbox", pytest.param("real", marks=pytest.mark.live)])
def stripe_account(request, sandbox):
    if request.param == "real":
        if reason := why_not_real():
            pytest.skip(reason)
        account = Account(stripe.StripeClient(REAL_KEY, max_network_retries=2))
    else:
        account = Account(client_of(sandbox))
    yield account
    account.clean_up()


def test_a_customer_keeps_what_we_say_of_them(stripe_account):
    made = stripe_account.customer()
    found = stripe_account.api.customers.retrieve(made.id)
    assert found.email == f"{stripe_account.name}@example.com"
    assert found.metadata.to_dict() == {"account": "7"}


def test_a_price_is_found_by_its_lookup_key_and_has_it_alone(stripe_account):
    made = stripe_account.price()
    found = stripe_account.api.prices.list({"lookup_keys": [stripe_account.name]})
    assert [(row.id, row.unit_amount, row.recurring.interval) for row in found.data] == [
        (made.id, 900, "month")
    ]
    with pytest.raises(stripe.InvalidRequestError):
        stripe_account.price()


def test_a_checkout_session_opens_and_expires(stripe_account):
    session = open_session(stripe_account)
    assert (session.status, session.payment_status) == ("open", "unpaid")
    assert session.url.startswith("http")
    expired = stripe_account.api.checkout.sessions.expire(session.id)
    assert (expired.status, expired.url) == ("expired", None)
    with pytest.raises(stripe.InvalidRequestError):
        stripe_account.api.checkout.sessions.expire(session.id)


def open_session(stripe_account):
    return stripe_account.api.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": stripe_account.customer().id,
            "line_items": [{"price": stripe_account.price().id, "quantity": 1}],
            "success_url": f"{ADDRESS}/thanks",
        }
    )


class Subscriber:
    """A subscription that has been renewed once, and the site that hears of it."""

    def __init__(self, stripe_account):
        self.stripe = stripe_account
        price = stripe_account.price()
        clock, self.customer = stripe_account.subscriber()
        self.subscription = stripe_account.api.subscriptions.create(
            {"customer": self.customer.id, "items": [{"price": price.id}]}
        )
        self.now = stripe_account.advance(clock, MONTH)
        Offer.objects.create(
            slug="starter", name="Starter", kind="plan", credits=20, amount=900, currency="usd",
            interval="month", stripe_price_id=price.id,
        )  # fmt: skip
        user = get_user_model().objects.create_user("ann@example.com")
        self.account = services.open_account(user_id=user.pk, now=timezone.now())
        services.link_customer(
            account_id=self.account.pk, customer_id=self.customer.id, now=timezone.now()
        )

    def invoices(self):
        found = self.stripe.api.invoices.list(
            {"subscription": self.subscription.id, "status": "paid", "expand": ["data.payments"]}
        )
        return found.data

    def hears(self, kind, times):
        """Takes in the events, once there are as many of one kind as there have to be."""

        def arrived():
            found = self.stripe.events(self.customer.id)
            return found if [row["type"] for row in found].count(kind) >= times else None

        events = self.stripe.until(arrived)
        payments = [payment.to_dict(for_json=True) for invoice in self.invoices()
                    for payment in invoice.payments.data]  # fmt: skip
        for event in [*events, *map(paid_event, payments)]:
            intake.store(intake.parse(json.dumps(event)))
        for _ in range(3):
            InboxEvent.objects.exclude(next_attempt_at=None).update(next_attempt_at=self.now)
            inbox.apply_due(now=self.now)
        unsettled = InboxEvent.objects.exclude(next_attempt_at=None)
        assert list(unsettled.values_list("type", "reason")) == []
        return queries.balance(account_id=self.account.pk, now=self.now).pools["subscription"]


def paid_event(payment):
    """`invoice_payment.paid` names no customer, so the list above cannot find the right ones."""
    return {
        "id": f"evt_{payment['id']}",
        "object": "event",
        "created": payment["created"],
        "livemode": False,
        "type": "invoice_payment.paid",
        "data": {"object": payment},
    }


def test_a_subscription_is_renewed_heard_of_and_refunded(stripe_account):
    subscriber = Subscriber(stripe_account)
    assert subscriber.subscription.status == "active"
    renewal, first = stripe_account.until(
        lambda: len(found := subscriber.invoices()) == 2 and found
    )
    assert (first.billing_reason, renewal.billing_reason) == (
        "subscription_create",
        "subscription_cycle",
    )
    assert subscriber.hears("invoice.paid", 2) == 20
    paid_by = renewal.payments.data[0].payment.payment_intent
    refund = stripe_account.api.refunds.create({"payment_intent": paid_by, "amount": 450})
    assert (refund.status, refund.amount) == ("succeeded", 450)
    assert subscriber.hears("charge.refunded", 1) == 10


def test_objects_look_alike_here_and_there(stripe_account, client):
    """The sandbox has no keys that Stripe has not, and all that the library promises."""
    here, there = (shapes(account) for account in (Account(client), stripe_account))
    assert here.keys() == there.keys()
    for kind, value in there.items():
        invented = here[kind].keys() - value.keys()
        hints = class_of(value).__annotations__
        lacking = {
            name for name in value.keys() - here[kind].keys() if not is_optional(hints.get(name))
        }
        assert (kind, invented, lacking) == (kind, set(), set())


def shapes(stripe_account):
    """One object of each kind that the site works with."""
    clock, customer = stripe_account.subscriber()
    session = open_session(stripe_account)
    subscription = stripe_account.api.subscriptions.create(
        {"customer": customer.id, "items": [{"price": session_price(stripe_account)}]}
    )
    invoice = stripe_account.api.invoices.retrieve(
        subscription.latest_invoice, {"expand": ["payments"]}
    )
    payment = invoice.payments.data[0]
    refund = stripe_account.api.refunds.create(
        {"payment_intent": payment.payment.payment_intent, "amount": 100}
    )
    found = [
        clock, customer, session, subscription, invoice, payment, refund,
        stripe_account.api.charges.retrieve(refund.charge),
        stripe_account.api.payment_intents.retrieve(refund.payment_intent),
    ]  # fmt: skip
    return {row.object: row.to_dict() for row in found}


def session_price(stripe_account):
    return stripe_account.api.prices.list({"lookup_keys": [stripe_account.name]}).data[0].id
