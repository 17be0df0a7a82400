"""The proof of the books, written down: by `manage.py check_ledger`, and every night in batches.

The nightly one is a duty of every worker. A batch is short, so that other duties go on; what it
found is added to the night's row only if no other worker was faster with the same batch.
"""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import F, Value
from django.db.models.functions import Concat
from django.urls import reverse
from django.utils import timezone

from credits.audit import Totals, audit
from credits.models import Account, LedgerAudit
from credits.notices.outbox import tell_staff

HOUR = 4  # UTC: after the comparison with Stripe
BATCH = 200  # accounts
MOST_KEPT = 200  # sentences


def audit_tonight(*, now: datetime) -> int:
    """Proves tonight's next accounts; returns how many. Staff hears of what is wrong."""
    if now.hour < HOUR:
        return 0
    night, _new = LedgerAudit.objects.get_or_create(night=now.date(), defaults={"started_at": now})
    if night.finished_at:
        return 0
    ids = Account.objects.filter(pk__gte=night.next_account).order_by("pk")
    batch = list(ids.values_list("pk", flat=True)[:BATCH])
    totals, wrong = Totals(), []
    for account_totals, sentences in audit(batch) if batch else ():
        totals += account_totals
        wrong.extend(sentences)
    _note(night, batch, totals, wrong, now)
    return len(batch)


def record(totals: Totals, wrong: Iterable[str], *, started_at: datetime) -> LedgerAudit:
    """Writes down an audit of all accounts that has just ended."""
    sentences = list(wrong)
    return LedgerAudit.objects.create(
        started_at=started_at,
        finished_at=timezone.now(),
        accounts=totals.accounts,
        entries=totals.entries,
        found=len(sentences),
        problems="".join(f"{sentence}\n" for sentence in sentences[:MOST_KEPT]),
    )


def _note(
    night: LedgerAudit, batch: list[int], totals: Totals, wrong: list[str], now: datetime
) -> None:
    is_last = len(batch) < BATCH
    kept = wrong[: max(0, MOST_KEPT - night.found)]
    mine = LedgerAudit.objects.filter(pk=night.pk, next_account=night.next_account)
    done = mine.filter(finished_at=None).update(
        next_account=batch[-1] + 1 if batch else night.next_account,
        accounts=F("accounts") + totals.accounts,
        entries=F("entries") + totals.entries,
        found=F("found") + len(wrong),
        problems=Concat("problems", Value("".join(f"{sentence}\n" for sentence in kept))),
        finished_at=now if is_last else None,
    )
    if done and wrong:
        tell_staff(
            fact_key=f"audit:{night.pk}",
            text=f"The books do not balance: {wrong[0]}",
            path=reverse("admin:credits_ledgeraudit_change", args=[night.pk]),
            now=now,
        )
