"""Duties that look for what no event tells: balances that ran low, gifts that are about to end."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from credits.models import CreditLot, Notice, NoticePreferences, Pool
from credits.notices.outbox import queue

BEFORE_THE_END = timedelta(days=7)
WORTH_TELLING = 10  # a tenth of what was given must still be there
LOTS_AT_ONCE = 1_000

AVAILABLE = (
    F("account__subscription_credits")
    + F("account__promotional_credits")
    + F("account__bulk_credits")
)


def watch_balances(*, now: datetime) -> int:
    """Tells accounts whose balance fell below their threshold; returns how many.

    Once per crossing: `low_since` is set with the notice, and emptied when the balance has risen.
    Only accounts with a threshold are looked at, and spending knows nothing of it.
    """
    watched = NoticePreferences.objects.filter(low_balance__isnull=False)
    watched = watched.alias(available=AVAILABLE)
    risen = watched.filter(Q(available__gte=F("low_balance")), low_since__isnull=False)
    # By id: an UPDATE that joins is not to be had on every database.
    ids = list(risen.values_list("pk", flat=True))
    NoticePreferences.objects.filter(pk__in=ids).update(low_since=None)
    fallen = watched.filter(Q(available__lt=F("low_balance")), low_since=None)
    return sum(_tell_low(row, now) for row in fallen.select_related("account"))


def _tell_low(row: NoticePreferences, now: datetime) -> bool:
    with transaction.atomic():
        armed = NoticePreferences.objects.filter(
            pk=row.pk, low_since=None, low_balance=row.low_balance
        )
        if not armed.update(low_since=now):
            return False  # another worker was faster, or the customer changed the threshold
        queue(
            account_id=row.account_id,
            kind=Notice.Kind.LOW_BALANCE,
            fact_key=f"account:{row.account_id}:low:{now.isoformat()}",
            available=sum(getattr(row.account, f"{pool}_credits") for pool in Pool.values),
            threshold=row.low_balance or 0,
            now=now,
        )
    return True


def watch_expiry(*, now: datetime) -> int:
    """Tells of promotional lots that end within a week, once per lot; returns how many.

    A plan's credits are not among them: they end with every period, as the renewal tells. Nor are
    lots that were given for less than the week, or that are all but spent.
    """
    told = Notice.objects.filter(kind=Notice.Kind.EXPIRING, fact_key=OuterRef("source_key"))
    lots = CreditLot.objects.filter(
        pool=Pool.PROMOTIONAL,
        expires_at__gt=now,
        expires_at__lte=now + BEFORE_THE_END,
        created_at__lt=F("expires_at") - BEFORE_THE_END,
        granted__lte=F("remaining") * WORTH_TELLING,
        remaining__gt=0,
    ).exclude(Exists(told))
    found = list(lots.order_by("expires_at")[:LOTS_AT_ONCE])
    for lot in found:
        assert lot.expires_at is not None, "filtered"
        queue(
            account_id=lot.account_id,
            kind=Notice.Kind.EXPIRING,
            fact_key=lot.source_key,
            remaining=lot.remaining,
            ends=lot.expires_at.isoformat(),
            now=now,
        )
    return len(found)
