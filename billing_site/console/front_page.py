"""The front page of the admin: what moved, what is outstanding, and what needs a person.

Its figures come from credits.figures and generation.queries. A part is shown to who may see the
list behind it, and what is wrong links to that list.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext

from billing_site.console.late_payments import late_payments
from credits import figures
from credits.models import DailyTotal, LedgerAudit, Reconciliation
from credits.money import DECIMALS, money
from generation import failures
from generation import queries as generations
from generation.models import Generation

BOOKS = "credits.view_ledgerentry"
GENERATIONS = "generation.view_generation"

DAY = timedelta(days=1)
EVENT_IS_LATE = timedelta(minutes=15)
START_IS_LATE = timedelta(minutes=5)
CHECK_IS_LATE = timedelta(days=2)  # nightly ones: one night may fail
MOST_ERRORS = 10

SERIES = {  # of DailyTotal: what it is called, and its colour in the chart
    "sold": (_lazy("Sold"), "var(--color-primary-600)"),
    "granted": (_lazy("Given"), "var(--color-primary-300)"),
    "spent": (_lazy("Spent"), "var(--color-base-500)"),
    "expired": (_lazy("Expired"), "var(--color-orange-500)"),
    "clawed_back": (_lazy("Taken back"), "var(--color-red-500)"),
}
MONEY_COLORS = [
    "var(--color-primary-600)",
    "var(--color-base-400)",
    "var(--color-orange-500)",
    "var(--color-green-500)",
]

CHART_OPTIONS = {  # of Chart.js; unfold's own have neither legend nor numbers at the side
    "animation": False,
    "responsive": True,
    "maintainAspectRatio": False,
    "maxBarThickness": 16,
    "plugins": {"legend": {"align": "end", "labels": {"boxWidth": 10, "color": "#737b87"}}},
    "scales": {
        "x": {"grid": {"display": False}, "ticks": {"color": "#737b87", "maxTicksLimit": 8}},
        "y": {"grid": {"tickWidth": 0}, "ticks": {"color": "#737b87", "maxTicksLimit": 6}},
    },
}


@dataclass(frozen=True)
class Check:
    """One line of what needs a person, or does not: red if `wrong`, with the list behind it."""

    label: str
    value: str
    wrong: bool
    url: str


@dataclass(frozen=True)
class Tile:
    label: str
    value: str
    more: str = ""


def add_figures(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """unfold's DASHBOARD_CALLBACK: what templates/admin/index.html shows, for who may see it."""
    now = timezone.now()
    context["title"] = _("Overview")
    context["checks"] = list(_visible_checks(request, now))
    if request.user.has_perm(BOOKS):
        context |= _books(now)
    if request.user.has_perm(GENERATIONS):
        context["generations"] = _generations(now)
    return context


# The books ----------------------------------------------------------------------------------------


def _books(now: datetime) -> dict[str, Any]:
    days = figures.last_days(now=now)
    left = figures.outstanding(now=now)
    taken = _total(day.money for day in days)
    lost = _total(day.expired_money for day in days)
    return {
        "days": [_row(day) for day in reversed(days)],
        "series": [label for label, _color in SERIES.values()],
        "tiles": [
            Tile(_("Money taken, 30 days"), _amounts(taken)),
            Tile(
                _("Credits outstanding"),
                _count(left.credits),
                ngettext(
                    "%(tokens)s single generation; customers owe %(owed)s",
                    "%(tokens)s single generations; customers owe %(owed)s",
                    left.tokens,
                )
                % {"tokens": _count(left.tokens), "owed": _count(left.owed)},
            ),
            Tile(_("Paid for, not delivered yet"), _amounts(left.money), _("Deferred revenue")),
            Tile(
                _("Paid for and expired, 30 days"),
                _count(sum(day.expired_paid for day in days)),
                _("Worth %s") % _amounts(lost),
            ),
        ],
        "credits_chart": json.dumps(_credits_chart(days)),
        "chart_options": json.dumps(CHART_OPTIONS),
        "money_chart": json.dumps(_money_chart(days, sorted(taken))),
    }


