"""What staff does with an event of the inbox: try it out, retry it, ignore it, mirror it again.

An event is locked as a worker locks it, so that it is only ever in one pair of hands, and what was
done stands in the audit log in the same transaction.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Max, Q, QuerySet

from credits import services
from credits.models import InboxEvent, LedgerEntry, Notice, RetailToken
from credits.payments import inbox
from credits.payments.readers import Object, text
from credits.payments.reconcile import dry_run

State = InboxEvent.State


class EventBusy(Exception):
    """Somebody else, a worker most likely, has the event in hands right now."""

    def __init__(self) -> None:
        super().__init__("A worker has this event in hands right now: look again in a moment.")


class EventSettled(Exception):
    """The event has been applied, or is where it should be: nothing is left to be done by hand."""


@dataclass(frozen=True)
class Trial:
    """What applying the event now would do: the event as it would be, and what would be written."""

    event: InboxEvent
    entries: list[LedgerEntry]
    tokens: list[RetailToken]
    notices: list[Notice]


def try_out(pk: int, *, now: datetime) -> Trial:
    """Runs the event's real rule and takes all of it back. Raises EventBusy.

    The account is locked meanwhile, for milliseconds.
    """
    event = InboxEvent.objects.get(pk=pk)
    obj = json.loads(event.body)["data"]["object"]
    expected = dry_run.account_of(text(obj, "customer"), dry_run.payment_intents(obj))
    account_id, trial = _try(pk, obj, expected, now)
    if account_id not in (None, expected):  # only the rule knew whose it is
        _, trial = _try(pk, obj, account_id, now)
    return trial


def _try(pk: int, obj: Object, account_id: int | None, now: datetime) -> tuple[int | None, Trial]:
    whose = Q(account_id=account_id or 0)
    with services.rehearsal():
        event = _in_hands(pk)
        dry_run.lock(event.type, dry_run.payment_intents(obj), account_id)
        known_lines = LedgerEntry.objects.filter(whose).aggregate(newest=Max("sequence"))
        known_tokens = dict(RetailToken.objects.filter(whose).values_list("pk", "state"))
        inbox.apply(event, now)
        lines = LedgerEntry.objects.filter(whose, sequence__gt=known_lines["newest"] or 0)
        tokens = RetailToken.objects.filter(whose).order_by("pk")
        mails = Notice.objects.filter(whose, created_at=now).order_by("pk")
        trial = Trial(
            event=event,
            entries=list(lines.select_related("lot").order_by("sequence")),
            tokens=[token for token in tokens if known_tokens.get(token.pk) != token.state],
            notices=list(mails),
        )
    return event.account_id, trial


def retry(pk: int, *, actor: str, now: datetime) -> InboxEvent:
    """Applies the event at once, whether it waits, has failed or was ignored; how it ended.

    Raises EventBusy, and EventSettled if it has been applied.
    """
    with _changed(pk, "inbox.retry", actor, "", now) as event:
        inbox.apply(event, now)
    return event


def ignore(pk: int, *, actor: str, reason: str, now: datetime) -> InboxEvent:
    """Gives the event up until somebody retries it. Raises EventBusy and EventSettled."""
    with _changed(pk, "inbox.ignore", actor, reason, now) as event:
        inbox.settle(event, State.IGNORED, f"staff: {reason}")
    return event


def mirror_again(pk: int, *, actor: str, now: datetime) -> None:
    """Feeds the event to dj-stripe once more, from the start. Raises EventSettled if it has it."""
    with transaction.atomic():
        given_up = InboxEvent.objects.filter(pk=pk, mirrored_at=None)
        if not given_up.update(next_mirror_at=now, mirror_attempts=0, mirror_error=""):
            raise EventSettled("dj-stripe has this event.")
        event = InboxEvent.objects.only("event_id", "account_id").get(pk=pk)
        _record("inbox.mirror_again", event, actor, "", now)


def _in_hands(pk: int) -> InboxEvent:
    """The event, locked; a row that another worker has locked is not waited for."""
    event = inbox.free(InboxEvent.objects.filter(pk=pk)).first()
    if event is None:
        raise EventBusy
    return event


@contextmanager
def _changed(pk: int, action: str, actor: str, reason: str, now: datetime) -> Iterator[InboxEvent]:
    with transaction.atomic():
        event = _in_hands(pk)
        if event.state == State.APPLIED:
            raise EventSettled("This event has been applied.")
        before = _standing(event)
        yield event
        inbox.save([event])
        _record(action, event, actor, reason, now, before=before, after=_standing(event))


def _record(
    action: str, event: InboxEvent, actor: str, reason: str, now: datetime, **more: Any
) -> None:
    services.record_action(
        actor=actor,
        action=action,
        reason=reason,
        now=now,
        account_id=event.account_id,
        target=event.event_id,
        **more,
    )


def _standing(event: InboxEvent) -> dict[str, str]:
    return {"state": str(event.state), "reason": event.why[:500]}


def lines_of(event: InboxEvent) -> QuerySet[LedgerEntry]:
    """The ledger lines that the event caused: a rule writes its lines at the time it notes.

    Several events of an account may be applied at one moment; lines that name the fact of another
    are not this one's.
    """
    if event.account_id is None or event.applied_at is None:
        return LedgerEntry.objects.none()
    at_once = InboxEvent.objects.filter(account_id=event.account_id, applied_at=event.applied_at)
    others = at_once.exclude(pk=event.pk).exclude(fact_key=event.fact_key)
    lines = LedgerEntry.objects.filter(account_id=event.account_id, created_at=event.applied_at)
    return lines.exclude(reference__in=others.values("fact_key")).order_by("sequence")
