"""Offers and their prices at Stripe: found by lookup key, which is the slug, or made.

A price at Stripe never changes. An offer that does not agree with its price would charge something
else than the page says, so that is refused, and new terms need a new slug.
"""

from dataclasses import replace

import stripe

from credits.models import Offer
from credits.payments.client import asking, connect
from credits.pricing import Listed, PricingError


def with_prices(listed: list[Listed]) -> list[Listed]:
    """The list with the id of a Stripe price for every offer; missing prices are made.

    Repeating makes nothing new. Raises PricingError, and SellingUnavailable.
    """
    client = connect()
    known = dict(Offer.objects.values_list("slug", "stripe_price_id"))
    found: list[Listed] = []
    wrong: list[str] = []
    for entry in listed:
        with asking():
            price = _price(client, entry, entry.stripe_price_id or known.get(entry.slug, ""))
        if price is None:
            wrong.append(f"{entry.slug}: Stripe has no price {entry.stripe_price_id!r}.")
        elif difference := _difference(price, entry):
            wrong.append(
                f"{entry.slug}: its price at Stripe ({price.id}) {difference}. A price there never "
                f"changes: give the new terms a new slug, such as {entry.slug[:45]}-2."
            )
        else:
            found.append(replace(entry, stripe_price_id=price.id))
    if wrong:
        raise PricingError(*wrong)
    return found


def _price(client: stripe.StripeClient, entry: Listed, price_id: str) -> stripe.Price | None:
    if price_id:
        try:
            return client.v1.prices.retrieve(price_id)
        except stripe.InvalidRequestError as error:
            if error.code != "resource_missing":
                raise
            # An id of ours from another Stripe account, or of a sandbox that was made anew.
            return None if entry.stripe_price_id else _found_or_made(client, entry)
    return _found_or_made(client, entry)


def _found_or_made(client: stripe.StripeClient, entry: Listed) -> stripe.Price:
    if price := _find(client, entry):
        return price
    try:
        return client.v1.prices.create(params=_params(entry))
    except stripe.InvalidRequestError:
        if price := _find(client, entry):  # another machine was faster: lookup keys are unique
            return price
        raise


def _find(client: stripe.StripeClient, entry: Listed) -> stripe.Price | None:
    prices = client.v1.prices.list(params={"lookup_keys": [entry.slug], "limit": 1})
    return prices.data[0] if prices.data else None


def _params(entry: Listed) -> stripe.params.PriceCreateParams:
    params: stripe.params.PriceCreateParams = {
        "product_data": {"name": entry.name, "metadata": {"offer": entry.slug}},
        "unit_amount": entry.amount,
        "currency": entry.currency,
        "lookup_key": entry.slug,
        "metadata": {"offer": entry.slug},
    }
    if entry.interval == Offer.Interval.YEAR:
        params["recurring"] = {"interval": "year"}
    elif entry.interval:
        params["recurring"] = {"interval": "month"}
    return params


def _difference(price: stripe.Price, entry: Listed) -> str:
    """What is wrong with the price, as the end of a sentence; "" if nothing is."""
    if not price.active:
        return "is archived"
    if (price.unit_amount, price.currency) != (entry.amount, entry.currency):
        return f"is {price.unit_amount} {price.currency}, not {entry.amount} {entry.currency}"
    every = price.recurring
    rhythm = f"every {every.interval_count} {every.interval}" if every else "once"
    wanted = f"every 1 {entry.interval}" if entry.interval else "once"
    return f"is paid {rhythm}, not {wanted}" if rhythm != wanted else ""
