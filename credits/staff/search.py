"""What a word that staff searches for names. Every look-up is by one whole value with an index."""

from collections.abc import Callable, Iterable
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import Q

from credits.models import (
    SEQUENCE_BITS,
    Account,
    CheckoutStart,
    CreditLot,
    InboxEvent,
    Payment,
    RetailToken,
    Subscription,
    account_id_of,
)
from credits.payments.purchases import MOST_PIECES

MOST_BIGINT = 2**63 - 1
MOST_EVENTS = 50  # about one object of Stripe
LONGEST = 255  # of what is stored

# Who makes holds says here which one a word names: the money core does not know their work.
HOLD_FINDERS: list[Callable[[str], int | None]] = []
# Likewise the accounts of what credits does not know: generations, API keys.
ACCOUNT_FINDERS: list[Callable[[str], Iterable[int]]] = []


def account_named(word: str) -> int | None:
    """The account with this number, email address or Stripe customer."""
    if number := number_in(word):
        return number if number < 2**SEQUENCE_BITS else None
    if "@" in word:
        # Stored in lower case; resolved first, because a join would be tried for every row.
        user = get_user_model().objects.filter(email=word.lower()).values("pk")
        found = Account.objects.filter(user_id__in=user)
    elif word.startswith("cus_"):
        found = Account.objects.filter(stripe_customer_id=word)
    else:
        return None
    return found.values_list("pk", flat=True).first() or 0  # an account that does not exist


def accounts_named(word: str) -> set[int]:
    """The accounts behind anything that a customer, Stripe or a log can name, whole."""
    word = word.strip()
    if not word or len(word) > LONGEST or "\0" in word:
        return set()
    if account_id := account_named(word):
        return {account_id}
    found = {*_owners_of_purchase(word), *_owners_at_stripe(word)}
    found.update(*(finder(word) for finder in ACCOUNT_FINDERS))
    return {account_id for account_id in found if account_id is not None}


def _owners_of_purchase(word: str) -> Iterable[int]:
    sources = purchases_named(word)
    lots = CreditLot.objects.filter(source_key__in=sources)
    yield from lots.values_list("account_id", flat=True)
    tokens = RetailToken.objects.filter(source_key__in=tokens_of(sources))
    yield from tokens.values_list("account_id", flat=True)


def _owners_at_stripe(word: str) -> Iterable[int | None]:
    """Of a subscription, a session that was not paid, or whatever an event told about."""
    for rows in (
        Subscription.objects.filter(subscription_id=word),
        CheckoutStart.objects.filter(session_id=word),
        InboxEvent.objects.filter(object_id=word),
        InboxEvent.objects.filter(event_id=word),
    ):
        yield from rows.values_list("account_id", flat=True)[:MOST_EVENTS]


def row_named(word: str) -> int | None:
    """The id of a lot, hold or ledger entry; see Note [Ids made of account and sequence]."""
    number = number_in(word)
    return number if number and 2**SEQUENCE_BITS <= number <= MOST_BIGINT else None


def hold_named(word: str) -> int | None:
    """The hold that pays for the work named: a generation, or the key of its request."""
    found = (finder(word) for finder in HOLD_FINDERS)
    return next((hold_id for hold_id in found if hold_id), None)


def purchases_named(word: str) -> list[str]:
    """The source keys that a word may mean: of an invoice, Checkout session, payment, or whole."""
    if word.startswith("in_"):
        return [f"invoice:{word}"]
    if word.startswith("cs_"):
        return [f"checkout:{word}"]
    if word.startswith(("pi_", "py_")):
        paid = Payment.objects.filter(payment_intent=word)
        return list(paid.values_list("source_key", flat=True))
    return [word]


def tokens_of(sources: list[str]) -> list[str]:
    """The source keys of the single generations that these purchases may have brought."""
    pieces = [f"{source}:{piece}" for source in sources for piece in range(1, MOST_PIECES + 1)]
    return [*sources, *pieces]


def lines_named(word: str) -> Q:
    """Ledger lines: of an account, of a hold, of what a purchase brought, or that an event made."""
    if (account_id := account_named(word)) is not None:
        return Q(account_id=account_id)
    if row_id := row_named(word):
        return Q(pk=row_id) | Q(hold_id=row_id) | Q(account_id=account_id_of(row_id), lot_id=row_id)
    if hold_id := hold_named(word):
        return Q(hold_id=hold_id)
    sources = purchases_named(word)
    lots = list(CreditLot.objects.filter(source_key__in=sources).values_list("pk", flat=True))
    of_lots = Q(account_id__in={account_id_of(lot) for lot in lots}, lot_id__in=lots)
    return of_lots | _lines_of_events(word)


def _lines_of_events(word: str) -> Q:
    """What a rule writes has the time that stands on its event."""
    named = Q(event_id=word) | Q(object_id=word)
    applied = InboxEvent.objects.filter(named, applied_at__isnull=False, account__isnull=False)
    found = Q(pk=None)
    for account_id, moment in applied.values_list("account_id", "applied_at")[:MOST_EVENTS]:
        found |= Q(account_id=account_id, created_at=moment)
    return found


def number_in(word: str) -> int | None:
    """The whole number that the word is, in digits; None if it is none, or too long to be an id."""
    return int(word) if word.isascii() and word.isdigit() and len(word) < 19 else None


def uuid_in(word: str) -> UUID | None:
    """The UUID that the word is, also behind a prefix such as `generation:`."""
    try:
        return UUID(word.rpartition(":")[2])
    except ValueError:
        return None
