"""What the overview of a customer shows, ready for drawing."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from credits import queries
from credits.models import Account, Pool
from credits.payments.plan_state import PlanState, plan_state

DAYS_SHOWN = 30
DAY = timedelta(days=1)
PACE = 14 * DAY
SOON = 3 * DAY
BAR = 1000  # units of the stacked bar's width
THINNEST = 8  # a few credits among many can still be seen
CHART = 100  # units of the chart's height
STEP = 20  # and from one of its bars to the next


@dataclass(frozen=True)
class PoolPart:
    """One of the three pools and its part of the bar; `ends` is when its first credits end."""

    pool: Pool
    amount: int
    rule: str
    ends: queries.Expiry | None
    more_ends: bool
    x: int
    width: int


@dataclass(frozen=True)
class Day:
    """One bar of the chart, in its units."""

    day: date
    used: int
    x: int
    height: int

    @property
    def top(self) -> int:
        return CHART - self.height


@dataclass(frozen=True)
class Usage:
    """What was used on each of the last DAYS_SHOWN days, oldest first."""

    days: list[Day]
    total: int
    most: int
    recent: int  # within PACE


@dataclass(frozen=True)
class Runway:
    """When the credits run out at the pace of late."""

    at: datetime
    far: bool
    soon: bool


@dataclass(frozen=True)
class Overview:
    """Everything about credits that the page shows."""

    account: Account
    balance: queries.Balance
    frozen: int
    pools: list[PoolPart]
    usage: Usage
    runway: Runway | None
    plan: PlanState | None


def overview(account: Account, *, now: datetime) -> Overview:
    """Reads it all, with the same number of queries however long the history is."""
    balance = queries.balance(account_id=account.pk, now=now)
    ends = queries.expiries(account_id=account.pk, now=now)
    usage = _usage(account.pk, now)
    return Overview(
        account=account,
        balance=balance,
        frozen=queries.frozen(account_id=account.pk),
        pools=_pool_parts(balance, ends),
        usage=usage,
        runway=_runway(balance, ends, usage, now),
        plan=plan_state(account_id=account.pk, now=now),
    )


def _pool_parts(balance: queries.Balance, ends: dict[str, list[queries.Expiry]]) -> list[PoolPart]:
    rules = {
        Pool.SUBSCRIPTION: _("From your plan, new with every paid period. Spent first."),
        Pool.PROMOTIONAL: _("Gifts and goodwill, each with its own end. Spent second."),
        Pool.BULK: _("From credit packs. They never end. Spent last."),
    }
    parts, x = [], 0
    widths = _shares([balance.pools[pool] for pool in rules])
    for (pool, rule), width in zip(rules.items(), widths, strict=True):
        parts.append(
            PoolPart(
                pool=pool,
                amount=balance.pools[pool],
                rule=rule,
                ends=next(iter(ends[pool]), None),
                more_ends=len(ends[pool]) > 1,
                x=x,
                width=width,
            )
        )
        x += width
    return parts


def _shares(amounts: list[int]) -> list[int]:
    """The width of each amount, BAR in all; what is there has a width, what is not has none."""
    total = sum(amounts)
    if not total:
        return [0 for _amount in amounts]
    widths = [max(THINNEST, BAR * amount // total) if amount else 0 for amount in amounts]
    widths[widths.index(max(widths))] += BAR - sum(widths)
    return widths


def _usage(account_id: int, now: datetime) -> Usage:
    today = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    first = today - (DAYS_SHOWN - 1) * DAY
    used = queries.usage_by_day(account_id=account_id, since=first)
    most = max(used.values(), default=0)
    shown = []
    for number in range(DAYS_SHOWN):
        day = first.date() + number * DAY
        height = -(-CHART * used[day] // most) if day in used else 0
        shown.append(Day(day, used.get(day, 0), number * STEP, height))
    recent = sum(day.used for day in shown[-PACE.days :])
    return Usage(shown, total=sum(used.values()), most=most, recent=recent)


def _runway(
    balance: queries.Balance,
    ends: dict[str, list[queries.Expiry]],
    usage: Usage,
    now: datetime,
) -> Runway | None:
    if not balance.available:
        return None
    at = queries.runs_out_at(balance, ends, used=usage.recent, within=PACE, now=now)
    if at is None:
        return None
    return Runway(at, far=at > now + queries.FAR_AWAY, soon=at < now + SOON)
