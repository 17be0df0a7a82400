"""Feeding every stored event to dj-stripe, so that Stripe's objects are in its tables too.

Apart from applying: grants never wait for it, and nothing here moves a credit. dj-stripe asks
Stripe's API inside its transaction, so an event is claimed by a lease, not by a lock: its time is
moved ahead before dj-stripe begins. Two workers at one event do no harm, only work for nothing.
"""

import json
import logging
import traceback
from datetime import datetime, timedelta

import stripe
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse
from djstripe.models import APIKey, Event

from credits.models import InboxEvent
from credits.notices import tell_staff
from credits.payments.client import is_configured

logger = logging.getLogger(__name__)

BATCH = 20
LEASE = timedelta(minutes=15)  # far longer than a batch takes
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=6)
MOST_ATTEMPTS = 12  # about a day

# dj-stripe knows only the library's global client. Not longer than a transaction may be idle, and
# without its retries: ours come later and hold nothing meanwhile.
stripe.default_http_client = stripe.RequestsClient(timeout=5)
stripe.max_network_retries = 0


def mirror_due(*, now: datetime) -> int:
    """Feeds events that are due to dj-stripe, oldest first; returns how many (at most BATCH).

    What dj-stripe cannot take is tried again with growing pauses, MOST_ATTEMPTS times, and then
    stays with its error for staff. Without a Stripe key there is nothing to ask: 0.
    """
    if not is_configured():
        return 0
    due = InboxEvent.objects.filter(next_mirror_at__lte=now).order_by("next_mirror_at", "id")
    events = list(due[:BATCH])
    if events:
        _forget_other_keys()
    for event in events:
        if _claim(event, now):
            _mirror(event, now)
    return len(events)


def _claim(event: InboxEvent, now: datetime) -> bool:
    """Whether the event is ours until the lease ends: one worker moves its time."""
    mine = InboxEvent.objects.filter(pk=event.pk, next_mirror_at=event.next_mirror_at)
    return bool(mine.update(next_mirror_at=now + LEASE, mirror_attempts=event.mirror_attempts + 1))


def _mirror(event: InboxEvent, now: datetime) -> None:
    try:
        Event.process(json.loads(event.body), api_key=settings.STRIPE_SECRET_KEY)
    except Exception:  # whatever it is: the event stays, with its traceback
        logger.warning("dj-stripe could not take %s %s", event.type, event.event_id, exc_info=True)
        _postpone(event, traceback.format_exc(limit=-12), now)
    else:
        _unmirrored(event).update(mirrored_at=now, next_mirror_at=None, mirror_error="")


def _postpone(event: InboxEvent, error: str, now: datetime) -> None:
    """Later again, with growing pauses; after MOST_ATTEMPTS it is given up, which staff is told."""
    tried = event.mirror_attempts + 1
    pause = min(FIRST_PAUSE * 2 ** (tried - 1), LONGEST_PAUSE)
    again = now + pause if tried < MOST_ATTEMPTS else None
    with transaction.atomic():
        ours = _unmirrored(event).filter(mirror_attempts=tried)
        noted = ours.update(mirror_error=error.replace("\0", ""), next_mirror_at=again)
        if noted and again is None:
            tell_staff(
                fact_key=f"mirror:{event.event_id}:{now.isoformat()}",
                text=f"dj-stripe has no copy of {event.type} {event.event_id}: given up.",
                path=reverse("admin:credits_inboxevent_change", args=[event.pk]),
                now=now,
            )


def _unmirrored(event: InboxEvent) -> QuerySet[InboxEvent]:
    """The row, unless another worker whose lease began later has finished it."""
    return InboxEvent.objects.filter(pk=event.pk, mirrored_at=None)


def _forget_other_keys() -> None:
    """dj-stripe keeps every key it was ever given and asks with the oldest, revoked or not."""
    kept = APIKey.objects.filter(livemode=settings.STRIPE_LIVE_MODE)
    kept.exclude(secret=settings.STRIPE_SECRET_KEY).delete()
