"""Stripe's objects as the rules need them, whatever API version rendered them.

The shape of an invoice changed with 2025-03-31.basil; an event keeps the shape of its endpoint's
version for ever, so both must be read. https://docs.stripe.com/changelog/basil
Everything is optional until it is needed: what is missing then raises Unreadable, which staff sees.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]


class Unreadable(Exception):
    """The object lacks something that every version of it should have."""


@dataclass(frozen=True)
class Line:
    """A line of an invoice: what, how many, for which time."""

    price_id: str
    quantity: int
    amount: int
    is_proration: bool
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Invoice:
    """A paid invoice; amounts in minor units of `currency`."""

    id: str
    customer_id: str
    subscription_id: str
    reason: str
    amount_paid: int
    currency: str
    lines: list[Line]
    payment_intents: list[str]

    @property
    def key(self) -> str:
        """Names the business fact that this invoice was paid."""
        return f"invoice:{self.id}"


def text(value: Object, *path: str) -> str:
    """The string at `path`, or "". An expanded object counts as its id."""
    found: Any = value
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, dict):
        found = found.get("id")
    return found if isinstance(found, str) and "\0" not in found else ""


def required(value: Object, *path: str) -> str:
    """Like `text`. Raises Unreadable where there is none."""
    found = text(value, *path)
    if not found:
        raise Unreadable(f"The {value.get('object', 'object')} has no {'.'.join(path)}.")
    return found


def number(value: Object, name: str, *, default: int | None = None) -> int:
    """A whole number. Raises Unreadable where there is none and no default."""
    found = value.get(name)
    if type(found) is int:
        return found
    if default is None:
        raise Unreadable(f"The {value.get('object', 'object')} has no number {name}.")
    return default


def moment(value: Any) -> datetime:
    """A Unix time. Raises Unreadable."""
    if type(value) is not int or not 0 < value < 2**33:
        raise Unreadable(f"{value!r} is no time.")
    return datetime.fromtimestamp(value, UTC)


def rows(value: Object, name: str) -> list[Object]:
    """The `data` of a list object."""
    container = value.get(name)
    data = container.get("data") if isinstance(container, dict) else None
    return [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []


def read_invoice(invoice: Object) -> Invoice:
    """Raises Unreadable."""
    return Invoice(
        id=required(invoice, "id"),
        customer_id=required(invoice, "customer"),
        subscription_id=(
            text(invoice, "parent", "subscription_details", "subscription")
            or text(invoice, "subscription")
        ),
        reason=text(invoice, "billing_reason"),
        amount_paid=number(invoice, "amount_paid"),
        currency=required(invoice, "currency"),
        lines=[_read_line(line) for line in rows(invoice, "lines")],
        payment_intents=list(payment_intents(invoice)),
    )


def payment_intents(invoice: Object) -> Iterator[str]:
    """Before basil one on the invoice, since then one for each of its payments, or of one alone."""
    if found := text(invoice, "payment_intent") or text(invoice, "payment", "payment_intent"):
        yield found
    for payment in rows(invoice, "payments"):
        if found := text(payment, "payment", "payment_intent"):
            yield found


def _read_line(line: Object) -> Line:
    period = line.get("period")
    if not isinstance(period, dict):
        raise Unreadable("A line of the invoice has no period.")
    return Line(
        price_id=(
            text(line, "pricing", "price_details", "price")
            or text(line, "price", "id")
            or text(line, "plan", "id")
        ),
        quantity=number(line, "quantity", default=1),
        amount=number(line, "amount"),
        is_proration=_is_proration(line),
        start=moment(period.get("start")),
        end=moment(period.get("end")),
    )


def _is_proration(line: Object) -> bool:
    if "proration" in line:
        return bool(line["proration"])
    parent = line.get("parent")
    if not isinstance(parent, dict):
        return False
    details = (parent.get("subscription_item_details"), parent.get("invoice_item_details"))
    return any(isinstance(found, dict) and bool(found.get("proration")) for found in details)


def subscription_period_end(subscription: Object) -> datetime | None:
    """On the subscription before basil, on its items since."""
    ends = [item.get("current_period_end") for item in rows(subscription, "items")]
    found = [end for end in [subscription.get("current_period_end"), *ends] if type(end) is int]
    return moment(max(found)) if found else None


def planned_end(subscription: Object) -> datetime | None:
    """When it ends with its running period; None if it goes on after that.

    Subscriptions in flexible billing mode, the default since 2025-09-30.clover, that are cancelled
    in the portal have `cancel_at` and not `cancel_at_period_end`.
    https://docs.stripe.com/billing/subscriptions/billing-mode/compare
    """
    period_end, at = subscription_period_end(subscription), subscription.get("cancel_at")
    if type(at) is int and (period_end is None or moment(at) <= period_end):
        return moment(at)
    return period_end if subscription.get("cancel_at_period_end") else None


def pending_change(subscription: Object) -> tuple[str, datetime | None]:
    """The price that a subscription changes to when that is paid, and until when it may be."""
    pending = subscription.get("pending_update")
    if not isinstance(pending, dict):
        return "", None
    items = pending.get("subscription_items") or [{}]
    return text(items[0], "price"), moment(pending.get("expires_at"))


@dataclass(frozen=True)
class Phase:
    """A stretch of time for which a schedule says what a subscription has: its first item."""

    price_id: str
    quantity: int
    begins_at: datetime


def phases(schedule: Object) -> tuple[Phase | None, Phase | None]:
    """The running phase and the one after it. Without `current_phase` (it is over): neither."""
    current = schedule.get("current_phase")
    running_until = current.get("end_date") if isinstance(current, dict) else None
    if type(running_until) is not int:
        return None, None
    found = [row for row in schedule.get("phases") or [] if isinstance(row, dict)]
    found.sort(key=lambda row: row.get("start_date") or 0)
    running = [row for row in found if (row.get("start_date") or 0) < running_until]
    later = [row for row in found if (row.get("start_date") or 0) >= running_until]
    return _read_phase(running[-1:]), _read_phase(later[:1])


def _read_phase(found: list[Object]) -> Phase | None:
    for phase in found:
        item = (phase.get("items") or [{}])[0]
        quantity = number(item, "quantity", default=1)
        return Phase(text(item, "price"), quantity, moment(phase.get("start_date")))
    return None


def subscription_price(subscription: Object) -> str:
    """The price of the first item."""
    items = rows(subscription, "items")
    return text(items[0], "price", "id") if items else ""


def subscription_quantity(subscription: Object) -> int:
    """How many of the first item."""
    items = rows(subscription, "items")
    return number(items[0], "quantity", default=1) if items else 1
