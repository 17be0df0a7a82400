"""What rules are given and what may come of an event."""

from dataclasses import dataclass
from datetime import datetime

from credits.models import Account, Offer
from credits.payments.readers import Object


class Ignore(Exception):
    """Nothing is to be done, for the reason given."""


class Wait(Exception):
    """Something is missing that is still to come, named in the message."""


@dataclass(frozen=True)
class Event:
    """An event to apply: its type, its object, Stripe's time and ours."""

    type: str
    object: Object
    created_at: datetime
    now: datetime


@dataclass(frozen=True)
class Done:
    """What a rule booked: the fact, for which account; what of it is still to come, or why none."""

    fact_key: str
    account_id: int | None
    waiting_for: str = ""
    ignored_because: str = ""


def locked_account(customer_id: str) -> Account:
    """The account that our server tied to this Stripe customer, locked. Raises Wait.

    Nothing that a customer can write (metadata, client_reference_id, email) decides who is paying.
    """
    account = Account.objects.locked().filter(stripe_customer_id=customer_id).first()
    if account is None:
        raise Wait(f"No account is linked to customer {customer_id}: manage.py link_customer.")
    return account


def plan_of(price_id: str) -> Offer | None:
    """The plan with this Stripe price, also one that is no longer sold."""
    if not price_id:
        return None
    return Offer.objects.filter(stripe_price_id=price_id, kind=Offer.Kind.PLAN).first()


def terms_of(offer: Offer, **more: str) -> dict[str, str | int]:
    """The offer as it is now, to be kept with what was bought."""
    return {
        "slug": offer.slug,
        "name": offer.name,
        "credits": offer.credits,
        "amount": offer.amount,
        "currency": offer.currency,
        **more,
    }
