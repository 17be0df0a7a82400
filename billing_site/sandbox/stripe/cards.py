"""Stripe's test cards: the number decides what happens. https://docs.stripe.com/testing

No other number is accepted, so that nobody's real card ever gets into the state file.
"""

from dataclasses import dataclass

from billing_site.sandbox.stripe.errors import StripeError


@dataclass(frozen=True)
class Card:
    """What a number does: when its owner is there, and later when they are not."""

    number: str
    meaning: str
    token: str = ""
    brand: str = "visa"
    declined: str = ""
    declined_later: str = ""
    challenged: bool = False
    challenged_later: bool = False
    disputed: bool = False


CARDS = [
    Card("4242424242424242", "is accepted", "pm_card_visa"),
    Card("5555555555554444", "is accepted", "pm_card_mastercard", brand="mastercard"),
    Card("4000000000000002", "is declined", "pm_card_chargeDeclined", declined="generic_decline"),
    Card(
        "4000000000009995",
        "is declined: no money",
        "pm_card_chargeDeclinedInsufficientFunds",
        declined="insufficient_funds",
    ),
    Card(
        "4000002500003155",
        "asks for 3-D Secure",
        "pm_card_authenticationRequiredOnSetup",
        challenged=True,
    ),
    Card(
        "4000002760003184",
        "asks for 3-D Secure every time",
        "pm_card_authenticationRequired",
        challenged=True,
        challenged_later=True,
    ),
    Card(
        "4000000000000341",
        "is accepted now, fails at the renewal",
        "pm_card_chargeCustomerFail",
        declined_later="generic_decline",
    ),
    Card("4000000000000259", "is accepted, then disputed", "pm_card_createDispute", disputed=True),
]
_BY_NUMBER = {card.number: card for card in CARDS}
BY_TOKEN = {card.token: card for card in CARDS}

MESSAGES = {
    "generic_decline": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
}


def card(number: str) -> Card:
    """The test card with this number, written with or without spaces. Raises StripeError 402."""
    found = _BY_NUMBER.get(number.replace(" ", "").replace("-", ""))
    if found is None:
        raise declined(
            "test_mode_live_card",
            "Your card was declined. Your request was in test mode, but used a non test card.",
        )
    return found


def declined(reason: str, message: str = "", *, intent: str = "") -> StripeError:
    """The error of a card."""
    message = message or MESSAGES[reason]
    return StripeError(
        message, status=402, kind="card_error", code="card_declined", decline_code=reason,
        payment_intent=intent,
    )  # fmt: skip


def spaced(number: str) -> str:
    """As it stands on the card."""
    return " ".join(number[at : at + 4] for at in range(0, len(number), 4))
