"""Whether an exported statement is what was exported: its hashes follow, and today's ledger agrees.

Whatever the file is, the answer is a Verdict or Unreadable with a sentence.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from credits.audit import hash_of
from credits.books import chain_hash
from credits.models import LedgerEntry
from credits.statement_files import COLUMNS, TEXTS, moment, without_apostrophe

NUMBERS = ("sequence", "amount", "balance_after", "owed_after", "account", "lot", "hold")
CHAINED = [name for name in COLUMNS if name != "why"]  # what the hash protects, or is
MOST_FAULTS = 20  # that are listed
MOST_DIGITS = 19
BATCH = 1000


class Unreadable(Exception):
    """The file is no exported statement, for the reason given."""


@dataclass(frozen=True)
class StatedLine:
    """A line as a file states it; `row` counts the file's lines from 1."""

    row: int
    values: dict[str, Any]

    @property
    def sequence(self) -> int:
        return int(self.values["sequence"])

    @property
    def hash(self) -> str:
        return str(self.values["hash"])

    def follows_from_its_content(self) -> bool:
        value = self.values
        content = (
            value["account"], value["sequence"], value["kind"], value["pool"], value["lot"],
            value["hold"], value["amount"], value["balance_after"], value["owed_after"],
            value["reference"], value["actor"], value["note"],
        )  # fmt: skip
        try:
            created_at = datetime.fromisoformat(value["created_at"])
            if moment(created_at) != value["created_at"]:  # the same time, written otherwise
                return False
            return chain_hash(value["previous_hash"], content, created_at) == self.hash
        except (ValueError, OverflowError):  # no moment, or text that is not Unicode
            return False


@dataclass
class Verdict:
    """What is found out about a file. `faults` are sentences, of which the first few are kept."""

    lines: int
    account_id: int
    first: int
    last: int
    head: str
    gaps: int = 0
    faults: list[str] = field(default_factory=list)
    more_faults: int = 0

    @property
    def is_whole(self) -> bool:
        return not self.faults

    def blame(self, sentence: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(sentence)
        else:
            self.more_faults += 1


def read(file: bytes) -> list[StatedLine]:
    """The lines of an exported CSV or JSON file. Raises Unreadable."""
    try:
        content = file.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable(_("This is not a text file in UTF-8.")) from None
    is_json = content.lstrip().startswith("{")
    lines = list(_read_json(content) if is_json else _read_csv(content))
    if not lines:
        raise Unreadable(_("There are no lines in this file."))
    return lines


def verify(lines: list[StatedLine]) -> Verdict:
    """Whether each line's hash follows from its content, and each line from the one before."""
    verdict = Verdict(
        lines=len(lines),
        account_id=lines[0].values["account"],
        first=lines[0].sequence,
        last=lines[-1].sequence,
        head=lines[-1].hash,
    )
    previous = None
    for line in lines:
        if not line.follows_from_its_content():
            verdict.blame(_("%s was changed: its hash does not follow from it.") % _name(line))
        elif line.values["account"] != verdict.account_id:
            verdict.blame(_("%s is of another account.") % _name(line))
        elif not _continues(line, previous):
            verdict.blame(_("%s does not follow from the line before it.") % _name(line))
        if previous and line.sequence > previous.sequence + 1:
            verdict.gaps += 1
        previous = line
    return verdict


def compare(lines: list[StatedLine], verdict: Verdict) -> None:
    """Adds to the verdict which lines are not in today's ledger, or are others there."""
    entries = LedgerEntry.objects.filter(account_id=verdict.account_id)
    today: dict[int, str] = {}
    for start in range(0, len(lines), BATCH):
        wanted = [line.sequence for line in lines[start : start + BATCH]]
        found = entries.filter(sequence__in=wanted)
        today.update((entry.sequence, hash_of(entry)) for entry in found)
    for line in lines:
        if line.sequence not in today:
            verdict.blame(_("%s is not in today's ledger.") % _name(line))
        elif today[line.sequence] != line.hash:
            verdict.blame(_("%s is another one in today's ledger.") % _name(line))


def _continues(line: StatedLine, previous: StatedLine | None) -> bool:
    before = line.values["previous_hash"]
    if line.sequence == 1:
        return previous is None and before == ""
    if previous is None or line.sequence > previous.sequence + 1:
        return bool(before)  # lines were left out: a filtered statement
    return line.sequence == previous.sequence + 1 and before == previous.hash


def _name(line: StatedLine) -> str:
    return _("Line %(sequence)d (row %(row)d of the file)") % {
        "sequence": line.sequence,
        "row": line.row,
    }


def _read_csv(content: str) -> Iterator[StatedLine]:
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    try:
        header = next(reader, [])
        if missing := [name for name in CHAINED if name not in header]:
            raise Unreadable(_missing(missing))
        for row in reader:
            if len(row) != len(header):
                raise Unreadable(_in_row(reader.line_num, _("it has too few or too many cells")))
            yield _stated(reader.line_num, _values(dict(zip(header, row, strict=True))))
    except csv.Error:
        raise Unreadable(_in_row(reader.line_num, _("it is not CSV"))) from None


def _values(cells: dict[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = dict(cells)
    for name in TEXTS:
        if name in values:
            values[name] = without_apostrophe(values[name])
    for name in NUMBERS:
        values[name] = _number(cells[name])
    if cells["hold"] == "":
        values["hold"] = None
    return values


def _number(cell: str) -> int | str:
    """The number in the cell, if it is written as an export writes one."""
    digits = cell.removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) <= MOST_DIGITS:
        return int(cell) if str(int(cell)) == cell else cell
    return cell


def _read_json(content: str) -> Iterator[StatedLine]:
    try:
        document = json.loads(content)
        rows = document["lines"]
    except (ValueError, KeyError, RecursionError):
        raise Unreadable(_("This is not an exported statement: the JSON has no lines.")) from None
    if not isinstance(rows, list):
        raise Unreadable(_("This is not an exported statement: the JSON has no lines."))
    for number, row in enumerate(rows, start=2):  # the first row of the file is its beginning
        if not isinstance(row, dict):
            raise Unreadable(_in_row(number, _("it is not a line of a statement")))
        if missing := [name for name in CHAINED if name not in row]:
            raise Unreadable(_in_row(number, _missing(missing)))
        yield _stated(number, row)


def _stated(row: int, values: dict[str, Any]) -> StatedLine:
    """The line, of whose values each has the right type. Raises Unreadable."""
    for name in CHAINED:
        value = values[name]
        if name == "hold" and value is None:
            continue
        wanted = int if name in NUMBERS else str
        if type(value) is not wanted:
            raise Unreadable(_in_row(row, _("%s is not what it should be") % name))
        if isinstance(value, int) and abs(value) >= 2**63:
            raise Unreadable(_in_row(row, _("%s is not what it should be") % name))
    return StatedLine(row, values)


def _missing(columns: list[str]) -> str:
    names = ", ".join(columns)
    sentence = ngettext("the column %s is missing", "the columns %s are missing", len(columns))
    return _("This is not an exported statement: %s.") % (sentence % names)


def _in_row(row: int, what: str) -> str:
    return _("Row %(row)d of the file cannot be read: %(what)s.") % {"row": row, "what": what}
