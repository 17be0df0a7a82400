"""Telling staff, by mail to STAFF_EMAILS, what needs a person: once, all of a run in one mail."""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import CharField, Exists, OuterRef, Q, Value
from django.db.models.functions import Concat
from django.template.loader import render_to_string
from django.urls import reverse

from credits.models import Adjustment, InboxEvent, Notice
from credits.notices.mails import absolute
from credits.notices.outbox import claim, postpone, settle, tell_staff

logger = logging.getLogger(__name__)
State = InboxEvent.State

WAITED_TOO_LONG = timedelta(minutes=15)
FAILED_TOO_OFTEN = 3
AT_ONCE = 100  # things in one mail; the rest follows with the next run


def alert_staff(*, now: datetime) -> int:
    """Mails what nobody was told of: stuck events, adjustments that wait, and tell_staff().

    Returns how many things.

    Without STAFF_EMAILS nothing is kept either: who sets it is told of all that is still wrong.
    """
    if not settings.STAFF_EMAILS:
        return 0
    _find_stuck_events(now)
    _find_waiting_adjustments(now)
    return _send(now)


def _find_stuck_events(now: datetime) -> None:
    key = Concat(Value("inbox:"), OuterRef("event_id"), output_field=CharField())
    told = Notice.objects.filter(kind=Notice.Kind.STAFF, fact_key=key)
    stuck = InboxEvent.objects.filter(
        Q(state=State.WAITING, received_at__lte=now - WAITED_TOO_LONG)
        | Q(state=State.FAILED, attempts__gte=FAILED_TOO_OFTEN),
        next_attempt_at__isnull=False,  # says nothing new, but has an index
    )
    for event in stuck.exclude(Exists(told)).order_by("pk")[:AT_ONCE]:
        tell_staff(
            fact_key=f"inbox:{event.event_id}",
            text=f"{event.type} is {event.get_state_display().lower()}: {event.why[:200]}",
            path=reverse("admin:credits_inboxevent_change", args=[event.pk]),
            now=now,
        )


def _find_waiting_adjustments(now: datetime) -> None:
    waiting = Adjustment.objects.filter(state=Adjustment.State.WAITING).order_by("requested_at")
    keys = {f"adjustment:{adjustment.pk}": adjustment for adjustment in waiting[:AT_ONCE]}
    told = Notice.objects.filter(kind=Notice.Kind.STAFF, fact_key__in=keys)
    for key in keys.keys() - set(told.values_list("fact_key", flat=True)):
        adjustment = keys[key]
        tell_staff(
            fact_key=key,
            text=f"An adjustment of {adjustment.weight} credits waits for a second person",
            path=reverse("admin:credits_adjustment_decide", args=[adjustment.pk]),
            now=now,
        )


def _send(now: datetime) -> int:
    due = Notice.objects.filter(kind=Notice.Kind.STAFF, next_attempt_at__lte=now).order_by("pk")
    ids = due.values_list("pk", flat=True)[:AT_ONCE]
    claimed = [notice for pk in list(ids) if (notice := claim(pk, now=now))]
    if not claimed:
        return 0
    try:
        _message(claimed).send()
    except Exception as error:  # whatever it is: each row stays and says so
        logger.exception("staff could not be told")
        for notice in claimed:
            postpone(notice, error, now)
        return 0
    for notice in claimed:
        settle(notice, Notice.State.SENT, sent_at=now)
    return len(claimed)


def _message(notices: list[Notice]) -> EmailMessage:
    things = [(notice.context["text"], absolute(notice.context["path"])) for notice in notices]
    unsettled = reverse("admin:credits_inboxevent_changelist") + "?state=unsettled"
    body = render_to_string(
        "mail/staff.txt",
        {
            "things": things,
            "unsettled_url": absolute(unsettled),
            "site_url": settings.SITE_URL,
        },
    )
    count = len(things)
    subject = things[0][0] if count == 1 else f"{count} things need a person"
    return EmailMessage(
        subject=f"[billing] {' '.join(subject.split())[:150]}",
        body=body,
        to=settings.STAFF_EMAILS,
    )
