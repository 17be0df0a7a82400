"""Corrections: what refunds, disputes and staff do to credits that came in before."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import Enum

from django.db.models import Sum

from credits.books import Books, Kind, OpenLot, Why, locked
from credits.models import CreditLot, Hold, LedgerEntry, Pool, account_id_of
from credits.services.errors import (
    IdempotencyConflict,
    InvalidAdjustment,
    InvalidAmount,
    check_amount,
)
from credits.services.grants import add_lot, once
from credits.services.holds import extended_lot, take_credits

TAKEN_BACK = [Kind.CLAW_BACK, Kind.RESTORE]
SPENDING = [Kind.HOLD, Kind.RELEASE, Kind.REFUND, Kind.ADJUST, Kind.ROLLOVER, Kind.REPAY]


class Direction(Enum):
    ADD = "add"
    REMOVE = "remove"


def claw_back(
    *, source_key: str, total: int, reference: str, now: datetime, actor: str = "system"
) -> CreditLot:
    """Takes back `total` credits of one purchase, counted over all its refunds so far.

    What is left in the lot goes first, also what a dispute has frozen; what had been spent becomes
    owed, and the next grant pays it; what had expired is forgiven. Calling again with the same or a
    smaller total changes nothing, so partial refunds may arrive in any order.

    Raises InvalidAmount if `total` exceeds what was granted, CreditLot.DoesNotExist.
    """
    check_amount(total)
    why = Why(reference, actor)
    with _locked_lot(source_key, now) as (books, row):
        if total > row.granted:
            raise InvalidAmount(f"{source_key} granted {row.granted} credits, not {total}.")
        if total > row.clawed_back:
            lot = books.working_copy(row)
            frozen_at = row.frozen_at
            _thaw(books, lot, row, why)
            _take_back(books, lot, row, total, why)
            if frozen_at:
                _freeze(books, lot, row, why, frozen_at)
        return row


def reverse_claw_back(
    *, source_key: str, total: int, reference: str, now: datetime, actor: str = "system"
) -> CreditLot:
    """Refunds have failed: no more than `total` credits of the purchase stay taken back; 0 for all.

    Undoes what claw_back did in the opposite order: what was forgiven first, then what it made
    owed, then what it took. What had been paid of the debt goes back to the lots that paid it, the
    last first. All of it is spendable again, unless a dispute holds the lot: where a lot has ended
    meanwhile, in the current subscription lot's time, else for PROMOTIONAL_DAYS. Calling again with
    the same or a larger total changes nothing.

    Raises InvalidAmount, CreditLot.DoesNotExist.
    """
    check_amount(total, least=0)
    why = Why(reference, actor, note="the refund failed")
    with _locked_lot(source_key, now) as (books, row):
        if total < row.clawed_back:
            books.working_copy(row)  # so that the changes to the row are written
            _undo(books, row, total, why)
        return row


def freeze_lot(
    *, source_key: str, reference: str, now: datetime, actor: str = "system"
) -> CreditLot:
    """A dispute is open: sets aside what is left of the lot, and whatever comes back to it.

    Raises CreditLot.DoesNotExist. Freezing a frozen lot changes nothing.
    """
    with _locked_lot(source_key, now) as (books, row):
        if row.frozen_at is None:
            _freeze(books, books.working_copy(row), row, Why(reference, actor), now)
        return row


def unfreeze_lot(
    *, source_key: str, reference: str, now: datetime, actor: str = "system"
) -> CreditLot:
    """The dispute is over: the credits are spendable again, unless the lot's time has ended.

    Raises CreditLot.DoesNotExist. Unfreezing a lot that is not frozen changes nothing.
    """
    why = Why(reference, actor)
    with _locked_lot(source_key, now) as (books, row):
        if row.frozen_at is not None:
            lot = books.working_copy(row)
            _thaw(books, lot, row, why)
            if lot.ended and lot.remaining:
                books.post(Kind.EXPIRE, lot, -lot.remaining, why)
        return row


def extend_lot(*, source_key: str, expires_at: datetime, now: datetime) -> CreditLot:
    """Lets what is left of a lot live until `expires_at`. No credit moves, so no line is written.

    A renewal still ends subscription credits. Raises InvalidAdjustment if the lot has ended, never
    ends, or would end earlier; CreditLot.DoesNotExist.
    """
    with _locked_lot(source_key, now) as (_books, row):
        if row.expires_at is None or row.expires_at <= now:
            raise InvalidAdjustment("Only credits that have not ended, and would, can live on.")
        if expires_at < row.expires_at:
            raise InvalidAdjustment("They would end earlier than now.")
        row.expires_at = expires_at
        row.save(update_fields=["expires_at"])
        return row


def adjust(
    *,
    account_id: int,
    pool: Pool,
    amount: int,
    direction: Direction,
    idempotency_key: str,
    actor: str,
    note: str,
    now: datetime,
    expires_at: datetime | None = None,
    newest_first: bool = False,
) -> CreditLot | Hold:
    """Staff adds or removes `amount` credits of one pool, with a reason that is kept.

    Adding makes a lot, removing a captured hold, in burn order or from the newest lots first.

    Raises InvalidAmount, InsufficientCredits, IdempotencyConflict (also for the other direction),
    AccountNotFound.
    """
    check_amount(amount)
    why = Why(f"adjustment:{idempotency_key}", actor, note)
    if Direction(direction) is Direction.REMOVE:
        return _remove(account_id, pool, amount, why, now, newest_first)
    lot = CreditLot(pool=pool, granted=amount, source_key=why.reference, expires_at=expires_at)

    def add(books: Books) -> None:
        if Hold.objects.filter(account_id=account_id, idempotency_key=why.reference).exists():
            raise IdempotencyConflict(why.reference)
        add_lot(books, Kind.ADJUST, lot, why)

    return once(lot, account_id, now, add)


def _remove(
    account_id: int, pool: Pool, amount: int, why: Why, now: datetime, newest_first: bool
) -> Hold:
    arguments = f"remove {amount} {pool}"
    with locked(account_id, now=now) as books:
        first = Hold.objects.filter(account_id=account_id, idempotency_key=why.reference).first()
        if CreditLot.objects.filter(source_key=why.reference).exists():
            raise IdempotencyConflict(why.reference)
        if first is None:
            removed = Hold(
                amount=amount,
                captured=amount,
                state=Hold.State.CAPTURED,
                settled_at=now,
                reference=why.reference,
                idempotency_key=why.reference,
                arguments_hash=arguments,
            )
            take_credits(books, removed, Kind.ADJUST, why, only=pool, newest_first=newest_first)
            return removed
    if first.arguments_hash != arguments:
        raise IdempotencyConflict(why.reference)
    return first


@contextmanager
def _locked_lot(source_key: str, now: datetime) -> Iterator[tuple[Books, CreditLot]]:
    """The books of the lot's account, locked, and the lot as it is now."""
    lot_id = CreditLot.objects.values_list("id", flat=True).get(source_key=source_key)
    with locked(account_id_of(lot_id), now=now) as books:
        books.open_lots()  # an ended lot is written off before it is looked at
        yield books, CreditLot.objects.get(pk=lot_id)


