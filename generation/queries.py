"""Reads of generations."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, DurationField, ExpressionWrapper, F, Min, Q, QuerySet, Window
from django.db.models.functions import Lower, RowNumber

from generation.failures import OF_THE_TEXT
from generation.models import Generation, OperationPrice, Worker


def generations(*, account_id: int) -> QuerySet[Generation]:
    """The account's generations, newest first."""
    return Generation.objects.filter(account_id=account_id).order_by("-created_at", "-id")


def found(
    rows: QuerySet[Generation], *, text: str = "", status: str = "", funding: str = ""
) -> QuerySet[Generation]:
    """Those with the text in prompt or output, in that status, paid that way; empty means any."""
    if text:
        # Not icontains: on MariaDB that goes by the column's collation, which tells A from a.
        rows = rows.alias(asked=Lower("prompt"), written=Lower("output"))
        wanted = text.lower()
        rows = rows.filter(Q(asked__contains=wanted) | Q(written__contains=wanted))
    if status:
        rows = rows.filter(status=status)
    return rows.filter(funding=funding) if funding else rows


def older_than(rows: QuerySet[Generation], last: Generation) -> QuerySet[Generation]:
    """What comes after it in a list with the newest first."""
    at = last.created_at
    return rows.filter(Q(created_at__lt=at) | Q(created_at=at, pk__lt=last.pk))


def ahead(generation: Generation) -> int:
    """How many others are to be started before one that is queued."""
    queued = Generation.objects.filter(status=Generation.Status.QUEUED)
    return queued.filter(run_at__lt=generation.run_at).count()


def generation(*, account_id: int, generation_id: UUID) -> Generation:
    """One generation of the account. Raises Generation.DoesNotExist, also for another's id."""
    return Generation.objects.get(account_id=account_id, pk=generation_id)


def prices() -> dict[str, int]:
    """Credits per operation, as a request made now would be quoted."""
    rows = OperationPrice.objects.order_by("version").values_list("operation", "cost")
    return dict(rows)


def workers_alive(*, now: datetime) -> int:
    """Workers seen in the last minute."""
    return Worker.objects.filter(seen_at__gte=now - timedelta(minutes=1)).count()


@dataclass
class Recent:
    """Generations asked for lately: how many per status, how long they took, why they failed.

    `median` and `p95` are from the request to the end, by status; nothing for what has not ended.
    """

    counts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    median: dict[str, timedelta] = field(default_factory=dict)
    p95: dict[str, timedelta] = field(default_factory=dict)


def recent(*, since: datetime) -> Recent:
    """Those created from `since` on. Two queries."""
    rows = Generation.objects.filter(created_at__gte=since).order_by()
    found = Recent()
    by_outcome = rows.values("status", "error_code").annotate(count=Count("*")).order_by("-count")
    for status, error, count in by_outcome.values_list("status", "error_code", "count"):
        found.counts[status] += count
        if error:
            found.errors[error] += count
    _add_latencies(found, rows.filter(finished_at__isnull=False))
    return found


def failed_of(*, since: datetime) -> tuple[int, int]:
    """Of those created from `since` on: how many failed through no fault of their text, of how many
    that ended. One query."""
    ended = Generation.objects.filter(created_at__gte=since, finished_at__isnull=False)
    ours = Q(status=Generation.Status.FAILED) & ~Q(error_code__in=OF_THE_TEXT)
    counts = ended.aggregate(failed=Count("pk", filter=ours), all=Count("pk"))
    return counts["failed"], counts["all"]


def oldest_queued() -> datetime | None:
    """When the generation that has waited longest for its start could have been started."""
    queued = Generation.objects.filter(status=Generation.Status.QUEUED)
    oldest: datetime | None = queued.aggregate(at=Min("run_at"))["at"]
    return oldest


def _add_latencies(found: Recent, ended: QuerySet[Generation]) -> None:
    """The database sorts each status and gives back two rows of it."""
    if not found.counts:
        return
    wanted = Q()
    for status, count in found.counts.items():
        wanted |= Q(status=status, place__in=[_place(count, 50), _place(count, 95)])
    took = ExpressionWrapper(F("finished_at") - F("created_at"), output_field=DurationField())
    place = Window(RowNumber(), partition_by=["status"], order_by=["took"])
    chosen = ended.annotate(took=took).annotate(place=place).filter(wanted)
    for status, at, duration in chosen.values_list("status", "place", "took"):
        if at == _place(found.counts[status], 50):
            found.median[status] = duration
        if at == _place(found.counts[status], 95):
            found.p95[status] = duration


def _place(count: int, percent: int) -> int:
    """Which of so many sorted ones, from 1, so many percent are not above (nearest rank)."""
    return max(1, -(-count * percent // 100))
