"""Every read of the money core that is worth a name. Nothing here writes or locks."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db.models import F, Min, Q, QuerySet, Sum
from django.db.models.functions import TruncHour

from credits.audit import find_imbalances
from credits.models import Account, CreditLot, Hold, LedgerEntry, Offer, Pool, RetailToken

__all__ = [
    "Balance",
    "Expiry",
    "LotStory",
    "balance",
    "balance_at",
    "expiries",
    "explain",
    "find_imbalances",
    "frozen",
    "history",
    "offers",
    "runs_out_at",
    "usage_by_day",
]

TokenState = RetailToken.State
FAR_AWAY = timedelta(days=365)


@dataclass(frozen=True)
class Expiry:
    """`amount` credits end at `at` unless they are spent before."""

    amount: int
    at: datetime


@dataclass(frozen=True)
class Balance:
    """What an account has, in credits (and retail tokens, in pieces)."""

    pools: dict[str, int]
    retail_tokens: int
    owed: int
    held: int
    next_expiry: Expiry | None

    @property
    def available(self) -> int:
        return sum(self.pools.values())


@dataclass(frozen=True)
class LotStory:
    """What became of one lot: `granted` = the other numbers added up."""

    lot: CreditLot
    granted: int
    remaining: int
    frozen: int
    used: int
    expired: int
    carried_over: int
    clawed_back: int


def balance(*, account_id: int, now: datetime) -> Balance:
    """The balance now. Lots that have ended do not count, also before expire_due has run."""
    account = Account.objects.get(pk=account_id)
    open_lots = CreditLot.objects.filter(account_id=account_id, remaining__gt=0).exclude(
        expires_at__lte=now
    )
    return Balance(
        pools=_by_pool(open_lots, "remaining"),
        retail_tokens=_tokens(account_id).filter(state=TokenState.AVAILABLE).count(),
        owed=account.owed,
        held=_sum(Hold.objects.filter(account_id=account_id, state=Hold.State.OPEN), "amount"),
        next_expiry=_next_expiry(open_lots),
    )


def expiries(*, account_id: int, now: datetime) -> dict[str, list[Expiry]]:
    """What will end, by pool, the soonest first."""
    lots = CreditLot.objects.filter(account_id=account_id, remaining__gt=0, expires_at__gt=now)
    sums = lots.values("pool", "expires_at").annotate(sum=Sum("remaining")).order_by("expires_at")
    found: dict[str, list[Expiry]] = {pool: [] for pool in Pool.values}
    for pool, at, amount in sums.values_list("pool", "expires_at", "sum"):
        assert at is not None, "filtered"
        found[pool].append(Expiry(amount=amount, at=at))
    return found


def balance_at(*, account_id: int, moment: datetime) -> Balance:
    """The balance as it was at a past moment, from the lines written until then.

    Two numbers are taken from states, not lines: a token counts as available from its issue to its
    use, and a hold counts from its taking to its settlement.
    """
    lines = LedgerEntry.objects.filter(account_id=account_id, created_at__lte=moment)
    last = lines.order_by("-sequence").first()
    holds = Hold.objects.filter(account_id=account_id, created_at__lte=moment)
    tokens = _tokens(account_id).filter(created_at__lte=moment)
    return Balance(
        # Lines of a lot that had ended by then are left out: its expiry may be written later.
        pools=_by_pool(lines.exclude(lot__expires_at__lte=moment), "amount"),
        retail_tokens=tokens.filter(Q(settled_at__gt=moment) | Q(settled_at=None)).count(),
        owed=last.owed_after if last else 0,
        held=_sum(holds.filter(Q(settled_at__gt=moment) | Q(settled_at=None)), "amount"),
        next_expiry=None,
    )


def history(*, account_id: int) -> QuerySet[LedgerEntry]:
    """The account's ledger lines, newest first."""
    return LedgerEntry.objects.filter(account_id=account_id).order_by("-sequence")