def _take_back(books: Books, lot: OpenLot, row: CreditLot, total: int, why: Why) -> None:
    taken = min(lot.remaining, total - row.clawed_back)
    still_missing = total - taken - _taken_out(row, TAKEN_BACK)
    owed = max(0, min(still_missing, _taken_out(row, SPENDING)) - row.clawed_back_owed)
    row.clawed_back = total
    row.clawed_back_owed += owed
    books.owed += owed
    if taken or owed:
        books.post(Kind.CLAW_BACK, lot, -taken, why)


def _undo(books: Books, row: CreditLot, total: int, why: Why) -> None:
    undone = row.clawed_back - total
    forgiven = row.clawed_back - row.clawed_back_owed - _taken_out(row, TAKEN_BACK)
    undone -= min(undone, forgiven)
    not_owed = min(undone, row.clawed_back_owed)
    row.clawed_back = total
    row.clawed_back_owed -= not_owed
    still_owed = min(not_owed, books.owed)
    books.owed -= still_owed
    if still_owed:  # a line that moves nothing but what is owed, like the one that made it
        books.post(Kind.CLAW_BACK, books.working_copy(row), 0, why)
    _bring_back(books, row, undone - not_owed, Kind.RESTORE, why)
    _undo_repayments(books, not_owed - still_owed, why)


def _undo_repayments(books: Books, amount: int, why: Why) -> None:
    """Gives `amount` credits that paid a debt back to the lots that they came from."""
    lines = LedgerEntry.objects.filter(account_id=books.account_id, kind=Kind.REPAY)
    paid = lines.values_list("lot").annotate(sum=-Sum("amount")).order_by("-lot")
    for lot_id, most in paid:
        portion = min(amount, most)
        if portion:
            _bring_back(books, CreditLot.objects.get(pk=lot_id), portion, Kind.REPAY, why)
        amount -= portion


def _bring_back(books: Books, row: CreditLot, amount: int, kind: Kind, why: Why) -> None:
    """Credits return to their lot, or live on in another one if it has ended."""
    if not amount:
        return
    lot = books.working_copy(row)
    row = lot.row or row
    books.post(kind, lot, amount, why)
    if row.frozen_at:
        _set_aside(books, lot, row, why)
    elif lot.ended:
        books.post(Kind.ROLLOVER, lot, -amount, why)
        books.add_lot(Kind.ROLLOVER, extended_lot(books, row, amount, row.pk), why)


def _taken_out(row: CreditLot, kinds: list[Kind]) -> int:
    """Credits that lines of these kinds took out of the lot, without the line that made it."""
    lines = LedgerEntry.objects.filter(account_id=row.account_id, lot=row, kind__in=kinds)
    return -(lines.exclude(pk=row.pk).aggregate(sum=Sum("amount"))["sum"] or 0)


def _freeze(books: Books, lot: OpenLot, row: CreditLot, why: Why, since: datetime) -> None:
    row.frozen_at = since
    _set_aside(books, lot, row, why)


def _set_aside(books: Books, lot: OpenLot, row: CreditLot, why: Why) -> None:
    if lot.remaining:
        row.frozen += lot.remaining
        books.post(Kind.FREEZE, lot, -lot.remaining, why)


def _thaw(books: Books, lot: OpenLot, row: CreditLot, why: Why) -> None:
    row.frozen_at = None
    if row.frozen:
        frozen, row.frozen = row.frozen, 0
        books.post(Kind.UNFREEZE, lot, frozen, why)
