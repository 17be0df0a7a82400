"""Credits going out: hold, capture, release, spend, and the sweep of what is due."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.db import IntegrityError
from django.db.models import Sum

from credits.books import Books, Kind, Why, locked
from credits.models import Account, CreditLot, Hold, LedgerEntry, Pool, account_id_of
from credits.services.errors import (
    AccountFrozen,
    HoldAlreadySettled,
    IdempotencyConflict,
    InsufficientCredits,
    InvalidAmount,
    check_amount,
)
from credits.services.grants import default_promotional_expiry
from credits.services.sweeps import attempt


def hold(
    *,
    account_id: int,
    amount: int,
    reference: str,
    idempotency_key: str,
    now: datetime,
    deadline: datetime | None = None,
    actor: str = "system",
    note: str = "",
) -> Hold:
    """Takes `amount` credits out of the pools for one piece of work that `reference` names.

    The credits leave their lots at once, so settling the hold can never fail for lack of credits.
    After `deadline` an open hold is released by expire_due.

    Raises InvalidAmount, InsufficientCredits, AccountFrozen, AccountNotFound, IdempotencyConflict.
    """
    new = Hold(amount=amount, reference=reference, deadline=deadline)
    return _take(new, account_id, idempotency_key, now, Why(reference, actor, note))


@contextmanager
def holding(
    *,
    account_id: int,
    amount: int,
    reference: str,
    now: datetime,
    deadline: datetime | None = None,
    actor: str = "system",
) -> Iterator[Hold]:
    """As `hold`, for a new `reference`, with a block that is in the hold's transaction.

    The hold's rows are there and the account is locked when the block starts; all or nothing is
    committed when it ends. On PostgreSQL what the block writes travels in the same network round
    trip: it cannot learn how many rows an UPDATE moved.

    Raises InvalidAmount, InsufficientCredits, AccountFrozen, AccountNotFound.
    """
    new = Hold(amount=amount, reference=reference, deadline=deadline)
    _name(new, reference)
    with locked(account_id, now=now, durable=True) as books:
        _take_now(books, new, Why(reference, actor))
        with books.writing():
            yield new


def spend(
    *,
    account_id: int,
    amount: int,
    reference: str,
    idempotency_key: str,
    now: datetime,
    actor: str = "system",
    note: str = "",
) -> Hold:
    """Hold and capture in one: `amount` credits are gone for good.

    Raises InvalidAmount, InsufficientCredits, AccountFrozen, AccountNotFound, IdempotencyConflict.
    """
    new = Hold(
        amount=amount,
        captured=amount,
        state=Hold.State.CAPTURED,
        settled_at=now,
        reference=reference,
    )
    return _take(new, account_id, idempotency_key, now, Why(reference, actor, note))


def capture(*, hold_id: int, now: datetime, amount: int | None = None) -> Hold:
    """The work is done: keeps `amount` credits (default: all) and gives back the rest.

    Raises HoldAlreadySettled if it was released or captured for another amount, InvalidAmount if
    `amount` exceeds the hold, Hold.DoesNotExist.
    """
    with _locked_hold(hold_id, now) as (books, found):
        wanted = found.amount if amount is None else amount
        check_amount(wanted)
        if wanted > found.amount:
            raise InvalidAmount(f"Hold {hold_id} is for {found.amount} credits, not {wanted}.")
        if found.state != Hold.State.OPEN:
            if found.state == Hold.State.CAPTURED and _captured_at_first(found) == wanted:
                return found
            raise HoldAlreadySettled(found)
        if wanted < found.amount:
            why = Why(found.reference, "system")
            _give_back(books, found, found.amount - wanted, Kind.RELEASE, why)
        return _settle(found, Hold.State.CAPTURED, wanted, now)


def release(
    *, hold_id: int, now: datetime, by_customer: bool = False, actor: str = "system", note: str = ""
) -> Hold:
    """The work was not done: the credits go back to the lots they came from.

    Credits of a lot that has ended meanwhile stay spendable if our side failed (in the current
    subscription lot's time, else for PROMOTIONAL_DAYS); they lapse if the customer gave up the
    work, because queue-and-cancel would otherwise carry credits over a renewal.

    Raises HoldAlreadySettled if it was captured, Hold.DoesNotExist.
    """
    with _locked_hold(hold_id, now) as (books, found):
        if found.state == Hold.State.RELEASED:
            return found
        if found.state != Hold.State.OPEN:
            raise HoldAlreadySettled(found)
        why = Why(found.reference, actor, note)
        _give_back(books, found, found.amount, Kind.RELEASE, why, lapse=by_customer)
        return _settle(found, Hold.State.RELEASED, 0, now)


def refund_spend(*, hold_id: int, now: datetime, actor: str, note: str) -> Hold:
    """Goodwill: gives back all that a captured hold kept, spendable again.

    Repeating changes nothing.

    Raises HoldAlreadySettled if the hold is open or was released, Hold.DoesNotExist.
    """
    with _locked_hold(hold_id, now) as (books, found):
        if found.state != Hold.State.CAPTURED:
            raise HoldAlreadySettled(found)
        if found.captured:
            why = Why(found.reference, actor, note)
            _give_back(books, found, found.captured, Kind.REFUND, why)
            _settle(found, Hold.State.CAPTURED, 0, found.settled_at or now)
        return found


@dataclass(frozen=True)
class Swept:
    """What expire_due did: accounts with lots that ended, holds released; and how many failed."""

    accounts: int
    credits: int
    holds: int
    failed: int = 0


def expire_due(*, now: datetime, limit: int | None = None) -> Swept:
    """Writes off lots that have ended, releases holds past their deadline; account by account.

    At most `limit` lots and holds, the oldest first. What fails is logged and holds up nothing.
    """
    ended = CreditLot.objects.filter(expires_at__lte=now, remaining__gt=0).order_by("expires_at")
    account_ids = dict.fromkeys(ended.values_list("account_id", flat=True)[:limit])
    expired = [attempt(partial(_expire, account_id, now)) for account_id in account_ids]
    late = Hold.objects.filter(state=Hold.State.OPEN, deadline__lte=now).order_by("deadline")
    hold_ids = list(late.values_list("id", flat=True)[:limit])
    released = [attempt(partial(_release_late, hold_id, now)) for hold_id in hold_ids]
    return Swept(
        accounts=len(expired) - expired.count(None),
        credits=sum(amount or 0 for amount in expired),
        holds=sum(done or False for done in released),
        failed=expired.count(None) + released.count(None),
    )


def _expire(account_id: int, now: datetime) -> int:
    with locked(account_id, now=now) as books:
        before = books.available
        books.open_lots()
        return before - books.available


def _release_late(hold_id: int, now: datetime) -> bool:
    try:
        release(hold_id=hold_id, now=now, note="deadline passed")
    except HoldAlreadySettled:  # captured since it was listed
        return False
    return True


def _take(new: Hold, account_id: int, key: str, now: datetime, why: Why) -> Hold:
    """Makes the hold, or returns the one that the key already made.

    The key is not looked up first: that would cost every spend a round trip. Whatever refuses a
    repeated call (the unique key, an empty pool) leads to the look-up.
    """
    _name(new, key)
    try:
        with locked(account_id, now=now) as books:
            _take_now(books, new, why)
        return new
    except (IntegrityError, InsufficientCredits, AccountFrozen):
        first = Hold.objects.filter(account_id=account_id, idempotency_key=key).first()
        if first is None:
            raise
    if first.arguments_hash != new.arguments_hash:
        raise IdempotencyConflict(key)
    return first


def _name(new: Hold, key: str) -> None:
    check_amount(new.amount)
    new.idempotency_key = key
    new.arguments_hash = _arguments_hash(new.amount, new.reference, new.captured)


def _take_now(books: Books, new: Hold, why: Why) -> None:
    if books.status == Account.Status.FROZEN:
        raise AccountFrozen
    take_credits(books, new, Kind.HOLD, why)


def take_credits(
    books: Books,
    new: Hold,
    kind: Kind,
    why: Why,
    only: Pool | None = None,
    newest_first: bool = False,
) -> None:
    """Takes the hold's amount from the open lots in burn order. Raises InsufficientCredits."""
    lots = [lot for lot in books.open_lots() if only is None or lot.pool == only]
    if newest_first:
        lots.sort(key=lambda lot: lot.id, reverse=True)
    available = sum(lot.remaining for lot in lots)
    if available < new.amount:
        raise InsufficientCredits(required=new.amount, available=available)
    books.add_hold(new)
    missing = new.amount
    for lot in lots:
        taken = min(missing, lot.remaining)
        books.post(kind, lot, -taken, why, new.id)
        missing -= taken
        if not missing:
            return


def _arguments_hash(*arguments: object) -> str:
    return hashlib.sha256(json.dumps(arguments).encode()).hexdigest()


@contextmanager
def _locked_hold(hold_id: int, now: datetime) -> Iterator[tuple[Books, Hold]]:
    """The books of the hold's account, locked, and the hold as it is now."""
    with locked(account_id_of(hold_id), now=now) as books:
        yield books, Hold.objects.get(pk=hold_id)


def _captured_at_first(found: Hold) -> int:
    """What the capture kept, whatever refund_spend has given back since."""
    released = LedgerEntry.objects.filter(hold=found, kind=Kind.RELEASE)
    return found.amount - (released.aggregate(sum=Sum("amount"))["sum"] or 0)


def _settle(found: Hold, state: str, captured: int, now: datetime) -> Hold:
    found.state, found.captured, found.settled_at = state, captured, now
    found.save(update_fields=["state", "captured", "settled_at"])
    return found


def _give_back(
    books: Books, found: Hold, amount: int, kind: Kind, why: Why, *, lapse: bool = False
) -> None:
    """Returns `amount` credits of the hold to where they came from, last taken first."""
    for lot, taken in _taken_from(found):
        portion = min(amount, taken)
        amount -= portion
        if portion:
            _return_to_lot(books, lot, portion, kind, why, found.pk, lapse=lapse)


def _taken_from(found: Hold) -> Iterator[tuple[CreditLot, int]]:
    """The lots that a hold still has credits of, last taken first, with how many.

    What was given back before is skipped from the same end, whichever lot it came back into.
    """
    entries = LedgerEntry.objects.filter(hold=found).select_related("lot").order_by("-sequence")
    given_back = sum(entry.amount for entry in entries if entry.amount > 0)
    for entry in entries:
        taken = max(0, -entry.amount)
        skipped = min(given_back, taken)
        given_back -= skipped
        if taken > skipped:
            yield entry.lot, taken - skipped


def _return_to_lot(
    books: Books, row: CreditLot, amount: int, kind: Kind, why: Why, hold_id: int, *, lapse: bool
) -> None:
    lot = books.working_copy(row)
    row = lot.row or row
    demanded = min(amount, row.clawed_back_owed, books.owed)
    if demanded:  # a claw-back came while they were out
        books.post(kind, lot, demanded, why, hold_id)
        books.owed -= demanded
        row.clawed_back_owed -= demanded
        books.post(Kind.CLAW_BACK, lot, -demanded, why)
    amount -= demanded
    if not amount:
        return
    if lot.ended and not lapse and not row.frozen_at:
        books.add_lot(kind, extended_lot(books, row, amount, hold_id), why, hold_id)
        return
    books.post(kind, lot, amount, why, hold_id)
    if row.frozen_at:  # also after its end: disputed credits must not become spendable elsewhere
        row.frozen += amount
        books.post(Kind.FREEZE, lot, -amount, why)
    elif lot.ended:
        books.post(Kind.EXPIRE, lot, -amount, why)


def extended_lot(books: Books, ended: CreditLot, amount: int, cause_id: int) -> CreditLot:
    """A lot for credits that something other than their owner kept from being used in time.

    `cause_id` is the hold or the lot that they come back from.
    """
    current = None
    if ended.pool == Pool.SUBSCRIPTION:
        subscription = CreditLot.objects.filter(
            account_id=books.account_id, pool=Pool.SUBSCRIPTION, expires_at__gt=books.now
        )
        current = subscription.order_by("-expires_at").first()
    return CreditLot(
        pool=Pool.SUBSCRIPTION if current else Pool.PROMOTIONAL,
        granted=amount,
        expires_at=current.expires_at if current else default_promotional_expiry(books.now),
        source_key=f"return:{cause_id}:{books.sequence + 1}",
    )
