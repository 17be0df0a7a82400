"""Reads of generations."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q, QuerySet
from django.db.models.functions import Lower

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
