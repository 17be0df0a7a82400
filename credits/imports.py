"""Opening balances from a legacy system: a CSV file with `email,subscription_credits,bulk_credits`.

`read` checks the whole file before anything is written; `plan` compares it with the books; `write`
books one row after the other.

Note [A row is imported whole or not at all]
    Person, account and both lots of a row are one short transaction. So a lot under one of the
    two keys proves that the whole row was imported, and that a pool without a lot had 0 credits.
    This tells a changed row from a new one, and lets a run that was cut short go on.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from credits import services
from credits.models import CreditLot, Pool
from credits.services.errors import MOST_CREDITS

COLUMNS = ("email", "subscription_credits", "bulk_credits")
POOLS = (Pool.SUBSCRIPTION, Pool.BULK)
LONGEST_EMAIL = 255 - len("import::subscription")  # the source key has to fit
ROWS_AT_ONCE = 500


class ImportRefused(Exception):
    """The file cannot be imported; `problems` has one sentence for each thing that is wrong."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Row(NamedTuple):
    """One customer's opening balance, in credits."""

    line: int
    email: str
    subscription: int
    bulk: int


@dataclass
class Part:
    """Some of the file's rows, and their credits."""

    rows: int = 0
    subscription: int = 0
    bulk: int = 0

    def add(self, row: Row) -> None:
        self.rows += 1
        self.subscription += row.subscription
        self.bulk += row.bulk


@dataclass
class Plan:
    """What importing a file means: file = imported before + to be imported."""

    file: Part = field(default_factory=Part)
    before: Part = field(default_factory=Part)
    new: Part = field(default_factory=Part)
    new_people: int = 0
    rows: list[Row] = field(default_factory=list)


def source_key(email: str, pool: Pool) -> str:
    """The key of the lot that a row makes in this pool."""
    return f"import:{email}:{pool.value}"


# Reading ------------------------------------------------------------------------------------------


def read(path: Path) -> list[Row]:
    """The rows of the file. Raises ImportRefused with every problem of every line."""
    records = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    rows: list[Row] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    try:
        order = _column_order(next(records, []))
        line = records.line_num
        for cells in records:
            line, started = records.line_num, line + 1
            if not cells:
                continue  # an empty line
            row, wrong = _row(started, cells, order)
            if row.email and seen.setdefault(row.email, started) != started:
                wrong.append(f"{row.email} is also on line {seen[row.email]}: keep one of them.")
            problems += [f"Line {started}: {sentence}" for sentence in wrong]
            rows.append(row)
    except csv.Error as error:
        problems.append(f"Line {records.line_num}: this is not CSV ({error}): check the quotes.")
    if not rows and not problems:
        problems.append("The file has no rows below its header: there is nothing to import.")
    if problems:
        raise ImportRefused(*problems)
    return rows


