"""The requests to Stripe that a change of plan consists of. Each may be repeated."""

from datetime import datetime
from typing import Any

import stripe

from credits.models import Offer
from credits.payments.at_stripe import AtStripe


def upgrade(
    client: stripe.StripeClient, present: AtStripe, target: Offer, *, at: datetime | None, key: str
) -> str:
    """Changes the plan now; the page where the difference is to be paid if that did not work.

    `at` is the moment for which it was previewed. See plan_changes.py, Note [Payment of an
    upgrade]. Raises stripe.StripeError.
    """
    params: Any = {
        "items": upgraded_items(present, target),
        "proration_behavior": "always_invoice",
        "payment_behavior": "pending_if_incomplete",
        "expand": ["latest_invoice"],
    }
    if at is not None:
        params["proration_date"] = int(at.timestamp())
    changed = client.v1.subscriptions.update(
        present.id, params=params, options={"idempotency_key": f"upgrade:{key}"}
    )
    if not changed.pending_update:
        return ""
    invoice = changed.latest_invoice
    return (invoice.hosted_invoice_url or "") if isinstance(invoice, stripe.Invoice) else ""


def upgraded_items(present: AtStripe, target: Offer) -> list[Any]:
    return [{"id": present.item_id, "price": target.stripe_price_id, "quantity": present.quantity}]


def schedule(client: stripe.StripeClient, present: AtStripe, target: Offer, *, key: str) -> None:
    """Lets the running period end as it is, and the next one begin with `target`.

    A schedule that is there already gets this as its next phase. Raises stripe.StripeError.
    """
    schedules = client.v1.subscription_schedules
    if present.schedule_id:
        found = schedules.retrieve(present.schedule_id)
    else:
        found = schedules.create(
            params={"from_subscription": present.id},
            options={"idempotency_key": f"schedule:{key}"},
        )
    assert present.plan is not None, "plan_rules.decide"
    running = found.current_phase
    start, end = (running.start_date, running.end_date) if running else _period(present)
    discounts = _discounts(found)
    phase = {**_phase(present.plan, present.quantity, discounts), "start_date": start}
    if present.status == "trialing":
        phase["trial"] = True  # a phase that does not say so ends the trial
    phases: list[Any] = [
        {**phase, "end_date": end},
        {
            **_phase(target, present.quantity, discounts),
            "duration": {"interval": target.interval, "interval_count": 1},
            "proration_behavior": "none",
        },
    ]
    params: Any = {"phases": phases, "end_behavior": "release", "proration_behavior": "none"}
    schedules.update(found.id, params=params)


def _period(present: AtStripe) -> tuple[int, int]:
    return int(present.period_start.timestamp()), int(present.period_end.timestamp())


def _phase(plan: Offer, quantity: int, discounts: list[Any]) -> dict[str, Any]:
    phase: dict[str, Any] = {"items": [{"price": plan.stripe_price_id, "quantity": quantity}]}
    return {**phase, "discounts": discounts} if discounts else phase


def _discounts(schedule: stripe.SubscriptionSchedule) -> list[Any]:
    """A phase that names no discount has none: the subscription's own are handed on."""
    kept = schedule.phases[0].discounts if schedule.phases else []
    return [{"discount": str(row.discount)} for row in kept if row.discount]


def withdraw_schedule(client: stripe.StripeClient, present: AtStripe) -> None:
    """The subscription goes on as it is. Raises stripe.StripeError."""
    if present.schedule_id:
        client.v1.subscription_schedules.release(present.schedule_id)


def withdraw_payment(client: stripe.StripeClient, present: AtStripe) -> None:
    """Gives up a change that waits for its payment. Raises stripe.StripeError."""
    if present.pending_price_id and present.latest_invoice:
        client.v1.invoices.void_invoice(present.latest_invoice)


def page_of(client: stripe.StripeClient, invoice_id: str) -> str:
    """Where an invoice is paid. Raises stripe.StripeError."""
    return client.v1.invoices.retrieve(invoice_id).hosted_invoice_url or ""
