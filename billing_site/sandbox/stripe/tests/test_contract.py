"""The installed stripe-python is the schema of the pinned version: ours has no other keys."""

import types
import typing

import pytest
import stripe
from stripe._object_classes import get_object_class

from billing_site.sandbox.stripe.tests.conftest import CHALLENGED, DECLINED, FAILS_LATER
from billing_site.sandbox.stripe.tests.test_billing import change

KINDS = {
    "account", "billing_portal.configuration", "billing_portal.session", "charge",
    "checkout.session", "coupon", "customer", "dispute", "event", "invoice", "invoice_payment",
    "item", "payment_intent", "payment_method", "price", "product", "promotion_code", "refund",
    "subscription", "subscription_schedule", "test_helpers.test_clock", "webhook_endpoint",
}  # fmt: skip


def class_of(value):
    """The library's class for an object."""
    name = value.get("object") if isinstance(value, dict) else None
    found = get_object_class("V1", name) if isinstance(name, str) else None
    return None if found is stripe.StripeObject else found


def is_optional(annotation):
    return type(None) in typing.get_args(annotation)


def nested(annotation):
    """The class inside Optional[…], List[…] and Union[…], where it has fields of its own."""
    if isinstance(annotation, type):
        has_fields = issubclass(annotation, stripe.StripeObject) and annotation.__annotations__
        return annotation if has_fields else None
    for part in typing.get_args(annotation):
        if not isinstance(part, types.NoneType) and (found := nested(part)):
            return found
    return None


def differences(value, kind, path):
    """What `value` has too much or too little to be a `kind`."""
    hints = {
        name: hint
        for name, hint in kind.__annotations__.items()
        if typing.get_origin(hint) is not typing.ClassVar
    }
    yield from (f"{path}.{name}: extra" for name in value if name not in hints)
    for name, hint in hints.items():
        if name not in value and not is_optional(hint):
            yield f"{path}.{name}: missing"
    for name, found in value.items():
        if found is None and name in hints and not is_optional(hints[name]):
            yield f"{path}.{name}: null"
        rows = found if isinstance(found, list) else [found]
        if isinstance(found, dict) and found.get("object") == "list":
            rows = found["data"]
        for row in rows:
            inner = class_of(row) or (name in hints and nested(hints[name])) or None
            if isinstance(row, dict) and inner:
                yield from differences(row, inner, f"{path}.{name}")


@pytest.fixture
def life(shop, client):
    """Everything once."""
    coupon = client.v1.coupons.create({"percent_off": 10, "duration": "forever"})
    client.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}})
    client.v1.webhook_endpoints.create({"url": "http://127.0.0.1:1/", "enabled_events": ["*"]})
    client.v1.billing_portal.sessions.create({"customer": shop.customer.id})
    clock = client.v1.test_helpers.test_clocks.create({"frozen_time": 1_800_000_000})
    client.v1.customers.create({"test_clock": clock.id})
    shop.session(shop.pack)
    for card in (DECLINED, CHALLENGED, "4000 0000 0000 0259"):
        shop.buy(shop.pack, card=card)
    discounts = [{"coupon": coupon.id}]
    bought = shop.buy(
        shop.plan, card=FAILS_LATER, discounts=discounts, automatic_tax={"enabled": True}
    )
    client.v1.refunds.create(
        {"payment_intent": shop.buy(shop.pack, discounts=discounts).payment_intent, "amount": 100}
    )
    shop.sandbox.advance(31)
    subscription = client.v1.subscriptions.retrieve(bought.subscription)
    change(shop, subscription, shop.pro)
    later = client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    client.v1.subscription_schedules.release(later.id)
    change(shop, subscription, shop.plan, payment_behavior="pending_if_incomplete")
    shop.sandbox.advance(31)
    return shop


def test_objects_have_the_keys_of_stripes_own_library(life, sandbox):
    found = [*sandbox.store.objects.values(), life.client.v1.accounts.retrieve_current().to_dict()]
    found += [line for known in sandbox.store.privates.values() for line in known.get("lines", [])]
    assert {value["object"] for value in found} == KINDS
    wrong = {
        text for value in found for text in differences(value, class_of(value), value["object"])
    }
    assert not wrong


def test_a_foreign_and_a_missing_key_would_be_noticed():
    wrong = {"object": "refund", "livemode": False}
    assert {"refund.livemode: extra", "refund.amount: missing"} <= set(
        differences(wrong, stripe.Refund, "refund")
    )


def test_events_are_of_types_that_stripe_has(life, sandbox):
    known = set(typing.get_args(stripe.Event.__annotations__["type"]))
    sent = {event["type"] for event in sandbox.store.find("event")}
    assert sent <= known
