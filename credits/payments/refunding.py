"""Refunds that staff asks for: Stripe gives the money back, and its events move the credits.

The request is written down in one short transaction and Stripe is asked after that, with a key made
from the form: a form sent twice, by a double click or the back button, is one refund.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import stripe
from django.db import transaction
from django.db.models import QuerySet, Sum

from credits import queries, services
from credits.models import CreditLot, Payment, RefundRequest, RetailToken
from credits.payments import money_back, refunds
from credits.payments.client import asking, connect
from credits.payments.outcomes import Done, Event, Ignore, Wait
from credits.payments.readers import Object

UNANSWERED = timedelta(hours=1)  # how long a request without an answer may still become a refund


class NotRefundable(Exception):
    """The payment cannot be refunded like this; the message says why and may be shown."""


@dataclass(frozen=True)
class Preview:
    """What a refund would do to the customer: credits taken, credits owed, tokens revoked."""

    taken: int
    owed: int
    tokens: int
    tokens_used: int


def left_of(payment: Payment, *, now: datetime) -> int:
    """Minor units that can still be refunded, without what is being refunded already."""
    asked = payment.refund_requests.filter(
        refund_id="", refusal="", created_at__gt=now - UNANSWERED
    )
    under_way = asked.aggregate(sum=Sum("amount"))["sum"] or 0
    return max(0, payment.amount - payment.lost - money_back.gone_back(payment) - under_way)


def refuse(payment: Payment, amount: int, *, now: datetime) -> None:
    """Raises NotRefundable where this amount of the payment cannot be given back."""
    lot = CreditLot.objects.filter(source_key=payment.source_key).first()
    if payment.lost or (lot is not None and lot.frozen_at):
        raise NotRefundable("The payment is disputed: the customer's bank decides about the money.")
    left = left_of(payment, now=now)
    if not left:
        raise NotRefundable("All of this payment has gone back already, or is on its way.")
    if type(amount) is not int or not 1 <= amount <= left:
        raise NotRefundable(f"The amount has to be a whole number from 1 to {left}.")


def preview(payment: Payment, amount: int, *, now: datetime) -> Preview:
    """What refunding `amount` minor units would do: the real rule is run, and rolled back.

    Raises NotRefundable.
    """
    with services.rehearsal():
        refuse(payment, amount, now=now)
        before = _standing(payment, now)
        _apply(payment, amount, now)
        after = _standing(payment, now)
    return Preview(
        taken=before.available - after.available,
        owed=after.owed - before.owed,
        tokens=after.revoked - before.revoked,
        tokens_used=after.used,
    )


def refund(
    *, payment_id: int, amount: int, reason: str, actor: str, key: str, now: datetime
) -> RefundRequest:
    """Asks Stripe to give back `amount` minor units. Repeating the key asks for nothing new.

    Raises NotRefundable, SellingUnavailable, services.IdempotencyConflict for a key that was used
    for something else, Payment.DoesNotExist.
    """
    client = connect()
    asked = _write_down(payment_id, amount, reason, actor, key, now)
    if asked.refusal:
        raise NotRefundable(asked.refusal)
    if asked.refund_id:
        return asked
    try:
        with asking():
            made = _ask(client, asked)
    except NotRefundable as refusal:
        RefundRequest.objects.filter(pk=asked.pk, refund_id="").update(refusal=str(refusal))
        raise
    with transaction.atomic():
        payment = _locked(payment_id)
        money_back.note_refund(payment, _plain(made), now)
        RefundRequest.objects.filter(pk=asked.pk).update(refund_id=made.id)
    asked.refund_id = made.id
    return asked


@transaction.atomic
def _write_down(
    payment_id: int, amount: int, reason: str, actor: str, key: str, now: datetime
) -> RefundRequest:
    payment = _locked(payment_id)
    earlier = RefundRequest.objects.filter(key=key).first()
    if earlier is None:
        refuse(payment, amount, now=now)
        services.record_action(
            actor=f"staff:{actor}",
            action="payment.refund",
            target=payment.payment_intent,
            account_id=_owner_of(payment),
            reason=reason,
            after={"amount": amount},
            now=now,
        )
        return RefundRequest.objects.create(
            payment=payment, amount=amount, reason=reason, actor=actor, key=key, created_at=now
        )
    if (earlier.payment_id, earlier.amount, earlier.reason) != (payment_id, amount, reason):
        raise services.IdempotencyConflict(key)
    return earlier


def _locked(payment_id: int) -> Payment:
    return Payment.objects.select_for_update().get(pk=payment_id)


def _ask(client: stripe.StripeClient, asked: RefundRequest) -> stripe.Refund:
    """Stripe's `reason` is one of three words; ours is a sentence, and stays in the metadata."""
    try:
        return client.v1.refunds.create(
            params={
                "payment_intent": asked.payment.payment_intent,
                "amount": asked.amount,
                "reason": "requested_by_customer",
                "metadata": {"reason": asked.reason, "actor": asked.actor, "request": asked.key},
            },
            options={"idempotency_key": f"refund:{asked.key}"},
        )
    except stripe.InvalidRequestError as error:
        message = error.user_message or "the request is not valid."
        raise NotRefundable(f"Stripe refused the refund: {message}") from error


def _plain(made: stripe.Refund) -> Object:
    return {"id": made.id, "amount": made.amount, "status": made.status, "created": made.created}


def event_of(payment: Payment, amount: int, *, now: datetime) -> Event:
    """The event that such a refund would send; made later than everything that is known."""
    made: Object = {
        "id": "preview",
        "object": "refund",
        "payment_intent": payment.payment_intent,
        "amount": amount,
        "status": "succeeded",
        "created": int(now.timestamp()) + 1,
    }
    return Event("refund.created", made, now, now)


def _apply(payment: Payment, amount: int, now: datetime) -> Done:
    try:
        return refunds.apply_refund(event_of(payment, amount, now=now))
    except (Wait, Ignore) as reason:
        raise NotRefundable(f"The refund would move no credits: {reason}") from reason


@dataclass(frozen=True)
class _Standing:
    available: int
    owed: int
    revoked: int
    used: int


def _standing(payment: Payment, now: datetime) -> _Standing:
    """What the purchase's customer has at this moment."""
    owner = _owner_of(payment)
    tokens = _tokens_of(payment)
    balance = queries.balance(account_id=owner, now=now) if owner else None
    return _Standing(
        available=balance.available if balance else 0,
        owed=balance.owed if balance else 0,
        revoked=tokens.filter(state=RetailToken.State.REVOKED).count(),
        used=tokens.filter(state=RetailToken.State.USED).count(),
    )


def _owner_of(payment: Payment) -> int | None:
    """The account that got what was paid for; None while nothing is booked."""
    lot = CreditLot.objects.filter(source_key=payment.source_key).first()
    owner = lot or _tokens_of(payment).first()
    return owner.account_id if owner else None


def _tokens_of(payment: Payment) -> QuerySet[RetailToken]:
    return RetailToken.objects.filter(source_key__startswith=f"{payment.source_key}:")
