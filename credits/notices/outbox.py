"""The outbox: rows that are written with their fact, and the stream that sends them.

Each business fact (kind and key) is told once, however often it happens to be booked. A sender
claims a row by moving its due time LEASE ahead, sends without any lock or transaction, and writes
down what came of it if the claim is still its own. So two workers never send one notice, and one
of a worker that died in between is sent again: with mail, once too often is the best there is.
"""

import logging
from datetime import datetime, timedelta

from django.core.mail import get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.db.models import F, QuerySet
from django.urls import reverse

from credits.models import Notice
from credits.notices import mails, preferences
from credits.services import record_action

logger = logging.getLogger(__name__)
Kind, State = Notice.Kind, Notice.State

BATCH = 20
LEASE = timedelta(minutes=5)  # far more than EMAIL_TIMEOUT: a claim that is older is a dead one
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=4)
MOST_ATTEMPTS = 16  # over a day and a half


def queue(
    *, account_id: int, kind: Notice.Kind, fact_key: str, now: datetime, **context: str | int | bool
) -> None:
    """Owes the account a mail about a fact, in the caller's transaction. Repeating is harmless.

    `fact_key` names the business fact (`invoice:in_123`), never an event; `context` is what the
    text of the kind (letters.py) needs, dates in ISO form.
    """
    notice = Notice(account_id=account_id, kind=kind, fact_key=fact_key, context=context)
    _add(notice, now)


def tell_staff(*, fact_key: str, text: str, path: str, now: datetime) -> None:
    """Owes STAFF_EMAILS a line, told once, about what needs a person: see `path` on this site."""
    context = {"text": text, "path": path}
    _add(Notice(kind=Kind.STAFF, fact_key=fact_key, context=context), now)


def _add(notice: Notice, now: datetime) -> None:
    notice.created_at = notice.next_attempt_at = now
    Notice.objects.bulk_create([notice], ignore_conflicts=True)


def send_due(*, now: datetime) -> int:
    """Sends customers' mails that are due, oldest first; returns how many went out or were skipped.

    Ends at the first failure: the server is probably away, and the next round begins with another.
    """
    due = Notice.objects.filter(next_attempt_at__lte=now).exclude(kind=Kind.STAFF)
    ids = list(due.order_by("next_attempt_at", "pk").values_list("pk", flat=True)[:BATCH])
    if not ids:
        return 0
    done, connection = 0, get_connection()
    try:
        for pk in ids:
            notice = claim(pk, now=now)
            if notice is None:
                continue
            if not _deal_with(notice, connection, now):
                break
            done += 1
    finally:
        connection.close()
    return done


def claim(pk: int, *, now: datetime) -> Notice | None:
    """The notice, which is the caller's alone for LEASE; None if another worker has it."""
    due = Notice.objects.filter(pk=pk, next_attempt_at__lte=now)
    if not due.update(next_attempt_at=now + LEASE, attempts=F("attempts") + 1):
        return None
    return Notice.objects.select_related("account__user").get(pk=pk)


def _deal_with(notice: Notice, connection: BaseEmailBackend, now: datetime) -> bool:
    """Sends a claimed notice, unless nobody wants it. False if that failed."""
    if reason := preferences.reason_to_skip(notice):
        settle(notice, State.SKIPPED, error=reason)
        return True
    try:
        connection.open()  # once for all of a round; by itself it would close after each
        mails.message_of(notice, connection).send()
    except Exception as error:  # whatever it is: the notice stays and says so
        logger.exception("notice %s could not be sent", notice.pk)
        postpone(notice, error, now)
        return False
    settle(notice, State.SENT, sent_at=now)
    return True


def settle(
    notice: Notice, state: Notice.State, *, error: str = "", sent_at: datetime | None = None
) -> None:
    """Ends a claimed notice."""
    _claimed(notice).update(state=state, next_attempt_at=None, error=error, sent_at=sent_at)


def postpone(notice: Notice, error: Exception, now: datetime) -> None:
    """Later again, with growing pauses; after MOST_ATTEMPTS it is given up, which staff is told."""
    reason = f"{type(error).__name__}: {error}"[:2000].replace("\0", "")
    if notice.attempts >= MOST_ATTEMPTS:
        _give_up(notice, reason, now)
        return
    pause = min(FIRST_PAUSE * 2 ** (notice.attempts - 1), LONGEST_PAUSE)
    _claimed(notice).update(next_attempt_at=now + pause, error=reason)


def _give_up(notice: Notice, reason: str, now: datetime) -> None:
    with transaction.atomic():
        settle(notice, State.FAILED, error=reason)
        if notice.kind != Kind.STAFF:
            tell_staff(
                fact_key=f"notice:{notice.pk}:{now.isoformat()}",
                text=f"The mail “{notice.get_kind_display()}” to account {notice.account_id} "
                "was given up.",
                path=reverse("admin:credits_notice_change", args=[notice.pk]),
                now=now,
            )


@transaction.atomic
def send_again(*, notice_id: int, actor: str, now: datetime) -> bool:
    """Owes a notice that was given up once more. False if it is not in that state."""
    given_up = Notice.objects.filter(pk=notice_id, state=State.FAILED)
    if not given_up.update(state=State.PENDING, next_attempt_at=now, attempts=0):
        return False
    record_action(
        actor=actor,
        action="notice.again",
        target=f"notice:{notice_id}",
        account_id=Notice.objects.values_list("account_id", flat=True).get(pk=notice_id),
        reason="",
        now=now,
    )
    return True


def _claimed(notice: Notice) -> QuerySet[Notice]:
    """The row, if the claim is still the caller's: its attempt is the newest."""
    return Notice.objects.filter(pk=notice.pk, state=State.PENDING, attempts=notice.attempts)