def _text(path: Path) -> str:
    """The file's text. A UTF-8 byte order mark, which Excel writes, is no part of it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImportRefused(f"{path} cannot be read ({error.strerror}): check the name.") from error
    if not content.strip():
        raise ImportRefused(f"{path} is empty.")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ImportRefused(f"{path} is UTF-16 text: save it as UTF-8.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ImportRefused(f"Line {line}: this is not UTF-8 text: save it as UTF-8.") from error


def _column_order(header: list[str]) -> tuple[int, ...]:
    """Where each of COLUMNS is."""
    names = [name.strip().lower() for name in header]
    if sorted(names) == sorted(COLUMNS):
        return tuple(names.index(name) for name in COLUMNS)
    problems = [f"column {name} is missing" for name in COLUMNS if name not in names]
    problems += [f"column {name!r} is not known" for name in names if name not in COLUMNS]
    problems += [f"column {name} is there twice" for name in COLUMNS if names.count(name) > 1]
    if len(names) == 1 and re.search("[;\t|]", names[0]):
        problems = ["the columns are not separated by commas"]
    raise ImportRefused(f"Line 1: {', '.join(problems)}; the header must be {','.join(COLUMNS)}.")


def _row(line: int, cells: list[str], order: tuple[int, ...]) -> tuple[Row, list[str]]:
    if len(cells) != len(COLUMNS):
        return Row(line, "", 0, 0), [f"{len(cells)} columns instead of {len(COLUMNS)}."]
    email, subscription, bulk = (cells[column].strip() for column in order)
    wrong: list[str] = []
    row = Row(
        line,
        _email(email, wrong),
        _credits("subscription_credits", subscription, wrong),
        _credits("bulk_credits", bulk, wrong),
    )
    return row, wrong


def _email(text: str, wrong: list[str]) -> str:
    text = text.lower()
    try:
        validate_email(text)
    except ValidationError:
        wrong.append(f"{text!r} is not an email address.")
        return ""
    if len(text) > LONGEST_EMAIL:
        wrong.append(f"the email address is longer than {LONGEST_EMAIL} characters.")
    return text


def _credits(column: str, text: str, wrong: list[str]) -> int:
    if re.fullmatch("[0-9]{1,10}", text) and int(text) <= MOST_CREDITS:
        return int(text)
    if not text:
        wrong.append(f"{column} is empty: write 0 for none.")
    elif re.fullmatch("-[0-9]+", text):
        wrong.append(f"{column} is negative ({text}): a balance is 0 or more.")
    else:
        wrong.append(f"{column} is {text!r}: it must be a whole number from 0 to {MOST_CREDITS}.")
    return 0


# Comparing and writing ----------------------------------------------------------------------------


def plan(rows: list[Row]) -> Plan:
    """What is left to do. Raises ImportRefused for rows that were imported with other numbers."""
    result = Plan()
    problems: list[str] = []
    for batch in _batches(rows):
        lots = _imported_lots(batch)
        people = _people(batch)
        for row in batch:
            result.file.add(row)
            imported = [lots.get(source_key(row.email, pool), 0) for pool in POOLS]
            if not any(imported) and (row.email not in people or row.subscription or row.bulk):
                result.new.add(row)
                result.new_people += row.email not in people
                result.rows.append(row)
            elif imported == [row.subscription, row.bulk]:
                result.before.add(row)
            else:
                problems.append(
                    f"Line {row.line}: {row.email} was imported with {imported[0]} subscription "
                    f"and {imported[1]} bulk credits, not {row.subscription} and {row.bulk}: "
                    "correct the line, and change the balance with grant_credits or in the admin."
                )
    if problems:
        raise ImportRefused(*problems)
    return result


def write(
    rows: list[Row],
    *,
    subscription_ends: datetime,
    actor: str,
    now: datetime,
    progress: Callable[[int], None],
) -> Part:
    """Books the rows, each in a transaction of its own; returns what was booked.

    `progress` is called with the number of rows done, after every ROWS_AT_ONCE.
    """
    written = Part()
    for batch in _batches(rows):
        people = _people(batch)
        for row in batch:
            _write_row(row, people.get(row.email), subscription_ends, actor, now)
            written.add(row)
        progress(written.rows)
    return written


@transaction.atomic
def _write_row(
    row: Row, user_id: int | None, subscription_ends: datetime, actor: str, now: datetime
) -> None:
    """See Note [A row is imported whole or not at all]."""
    if user_id is None:
        user_id = get_user_model().objects.create_user(email=row.email).pk
    account = services.open_account(user_id=user_id, now=now)
    for pool, amount in zip(POOLS, (row.subscription, row.bulk), strict=True):
        if amount:
            services.grant(
                account_id=account.pk,
                pool=pool,
                amount=amount,
                source_key=source_key(row.email, pool),
                expires_at=subscription_ends if pool == Pool.SUBSCRIPTION else None,
                actor=actor,
                note="opening balance",
                now=now,
            )
    services.record_action(
        actor=actor,
        action="account.import",
        account_id=account.pk,
        reason="opening balance",
        after={"subscription": row.subscription, "bulk": row.bulk},
        now=now,
    )


def _batches(rows: list[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, ROWS_AT_ONCE)):
        yield batch


def _imported_lots(batch: list[Row]) -> dict[str, int]:
    keys = [source_key(row.email, pool) for row in batch for pool in POOLS]
    return dict(CreditLot.objects.filter(source_key__in=keys).values_list("source_key", "granted"))


def _people(batch: list[Row]) -> dict[str, int]:
    people = get_user_model().objects.filter(email__in=[row.email for row in batch])
    return dict(people.values_list("email", "pk"))
