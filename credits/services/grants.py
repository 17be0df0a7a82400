"""Credits coming in: grants and renewals."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError

from credits.books import Books, Kind, OpenLot, Why, locked
from credits.models import CreditLot, Pool
from credits.services.errors import (
    MOST_KEY,
    IdempotencyConflict,
    check_amount,
    check_key,
    check_paid,
)

ROLLOVER = "rollover:"  # before the key of the period that the credits are carried into


def grant(
    *,
    account_id: int,
    pool: Pool,
    amount: int,
    source_key: str,
    now: datetime,
    expires_at: datetime | None = None,
    amount_paid: int = 0,
    currency: str = "",
    terms: dict[str, Any] | None = None,
    actor: str = "system",
    note: str = "",
) -> CreditLot:
    """Adds a lot of `amount` credits. What the account owes is paid from it first.

    `source_key` names the business fact that pays for it (`invoice:in_123`), never an event; it is
    good for one lot in the whole system. `amount_paid` is in minor units of `currency`.

    Raises InvalidAmount, InvalidKey, AccountNotFound, IdempotencyConflict (same key, other account,
    pool or amount).
    """
    check_amount(amount)
    check_paid(amount_paid)
    check_key(source_key)
    lot = CreditLot(
        pool=pool,
        granted=amount,
        source_key=source_key,
        expires_at=expires_at,
        amount_paid=amount_paid,
        currency=currency,
        terms=terms or {},
    )
    why = Why(source_key, actor, note)
    return once(lot, account_id, now, lambda books: add_lot(books, Kind.GRANT, lot, why))


def reset_subscription(
    *,
    account_id: int,
    amount: int,
    period_end: datetime,
    source_key: str,
    now: datetime,
    rollover_cap: int = 0,
    amount_paid: int = 0,
    currency: str = "",
    terms: dict[str, Any] | None = None,
    actor: str = "system",
    note: str = "",
) -> CreditLot:
    """Begins a paid period: ends the old subscription lots and adds a new one of `amount` credits.

    At most `rollover_cap` of the credits left are carried over. The new lot lives until
    `period_end` plus SUBSCRIPTION_GRACE: the next payment arrives after the period has turned.
    Promotional and bulk credits are not touched.

    Raises InvalidAmount, InvalidKey, AccountNotFound, IdempotencyConflict.
    """
    check_amount(amount)
    check_amount(rollover_cap, least=0)
    check_paid(amount_paid)
    check_key(source_key, most=MOST_KEY - len(ROLLOVER))
    lot = CreditLot(
        pool=Pool.SUBSCRIPTION,
        granted=amount,
        source_key=source_key,
        expires_at=period_end + settings.SUBSCRIPTION_GRACE,
        amount_paid=amount_paid,
        currency=currency,
        terms=terms or {},
    )
    why = Why(source_key, actor, note)

    def renew(books: Books) -> None:
        carried = end_subscription_lots(books, rollover_cap, why)
        add_lot(books, Kind.GRANT, lot, why)
        if carried:
            rest = CreditLot(
                pool=Pool.SUBSCRIPTION,
                granted=carried,
                source_key=f"{ROLLOVER}{source_key}",
                expires_at=lot.expires_at,
            )
            books.add_lot(Kind.ROLLOVER, rest, why)

    return once(lot, account_id, now, renew)


def end_subscription(
    *, account_id: int, reference: str, now: datetime, actor: str = "system", note: str = ""
) -> None:
    """The subscription is over: ends its credits at once. Other pools stay. Repeating is harmless.

    Raises AccountNotFound.
    """
    with locked(account_id, now=now) as books:
        end_subscription_lots(books, 0, Why(reference, actor, note))


def add_lot(books: Books, kind: Kind, lot: CreditLot, why: Why) -> None:
    """A new lot in locked books; what the account owes is paid from it first."""
    pay_owed(books, books.add_lot(kind, lot, why), why)


def pay_owed(books: Books, lot: OpenLot, why: Why) -> None:
    """Pays what the account owes from `lot`, as far as it goes."""
    payment = min(books.owed, lot.remaining)
    if payment:
        books.owed -= payment
        books.post(Kind.REPAY, lot, -payment, why)


def end_subscription_lots(books: Books, rollover_cap: int, why: Why) -> int:
    """Ends every subscription lot now, and takes out at most `rollover_cap` to carry over.

    The credits that would have lived longest are carried. Also lots with nothing left are ended:
    what a hold took from them must not come back into a period that is over.
    """
    carried = 0
    old = [lot for lot in books.open_lots() if lot.pool == Pool.SUBSCRIPTION]
    for lot in reversed(old):
        carry = min(lot.remaining, rollover_cap - carried)
        if carry:
            books.post(Kind.ROLLOVER, lot, -carry, why)
            carried += carry
        if lot.remaining:
            books.post(Kind.EXPIRE, lot, -lot.remaining, why)
    books.end_pool(Pool.SUBSCRIPTION)
    return carried


def once(
    lot: CreditLot, account_id: int, now: datetime, apply: Callable[[Books], None]
) -> CreditLot:
    """Runs `apply` for a new lot, or returns the lot that its source key already made.

    The key is looked up under the lock. The unique constraint decides when the same key is used for
    two accounts at once.
    """
    try:
        with locked(account_id, now=now) as books:
            if not books.has_lot(lot.source_key):
                apply(books)
                return lot
    except IntegrityError:
        if not CreditLot.objects.filter(source_key=lot.source_key).exists():
            raise
    first = CreditLot.objects.get(source_key=lot.source_key)
    if (first.account_id, first.pool, first.granted) != (account_id, lot.pool, lot.granted):
        raise IdempotencyConflict(lot.source_key)
    return first


def default_promotional_expiry(now: datetime) -> datetime:
    """When goodwill credits end that nobody gave another date."""
    return now + timedelta(days=settings.PROMOTIONAL_DAYS)
