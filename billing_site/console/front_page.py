"""The front page of the admin: what moved, what is outstanding, and what needs a person.

Its figures come from credits.figures and generation.queries. A part is shown to who may see the
list behind it, and what is wrong links to that list.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing_site.console.charts import SERIES, charts
from billing_site.console.checks import visible_checks
from credits import figures
from credits.models import DailyTotal
from credits.money import grouped, money
from generation import failures
from generation import queries as generations
from generation.models import Generation

BOOKS = "credits.view_ledgerentry"
GENERATIONS = "generation.view_generation"

DAY = timedelta(days=1)
MOST_ERRORS = 10


@dataclass(frozen=True)
class Tile:
    label: str
    value: str
    more: str = ""


def add_figures(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """unfold's DASHBOARD_CALLBACK: what templates/admin/index.html shows, for who may see it."""
    now = timezone.now()
    context["title"] = _("Overview")
    context["checks"] = checks = list(visible_checks(request, now))
    context["wrong"] = sum(check.wrong for check in checks)
    if request.user.has_perm(BOOKS):
        context |= _books(now)
    if request.user.has_perm(GENERATIONS):
        context["generations"] = _generations(now)
    return context


# The books ----------------------------------------------------------------------------------------


def _books(now: datetime) -> dict[str, Any]:
    days = figures.last_days(now=now)
    return {
        "days": [_row(day) for day in reversed(days)],
        "series": [label for label, _color in SERIES.values()],
        "tiles": _tiles(days, figures.outstanding(now=now)),
        "has_money": any(day.money for day in days),
        **charts(days),
    }


def _tiles(days: list[DailyTotal], left: figures.Outstanding) -> list[Tile]:
    taken = _total(day.money for day in days)
    lost = _total(day.expired_money for day in days)
    others = ngettext(
        "%(tokens)s single generation; customers owe %(owed)s",
        "%(tokens)s single generations; customers owe %(owed)s",
        left.tokens,
    ) % {"tokens": grouped(left.tokens), "owed": grouped(left.owed)}
    return [
        Tile(_("Money taken, 30 days"), _amounts(taken)),
        Tile(_("Credits outstanding"), grouped(left.credits), others),
        Tile(_("Paid for, not delivered yet"), _amounts(left.money), _("Deferred revenue")),
        Tile(
            _("Paid for and expired, 30 days"),
            grouped(sum(day.expired_paid for day in days)),
            _("Worth %s") % _amounts(lost) if any(lost.values()) else "",
        ),
    ]


def _row(day: DailyTotal) -> dict[str, Any]:
    numbers = [grouped(getattr(day, name)) for name in SERIES]
    return {"day": day.day, "numbers": numbers, "money": _amounts(day.money)}


def _total(amounts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Minor units by currency."""
    sums: Counter[str] = Counter()
    for by_currency in amounts:
        sums.update(by_currency)
    return sums


def _amounts(by_currency: dict[str, int]) -> str:
    """$9.00 + €5.00; nothing is a dash: there is no currency to say it in."""
    found = [money(amount, currency) for currency, amount in sorted(by_currency.items()) if amount]
    return " + ".join(found) or "–"  # noqa: RUF001


# Generations --------------------------------------------------------------------------------------


def _generations(now: datetime) -> dict[str, Any]:
    """Those asked for within a day: how many ended how, how long they took, and why some failed."""
    since = now - DAY
    recent = generations.recent(since=since)
    listing = reverse("admin:generation_generation_changelist")
    lately = urlencode({"created_at__gte": since.isoformat()})
    rows = [
        {
            "label": status.label,
            "count": grouped(recent.counts[status]),
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
            "count": grouped(count),
            "url": f"{listing}?{lately}&error_code__exact={code}",
        }
        for code, count in recent.errors.most_common(MOST_ERRORS)
    ]
    return {"rows": rows, "errors": errors}


def _seconds(duration: timedelta | None) -> str:
    return "" if duration is None else f"{duration.total_seconds():,.1f} s"
