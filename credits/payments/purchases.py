"""One-time purchases through Checkout: packs and retail tokens."""

from credits import services
from credits.models import Account, Offer, Payment, Pool
from credits.payments import tell
from credits.payments.outcomes import Done, Event, Ignore, Wait, locked_account, terms_of
from credits.payments.readers import Object, number, required, text

MOST_PIECES = 100  # of one offer in one purchase


def apply_session(event: Event) -> Done:
    """`checkout.session.completed` and `…async_payment_succeeded`: what was paid is delivered.

    What was bought stands in the session's metadata, which only our server writes.
    """
    session = event.object
    if text(session, "mode") != "payment":
        raise Ignore("Subscriptions are granted by their invoices.")
    if text(session, "payment_status") not in ("paid", "no_payment_required"):
        raise Ignore("Not paid yet: another event follows when it is.")
    account = locked_account(required(session, "customer"))
    offer, pieces = _bought(session)
    key = f"checkout:{required(session, 'id')}"
    paid = number(session, "amount_total")
    if payment_intent := text(session, "payment_intent"):
        Payment.objects.get_or_create(
            payment_intent=payment_intent, defaults={"source_key": key, "amount": paid}
        )
    _deliver(account, offer, pieces, key, paid, event)
    tell.bought(account, offer, pieces, key, event)
    return Done(key, account.pk)


def apply_charge(event: Event) -> Done:
    """`charge.succeeded`: whose it is, so that its receipt is found. It brings nothing."""
    customer, intent = text(event.object, "customer"), text(event.object, "payment_intent")
    account = Account.objects.filter(stripe_customer_id=customer).first() if customer else None
    if account is None or not intent:
        raise Ignore("The charge does not belong to a customer of this site.")
    return Done(payment_key(intent), account.pk)


def payment_key(payment_intent: str) -> str:
    """The fact that a payment was made."""
    return f"payment:{payment_intent}"


def _bought(session: Object) -> tuple[Offer, int]:
    slug = text(session, "metadata", "offer")
    if not slug:
        raise Ignore("The session was not made by this site.")
    offer = Offer.objects.filter(slug=slug).exclude(kind=Offer.Kind.PLAN).first()
    if offer is None:
        raise Wait(f"There is no offer {slug!r} to deliver: add it to the price list.")
    pieces = text(session, "metadata", "quantity") or "1"
    if not (pieces.isascii() and pieces.isdigit() and 1 <= int(pieces) <= MOST_PIECES):
        raise Ignore(f"The session's quantity {pieces!r} is none.")
    return offer, int(pieces)


def _deliver(
    account: Account, offer: Offer, pieces: int, key: str, paid: int, event: Event
) -> None:
    currency = required(event.object, "currency")
    if offer.kind == Offer.Kind.PACK:
        services.grant(
            account_id=account.pk,
            pool=Pool.BULK,
            amount=offer.credits * pieces,
            source_key=key,
            amount_paid=paid,
            currency=currency,
            terms=terms_of(offer),
            now=event.now,
            actor="stripe",
        )
        return
    for piece in range(pieces):
        services.issue_retail_token(
            account_id=account.pk,
            source_key=f"{key}:{piece + 1}",
            amount_paid=paid // pieces,
            currency=currency,
            terms=terms_of(offer),
            now=event.now,
        )
