"""Reads of generations."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet

from generation.models import Generation, OperationPrice, Worker


def generations(*, account_id: int) -> QuerySet[Generation]:
    """The account's generations, newest first."""
    return Generation.objects.filter(account_id=account_id).order_by("-created_at", "-id")


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
