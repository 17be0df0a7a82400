"""Charges that this site sold nothing for: made by hand at Stripe, say.

No difference, as no rule says what they are worth; but somebody paid and may expect something.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import stripe

from credits.models import Account, Payment
from credits.payments.readers import Object, text
from credits.payments.reconcile import stripe_side
from credits.payments.reconcile.differences import Difference, Kind


@dataclass(frozen=True)
class Unsold:
    """A charge, and the account of the customer who paid it."""

    charge: Object
    account_id: int


def unsold(client: stripe.StripeClient, charges: list[Object]) -> list[Unsold]:
    """Those of the charges that a customer of ours paid for no session and no invoice.

    Stripe is asked only about payments that no purchase has noted.
    """
    owners = _owners(charges)
    paid = [row for row in charges if row["paid"] and row["captured"]]
    ours = [row for row in paid if text(row, "customer") in owners]
    intents = [text(charge, "payment_intent") for charge in ours]
    noted = Payment.objects.filter(payment_intent__in=intents)
    sold = set(noted.values_list("payment_intent", flat=True))
    return [
        Unsold(charge, owners[text(charge, "customer")])
        for charge, intent in zip(ours, intents, strict=True)
        if intent not in sold and not (intent and stripe_side.is_for_something(client, intent))
    ]


def told(found: list[Unsold]) -> Iterator[Difference]:
    """What is to be known of charges that nobody sold: of those that were not given back."""
    for one in found:
        charge = one.charge
        if not charge["refunded"]:
            customer, intent = text(charge, "customer"), text(charge, "payment_intent")
            yield Difference(
                Kind.NOT_SOLD,
                f"{charge['id']} {customer} {intent}".strip(),
                text(charge, "description") or "paid, and this site sold nothing for it",
                one.account_id,
                charge["amount"] - charge["amount_refunded"],
                text(charge, "currency"),
            )


def _owners(charges: list[Object]) -> dict[str, int]:
    """The accounts of customers who are ours, by customer."""
    customers = {text(charge, "customer") for charge in charges} - {""}
    found = Account.objects.filter(stripe_customer_id__in=customers)
    return {str(account.stripe_customer_id): account.pk for account in found}
