"""Whose account is it? Found by anything that a customer, Stripe or a log can name, whole.

Every finder is one look-up by an index. What credits does not know (generations, API keys), the
site adds to FINDERS.
"""

from collections.abc import Callable, Iterable

from credits.models import (
    Account,
    CheckoutStart,
    CreditLot,
    InboxEvent,
    Payment,
    RetailToken,
    Subscription,
)

Finder = Callable[[str], Iterable[int | None]]

LONGEST = 255
BIGGEST = 2**63


def accounts_named(term: str) -> set[int]:
    """The ids of the accounts that `term` names; none for what can name nothing."""
    term = term.strip()
    if not term or len(term) > LONGEST or "\0" in term:
        return set()
    return {account for find in FINDERS for account in find(term) if account is not None}


def _by_number(term: str) -> Iterable[int]:
    return [int(term)] if term.isascii() and term.isdigit() and int(term) < BIGGEST else []


def _by_email_or_customer(term: str) -> Iterable[int]:
    """Addresses are kept in small letters."""
    yield from Account.objects.filter(user__email=term.lower()).values_list("pk", flat=True)
    yield from Account.objects.filter(stripe_customer_id=term).values_list("pk", flat=True)


def _by_purchase(term: str) -> Iterable[int]:
    """An invoice, a Checkout session, a payment, or the key of a lot or token as the books say."""
    paid = Payment.objects.filter(payment_intent=term).values_list("source_key", flat=True)
    keys = {term, f"invoice:{term}", f"checkout:{term}", *paid}
    pieces = {*keys, *(f"{key}:1" for key in keys)}
    yield from CreditLot.objects.filter(source_key__in=keys).values_list("account_id", flat=True)
    yield from RetailToken.objects.filter(source_key__in=pieces).values_list(
        "account_id", flat=True
    )


def _by_stripes_id(term: str) -> Iterable[int | None]:
    """A subscription, a session that was not paid, or whatever an event told about."""
    subscriptions = Subscription.objects.filter(subscription_id=term)
    yield from subscriptions.values_list("account_id", flat=True)
    sessions = CheckoutStart.objects.filter(session_id=term)
    yield from sessions.values_list("account_id", flat=True)
    for events in (
        InboxEvent.objects.filter(object_id=term),
        InboxEvent.objects.filter(event_id=term),
    ):
        yield from events.values_list("account_id", flat=True)[:100]


FINDERS: list[Finder] = [_by_number, _by_email_or_customer, _by_purchase, _by_stripes_id]
