"""Statements as files: CSV and JSON, written line by line, with all that the hash chain needs.

A cell of text that a spreadsheet could take for a formula gets an apostrophe in front of it; so
does one that begins with an apostrophe, so that whoever reads the file takes away exactly one.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from credits.explanations import explain
from credits.models import Account, LedgerEntry

COLUMNS = (
    "sequence", "created_at", "kind", "pool", "amount", "balance_after", "owed_after",
    "reference", "actor", "note", "account", "lot", "hold", "previous_hash", "hash", "why",
)  # fmt: skip
TEXTS = ("reference", "actor", "note", "why")  # the others never look like a formula
BYTE_ORDER_MARK = "\ufeff"  # without it Excel takes UTF-8 for something else
# https://owasp.org/www-community/attacks/CSV_Injection
STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def row_of(entry: LedgerEntry) -> dict[str, Any]:
    """A line as the files have it."""
    return {
        "sequence": entry.sequence,
        "created_at": moment(entry.created_at),
        "kind": entry.kind,
        "pool": entry.pool,
        "amount": entry.amount,
        "balance_after": entry.balance_after,
        "owed_after": entry.owed_after,
        "reference": entry.reference,
        "actor": entry.actor,
        "note": entry.note,
        "account": entry.account_id,
        "lot": entry.lot_id,
        "hold": entry.hold_id,
        "previous_hash": entry.previous_hash,
        "hash": entry.hash,
        "why": str(explain(entry)),
    }


def moment(value: datetime) -> str:
    """As the hash chain writes it: UTC, with microseconds."""
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def csv_lines(entries: Iterable[LedgerEntry]) -> Iterator[str]:
    """The CSV file, line by line."""
    return csv_file(COLUMNS, (row_of(entry).values() for entry in entries))


def csv_file(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Any rows as a CSV file, line by line; no cell of text is a formula."""
    writer = csv.writer(_Echo())
    yield BYTE_ORDER_MARK + writer.writerow(columns)
    for row in rows:
        yield writer.writerow([_cell(value) for value in row])


def json_lines(account: Account, entries: Iterable[LedgerEntry]) -> Iterator[str]:
    """The JSON file, line by line."""
    head = {"sequence": account.sequence, "hash": account.chain_head}
    yield f'{{"account": {account.pk}, "head": {json.dumps(head)}, "lines": ['
    separator = "\n"
    for entry in entries:
        yield separator + json.dumps(row_of(entry), ensure_ascii=False)
        separator = ",\n"
    yield "\n]}\n"


def without_apostrophe(cell: str) -> str:
    """The text in a cell, as it was before it was written."""
    return cell.removeprefix("'")


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(STARTS_FORMULA):
        return f"'{value}"
    return value


class _Echo:
    """A file for csv.writer that gives back what is written to it."""

    def write(self, line: str) -> str:
        return line
