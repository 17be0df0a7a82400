"""The statement: which lines, page by page, and what they add up to. Reads only."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from credits.models import Account, LedgerEntry, Pool

LINES_PER_PAGE = 50
BATCH = 1000


@dataclass(frozen=True)
class Month:
    """A calendar month in the current time zone."""

    year: int
    number: int

    @property
    def start(self) -> datetime:
        naive = datetime(self.year, self.number, 1)  # noqa: DTZ001 (made aware at once)
        return timezone.make_aware(naive)

    @property
    def end(self) -> datetime:
        """The first moment of the next month."""
        return self.next.start

    @property
    def next(self) -> "Month":
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def last_day(self) -> datetime:
        return self.end - timedelta(microseconds=1)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"


@dataclass(frozen=True)
class Selection:
    """Lines of one account: all, or those of a month, a pool, a kind."""

    account_id: int
    month: Month | None = None
    pool: str = ""
    kind: str = ""

    @property
    def is_all(self) -> bool:
        return not (self.month or self.pool or self.kind)

    def lines(self) -> QuerySet[LedgerEntry]:
        """Newest first, each with its lot: explaining them costs no further query."""
        wanted = Q(account_id=self.account_id)
        if self.month:
            wanted &= Q(created_at__gte=self.month.start, created_at__lt=self.month.end)
        if self.pool:
            wanted &= Q(pool=self.pool)
        if self.kind:
            wanted &= Q(kind=self.kind)
        return LedgerEntry.objects.filter(wanted).select_related("lot").order_by("-sequence")


@dataclass(frozen=True)
class Page:
    """Lines, newest first; the sequences to go on from where there are newer or older ones."""

    entries: list[LedgerEntry]
    newer: int | None
    older: int | None


@dataclass(frozen=True)
class Movement:
    """What a month did to a pool: opening + added + taken = closing. `taken` is not positive."""

    pool: Pool
    opening: int
    added: int
    taken: int

    @property
    def closing(self) -> int:
        return self.opening + self.added + self.taken


def page(selection: Selection, *, before: int | None = None, after: int | None = None) -> Page:
    """The lines next below the sequence `before`, next above `after`, or the newest.

    Keyset paging: every page costs the same, and lines added meanwhile shift nothing.
    """
    lines = selection.lines()
    if after is not None:
        found = list(lines.filter(sequence__gt=after).order_by("sequence")[: LINES_PER_PAGE + 1])
        more_newer, more_older = len(found) > LINES_PER_PAGE, bool(found)
        found = found[:LINES_PER_PAGE][::-1]
        if found:
            more_older = lines.filter(sequence__lt=found[-1].sequence).exists()
    else:
        below = lines if before is None else lines.filter(sequence__lt=before)
        found = list(below[: LINES_PER_PAGE + 1])
        more_older = len(found) > LINES_PER_PAGE
        found = found[:LINES_PER_PAGE]
        more_newer = before is not None and lines.filter(sequence__gte=before).exists()
    return Page(
        entries=found,
        newer=found[0].sequence if found and more_newer else None,
        older=found[-1].sequence if found and more_older else None,
    )


def in_batches(selection: Selection, *, last: int) -> Iterator[LedgerEntry]:
    """All lines up to sequence `last`, oldest first, holding a thousand at a time in memory."""
    lines = selection.lines().order_by("sequence").filter(sequence__lte=last)
    seen = 0
    while batch := list(lines.filter(sequence__gt=seen)[:BATCH]):
        yield from batch
        seen = batch[-1].sequence


def movements(*, account_id: int, month: Month | None) -> list[Movement]:
    """What the month (or all time) did to each pool, by the moments that stand in the lines."""
    start, end = (month.start, month.end) if month else (None, None)
    before = Q(created_at__lt=start) if start else Q(pk=None)
    within = ~before & (Q(created_at__lt=end) if end else Q())
    lines = LedgerEntry.objects.filter(account_id=account_id).order_by()
    sums = lines.values("pool").annotate(
        opening=Sum("amount", filter=before, default=0),
        added=Sum("amount", filter=within & Q(amount__gt=0), default=0),
        taken=Sum("amount", filter=within & Q(amount__lt=0), default=0),
    )
    found = {row["pool"]: (row["opening"], row["added"], row["taken"]) for row in sums}
    return [Movement(pool, *found.get(pool.value, (0, 0, 0))) for pool in Pool]


def months(account: Account, *, now: datetime) -> list[Month]:
    """The months in which the account can have lines, newest first."""
    lines = LedgerEntry.objects.filter(account=account).order_by("sequence")
    first = lines.values_list("created_at", flat=True).first() or now
    month, last = _month_of(first), _month_of(now)
    found = [month]
    while (month.year, month.number) < (last.year, last.number):
        month = month.next
        found.append(month)
    return found[::-1]


def _month_of(moment: datetime) -> Month:
    local = timezone.localtime(moment)
    return Month(local.year, local.month)
