"""Events as Stripe sends them, in the shape before and since 2025-03-31.basil, really signed."""

import itertools
import json
from datetime import datetime, timedelta
from typing import Any

import stripe

SECRET = "whsec_test_secret"
OLD, NEW = "2025-02-24.acacia", "2026-08-26.dahlia"
VERSIONS = [OLD, NEW]
MONTH = timedelta(days=30)
_numbers = itertools.count(1)


def event(
    kind: str, obj: dict[str, Any], *, created: datetime, version: str = NEW, **changes: Any
) -> dict[str, Any]:
    return {
        "id": f"evt_{next(_numbers)}",
        "object": "event",
        "api_version": version,
        "created": int(created.timestamp()),
        "livemode": False,
        "type": kind,
        "data": {"object": obj},
        **changes,
    }


def invoice(
    number: str,
    *,
    version: str,
    lines: list[dict[str, Any]],
    reason: str = "subscription_cycle",
    customer: str = "cus_1",
    subscription: str = "sub_1",
    paid: int = 900,
) -> dict[str, Any]:
    """With a payment intent if anything was paid."""
    common = {
        "id": f"in_{number}",
        "object": "invoice",
        "customer": customer,
        "billing_reason": reason,
        "amount_paid": paid,
        "currency": "usd",
        "lines": {"object": "list", "data": lines},
    }
    if version == OLD:
        intent = f"pi_in_{number}" if paid else None
        return {**common, "subscription": subscription, "payment_intent": intent}
    payment = {"type": "payment_intent", "payment_intent": f"pi_in_{number}"}
    return {
        **common,
        "parent": {"subscription_details": {"subscription": subscription, "metadata": {}}},
        "payments": {"object": "list", "data": [{"payment": payment}] if paid else []},
    }


def line(
    price: str,
    start: datetime,
    end: datetime,
    *,
    version: str,
    amount: int = 900,
    quantity: int = 1,
    proration: bool = False,
) -> dict[str, Any]:
    common = {
        "object": "line_item",
        "amount": amount,
        "quantity": quantity,
        "period": {"start": int(start.timestamp()), "end": int(end.timestamp())},
    }
    if version == OLD:
        return {**common, "price": {"id": price, "object": "price"}, "proration": proration}
    return {
        **common,
        "pricing": {"price_details": {"price": price, "product": "prod_1"}},
        "parent": {
            "type": "subscription_item_details",
            "subscription_item_details": {"proration": proration},
        },
    }


def subscription(
    *,
    version: str,
    status: str = "active",
    end: datetime,
    customer: str = "cus_1",
    ref: str = "sub_1",
) -> dict[str, Any]:
    item: dict[str, Any] = {"object": "subscription_item", "price": {"id": "price_starter"}}
    common = {"id": ref, "object": "subscription", "customer": customer, "status": status}
    if version == OLD:
        return {**common, "current_period_end": int(end.timestamp()), "items": {"data": [item]}}
    item["current_period_end"] = int(end.timestamp())
    return {**common, "items": {"data": [item]}}


def session(
    number: str, *, offer: str, customer: str = "cus_1", paid: int = 500, **changes: Any
) -> dict[str, Any]:
    return {
        "id": f"cs_{number}",
        "object": "checkout.session",
        "mode": "payment",
        "payment_status": "paid",
        "customer": customer,
        "payment_intent": f"pi_cs_{number}",
        "amount_total": paid,
        "currency": "usd",
        "metadata": {"offer": offer},
        **changes,
    }


def charge(payment_intent: str, *, amount: int, refunded: int) -> dict[str, Any]:
    return {
        "id": f"ch_{payment_intent}",
        "object": "charge",
        "payment_intent": payment_intent,
        "amount": amount,
        "amount_refunded": refunded,
    }


def refund(
    number: str, payment_intent: str, *, amount: int, made: datetime, status: str = "succeeded"
) -> dict[str, Any]:
    return {
        "id": f"re_{number}",
        "object": "refund",
        "payment_intent": payment_intent,
        "charge": f"ch_{payment_intent}",
        "amount": amount,
        "status": status,
        "created": int(made.timestamp()),
    }


def dispute(payment_intent: str, *, status: str, amount: int) -> dict[str, Any]:
    return {
        "id": f"du_{payment_intent}",
        "object": "dispute",
        "payment_intent": payment_intent,
        "status": status,
        "amount": amount,
    }


def signed(body: str, *, secret: str = SECRET, at: int | None = None) -> str:
    """The Stripe-Signature header for a body."""
    header: str = stripe.WebhookSignature.generate_signature_header(body, secret, at)
    return header


def deliver(client: Any, content: dict[str, Any] | str, **headers: str) -> Any:
    """Posts an event to the site's real address, signed unless a header says otherwise."""
    body = content if isinstance(content, str) else json.dumps(content)
    headers.setdefault("Stripe-Signature", signed(body))
    return client.post("/stripe/webhook/", body, "application/json", headers=headers)
