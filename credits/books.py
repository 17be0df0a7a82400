"""The one way to write the books: lock the account, read, decide, write.

    with locked(account_id, now=now) as books:
        ...read books.open_lots(), post lines...

`locked` takes the account row with SELECT FOR UPDATE inside transaction.atomic before anything is
read; leaving it writes everything that was posted. Only credits.services uses this module.

Note [Plain SQL after the lock]
    The statements of the hot path (a spend) are plain SQL that PostgreSQL, MariaDB and SQLite
    all understand, in one small module: building the same statements with the ORM took four fifths
    of a spend's time (benchmarks/RESULTS.md). The lock stays the ORM's own SQL, because it differs
    per database; it is compiled once and kept.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from credits.models import Account, CreditLot, Hold, LedgerEntry, Pool, row_id

Kind = LedgerEntry.Kind
BURN_ORDER = {pool: order for order, pool in enumerate(Pool.values)}


class AccountNotFound(LookupError):
    """There is no account with this id."""


@dataclass(slots=True)
class OpenLot:
    """The working copy of a lot. `row` is there where more than `remaining` may change."""

    id: int
    pool: str
    remaining: int
    ended: bool
    row: CreditLot | None = None


@dataclass(frozen=True, slots=True)
class Why:
    """What a ledger line says about its cause."""

    reference: str
    actor: str
    note: str = ""


class Books:
    """A locked account: its numbers now, and the lines to be written when the lock ends."""

    def __init__(self, account_id: int, now: datetime, cursor: CursorWrapper) -> None:
        self.account_id = account_id
        self.now = now
        self._cursor = cursor
        row, lots = self._lock_and_read()
        if row is None:
            raise AccountNotFound(f"There is no account {account_id}.")
        subscription, promotional, bulk, self.owed, self.status, self.sequence, self.head = row
        self.balance: dict[str, int] = {
            Pool.SUBSCRIPTION.value: subscription,
            Pool.PROMOTIONAL.value: promotional,
            Pool.BULK.value: bulk,
        }
        self._lots = {lot[0]: OpenLot(lot[0], lot[1], lot[2], bool(lot[3])) for lot in lots}
        self._wrote_off = False
        self._changed_lots: dict[int, OpenLot] = {}
        self._new_lots: list[CreditLot] = []
        self._ended_pools: list[str] = []
        self._new_holds: list[Hold] = []
        self._entries: list[tuple[Any, ...]] = []
        self.written = False

    @property
    def available(self) -> int:
        return sum(self.balance.values())

    # Reading ---------------------------------------------------------------------------------

    def open_lots(self) -> list[OpenLot]:
        """Lots that can be spent now, in burn order. Writes off the ones that have ended."""
        if not self._wrote_off:
            self._wrote_off = True
            for lot in list(self._lots.values()):
                if lot.ended:
                    self.post(Kind.EXPIRE, lot, -lot.remaining, Why("expiry", "system"))
        lots = [lot for lot in self._lots.values() if lot.remaining and not lot.ended]
        return sorted(lots, key=lambda lot: BURN_ORDER[lot.pool])  # stable: keeps expiry order

    def _lock_and_read(self) -> tuple[tuple[Any, ...] | None, list[tuple[Any, ...]]]:
        """The account's row, locked, and its lots: read after the lock is there, in one trip."""
        with connection.cursor() as lots:
            with _one_trip():
                self._cursor.execute(_lock_sql(connection.vendor), [self.account_id])
                lots.execute(LOTS_SQL, [_moment(self.now), self.account_id])
            return self._cursor.fetchone(), lots.fetchall()

    def working_copy(self, row: CreditLot) -> OpenLot:
        """The working copy of any lot; changes to `row` itself are written with it."""
        self.open_lots()
        ended = row.expires_at is not None and row.expires_at <= self.now
        lot = self._lots.setdefault(row.pk, OpenLot(row.pk, row.pool, row.remaining, ended))
        lot.row = lot.row or row
        self._changed_lots[lot.id] = lot
        return lot

    def has_lot(self, source_key: str) -> bool:
        """Whether the key has made a lot already, for this account or another."""
        self._cursor.execute(SOURCE_SQL, [source_key])
        return self._cursor.fetchone() is not None

    # Posting ---------------------------------------------------------------------------------

    def post(
        self, kind: Kind, lot: OpenLot, amount: int, why: Why, hold_id: int | None = None
    ) -> None:
        """One line: `amount` credits (signed) into or out of `lot`."""
        lot.remaining += amount
        self.balance[lot.pool] += amount
        assert lot.remaining >= 0 and self.balance[lot.pool] >= 0, "a pool cannot go below zero"
        self._changed_lots[lot.id] = lot
        self.sequence += 1
        previous = self.head
        line = (
            self.account_id, self.sequence, kind.value, lot.pool, lot.id, hold_id, amount,
            self.balance[lot.pool], self.owed, why.reference, why.actor, why.note,
        )  # fmt: skip
        self.head = chain_hash(previous, line, self.now)
        self._entries.append(
            (row_id(self.account_id, self.sequence), *line, _moment(self.now), previous, self.head)
        )

    def add_lot(self, kind: Kind, lot: CreditLot, why: Why, hold_id: int | None = None) -> OpenLot:
        """A new lot of `lot.granted` credits and the line that brings it in."""
        self.open_lots()
        lot.id = row_id(self.account_id, self.sequence + 1)
        lot.account_id, lot.created_at = self.account_id, self.now
        self._new_lots.append(lot)
        working = self._lots[lot.id] = OpenLot(lot.id, lot.pool, 0, ended=False)
        self.post(kind, working, lot.granted, why, hold_id)
        return working

    def end_pool(self, pool: Pool) -> None:
        """The pool's lots end now, also those with nothing left; lots added here do not."""
        self._ended_pools.append(pool.value)

    def add_hold(self, hold: Hold) -> None:
        """A new hold; the line that takes its first credits has to follow at once."""
        hold.id = row_id(self.account_id, self.sequence + 1)
        hold.account_id, hold.created_at = self.account_id, self.now
        self._new_holds.append(hold)

    # Writing ---------------------------------------------------------------------------------

    def write(self) -> None:
        """Everything that was posted."""
        with self.writing():
            pass

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Writes it, in the order that foreign keys need, and then what the block writes.

        On PostgreSQL what the block sends travels along, so that it cannot learn how many rows an
        UPDATE moved.
        """
        self._write_rows()
        with _one_trip():
            for pool in self._ended_pools:
                moment = _moment(self.now)
                self._cursor.execute(END_SQL, [moment, self.account_id, pool, moment])
            if self._entries:
                self._write_lines()
            self.written = True
            yield

    def _write_rows(self) -> None:
        """Lots of which more than `remaining` may have changed: rare."""
        for lot in [lot for lot in self._changed_lots.values() if lot.row]:
            row = self._changed_lots.pop(lot.id).row
            assert row is not None, "the condition of the loop"
            row.remaining = lot.remaining
            row.save(update_fields=LOT_CHANGES)

    def _write_lines(self) -> None:
        """The hot path: new lots and holds, what is left of lots, the lines, the account."""
        for new_lot in self._new_lots:
            new_lot.remaining = self._changed_lots.pop(new_lot.id).remaining
            new_lot._state.adding = False
        if self._new_lots:
            self._insert("credits_creditlot", LOT_COLUMNS, map(_lot_row, self._new_lots))
        if self._new_holds:
            self._insert("credits_hold", HOLD_COLUMNS, map(_hold_row, self._new_holds))
        for lot in self._changed_lots.values():
            self._cursor.execute(LOT_SQL, [lot.remaining, lot.id])
        self._insert("credits_ledgerentry", ENTRY_COLUMNS, self._entries)
        balances = [self.balance[pool] for pool in BURN_ORDER]
        self._cursor.execute(
            ACCOUNT_SQL, [*balances, self.owed, self.sequence, self.head, self.account_id]
        )

    def _insert(
        self, table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]
    ) -> None:
        values = list(rows)
        sql = _insert_sql(table, columns, len(values))
        self._cursor.execute(sql, [value for row in values for value in row])


@contextmanager
def locked(account_id: int, *, now: datetime, durable: bool = False) -> Iterator[Books]:
    """The account's books, locked; what was posted is written at the end, or nothing if it raises.

    Raises AccountNotFound. Joins the caller's transaction if there is one (as a savepoint), unless
    it is to be `durable`.
    """
    with transaction.atomic(durable=durable), connection.cursor() as cursor:
        books = Books(account_id, now, cursor)
        yield books
        if not books.written:
            books.write()


def chain_hash(previous: str, line: tuple[Any, ...], created_at: datetime) -> str:
    """SHA-256 over the previous line's hash and this line's content, as hex.

    The content is a JSON list, so that anybody can recompute it from an exported statement.
    """
    moment = created_at.astimezone(UTC).isoformat(timespec="microseconds")
    content = json.dumps([previous, *line, moment], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


# SQL ------------------------------------------------- see Note [Plain SQL after the lock]

LOT_COLUMNS = (
    "id", "account_id", "pool", "granted", "remaining", "frozen", "frozen_at", "clawed_back",
    "clawed_back_owed", "amount_paid", "currency", "expires_at", "terms", "source_key",
    "created_at",
)  # fmt: skip
HOLD_COLUMNS = (
    "id", "account_id", "amount", "captured", "state", "deadline", "reference", "idempotency_key",
    "arguments_hash", "created_at", "settled_at",
)  # fmt: skip
ENTRY_COLUMNS = (
    "id", "account_id", "sequence", "kind", "pool", "lot_id", "hold_id", "amount", "balance_after",
    "owed_after", "reference", "actor", "note", "created_at", "previous_hash", "hash",
)  # fmt: skip
LOT_CHANGES = ["remaining", "frozen", "frozen_at", "clawed_back", "clawed_back_owed"]
LOTS_SQL = """
    SELECT id, pool, remaining, CASE WHEN expires_at <= %s THEN 1 ELSE 0 END
    FROM credits_creditlot WHERE account_id = %s AND remaining > 0
    ORDER BY CASE WHEN expires_at IS NULL THEN 1 ELSE 0 END, expires_at, id"""
SOURCE_SQL = "SELECT id FROM credits_creditlot WHERE source_key = %s"
END_SQL = """
    UPDATE credits_creditlot SET expires_at = %s
    WHERE account_id = %s AND pool = %s AND (expires_at IS NULL OR expires_at > %s)"""
LOT_SQL = "UPDATE credits_creditlot SET remaining = %s WHERE id = %s"
ACCOUNT_SQL = """
    UPDATE credits_account
    SET subscription_credits = %s, promotional_credits = %s, bulk_credits = %s,
        owed = %s, sequence = %s, chain_head = %s
    WHERE id = %s"""


@contextmanager
def _one_trip() -> Iterator[None]:
    """PostgreSQL takes the writes, whose answers nobody waits for, in one network round trip."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


