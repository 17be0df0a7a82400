"""Publishing a draft: its price is made at Stripe first, then it is put on sale."""

from datetime import datetime

from credits import drafts
from credits.models import Offer
from credits.payments import client, prices
from credits.pricing import Listed


def publish_offer(*, offer_id: int, seen: Listed, actor: str, now: datetime) -> Offer:
    """Puts a draft on sale, with a price at Stripe where this site sells.

    `seen` is what the draft said to who publishes it. Stripe is asked before anything is locked;
    repeating finds the price that was made. Raises PricingError, also if the draft says something
    else by then, and client.SellingUnavailable; then the draft stays a draft.
    """
    price_id = seen.stripe_price_id
    if client.is_configured():
        price_id = prices.with_prices([seen])[0].stripe_price_id
    return drafts.publish(offer_id=offer_id, price_id=price_id, seen=seen, actor=actor, now=now)
