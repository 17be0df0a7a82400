"""A subscription as Stripe has it this moment: what a change starts from, before events arrive."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import stripe

from credits.models import Offer, Subscription
from credits.payments.allowances import plan_of
from credits.payments.portal import live_subscription
from credits.payments.readers import (
    Object,
    moment,
    number,
    pending_change,
    required,
    rows,
    text,
)

ENDED = ("canceled", "incomplete_expired")


class PlanRefused(Exception):
    """A reason why a plan is not changed. Nothing was done, and the message may be shown."""


class NoSubscription(PlanRefused):
    """The account has no plan."""

    def __init__(self) -> None:
        super().__init__("This account has no plan. Plans are on the price list.")


@dataclass(frozen=True)
class AtStripe:
    """One subscription; `plan` is None unless it is exactly one plan of our price list."""

    id: str
    status: str
    plan: Offer | None
    item_id: str
    quantity: int
    period_start: datetime
    period_end: datetime
    cancel_at_period_end: bool
    cancel_at: datetime | None
    schedule_id: str
    pending_price_id: str
    latest_invoice: str

    @property
    def is_ending(self) -> bool:
        return self.cancel_at_period_end or self.cancel_at is not None

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def period(self) -> timedelta:
        return self.period_end - self.period_start


def subscription_of(*, account_id: int) -> Subscription:
    """The account's plan, as far as events have told. Raises NoSubscription."""
    known = live_subscription(account_id=account_id)
    if known is None:
        raise NoSubscription
    return known


def look_up(client: stripe.StripeClient, subscription_id: str) -> AtStripe:
    """Asks Stripe. Raises stripe.StripeError, readers.Unreadable."""
    return _read(client.v1.subscriptions.retrieve(subscription_id).to_dict())


def _read(found: Object) -> AtStripe:
    items = rows(found, "items")
    first = items[0] if items else {}
    ends_at = found.get("cancel_at")
    return AtStripe(
        id=required(found, "id"),
        status=required(found, "status"),
        plan=plan_of(text(first, "price")) if len(items) == 1 else None,
        item_id=required(first, "id"),
        quantity=number(first, "quantity", default=1),
        period_start=moment(first.get("current_period_start")),
        period_end=moment(first.get("current_period_end")),
        cancel_at_period_end=bool(found.get("cancel_at_period_end")),
        cancel_at=moment(ends_at) if ends_at else None,
        schedule_id=text(found, "schedule"),
        pending_price_id=pending_change(found)[0],
        latest_invoice=text(found, "latest_invoice"),
    )