@cache
def _lock_sql(vendor: str) -> str:
    """The ORM's own locking SELECT of one account, compiled once per kind of database."""
    query = (
        Account.objects.locked()
        .filter(pk=0)
        .values_list(
            "subscription_credits", "promotional_credits", "bulk_credits",
            "owed", "status", "sequence", "chain_head",
        )
    )  # fmt: skip
    sql, _params = query.query.get_compiler(connection=connection).as_sql()
    return str(sql)


@cache
def _insert_sql(table: str, columns: tuple[str, ...], rows: int) -> str:
    placeholders = "(" + ", ".join(["%s"] * len(columns)) + ")"
    values = ", ".join([placeholders] * rows)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values}"  # noqa: S608 (our names)


def _lot_row(lot: CreditLot) -> tuple[Any, ...]:
    return (
        lot.id, lot.account_id, lot.pool, lot.granted, lot.remaining, lot.frozen,
        _moment(lot.frozen_at), lot.clawed_back, lot.clawed_back_owed, lot.amount_paid,
        lot.currency, _moment(lot.expires_at), connection.ops.adapt_json_value(lot.terms, None),
        lot.source_key, _moment(lot.created_at),
    )  # fmt: skip


def _hold_row(hold: Hold) -> tuple[Any, ...]:
    return (
        hold.id, hold.account_id, hold.amount, hold.captured, hold.state, _moment(hold.deadline),
        hold.reference, hold.idempotency_key, hold.arguments_hash, _moment(hold.created_at),
        _moment(hold.settled_at),
    )  # fmt: skip


def _moment(value: datetime | None) -> Any:
    return connection.ops.adapt_datetimefield_value(value)
