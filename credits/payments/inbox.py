"""Applying what the intake has stored. Whatever a rule raises, the row stays and says so."""

import json
import logging
import traceback
from datetime import datetime, timedelta

from django.db import connection, transaction

from credits.models import InboxEvent
from credits.payments import rules
from credits.payments.outcomes import Event, Ignore, Wait

logger = logging.getLogger(__name__)
State = InboxEvent.State

BATCH = 200
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=5)


def apply_due(*, now: datetime) -> int:
    """Applies events that are due, oldest first; returns how many it looked at (at most BATCH)."""
    due = InboxEvent.objects.filter(next_attempt_at__lte=now).order_by("next_attempt_at", "id")
    ids = list(due.values_list("pk", flat=True)[:BATCH])
    for pk in ids:
        apply_one(pk, now=now)
    return len(ids)


def apply_one(pk: int, *, now: datetime) -> None:
    """Applies one event in one transaction, unless another worker is at it."""
    skip_locked = connection.features.has_select_for_update_skip_locked
    with transaction.atomic():
        rows = InboxEvent.objects.select_for_update(skip_locked=skip_locked)
        row = rows.filter(pk=pk, next_attempt_at__lte=now).first()
        if row is None:
            return
        row.attempts += 1
        try:
            with transaction.atomic():
                done = rules.apply(_event(row, now))
        except Ignore as outcome:
            _settle(row, State.IGNORED, reason=str(outcome))
        except Wait as outcome:
            _postpone(row, State.WAITING, str(outcome), now)
        except Exception:  # whatever it is: the event stays, with its traceback
            logger.exception("%s %s could not be applied", row.type, row.event_id)
            _postpone(row, State.FAILED, traceback.format_exc(limit=-12), now)
        else:
            row.account_id, row.fact_key, row.applied_at = done.account_id, done.fact_key, now
            if done.waiting_for:
                _postpone(row, State.WAITING, f"Waiting for {done.waiting_for}.", now)
            elif done.ignored_because:
                _settle(row, State.IGNORED, done.ignored_because)
            else:
                _settle(row, State.APPLIED)
        row.save()


def _event(row: InboxEvent, now: datetime) -> Event:
    content = json.loads(row.body)
    return Event(row.type, content["data"]["object"], row.created_at, now)


def _settle(row: InboxEvent, state: str, reason: str = "") -> None:
    row.state, row.reason, row.next_attempt_at = state, reason, None


def _postpone(row: InboxEvent, state: str, reason: str, now: datetime) -> None:
    pause = min(FIRST_PAUSE * 2 ** min(row.attempts - 1, 10), LONGEST_PAUSE)
    row.state, row.reason, row.next_attempt_at = state, reason, now + pause