def explain(*, account_id: int) -> Iterator[LotStory]:
    """Why the balance is what it is: every lot, newest first, and what became of its credits."""
    lots = CreditLot.objects.filter(account_id=account_id).order_by("-id")
    moved: dict[int, dict[str, int]] = defaultdict(dict)
    lines = LedgerEntry.objects.filter(account_id=account_id).exclude(id=F("lot_id"))
    for row in lines.values("lot_id", "kind").annotate(sum=Sum("amount")):
        moved[row["lot_id"]][row["kind"]] = -row["sum"]
    for lot in lots:
        yield _story(lot, moved[lot.pk])


def frozen(*, account_id: int) -> int:
    """Credits set aside while disputes about their purchases are open."""
    return _sum(CreditLot.objects.filter(account_id=account_id, frozen__gt=0), "frozen")


def usage_by_day(*, account_id: int, since: datetime) -> dict[date, int]:
    """Credits that finished work has cost, by the day on which it ended, where `since` is.

    Idle days are left out. What staff removed is no usage, and what was given back after the work
    does not count.
    """
    kept = Hold.objects.filter(account_id=account_id, settled_at__gte=since, captured__gt=0)
    work = kept.exclude(reference__startswith="adjustment:")
    # By the hour in UTC: days elsewhere need tables of time zones that MariaDB may not have.
    hours = work.annotate(hour=TruncHour("settled_at", tzinfo=UTC)).order_by("hour")
    used: dict[date, int] = defaultdict(int)
    for hour, amount in (
        hours.values("hour").annotate(sum=Sum("captured")).values_list("hour", "sum")
    ):
        used[hour.astimezone(since.tzinfo).date()] += amount
    return dict(used)


def runs_out_at(
    balance: Balance, ends: dict[str, list[Expiry]], *, used: int, within: timedelta, now: datetime
) -> datetime | None:
    """When the credits are gone if spending goes on as it did: `used` credits `within` that time.

    Credits are spent in burn order, and what ends before its turn is lost. Renewals do not count.
    None if nothing was used; later than FAR_AWAY from now is only known to be later.
    """
    if used <= 0:
        return None
    at = now
    for pool in Pool.values:
        lasting = balance.pools[pool] - sum(expiry.amount for expiry in ends[pool])
        for amount, end in [*((e.amount, e.at) for e in ends[pool]), (lasting, None)]:
            if at > now + FAR_AWAY:
                return at
            enough = min(amount, used * (FAR_AWAY // within + 1))  # dates have an end
            spent_at = at + within * (enough / used)
            at = max(at, min(spent_at, end or spent_at))
    return at


def offers() -> QuerySet[Offer]:
    """What is for sale, in the order of the price list."""
    return Offer.objects.filter(active=True).order_by("order", "slug")


def _story(lot: CreditLot, moved: dict[str, int]) -> LotStory:
    kind = LedgerEntry.Kind
    used = (kind.HOLD, kind.RELEASE, kind.REFUND, kind.ADJUST)
    given_up = (kind.CLAW_BACK, kind.RESTORE, kind.REPAY)
    return LotStory(
        lot=lot,
        granted=lot.granted,
        remaining=lot.remaining,
        frozen=lot.frozen,
        used=sum(moved.get(name, 0) for name in used),
        expired=moved.get(kind.EXPIRE, 0),
        carried_over=moved.get(kind.ROLLOVER, 0),
        clawed_back=sum(moved.get(name, 0) for name in given_up),
    )


def _tokens(account_id: int) -> QuerySet[RetailToken]:
    return RetailToken.objects.filter(account_id=account_id)


def _by_pool(rows: QuerySet, field: str) -> dict[str, int]:  # type: ignore[type-arg]
    sums = rows.order_by().values("pool").annotate(sum=Sum(field))
    return {**dict.fromkeys(Pool.values, 0), **{row["pool"]: row["sum"] for row in sums}}


def _next_expiry(lots: QuerySet[CreditLot]) -> Expiry | None:
    at = lots.aggregate(at=Min("expires_at"))["at"]
    return Expiry(amount=_sum(lots.filter(expires_at=at), "remaining"), at=at) if at else None


def _sum(rows: QuerySet, field: str) -> int:  # type: ignore[type-arg]
    return rows.aggregate(sum=Sum(field))["sum"] or 0
