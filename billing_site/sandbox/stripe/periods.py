"""Billing periods: months of different lengths, counted from the anchor."""

import calendar
from datetime import UTC, datetime

from billing_site.sandbox.stripe.store import DAY, Object


def add(moment: int, interval: str, count: int) -> int:
    """`moment` and `count` intervals; the 31st becomes the last day of a shorter month."""
    if interval in ("day", "week"):
        return moment + count * DAY * (7 if interval == "week" else 1)
    start = datetime.fromtimestamp(moment, UTC)
    months = start.month - 1 + count * (12 if interval == "year" else 1)
    year, month = start.year + months // 12, months % 12 + 1
    day = min(start.day, calendar.monthrange(year, month)[1])
    return int(start.replace(year=year, month=month, day=day).timestamp())


def next_end(anchor: int, after: int, recurring: Object) -> int:
    """The first end of a period that is later than `after`."""
    turn, end = 0, anchor
    while end <= after:
        turn += 1
        end = add(anchor, recurring["interval"], turn * recurring["interval_count"])
    return end


def share(amount: int, left: int, whole: int) -> int:
    """`amount` for the part of a period that is left, rounded to the nearest minor unit."""
    return (2 * amount * left + whole) // (2 * whole)
