"""What the money core comes to, for the front page of the staff: days, and how things stand.

A day is one in UTC. Its totals are sums of the ledger's lines, so all days together say what
`manage.py check_ledger` says. Finished days are kept (DailyTotal, written by
services.add_up_days); today is added up from the lines, by index.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import TruncDay

from credits.models import (
    Account,
    Adjustment,
    CreditLot,
    DailyTotal,
    InboxEvent,
    LedgerAudit,
    LedgerEntry,
    Notice,
    Reconciliation,
    RetailToken,
    Subscription,
)

Kind = LedgerEntry.Kind

DAYS = 30
SETTLED = timedelta(hours=1)  # after its end no transaction of a day can be under way any more
PAYING = ("active", "trialing", "past_due")


@dataclass(frozen=True)
class Outstanding:
    """Credits that customers can still claim, and what was paid for them, by currency.

    Credits that were carried over into a new period count, but for no money.
    """

    credits: int
    owed: int
    tokens: int
    money: dict[str, int]


@dataclass(frozen=True)
class Standing:
    """What needs a person, or might: counts now, and the last nightly checks."""

    subscribers: dict[str, int]
    inbox: dict[str, int]
    inbox_oldest: datetime | None
    mirror: int
    mirror_oldest: datetime | None
    mirror_given_up: int
    adjustments_waiting: int
    notices_given_up: int
    reconciliation: Reconciliation | None
    audit: LedgerAudit | None
    audit_finished_at: datetime | None

    @property
    def paying(self) -> int:
        return sum(self.subscribers.get(status, 0) for status in PAYING)


def last_days(*, now: datetime) -> list[DailyTotal]:
    """The last DAYS days, the oldest first, today last. A fixed number of queries."""
    today = now.astimezone(UTC).date()
    days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    kept = {total.day: total for total in DailyTotal.objects.filter(day__gte=days[0])}
    read = add_up(min(day for day in days if day == today or day not in kept), today, now=now)
    return [read.get(day) or kept[day] for day in days]


def add_up(first: date, last: date, *, now: datetime) -> dict[date, DailyTotal]:
    """The totals of each of these days, from the ledger. Not saved."""
    count = (last - first).days + 1
    days = [first + timedelta(days=number) for number in range(count)]
    totals = {day: DailyTotal(day=day, added_up_at=now) for day in days}
    rows = _by_day(LedgerEntry.objects.all(), _start(first), _start(last + timedelta(days=1)))
    for row in rows.values("date", "kind").annotate(
        lines=Count("*"), out=_sum(amount__lt=0), come=_sum(amount__gt=0)
    ):
        _count_lines(totals[row["date"].date()], row["kind"], row["come"] or 0, row["out"] or 0)
        totals[row["date"].date()].lines += row["lines"]
    _count_sales(totals, rows)
    _count_breakage(totals, rows)
    _count_tokens(totals, _start(first), _start(last + timedelta(days=1)))
    return totals


def outstanding(*, now: datetime) -> Outstanding:
    """What is left of all lots that have not ended, set aside or not, and all unused tokens."""
    lots = CreditLot.objects.filter(Q(remaining__gt=0) | Q(frozen__gt=0)).exclude(
        expires_at__lte=now
    )
    by_price = lots.values("currency", "granted", "amount_paid").annotate(
        left=Sum(F("remaining") + F("frozen"))
    )
    found, money = 0, Counter[str]()
    for price in by_price:
        found += price["left"]
        money[price["currency"]] += _worth(price["left"], price)
    unused = RetailToken.objects.filter(state__in=["available", "reserved"])
    tokens = 0
    for row in unused.values("currency").annotate(count=Count("id"), paid=Sum("amount_paid")):
        tokens += row["count"]
        money[row["currency"]] += row["paid"]
    owed = Account.objects.filter(owed__gt=0).aggregate(sum=Sum("owed"))["sum"] or 0
    return Outstanding(found, owed, tokens, _plain(money))


def standing() -> Standing:
    """How things stand. A fixed number of queries, each by an index or of a small table."""
    unsettled = InboxEvent.objects.filter(next_attempt_at__isnull=False)
    events = list(unsettled.values("state").annotate(count=Count("id"), oldest=Min("received_at")))
    to_mirror = InboxEvent.objects.filter(next_mirror_at__isnull=False)
    mirror = to_mirror.aggregate(count=Count("*"), oldest=Min("received_at"))
    given_up = InboxEvent.objects.filter(mirrored_at__isnull=True, next_mirror_at__isnull=True)
    by_status = Subscription.objects.values("status").annotate(count=Count("id"))
    return Standing(
        subscribers=dict(by_status.values_list("status", "count")),
        inbox={row["state"]: row["count"] for row in events},
        inbox_oldest=min((row["oldest"] for row in events), default=None),
        mirror=mirror["count"],
        mirror_oldest=mirror["oldest"],
        mirror_given_up=given_up.count(),
        adjustments_waiting=Adjustment.objects.filter(state=Adjustment.State.WAITING).count(),
        notices_given_up=Notice.objects.filter(state=Notice.State.FAILED).count(),
        reconciliation=Reconciliation.objects.order_by("-day").first(),
        audit=LedgerAudit.objects.order_by("-started_at", "-id").first(),
        audit_finished_at=LedgerAudit.objects.aggregate(last=Max("finished_at"))["last"],
    )


# Adding up ----------------------------------------------------------------------------------------


def _count_lines(total: DailyTotal, kind: str, come: int, out: int) -> None:
    """One kind of one day: `come` in and `out` (negative) out. Sales are told apart later."""
    if kind in (Kind.HOLD, Kind.RELEASE, Kind.REFUND):
        total.spent -= come + out
    elif kind in (Kind.GRANT, Kind.ADJUST):
        total.granted += come
        total.spent -= out  # removed by staff: a captured hold like any other
    elif kind == Kind.EXPIRE:
        total.expired -= come + out
    elif kind in (Kind.CLAW_BACK, Kind.RESTORE, Kind.REPAY):
        total.clawed_back -= come + out


def _count_sales(totals: dict[date, DailyTotal], rows: "QuerySet[Any, Any]") -> None:
    sales = rows.filter(kind=Kind.GRANT, lot__amount_paid__gt=0, id=F("lot_id"))
    for row in sales.values("date", "lot__currency").annotate(
        credits=Sum("amount"), paid=Sum("lot__amount_paid")
    ):
        total = totals[row["date"].date()]
        total.sold += row["credits"]
        total.granted -= row["credits"]
        _add_money(total.money, row["lot__currency"], row["paid"])


def _count_breakage(totals: dict[date, DailyTotal], rows: "QuerySet[Any, Any]") -> None:
    """By price, of which there are few, so that money is divided here and rounded down once."""
    ended = rows.filter(kind=Kind.EXPIRE, lot__amount_paid__gt=0).values(
        "date",
        currency=F("lot__currency"),
        granted=F("lot__granted"),
        amount_paid=F("lot__amount_paid"),
    )
    for row in ended.annotate(credits=-Sum("amount")):
        total = totals[row["date"].date()]
        total.expired_paid += row["credits"]
        _add_money(total.expired_money, row["currency"], _worth(row["credits"], row))


def _count_tokens(totals: dict[date, DailyTotal], start: datetime, end: datetime) -> None:
    tokens = _by_day(RetailToken.objects.filter(amount_paid__gt=0), start, end)
    for row in tokens.values("date", "currency").annotate(paid=Sum("amount_paid")):
        _add_money(totals[row["date"].date()].money, row["currency"], row["paid"])


def _by_day(rows: "QuerySet[Any]", start: datetime, end: datetime) -> "QuerySet[Any]":
    within = rows.order_by().filter(created_at__gte=start, created_at__lt=end)
    days: QuerySet[Any] = within.annotate(date=TruncDay("created_at", tzinfo=UTC))
    return days


def _sum(**condition: int) -> Sum:
    return Sum("amount", filter=Q(**condition))


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _add_money(money: dict[str, int], currency: str, amount: int) -> None:
    money[currency] = money.get(currency, 0) + int(amount)


def _worth(share: int, row: Mapping[str, Any]) -> int:
    """What was paid for `share` credits of lots with this price, rounded down."""
    return int(share * row["amount_paid"] // row["granted"])


def _plain(money: Counter[str]) -> dict[str, int]:
    return {currency: amount for currency, amount in sorted(money.items()) if amount}
