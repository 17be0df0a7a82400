"""Money that goes back: refunds and disputes take back what the payment had bought."""

from credits import services
from credits.models import CreditLot, InboxEvent, Payment, RetailToken
from credits.payments import money_back, tell
from credits.payments.outcomes import Done, Event, Ignore, Wait
from credits.payments.readers import number, required, text

State = RetailToken.State


def apply_charge(event: Event) -> Done:
    """`charge.refunded`: the charge says how much has gone back in all."""
    payment = _payment(event)
    money_back.note_charge(payment, event)
    return _settle_refunds(payment, event)


def apply_refund(event: Event) -> Done:
    """`refund.*`: one refund, which may fail days later: then what it took comes back."""
    payment = _payment(event)
    money_back.note_refund(payment, event.object, event.created_at)
    if text(event.object, "status") == "failed":
        tell.refund_failed(payment, event)
    if key := text(event.object, "metadata", "request"):  # of ours, whose answer may have been lost
        asked = payment.refund_requests.filter(key=key, refund_id="")
        asked.update(refund_id=required(event.object, "id"))
    return _settle_refunds(payment, event)


def apply_dispute_opened(event: Event) -> Done:
    """`charge.dispute.created`: sets the credits aside. Inquiries (`warning_…`) move nothing."""
    if text(event.object, "status").startswith("warning_"):
        raise Ignore("An inquiry, no dispute: no money has moved.")
    closed = InboxEvent.objects.filter(
        type="charge.dispute.closed",
        object_id=required(event.object, "id"),
        state=InboxEvent.State.APPLIED,
    )
    if closed.exists():
        raise Ignore("The dispute has been closed meanwhile.")
    payment = _payment(event)
    lot = _lot(payment)
    if lot is None:
        raise Ignore("Single generations are not set aside; a lost dispute revokes them.")
    reference = f"dispute:{required(event.object, 'id')}"
    services.freeze_lot(
        source_key=lot.source_key, reference=reference, now=event.now, actor="stripe"
    )
    tell.dispute_opened(lot, event)
    return Done(reference, lot.account_id)


def apply_dispute_closed(event: Event) -> Done:
    """`charge.dispute.closed`: lost is like a refund; otherwise the credits are free again."""
    payment = _payment(event)
    if text(event.object, "status") == "lost":
        payment.lost = max(payment.lost, number(event.object, "amount"))
        done = _take_back(payment, event)
    else:
        done = Done(payment.source_key, None)
    tell.dispute_closed(payment, event)
    lot = _lot(payment)
    if lot is None:
        return done
    reference = f"dispute:{required(event.object, 'id')}"
    services.unfreeze_lot(
        source_key=lot.source_key, reference=reference, now=event.now, actor="stripe"
    )
    return Done(reference, lot.account_id)


def _settle_refunds(payment: Payment, event: Event) -> Done:
    payment.refunded = money_back.gone_back(payment)
    done = _take_back(payment, event)
    if payment.refunded and not done.waiting_for:
        tell.refunded(payment, event)
    return done


def _payment(event: Event) -> Payment:
    """The payment that the charge, refund or dispute belongs to, locked. Raises Wait, Ignore."""
    payment_intent = text(event.object, "payment_intent")
    if not payment_intent:
        raise Ignore("The charge does not belong to a payment of this site.")
    payment = Payment.objects.select_for_update().filter(payment_intent=payment_intent).first()
    if payment is None:
        raise Wait(f"What {payment_intent} paid for is not known yet.")
    return payment


def _lot(payment: Payment) -> CreditLot | None:
    return CreditLot.objects.filter(source_key=payment.source_key).first()


def _take_back(payment: Payment, event: Event) -> Done:
    """The share of the purchase that the money gone back stands for is taken back, rounded down.

    After a refund has failed it is less than before, and the difference comes back.
    """
    payment.save(update_fields=["refunded", "lost"])
    back = min(payment.refunded + payment.lost, payment.amount)
    lot = _lot(payment)
    if lot is None:
        return _revoke(payment, back, event)
    total = lot.granted * back // payment.amount if payment.amount else 0
    if total != lot.clawed_back:
        change = services.claw_back if total > lot.clawed_back else services.reverse_claw_back
        change(
            source_key=lot.source_key,
            total=total,
            reference=f"refund:{payment.payment_intent}:{back}",
            now=event.now,
            actor="stripe",
        )
    return Done(lot.source_key, lot.account_id)


def _refuse_decided(payment: Payment) -> None:
    """Raises Ignore if the purchase is known to have brought nothing, so that nothing goes back."""
    object_id = payment.source_key.partition(":")[2]
    decided = [InboxEvent.State.APPLIED, InboxEvent.State.IGNORED]
    if InboxEvent.objects.filter(
        type="invoice.paid", object_id=object_id, state__in=decided
    ).exists():
        raise Ignore(f"{payment.source_key} had brought nothing.")


def _revoke(payment: Payment, back: int, event: Event) -> Done:
    """Revokes unused tokens, as many as the refund stands for. A used one stays used.

    Tokens that were revoked for a refund which has failed are free again.
    """
    bought = RetailToken.objects.filter(source_key__startswith=f"{payment.source_key}:")
    tokens = list(bought.order_by("pk"))
    if not tokens:
        _refuse_decided(payment)
        raise Wait(f"{payment.source_key} has not been delivered yet.")
    wanted = len(tokens) * back // payment.amount if payment.amount else 0
    revoked = [token for token in tokens if token.state == State.REVOKED]
    wanted -= len(revoked)
    for token in revoked[wanted:] if wanted < 0 else []:
        services.restore_retail_token(source_key=token.source_key, now=event.now)
    free = [token for token in tokens if token.state == State.AVAILABLE]
    for token in free[: max(wanted, 0)]:
        services.revoke_retail_token(source_key=token.source_key, now=event.now)
    in_use = wanted > len(free) and any(token.state == State.RESERVED for token in tokens)
    return Done(
        payment.source_key,
        tokens[0].account_id,
        waiting_for="the generation that is using the token" if in_use else "",
    )
