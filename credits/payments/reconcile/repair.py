"""Repairing differences: the inbox is told what it missed, and its rules book it.

A later delivery of the same event, or of the real one where ours was made up, books nothing more:
rules count facts, not events.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from credits.models import InboxEvent
from credits.payments import inbox, intake
from credits.payments.readers import Object
from credits.payments.reconcile.differences import Difference

State = InboxEvent.State


@dataclass(frozen=True)
class Left:
    """A difference that is still there, and why."""

    difference: Difference
    why: str

    def __str__(self) -> str:
        return f"{self.difference} [not repaired: {self.why}]"


def repair(differences: Sequence[Difference], *, now: datetime) -> list[Left]:
    """Tells the inbox, oldest event first; returns what is left for a person."""
    left = [Left(row, "a person has to decide") for row in differences if row.event is None]
    told = {_tell(row.event, now): row for row in sorted(differences, key=_age) if row.event}
    for _ in range(2):  # of two events, one may wait for the other
        _apply(list(told), now)
    for event_id, difference in told.items():
        row = _settled(event_id)
        if row.state != State.APPLIED:
            left.append(Left(difference, row.reason.strip().rpartition("\n")[2] or row.state))
    return left


def _age(difference: Difference) -> int:
    return difference.event["created"] if difference.event else 0


def _tell(event: Object, now: datetime) -> str:
    row = intake.parse(json.dumps(event))
    intake.store(row)
    # Also what had been applied once: somebody may have taken away what it had brought.
    InboxEvent.objects.filter(event_id=row.event_id).update(
        state=State.RECEIVED, next_attempt_at=now
    )
    return row.event_id


def _apply(event_ids: list[str], now: datetime) -> None:
    """With whatever else is due: nothing is, unless no worker runs."""
    unsettled = InboxEvent.objects.filter(event_id__in=event_ids, next_attempt_at__isnull=False)
    unsettled.update(next_attempt_at=now)
    while unsettled.filter(next_attempt_at__lte=now).exists() and inbox.apply_due(now=now):
        pass


@transaction.atomic
def _settled(event_id: str) -> InboxEvent:
    """The event, after a worker that may be at it has finished."""
    return InboxEvent.objects.select_for_update().get(event_id=event_id)
