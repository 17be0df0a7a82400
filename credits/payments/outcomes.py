"""What rules are given and what may come of an event."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from credits.models import Account, Offer
from credits.payments.readers import Object

if TYPE_CHECKING:
    from credits.payments.facts import Facts


class Ignore(Exception):
    """Nothing is to be done, for the reason given."""


class Wait(Exception):
    """Something is missing that is still to come, named in the message."""


@dataclass(frozen=True)
class Event:
    """An event to apply: its type, its object, Stripe's time and ours, what is known already."""

    type: str
    object: Object
    created_at: datetime
    now: datetime
    facts: "Facts | None" = None


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
        raise unlinked(customer_id)
    return account


def unlinked(customer_id: str) -> Wait:
    """Staff links the customer, and the event is applied."""
    return Wait(f"No account is linked to customer {customer_id}: manage.py link_customer.")


def terms_of(offer: Offer, **more: Any) -> dict[str, Any]:
    """The offer as it is now, to be kept with what was bought."""
    return {
        "slug": offer.slug,
        "name": offer.name,
        "credits": offer.credits,
        "amount": offer.amount,
        "currency": offer.currency,
        **more,
    }
