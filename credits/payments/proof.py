"""The proof about events: one that Stripe repeats, through the signed webhook and the inbox."""

from functools import partial
from uuid import uuid4

from credits import services
from credits.models import InboxEvent, Offer
from credits.payments import inbox
from credits.payments.readers import Object
from credits.payments.self_delivery import signing
from credits.proofs import Cast, at_once

CREDITS = 50


def one_event_eight_times(cast: Cast) -> str:
    """A paid pack's event, delivered and applied by eight at once.

    It is a pack that nobody can buy, and that is on the price list only as long as this takes.
    """
    account_id, number = cast.account(), uuid4().hex
    services.link_customer(account_id=account_id, customer_id=f"cus_proof{number}", now=cast.now)
    pack = Offer.objects.create(
        slug=f"proof-{number}", name="proof", kind=Offer.Kind.PACK, credits=CREDITS,
        amount=0, currency="usd", active=False,
    )  # fmt: skip
    try:
        with signing() as deliver:
            event = _event(number, pack.slug, int(cast.now.timestamp()))

            def post_and_apply() -> None:
                deliver(event)
                _apply(event["id"], cast)

            outcome = at_once([partial(post_and_apply)] * 8, services.CreditsError)
            _apply(event["id"], cast)  # whoever came while another was at it went on
    finally:
        pack.delete()
    return f"{outcome}, {cast.left(account_id)}"


def _apply(event_id: str, cast: Cast) -> None:
    row = InboxEvent.objects.get(event_id=event_id)
    inbox.apply_one(row.pk, now=max(cast.now, row.received_at))


def _event(number: str, slug: str, created: int) -> Object:
    session = {
        "id": f"cs_proof{number}",
        "object": "checkout.session",
        "mode": "payment",
        "payment_status": "no_payment_required",
        "customer": f"cus_proof{number}",
        "amount_total": 0,
        "currency": "usd",
        "metadata": {"offer": slug, "quantity": "1"},
    }
    return {
        "id": f"evt_proof{number}",
        "object": "event",
        "type": "checkout.session.completed",
        "created": created,
        "data": {"object": session},
    }
