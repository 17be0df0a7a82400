"""What Stripe's API lists: newest first, a page in memory at a time, as plain dictionaries.

`since` is a Unix time. Lists are by the time at which an object was made, so that what changed
later is asked for by the object of the change: a refund brings its charge with it.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import stripe
from django.conf import settings

from credits.payments.readers import Object
from credits.payments.rules import RULES

PAGE = 100  # the most that Stripe gives at once
MOST_TYPES = 20  # that Stripe filters events by
# Told by events only: these objects are old, and lists of new ones do not show what became of them.
LATE_NEWS = ["charge.dispute.closed", "customer.subscription.deleted"]


def undelivered_events(client: stripe.StripeClient, since: int) -> Iterator[Object]:
    """Events with a rule that could not be delivered. Stripe keeps events for 30 days.

    https://docs.stripe.com/webhooks/process-undelivered-events
    """
    types = sorted(RULES)
    for first in range(0, len(types), MOST_TYPES):
        yield from _all(
            client.v1.events.list(
                {
                    "delivery_success": False,
                    "types": types[first : first + MOST_TYPES],
                    "created": {"gte": since},
                    "limit": PAGE,
                }
            )
        )


def late_news(client: stripe.StripeClient, since: int) -> Iterator[Object]:
    """Events about old objects, delivered or not: there may have been no endpoint."""
    return _all(
        client.v1.events.list({"types": LATE_NEWS, "created": {"gte": since}, "limit": PAGE})
    )


def paid_invoices(client: stripe.StripeClient, since: int) -> Iterator[Object]:
    """With their payments, which the events do not have since 2025-03-31.basil."""
    return _all(
        client.v1.invoices.list(
            {
                "status": "paid",
                "created": {"gte": since},
                "limit": PAGE,
                "expand": ["data.payments"],
            }
        )
    )


def complete_sessions(client: stripe.StripeClient, since: int) -> Iterator[Object]:
    """Checkout sessions that a customer has finished, paid or not."""
    return _all(
        client.v1.checkout.sessions.list(
            {"status": "complete", "created": {"gte": since}, "limit": PAGE}
        )
    )


def charges(client: stripe.StripeClient, since: int) -> Iterator[Object]:
    """Also those that were declined."""
    return _all(client.v1.charges.list({"created": {"gte": since}, "limit": PAGE}))


def refunds(client: stripe.StripeClient, since: int) -> Iterator[Object]:
    """Each with its whole charge, which says how much went back in all."""
    return _all(
        client.v1.refunds.list(
            {"created": {"gte": since}, "limit": PAGE, "expand": ["data.charge"]}
        )
    )


def disputes(client: stripe.StripeClient, since: int) -> Iterator[Object]:
    """Each with its whole charge, which says whose it is."""
    return _all(
        client.v1.disputes.list(
            {"created": {"gte": since}, "limit": PAGE, "expand": ["data.charge"]}
        )
    )


def new_subscriptions(client: stripe.StripeClient, since: int) -> Iterator[Object]:
    """In any state."""
    return _all(
        client.v1.subscriptions.list({"status": "all", "created": {"gte": since}, "limit": PAGE})
    )


def subscription(client: stripe.StripeClient, subscription_id: str) -> Object | None:
    """None if Stripe has no such subscription."""
    try:
        return client.v1.subscriptions.retrieve(subscription_id).to_dict(for_json=True)
    except stripe.InvalidRequestError as error:
        _raise_unless_missing(error)
        return None


def is_paid(client: stripe.StripeClient, source_key: str) -> bool:
    """Whether Stripe knows the purchase behind a lot (`invoice:in_1`, `checkout:cs_1`) as paid."""
    kind, object_id = source_key.split(":")[:2]
    if not re.fullmatch(r"\w+", object_id, re.ASCII):
        return False
    try:
        if kind == "invoice":
            return client.v1.invoices.retrieve(object_id).status == "paid"
        session = client.v1.checkout.sessions.retrieve(object_id)
        return session.payment_status in ("paid", "no_payment_required")
    except stripe.InvalidRequestError as error:
        _raise_unless_missing(error)
        return False


def is_for_something(client: stripe.StripeClient, payment_intent: str) -> bool:
    """Whether the payment belongs to a Checkout session or an invoice, of whomever."""
    sessions = client.v1.checkout.sessions.list({"payment_intent": payment_intent, "limit": 1})
    if sessions.data:
        return True
    paid = client.v1.invoice_payments.list(
        {"payment": {"type": "payment_intent", "payment_intent": payment_intent}, "limit": 1}
    )
    return bool(paid.data)


def event_of(kind: str, obj: Object, at: int) -> Object:
    """The event that Stripe would have sent. Its id follows from its content."""
    content = json.dumps([kind, obj], sort_keys=True)
    return {
        "id": f"evt_reconciled_{hashlib.sha256(content.encode()).hexdigest()[:32]}",
        "object": "event",
        "api_version": stripe.api_version,
        "created": at,
        "livemode": settings.STRIPE_LIVE_MODE,
        "pending_webhooks": 0,
        "request": None,
        "type": kind,
        "data": {"object": obj},
    }


def _raise_unless_missing(error: stripe.InvalidRequestError) -> None:
    if error.code != "resource_missing":
        raise error


def _all(page: Any) -> Iterator[Object]:
    for row in page.auto_paging_iter():
        yield row.to_dict(for_json=True)
