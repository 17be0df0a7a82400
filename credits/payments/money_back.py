"""How much of a payment has really gone back, from what Stripe has said so far, in any order.

Stripe says it in two ways: refund objects, each with its amount and its status, and charges with
the sum of all refunds at one moment. Both are kept as facts (Refund, RefundedTotal), and what has
gone back is worked out of all of them, so the order in which they came does not matter, and one
kind of event is enough. https://docs.stripe.com/refunds#failed-refunds

Note [The newest sum, and what came after it]
    The newest sum counts every refund made before it that has not failed before it. Refunds made
    after it are added, refunds that failed after it are taken off. What happened in the very second
    of the sum (Stripe's clock knows no finer) may be in it or not: then the refunds that are
    known prove their own amount too, and the larger of both counts.
"""

from datetime import datetime

from credits.models import Payment, Refund, RefundedTotal
from credits.payments.outcomes import Event
from credits.payments.readers import Object, moment, number, required, rows, text

FAILED = ("failed", "canceled")


def note_charge(payment: Payment, event: Event) -> None:
    """What `charge.refunded` says; before 2022-11-15 with its refunds. Raises Unreadable."""
    amount = number(event.object, "amount_refunded")
    RefundedTotal.objects.get_or_create(payment=payment, amount=amount, as_of=event.created_at)
    for refund in rows(event.object, "refunds"):
        note_refund(payment, refund, event.created_at)


def note_refund(payment: Payment, refund: Object, said_at: datetime) -> None:
    """What a refund object says, seen at `said_at`. Raises Unreadable."""
    failed_at = said_at if text(refund, "status") in FAILED else None
    known, is_new = Refund.objects.get_or_create(
        refund_id=required(refund, "id"),
        defaults={
            "payment": payment,
            "amount": number(refund, "amount"),
            "made_at": moment(refund.get("created")),
            "failed_at": failed_at,
        },
    )
    if is_new or failed_at is None:
        return
    if known.failed_at is None or failed_at < known.failed_at:
        known.failed_at = failed_at
        known.save(update_fields=["failed_at"])


def gone_back(payment: Payment) -> int:
    """Minor units gone back in refunds: see Note [The newest sum, and what came after it]."""
    refunds = list(payment.refunds.all())
    totals = list(payment.refunded_totals.all())
    newest = max((total.as_of for total in totals), default=None)
    since = sum(_since(newest, refund) for refund in refunds) if newest else 0
    proved = [total.amount + since for total in totals if total.as_of == newest]
    if newest is None or any(newest in (refund.made_at, refund.failed_at) for refund in refunds):
        proved.append(sum(refund.amount for refund in refunds if refund.failed_at is None))
    return max(0, *proved)


def _since(newest: datetime, refund: Refund) -> int:
    """What to add to the newest sum, because the refund was made or has failed after it."""
    if refund.failed_at is None:
        return refund.amount if refund.made_at > newest else 0
    return -refund.amount if refund.made_at <= newest <= refund.failed_at else 0
