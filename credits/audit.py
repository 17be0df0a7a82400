"""The proof of the books: `find_imbalances` recomputes everything from the lines and compares.

`manage.py check_ledger`, the tests and the benchmarks all call it. It locks and reads account by
account, so that a running site is held up only one customer at a time, while theirs is read.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db import transaction

from credits.books import chain_hash
from credits.models import Account, CreditLot, Hold, LedgerEntry, Pool

Kind = LedgerEntry.Kind


@dataclass(frozen=True)
class Totals:
    """Credits over all audited accounts: issued = the other numbers added up."""

    accounts: int = 0
    entries: int = 0
    issued: int = 0
    spent: int = 0
    held: int = 0
    available: int = 0
    expired: int = 0
    clawed_back: int = 0
    frozen: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(*(a + b for a, b in zip(_numbers(self), _numbers(other), strict=True)))


def find_imbalances(account_ids: Iterable[int] | None = None) -> Iterator[str]:
    """One sentence per broken account, lot or hold; nothing if the books balance."""
    for _totals, imbalances in audit(account_ids):
        yield from imbalances


def audit(account_ids: Iterable[int] | None = None) -> Iterator[tuple[Totals, list[str]]]:
    """Per account its totals and what is wrong with it."""
    accounts = Account.objects.order_by("pk")
    if account_ids is not None:
        accounts = accounts.filter(pk__in=list(account_ids))
    for account_id in accounts.values_list("pk", flat=True).iterator():
        yield _audit_account(account_id)


def _audit_account(account_id: int) -> tuple[Totals, list[str]]:
    with transaction.atomic():
        # FOR SHARE does not exist everywhere; the account's own lock makes the reads one moment.
        account = Account.objects.select_for_update().get(pk=account_id)
        entries = list(LedgerEntry.objects.filter(account=account).order_by("sequence"))
        lots = list(CreditLot.objects.filter(account=account))
        holds = list(Hold.objects.filter(account=account))
    return prove(account, entries, lots, holds)


def prove(
    account: Account, entries: list[LedgerEntry], lots: list[CreditLot], holds: list[Hold]
) -> tuple[Totals, list[str]]:
    """The proof itself, of rows read at one moment; `entries` in the order of their sequence."""
    totals = _totals(account, entries, lots, holds)
    wrong = [
        *_wrong_chain(account, entries),
        *_wrong_pools(account, entries, lots),
        *_wrong_lots(lots, entries),
        *_wrong_holds(holds, entries),
        *_wrong_debts(account, entries, lots),
        *_wrong_totals(totals),
    ]
    return totals, [f"account {account.pk}: {sentence}" for sentence in wrong]


def hash_of(entry: LedgerEntry) -> str:
    """The hash that a line should have, from what stands in it now."""
    line = (
        entry.account_id, entry.sequence, entry.kind, entry.pool, entry.lot_id, entry.hold_id,
        entry.amount, entry.balance_after, entry.owed_after,
        entry.reference, entry.actor, entry.note,
    )  # fmt: skip
    return chain_hash(entry.previous_hash, line, entry.created_at)


def _wrong_chain(account: Account, entries: list[LedgerEntry]) -> Iterator[str]:
    head = ""
    for expected, entry in enumerate(entries, start=1):
        if entry.sequence != expected:
            yield f"line {expected} is missing (found {entry.sequence})"
            return
        if entry.previous_hash != head or entry.hash != hash_of(entry):
            yield f"line {expected} was changed: the hash chain is broken"
            return
        head = entry.hash
    if (account.sequence, account.chain_head) != (len(entries), head):
        yield f"{len(entries)} lines, but the account counts {account.sequence} or another head"


def _wrong_pools(
    account: Account, entries: list[LedgerEntry], lots: list[CreditLot]
) -> Iterator[str]:
    running: Counter[str] = Counter()
    for entry in entries:
        running[entry.pool] += entry.amount
        if running[entry.pool] != entry.balance_after:
            yield f"line {entry.sequence} says {entry.balance_after}, sums to {running[entry.pool]}"
    in_lots: Counter[str] = Counter()
    for lot in lots:
        in_lots[lot.pool] += lot.remaining
    for pool in Pool.values:
        column = getattr(account, f"{pool}_credits")
        if not column == running[pool] == in_lots[pool]:
            yield f"{pool}: column {column}, lines {running[pool]}, lots {in_lots[pool]}"
    owed = entries[-1].owed_after if entries else 0
    if owed != account.owed:
        yield f"owes {account.owed}, the last line says {owed}"


def _wrong_lots(lots: list[CreditLot], entries: list[LedgerEntry]) -> Iterator[str]:
    sums: Counter[int] = Counter()
    frozen: Counter[int] = Counter()
    clawed_back: Counter[int] = Counter()
    for entry in entries:
        sums[entry.lot_id] += entry.amount
        if entry.kind in (Kind.CLAW_BACK, Kind.RESTORE):
            clawed_back[entry.lot_id] -= entry.amount
        if entry.kind in (Kind.FREEZE, Kind.UNFREEZE):
            frozen[entry.lot_id] -= entry.amount
    born = {entry.pk: entry.amount for entry in entries}
    for lot in lots:
        if not 0 <= lot.remaining <= lot.granted or lot.remaining != sums[lot.pk]:
            yield f"lot {lot.pk}: {lot.remaining} remaining, its lines sum to {sums[lot.pk]}"
        if lot.frozen != frozen[lot.pk]:
            yield f"lot {lot.pk}: {lot.frozen} frozen, its lines say {frozen[lot.pk]}"
        if lot.clawed_back < clawed_back[lot.pk] + lot.clawed_back_owed:
            yield f"lot {lot.pk}: {lot.clawed_back} clawed back, its lines say more"
        if lot.granted != born.get(lot.pk):
            yield f"lot {lot.pk}: granted {lot.granted}, its first line says {born.get(lot.pk)}"


def _wrong_holds(holds: list[Hold], entries: list[LedgerEntry]) -> Iterator[str]:
    taken: Counter[int] = Counter()
    for entry in entries:
        # What lapses on its way back to an ended lot is two lines; only the first names the hold.
        if entry.hold_id is not None:
            taken[entry.hold_id] -= entry.amount
    for hold in holds:
        expected = hold.amount if hold.state == Hold.State.OPEN else hold.captured
        if taken[hold.pk] != expected:
            yield f"hold {hold.pk} is {hold.state} for {expected}, its lines took {taken[hold.pk]}"


def _wrong_debts(
    account: Account, entries: list[LedgerEntry], lots: list[CreditLot]
) -> Iterator[str]:
    """What purchases made owed is owed still, or was paid: nothing else lowers a debt."""
    made = sum(lot.clawed_back_owed for lot in lots)
    paid = -sum(entry.amount for entry in entries if entry.kind == Kind.REPAY)
    if made != account.owed + paid:
        yield f"lots made {made} credits owed, {account.owed} are and {paid} were paid"


def _wrong_totals(totals: Totals) -> Iterator[str]:
    explained = (
        totals.spent + totals.held + totals.available
        + totals.expired + totals.clawed_back + totals.frozen
    )  # fmt: skip
    if totals.issued != explained:
        yield f"{totals.issued} credits were issued, {explained} are explained"


def _totals(
    account: Account, entries: list[LedgerEntry], lots: list[CreditLot], holds: list[Hold]
) -> Totals:
    lines = Counter[str]()
    issued = 0
    for entry in entries:
        lines[entry.kind] += entry.amount
        if entry.kind in (Kind.GRANT, Kind.ADJUST) and entry.amount > 0:
            issued += entry.amount
    return Totals(
        accounts=1,
        entries=len(entries),
        issued=issued,
        spent=sum(hold.captured for hold in holds),
        held=sum(hold.amount for hold in holds if hold.state == Hold.State.OPEN),
        available=sum(getattr(account, f"{pool}_credits") for pool in Pool.values),
        expired=-lines[Kind.EXPIRE],
        clawed_back=-lines[Kind.CLAW_BACK] - lines[Kind.RESTORE] - lines[Kind.REPAY],
        frozen=sum(lot.frozen for lot in lots),
    )


def _numbers(totals: Totals) -> list[int]:
    return [getattr(totals, name) for name in Totals.__dataclass_fields__]
