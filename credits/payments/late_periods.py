"""Invoices of a period that are told after the next one's has been booked.

Note [A period that is told late]
    In order, the older period would have begun, and the newer one would have carried over what was
    left of it, at most its plan's cap. Nobody could spend an allowance that was not there, so that
    it counts as unspent: the newer period gets what it would have carried over, less what it has.
    So the end is the same in whatever order periods are told. What is owed is an exception: the
    period that is told first pays it. A period that is over (its end and the days of grace have
    passed) brings nothing in any order: invoices.py has refused it.
"""

from datetime import datetime

from credits.models import CreditLot, Offer, Pool
from credits.payments.outcomes import Ignore
from credits.payments.prorations import add_to
from credits.payments.readers import Invoice
from credits.services.grants import ROLLOVER

CARRIED_INTO = "carried_into"  # in the terms of such a lot: the newer period's source key


def carry_over(
    invoice: Invoice,
    newest: CreditLot,
    *,
    allowance: int,
    rollover_cap: int,
    period_end: datetime,
    now: datetime,
) -> None:
    """See Note [A period that is told late]. Raises Ignore where nothing is carried over."""
    carried = _carried_into(newest)
    before = min(carried, rollover_cap)  # the older period would have got that from before it
    missing = min(_cap(newest), allowance + before) - carried
    if missing <= 0 or not _is_next(newest, period_end) or _has_ended(newest, now):
        raise Ignore("A later period has already been granted.")
    carried_into = {CARRIED_INTO: newest.source_key}
    add_to(newest, invoice, missing, now, name=newest.terms["name"], **carried_into)


def _carried_into(newest: CreditLot) -> int:
    """What the period has got from those before it, spent or not."""
    lots = CreditLot.objects.filter(account=newest.account_id, pool=Pool.SUBSCRIPTION)
    in_time = lots.filter(source_key=f"{ROLLOVER}{newest.source_key}")
    late = lots.filter(**{f"terms__{CARRIED_INTO}": newest.source_key})
    return sum(lot.granted for lot in (*in_time, *late))


def _cap(newest: CreditLot) -> int:
    """Of the newer period's plan, as many times as it was bought."""
    plan = Offer.objects.filter(slug=newest.terms["slug"]).first()
    return plan.rollover_cap * newest.granted // plan.credits if plan and plan.credits else 0


def _is_next(newest: CreditLot, period_end: datetime) -> bool:
    """Whether the newest period is the first one booked after `period_end`, and a regular one."""
    periods = CreditLot.objects.filter(
        account=newest.account_id,
        terms__subscription=newest.terms["subscription"],
        terms__has_key="period_end",
    )
    later = [lot for lot in periods if lot.terms["period_end"] >= period_end.isoformat()]
    return (
        later == [newest]
        and newest.terms["period_end"] > period_end.isoformat()
        and ("replaces" not in newest.terms)
    )


def _has_ended(newest: CreditLot, now: datetime) -> bool:
    return newest.expires_at is not None and newest.expires_at <= now