def _row(day: DailyTotal) -> dict[str, Any]:
    numbers = [_count(getattr(day, name)) for name in SERIES]
    return {"day": day.day, "numbers": numbers, "money": _amounts(day.money)}


def _credits_chart(days: list[DailyTotal]) -> dict[str, Any]:
    """Credits that came above the line, and those that went below it."""
    series = []
    for name, (label, color) in SERIES.items():
        sign = 1 if name in ("sold", "granted") else -1
        series.append(
            {
                "label": str(label),
                "data": [sign * getattr(day, name) for day in days],
                "backgroundColor": color,
                "stack": "credits",
            }
        )
    return {"labels": _labels(days), "datasets": series}


def _money_chart(days: list[DailyTotal], currencies: list[str]) -> dict[str, Any]:
    """In whole units, because a chart cannot write money."""
    return {
        "labels": _labels(days),
        "datasets": [
            {
                "label": currency.upper(),
                "data": [
                    day.money.get(currency, 0) / 10 ** DECIMALS.get(currency, 2) for day in days
                ],
                "backgroundColor": MONEY_COLORS[number % len(MONEY_COLORS)],
            }
            for number, currency in enumerate(currencies)
        ],
    }


# Generations --------------------------------------------------------------------------------------


def _generations(now: datetime) -> dict[str, Any]:
    since = now - DAY
    recent = generations.recent(since=since)
    listing = reverse("admin:generation_generation_changelist")
    lately = urlencode({"created_at__gte": since.isoformat()})
    rows = [
        {
            "label": status.label,
            "count": _count(recent.counts[status]),
            "median": _seconds(recent.median.get(status)),
            "p95": _seconds(recent.p95.get(status)),
            "url": f"{listing}?{lately}&status__exact={status}",
        }
        for status in Generation.Status
    ]
    errors = [
        {
            "code": code,
            "words": failures.sentence(code),
            "count": _count(count),
            "url": f"{listing}?{lately}&error_code__exact={code}",
        }
        for code, count in recent.errors.most_common(MOST_ERRORS)
    ]
    return {"rows": rows, "errors": errors}


# How it stands ------------------------------------------------------------------------------------


def _visible_checks(request: HttpRequest, now: datetime) -> Iterator[Check]:
    """Those whose list the person may open."""
    standing = figures.standing()
    if request.user.has_perm("credits.view_subscription"):
        yield _check(
            _("Active subscribers"),
            _count(standing.paying),
            "credits_subscription",
            query=f"status__in={','.join(figures.PAYING)}",
        )
    if request.user.has_perm("credits.view_inboxevent"):
        yield from _inbox(standing, now)
    if request.user.has_perm("credits.view_reconciliation"):
        yield _reconciliation(standing.reconciliation, now)
    if request.user.has_perm("credits.view_ledgeraudit"):
        yield _audit(standing.audit, standing.audit_finished_at, now)
    if request.user.has_perm("credits.view_adjustment"):
        count = standing.adjustments_waiting
        yield _check(
            _("Adjustments that wait for a second person"),
            _count(count),
            "credits_adjustment",
            wrong=count > 0,
            query="state__exact=waiting",
        )
    if request.user.has_perm("credits.view_payment"):
        count = late_payments().count()
        yield _check(
            _("Payments for accounts that were deleted before"),
            _count(count),
            "credits_payment",
            wrong=count > 0,
            query="late=yes",
        )
    if request.user.has_perm("credits.view_notice"):
        count = standing.notices_given_up
        yield _check(
            _("Mails given up"),
            _count(count),
            "credits_notice",
            wrong=count > 0,
            query="state__exact=failed",
        )
    if request.user.has_perm(GENERATIONS):
        yield from _workers(now)


