"""The comparison that runs every night, once over all workers; staff hears of what it finds.

It takes minutes on a busy site, so it has a thread of its own and no other duty waits for it. It
only looks: repairs are made by a person, with `manage.py reconcile_stripe --apply`.
"""

import logging
import threading
from datetime import datetime, timedelta

from django.core.mail import mail_managers
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from credits import notices
from credits.models import Reconciliation
from credits.payments.client import SellingUnavailable, is_configured
from credits.payments.reconcile.compare import compare
from credits.payments.reconcile.differences import Difference

logger = logging.getLogger(__name__)

HOUR = 3  # UTC
DAYS = 30  # as long as Stripe keeps events
STARTED_AGAIN_AFTER = timedelta(hours=2)  # if it has not come to an end: the worker died
MOST_KEPT = 200  # sentences


def start_when_due(*, now: datetime) -> threading.Thread | None:
    """Starts tonight's comparison unless a worker has; returns its thread.

    The thread ends with the process, whatever it is doing: it has changed nothing by then.
    """
    night = claim(now)
    if night is None:
        return None
    thread = threading.Thread(target=_run_alone, args=(night,), name="reconcile", daemon=True)
    thread.start()
    return thread


def claim(now: datetime) -> Reconciliation | None:
    """Tonight's row, if it is this worker's to do: nobody has begun, or whoever did has died."""
    if not is_configured() or now.hour < HOUR:
        return None
    nights = Reconciliation.objects.filter(day=now.date())
    night = nights.first()
    if night is None:
        new = Reconciliation(day=now.date(), started_at=now, days=DAYS)
        Reconciliation.objects.bulk_create([new], ignore_conflicts=True)
        return nights.filter(started_at=now, finished_at=None).first()
    if night.finished_at or night.started_at > now - STARTED_AGAIN_AFTER:
        return None
    if not nights.filter(finished_at=None, started_at=night.started_at).update(started_at=now):
        return None  # another worker was faster
    night.started_at = now
    return night


def run(night: Reconciliation, *, now: datetime) -> None:
    """Compares, writes down what was found, and mails staff if that is anything.

    If Stripe cannot be asked, staff hears of that once, and it is tried again later.
    """
    try:
        compared = compare(days=night.days, now=now)
    except Exception as error:  # whatever it is: staff has to know that nobody looked
        logger.exception("tonight's reconciliation failed")
        reason = error.reason if isinstance(error, SellingUnavailable) else repr(error)
        is_first = not night.error
        _settle(night, error=reason)
        if is_first:
            mail_managers("Stripe could not be compared with the books", _failure(night))
        return
    found = compared.differences
    for row in compared.unsold:
        _tell_of_unsold(row, now)
    night.found = len(found)
    night.differences = [str(row) for row in found[:MOST_KEPT]]
    _settle(night, finished_at=timezone.now(), error="")
    if found:
        mail_managers(f"{night.found} differences between Stripe and the books", _report(night))


def _run_alone(night: Reconciliation) -> None:
    try:
        run(night, now=timezone.now())
    except Exception:
        logger.exception("tonight's reconciliation could not be written down; it is started again")
    finally:
        connection.close()


def _tell_of_unsold(charge: Difference, now: datetime) -> None:
    """Once for each charge: whoever made it by hand knows of it from then on."""
    notices.tell_staff(
        fact_key=f"unsold:{charge.objects.split()[0]}",
        text=str(charge),
        path=reverse("admin:credits_account_change", args=[charge.account_id]),
        now=now,
    )


def _settle(night: Reconciliation, **changes: object) -> None:
    for name, value in changes.items():
        setattr(night, name, value)
    night.save(update_fields=["found", "differences", *changes])


def _report(night: Reconciliation) -> str:
    lines = "\n".join(night.differences)
    more = night.found - len(night.differences)
    rest = f"\n… and {more} more" if more else ""
    return (
        f"The comparison of the last {night.days} days found:\n\n{lines}{rest}\n\n"
        "manage.py reconcile_stripe shows them as they are now; with --apply it repairs those that "
        "the rules can repair. docs/stripe.md, section Reconciliation, says what each kind means.\n"
    )


def _failure(night: Reconciliation) -> str:
    return (
        f"The comparison of the last {night.days} days could not be made: {night.error}\n\n"
        "It is tried again every two hours until the day ends. By hand: manage.py "
        "reconcile_stripe.\n"
    )
