"""The webhook endpoint at Stripe: exactly the events that are used here, in the pinned version.

What is there is compared with what should be; `manage.py setup_stripe` does the rest.
https://docs.stripe.com/api/webhook_endpoints
"""

from dataclasses import dataclass
from typing import Any

import stripe
from django.conf import settings
from django.urls import reverse

from credits.payments.rules import RULES

# Shown to customers, or counted, without a rule that moves anything.
NOTICES = {"checkout.session.async_payment_failed", "checkout.session.expired",
           "invoice.payment_failed"}  # fmt: skip
# So that dj-stripe's copies stay true. Not `invoice.created`: Stripe waits up to 72 hours with an
# invoice while that event cannot be delivered. https://docs.stripe.com/billing/subscriptions/webhooks
OBJECTS = {
    "charge.dispute.updated", "charge.failed", "charge.succeeded", "charge.updated",
    "customer.created", "customer.deleted", "customer.updated",
    "invoice.finalized", "invoice.marked_uncollectible", "invoice.updated", "invoice.voided",
    "payment_intent.canceled", "payment_intent.payment_failed", "payment_intent.succeeded",
    "price.created", "price.updated", "product.created", "product.updated",
    "refund.created", "refund.failed", "refund.updated",
}  # fmt: skip
EVENTS: list[Any] = sorted(RULES.keys() | NOTICES | OBJECTS)


class NotPossible(Exception):
    """Stripe cannot be set up like this; the message says what to do."""


@dataclass(frozen=True)
class Endpoints:
    """Those at Stripe for this site's address: the one to keep, if any, and the rest."""

    kept: stripe.WebhookEndpoint | None
    others: list[stripe.WebhookEndpoint]


def address() -> str:
    """Where Stripe posts events. Raises NotPossible: live events travel encrypted only."""
    if settings.STRIPE_LIVE_MODE and not settings.IS_PUBLIC:
        raise NotPossible(
            f"SITE_URL is {settings.SITE_URL}: with a live key it has to be the site's public "
            "https address."
        )
    return f"{settings.SITE_URL}{reverse('stripe-webhook')}"


def find(client: stripe.StripeClient) -> Endpoints:
    """Of several for our address the one in the right version, else the newest."""
    url = address()
    rows = client.v1.webhook_endpoints.list({"limit": 100}).auto_paging_iter()
    found = [row for row in rows if row.url == url]
    found.sort(key=lambda row: (row.api_version == stripe.api_version, row.created), reverse=True)
    return Endpoints(found[0] if found else None, found[1:])


def deviations(endpoints: Endpoints) -> list[str]:
    """What is not as it should be, one sentence each."""
    kept = endpoints.kept
    if kept is None:
        return [f"There is no webhook endpoint for {address()}."]
    wrong = []
    if kept.api_version != stripe.api_version:
        wrong.append(
            f"{kept.id} sends version {kept.api_version or 'of the account'}, not "
            f"{stripe.api_version}. That cannot be changed: --replace makes a new one."
        )
    if kept.status != "enabled":
        wrong.append(f"{kept.id} is {kept.status}.")
    if missing := [name for name in EVENTS if name not in kept.enabled_events]:
        wrong.append(f"{kept.id} does not send {', '.join(missing)}.")
    if useless := [name for name in kept.enabled_events if name not in EVENTS]:
        wrong.append(f"{kept.id} sends {', '.join(useless)}, which nobody needs.")
    for other in endpoints.others:
        wrong.append(
            f"{other.id} is a second endpoint for the same address: once no event depends on it, "
            f"manage.py setup_stripe --delete {other.id}"
        )
    return wrong


def create(client: stripe.StripeClient) -> stripe.WebhookEndpoint:
    """A new endpoint. Its `secret` is in this answer and never again."""
    return client.v1.webhook_endpoints.create(
        {
            "url": address(),
            "enabled_events": EVENTS,
            "api_version": stripe.api_version,  # type: ignore[typeddict-item]
            "description": "billing_site",
        }
    )


def bring_in_line(client: stripe.StripeClient, kept: stripe.WebhookEndpoint) -> bool:
    """Events and state of an endpoint; its version stays. Whether there was anything to change."""
    if kept.status == "enabled" and sorted(kept.enabled_events) == EVENTS:
        return False
    client.v1.webhook_endpoints.update(
        kept.id,
        {"enabled_events": EVENTS, "disabled": False},
    )
    return True


def delete(client: stripe.StripeClient, endpoint_id: str) -> None:
    """Takes away a second endpoint. Raises NotPossible for any other."""
    if endpoint_id not in {other.id for other in find(client).others}:
        raise NotPossible(
            f"{endpoint_id} is no second endpoint for {address()}: only those are deleted here."
        )
    client.v1.webhook_endpoints.delete(endpoint_id)