def _inbox(standing: figures.Standing, now: datetime) -> Iterator[Check]:
    failed = standing.inbox.get("failed", 0)
    yield _check(
        _("Stripe's events that failed"),
        _count(failed),
        "credits_inboxevent",
        wrong=failed > 0,
        query="state__exact=failed",
    )
    yield _backlog(
        _("Stripe's events not applied yet"),
        sum(standing.inbox.values()),
        standing.inbox_oldest,
        now,
        query="next_attempt_at__isnull=False",
    )
    yield _backlog(
        _("Stripe's events not mirrored yet"),
        standing.mirror,
        standing.mirror_oldest,
        now,
        query="next_mirror_at__isnull=False",
    )
    yield _check(
        _("Stripe's events that could not be mirrored"),
        _count(standing.mirror_given_up),
        "credits_inboxevent",
        wrong=standing.mirror_given_up > 0,
        query="mirrored_at__isnull=True&next_mirror_at__isnull=True",
    )


def _backlog(
    label: str, count: int, oldest: datetime | None, now: datetime, *, query: str
) -> Check:
    value = _count(count)
    if oldest is not None:
        value = _("%(count)s, the oldest for %(time)s") % {
            "count": value,
            "time": timesince(oldest, now),
        }
    is_late = oldest is not None and oldest < now - EVENT_IS_LATE
    return _check(label, value, "credits_inboxevent", wrong=is_late, query=query)


def _reconciliation(night: Reconciliation | None, now: datetime) -> Check:
    label = _("Differences between Stripe and the books")
    if night is None:
        return _check(label, _("Never compared"), "credits_reconciliation")
    if night.error:
        return _check(label, _("Could not compare"), "credits_reconciliation", wrong=True)
    is_late = night.started_at < now - CHECK_IS_LATE
    value = _("%(count)s, %(day)s") % {"count": _count(night.found), "day": night.day}
    return _check(label, value, "credits_reconciliation", wrong=is_late or night.found > 0)


def _audit(last: LedgerAudit | None, finished_at: datetime | None, now: datetime) -> Check:
    label = _("What does not balance in the books")
    if last is None:
        return _check(label, _("Never proved"), "credits_ledgeraudit")
    is_late = (finished_at or last.started_at) < now - CHECK_IS_LATE
    value = _("%(count)s in %(accounts)s accounts, %(time)s ago") % {
        "count": _count(last.found),
        "accounts": _count(last.accounts),
        "time": timesince(last.started_at, now),
    }
    if not last.finished_at:
        value += " " + _("(under way)")
    return _check(label, value, "credits_ledgeraudit", wrong=is_late or last.found > 0)


def _workers(now: datetime) -> Iterator[Check]:
    alive = generations.workers_alive(now=now)
    oldest = generations.oldest_queued()
    yield _check(_("Workers alive"), _count(alive), "generation_generation", wrong=not alive)
    yield _check(
        _("Oldest generation that waits for its start"),
        timesince(oldest, now) if oldest and oldest < now else _("None"),
        "generation_generation",
        wrong=oldest is not None and oldest < now - START_IS_LATE,
        query="status__exact=queued",
    )


def _check(label: str, value: str, model: str, *, wrong: bool = False, query: str = "") -> Check:
    url = reverse(f"admin:{model}_changelist")
    return Check(label, value, wrong, f"{url}?{query}" if query else url)


# In words -----------------------------------------------------------------------------------------


def _total(amounts: Any) -> dict[str, int]:
    sums: dict[str, int] = {}
    for by_currency in amounts:
        for currency, amount in by_currency.items():
            sums[currency] = sums.get(currency, 0) + amount
    return sums


def _amounts(by_currency: dict[str, int]) -> str:
    """$9.00 + €5.00; nothing is a dash: there is no currency to say it in."""
    found = [money(amount, currency) for currency, amount in sorted(by_currency.items()) if amount]
    return " + ".join(found) or "–"  # noqa: RUF001


def _labels(days: list[DailyTotal]) -> list[str]:
    return [f"{day.day:%d %b}" for day in days]


def _count(number: int) -> str:
    return str(number_format(number, force_grouping=True))


def _seconds(duration: timedelta | None) -> str:
    return "" if duration is None else f"{duration.total_seconds():,.1f} s"
