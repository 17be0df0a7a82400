"""How it stands: what needs a person, a line each, with the list behind it (docs/staff.md)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.utils.translation import ngettext

from billing_site.console.late_payments import late_payments
from credits import figures
from credits.figures import Standing
from credits.money import grouped
from generation import queries as generations

EVENT_IS_LATE = timedelta(minutes=15)
START_IS_LATE = timedelta(minutes=5)
FEW = 3  # failures that are no sign yet, however few generations there were
CHECK_IS_LATE = timedelta(days=2)  # nightly ones: one night may fail

Finding = tuple[str, bool]  # the value of a line, and whether it is wrong
Look = Callable[[Standing, datetime], Finding]


@dataclass(frozen=True)
class Check:
    """One line of what needs a person, or does not: red if `wrong`, with the list behind it."""

    label: str
    value: str
    wrong: bool
    url: str


@dataclass(frozen=True)
class Line:
    """What is looked at, and the list behind it: a model such as credits.notice, and its filter."""

    label: Any
    look: Look
    model: str
    query: str = ""

    def check(self, standing: Standing, now: datetime) -> Check:
        value, wrong = self.look(standing, now)
        url = reverse(f"admin:{self.model.replace('.', '_')}_changelist")
        return Check(str(self.label), value, wrong, f"{url}?{self.query}" if self.query else url)

    @property
    def permission(self) -> str:
        """To see the list."""
        return self.model.replace(".", ".view_")


def visible_checks(request: HttpRequest, now: datetime) -> Iterator[Check]:
    """Those whose list the person may open."""
    standing = figures.standing()
    for line in LINES:
        if request.user.has_perm(line.permission):
            yield line.check(standing, now)


# What is looked at --------------------------------------------------------------------------------


def _none_of(count: Callable[[Standing], int]) -> Look:
    """There should be none of these."""

    def look(standing: Standing, now: datetime) -> Finding:
        number = count(standing)
        return grouped(number), number > 0

    return look


def _subscribers(standing: Standing, now: datetime) -> Finding:
    return grouped(standing.paying), False


def _not_applied(standing: Standing, now: datetime) -> Finding:
    return _backlog(sum(standing.inbox.values()), standing.inbox_oldest, now)


def _not_mirrored(standing: Standing, now: datetime) -> Finding:
    return _backlog(standing.mirror, standing.mirror_oldest, now)


def _backlog(count: int, oldest: datetime | None, now: datetime) -> Finding:
    if oldest is None:
        return grouped(count), False
    value = _("%(count)s, the oldest for %(time)s") % {
        "count": grouped(count),
        "time": timesince(oldest, now),
    }
    return value, oldest < now - EVENT_IS_LATE


def _reconciliation(standing: Standing, now: datetime) -> Finding:
    night = standing.reconciliation
    if night is None:
        return _("Never compared"), False
    if night.error:
        return _("Could not compare"), True
    value = _("%(count)s, %(day)s") % {"count": grouped(night.found), "day": night.day}
    return value, night.found > 0 or night.started_at < now - CHECK_IS_LATE


def _audit(standing: Standing, now: datetime) -> Finding:
    last = standing.audit
    if last is None:
        return _("Never proved"), False
    value = ngettext(
        "%(count)s in %(accounts)s account, %(time)s ago",
        "%(count)s in %(accounts)s accounts, %(time)s ago",
        last.accounts,
    ) % {
        "count": grouped(last.found),
        "accounts": grouped(last.accounts),
        "time": timesince(last.started_at, now),
    }
    if not last.finished_at:
        value += " " + _("(under way)")
    ended = standing.audit_finished_at or last.started_at  # of any: the last may be under way
    return value, last.found > 0 or ended < now - CHECK_IS_LATE


def _workers(standing: Standing, now: datetime) -> Finding:
    alive = generations.workers_alive(now=now)
    return grouped(alive), not alive


def _failing(standing: Standing, now: datetime) -> Finding:
    """A model that fails one in four, or worse."""
    failed, ended = generations.failed_of(since=now - timedelta(hours=1))
    value = _("%(failed)s of %(ended)s") % {"failed": grouped(failed), "ended": grouped(ended)}
    return value, failed > FEW and failed * 4 >= ended


def _waiting_longest(standing: Standing, now: datetime) -> Finding:
    oldest = generations.oldest_queued()
    if oldest is None or oldest >= now:
        return _("None"), False
    return timesince(oldest, now), oldest < now - START_IS_LATE


LINES = [
    Line(
        _lazy("Active subscribers"),
        _subscribers,
        "credits.subscription",
        f"status__in={','.join(figures.PAYING)}",
    ),
    Line(
        _lazy("Stripe's events that failed"),
        _none_of(lambda standing: standing.inbox.get("failed", 0)),
        "credits.inboxevent",
        "state__exact=failed",
    ),
    Line(
        _lazy("Stripe's events not applied yet"),
        _not_applied,
        "credits.inboxevent",
        "next_attempt_at__isnull=False",
    ),
    Line(
        _lazy("Stripe's events not mirrored yet"),
        _not_mirrored,
        "credits.inboxevent",
        "next_mirror_at__isnull=False",
    ),
    Line(
        _lazy("Stripe's events that could not be mirrored"),
        _none_of(lambda standing: standing.mirror_given_up),
        "credits.inboxevent",
        "mirrored_at__isnull=True&next_mirror_at__isnull=True",
    ),
    Line(
        _lazy("Differences between Stripe and the books"),
        _reconciliation,
        "credits.reconciliation",
    ),
    Line(_lazy("What does not balance in the books"), _audit, "credits.ledgeraudit"),
    Line(
        _lazy("Adjustments that wait for a second person"),
        _none_of(lambda standing: standing.adjustments_waiting),
        "credits.adjustment",
        "state__exact=waiting",
    ),
    Line(
        _lazy("Payments for accounts that were deleted before"),
        _none_of(lambda standing: late_payments().count()),
        "credits.payment",
        "late=yes",
    ),
    Line(
        _lazy("Mails given up"),
        _none_of(lambda standing: standing.notices_given_up),
        "credits.notice",
        "state__exact=failed",
    ),
    Line(_lazy("Workers alive"), _workers, "generation.generation"),
    Line(
        _lazy("Oldest generation that waits for its start"),
        _waiting_longest,
        "generation.generation",
        "status__exact=queued",
    ),
    Line(
        _lazy("Generations of the last hour that the model failed"),
        _failing,
        "generation.generation",
        "status__exact=failed",
    ),
]
