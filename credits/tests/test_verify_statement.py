"""Exported statements: what is in them, and that nobody can change one unnoticed."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path

import pytest
from allauth.core.internal import ratelimit
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client

from credits import services, statement_files, verification
from credits.models import Account, LedgerEntry, Pool
from credits.tests.pages import client_of, html, text
from credits.tests.race import meet_before, race

pytestmark = pytest.mark.django_db

VERIFY = "/statement/verify/"
NASTY = ["=cmd|' /C calc'!A1", "'quoted", "@SUM(1)", 'a "b", c', "€ × – ☃", "+1", "-1"]  # noqa: RUF001
DOCUMENT = Path(settings.BASE_DIR) / "docs/verify-a-statement.md"


@pytest.fixture
def statement(account: Account, now: datetime) -> Account:
    """Ten lines with notes that mean harm, a hold and what is owed."""
    for number, note in enumerate(NASTY):
        services.grant(
            account_id=account.pk, pool=Pool.BULK, amount=5, source_key=f"checkout:{number}",
            now=now, note=note, actor="=staff",
        )  # fmt: skip
    spend(account, now, 3)
    services.claw_back(source_key="checkout:0", total=5, reference="refund:pi_1", now=now)
    services.grant(account_id=account.pk, pool=Pool.BULK, amount=1, source_key="gift:1", now=now)
    account.refresh_from_db()
    return account


def spend(account: Account, now: datetime, amount: int) -> None:
    services.spend(
        account_id=account.pk, amount=amount, reference="generation:1",
        idempotency_key=f"{amount}", now=now,
    )  # fmt: skip


def export(account: Account, form: str = "csv", query: str = "") -> bytes:
    response = client_of(account).get(f"/statement/export.{form}?{query}")
    assert response.status_code == 200
    return response.getvalue()


def upload(client: Client, content: bytes):
    return client.post(VERIFY, {"file": SimpleUploadedFile("statement", content)})


def verdict(content: bytes) -> verification.Verdict:
    return verification.verify(verification.read(content))


def changed(content: bytes, row: int, column: str, value: object) -> bytes:
    """The CSV file with another value in one cell; `row` counts lines from 1."""
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    rows[row][rows[0].index(column)] = str(value)
    target = io.StringIO(newline="")
    csv.writer(target).writerows(rows)
    return target.getvalue().encode("utf-8-sig")


class TestCsv:
    def test_has_every_line_oldest_first(self, statement: Account) -> None:
        rows = list(csv.DictReader(io.StringIO(export(statement).decode("utf-8-sig"))))
        assert [int(row["sequence"]) for row in rows] == list(range(1, statement.sequence + 1))
        assert tuple(rows[0]) == statement_files.COLUMNS
        assert rows[-1]["hash"] == statement.chain_head

    def test_has_nothing_that_a_spreadsheet_would_run(self, statement: Account) -> None:
        rows = list(csv.DictReader(io.StringIO(export(statement).decode("utf-8-sig"))))
        for name in statement_files.TEXTS:
            assert not [row for row in rows if row[name].startswith(("=", "+", "-", "@"))]
        notes = [statement_files.without_apostrophe(row["note"]) for row in rows]
        assert notes[: len(NASTY)] == NASTY

    def test_has_the_lines_that_the_page_shows(self, statement: Account) -> None:
        rows = export(statement, query="kind=claw_back").decode().splitlines()
        assert len(rows) == 2
        assert "claw_back" in rows[1]

    def test_is_named_for_what_is_in_it(self, statement: Account) -> None:
        page = client_of(statement).get("/statement/export.csv?month=2026-03&pool=bulk")
        assert 'filename="statement-2026-03-bulk.csv"' in page.headers["Content-Disposition"]

    def test_streams_in_batches(
        self,
        statement: Account,
        monkeypatch: pytest.MonkeyPatch,
        django_assert_num_queries: Callable,
    ) -> None:
        monkeypatch.setattr("credits.statements.BATCH", 5)
        response = client_of(statement).get("/statement/export.csv")
        batches = (statement.sequence + 4) // 5 + 1  # the last finds nothing
        with django_assert_num_queries(batches):
            content = response.getvalue()
        assert verdict(content).is_whole

    def test_columns_are_documented(self) -> None:
        document = DOCUMENT.read_text()
        assert [name for name in statement_files.COLUMNS if f"`{name}`" not in document] == []


class TestJson:
    def test_has_the_lines_and_the_head(self, statement: Account) -> None:
        document = json.loads(export(statement, "json"))
        assert document["head"] == {"sequence": statement.sequence, "hash": statement.chain_head}
        assert [line["note"] for line in document["lines"]][: len(NASTY)] == NASTY
        assert verdict(export(statement, "json")).is_whole

    def test_without_lines_is_json_too(self, account: Account) -> None:
        assert json.loads(export(account, "json"))["lines"] == []


class TestVerdict:
    @pytest.mark.parametrize("form", ["csv", "json"])
    def test_a_whole_file_is_whole(self, statement: Account, form: str) -> None:
        found = verdict(export(statement, form))
        assert (found.faults, found.gaps, found.first, found.last, found.head) == (
            [], 0, 1, statement.sequence, statement.chain_head,
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("sequence", 7),
            ("created_at", "2026-03-10T12:00:00.000001+00:00"),
            ("created_at", "2026-03-10T12:00:00.000000"),
            ("created_at", "2026-03-10T12:00:00+00:00"),
            ("created_at", "2026-03-10T13:00:00.000000+01:00"),
            ("kind", "adjust"),
            ("pool", "promotional"),
            ("amount", 6),
            ("balance_after", 16),
            ("owed_after", 1),
            ("reference", "checkout:9"),
            ("actor", "staff"),
            ("note", "SUM(1)"),
            ("account", 1 << 40),
            ("lot", 3),
            ("hold", 3),
            ("previous_hash", "0" * 64),
            ("hash", "0" * 64),
        ],
    )
    def test_names_the_line_that_was_changed(
        self, statement: Account, column: str, value: object
    ) -> None:
        [fault, *rest] = verdict(changed(export(statement), 3, column, value)).faults
        assert "(row 4 of the file) was changed" in fault
        assert len(rest) <= 1  # the line after it, if the hash was changed

    def test_no_changed_byte_goes_unnoticed_but_in_the_words(self, statement: Account) -> None:
        content = export(statement)
        rows = content.split(b"\r\n")
        why = len(next(csv.reader([rows[3].decode()]))[-1])
        start = content.index(rows[3])
        for position in range(start, start + len(rows[3]) - why - 1):
            altered = bytearray(content)
            altered[position] ^= 0x01
            try:
                faults = verdict(bytes(altered)).faults
                assert faults, f"byte {position - start} of {rows[3]!r}"
                assert "(row 4 of the file)" in faults[0]
            except verification.Unreadable as error:
                assert "Row 4" in str(error) or "UTF-8" in str(error)

    def test_a_line_left_out_of_the_middle_is_a_gap(self, statement: Account) -> None:
        rows = export(statement).decode().splitlines(keepends=True)
        found = verdict("".join(rows[:3] + rows[4:]).encode())
        assert (found.faults, found.gaps) == ([], 1)

    def test_lines_in_another_order_do_not_follow(self, statement: Account) -> None:
        rows = export(statement).decode().splitlines(keepends=True)
        rows[3], rows[4] = rows[4], rows[3]
        assert (
            "does not follow from the line before it" in verdict("".join(rows).encode()).faults[0]
        )

    def test_a_line_twice_does_not_follow(self, statement: Account) -> None:
        rows = export(statement).decode().splitlines(keepends=True)
        rows.insert(3, rows[3])
        assert len(verdict("".join(rows).encode()).faults) == 1

    def test_lines_of_two_accounts_are_no_statement(
        self, statement: Account, new_account: Callable[[], Account], now: datetime
    ) -> None:
        other = new_account()
        services.grant(account_id=other.pk, pool=Pool.BULK, amount=1, source_key="x:1", now=now)
        both = export(statement) + export(other).split(b"\r\n")[1]
        assert "is of another account" in verdict(both).faults[0]


class TestPage:
    def test_tells_the_owner_that_nothing_was_changed_since(self, statement: Account) -> None:
        page = text(upload(client_of(statement), export(statement)))
        assert "Nothing was changed" in page
        assert "stands in your ledger today" in page
        assert "is the head of the chain" in page

    def test_tells_how_far_the_ledger_has_gone_on(self, statement: Account, now: datetime) -> None:
        content = export(statement)
        spend(statement, now, 1)
        page = text(upload(client_of(statement), content))
        assert f"gone on since, up to line {statement.sequence + 1}" in page

    def test_tells_others_that_the_chain_is_whole_in_itself(
        self, statement: Account, new_account: Callable[[], Account]
    ) -> None:
        content = export(statement)
        assert "after signing in" in text(upload(Client(), content))
        assert "of another account" in text(upload(client_of(new_account()), content))

    def test_names_the_changed_line(self, statement: Account) -> None:
        page = text(upload(Client(), changed(export(statement), 4, "amount", 500)))
        assert "Line 4 (row 5 of the file) was changed" in page
        assert "Nothing was changed" not in page

    def test_takes_pasted_text(self, statement: Account) -> None:
        content = export(statement).decode("utf-8-sig")
        assert "Nothing was changed" in text(Client().post(VERIFY, {"text": content}))

    def test_tells_of_lines_left_out(self, statement: Account) -> None:
        content = export(statement, query="kind=grant")
        assert "Lines are left out at 1 place" in text(upload(Client(), content))

    @pytest.mark.breaks_the_books
    def test_notices_a_ledger_that_was_rewritten_since(
        self, statement: Account, without_triggers: None
    ) -> None:
        content = export(statement)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE credits_ledgerentry SET note = 'other' WHERE sequence = 3")
        page = text(upload(client_of(statement), content))
        assert "Line 3 (row 4 of the file) is another one in today's ledger" in page
        LedgerEntry.objects.filter(sequence__gt=8)._raw_delete("default")
        assert "Line 9 (row 10 of the file) is not in today's ledger" in text(
            upload(client_of(statement), content)
        )

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\xff\xfe\x00",
            b"a,b\r\n1,2\r\n",
            b"\0\0\0",
            b"{",
            b"{}",
            b'{"lines": 3}',
            b'{"lines": []}',
            b'{"lines": [3]}',
            b'{"lines": [{}]}',
            b'{"lines": ' + b"[" * 200_000,
            b'{"lines": [' + b"9" * 5000 + b"]}",
            b'"' + b"x" * 200_000,
        ],
    )
    def test_answers_a_file_that_is_none_with_a_sentence(self, content: bytes) -> None:
        page = text(upload(Client(), content), status=422)
        assert re.search("This is no|There are no lines|cannot be read|not a text", page), page

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("amount", 1.0),
            ("amount", True),
            ("sequence", 2**63),
            ("account", "1"),
            ("hold", []),
            ("note", None),
            ("hash", {}),
        ],
    )
    def test_answers_values_of_other_types_with_a_sentence(
        self, statement: Account, column: str, value: object
    ) -> None:
        document = json.loads(export(statement, "json"))
        document["lines"][2][column] = value
        page = text(upload(Client(), json.dumps(document).encode()), status=422)
        assert "Row 4 of the file cannot be read" in page

    @pytest.mark.parametrize(
        ("column", "value"),
        [("note", "\ud800"), ("hash", "\ud800"), ("created_at", "0001-01-01T00:00:00+23:59"),
         ("sequence", -(2**62)), ("account", -1)],
    )  # fmt: skip
    def test_answers_values_that_cannot_be_with_a_sentence(
        self, statement: Account, column: str, value: object
    ) -> None:
        document = json.loads(export(statement, "json"))
        for line in document["lines"]:
            line[column] = value
        page = text(upload(client_of(statement), json.dumps(document).encode()))
        assert "This is not what was exported" in page

    def test_asks_for_a_file_or_text(self) -> None:
        assert "Please choose a file" in text(Client().post(VERIFY, {}), status=422)

    def test_refuses_what_is_too_large_without_reading_it(self) -> None:
        page = upload(Client(), b"x" * (10 * 1024 * 1024))
        assert "This is too large" in text(page, status=413)
        page = Client().post(VERIFY, {"text": "x" * 300_000})
        assert "This is too large" in text(page, status=413)

    def test_looks_at_the_token_against_forged_requests(self, statement: Account) -> None:
        page = Client(enforce_csrf_checks=True).post(VERIFY, {"text": "x"})
        assert page.status_code == 403
        html(Client().get(VERIFY))

    def test_answers_the_eleventh_in_a_minute_without_reading_it(self, statement: Account) -> None:
        content = export(statement)
        answers = [upload(Client(), content).status_code for _ in range(10)]
        refused = upload(Client(), content)
        assert answers == [200] * 10
        assert "Wait a minute, then try again." in text(refused, status=429)
        assert refused.headers["Retry-After"] == "60"
        html(Client().get(VERIFY))
        elsewhere = Client(REMOTE_ADDR="198.51.100.7")
        assert "Nothing was changed" in text(upload(elsewhere, content))


def uploads_at_once(number: int = 14) -> list[int]:
    return race(*[lambda: Client().post(VERIFY, {"text": "x"}).status_code] * number)


@pytest.mark.django_db(transaction=True)
def test_uploads_at_the_same_moment_are_counted_one_by_one() -> None:
    statuses = uploads_at_once()
    assert set(statuses) == {422, 429}
    assert statuses.count(422) <= 10


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_of_the_count_too_many_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratelimit, "cache_lock", lambda key: nullcontext(True))
    meet_before(monkeypatch, 14, ratelimit, "apply_rate")
    assert uploads_at_once().count(422) > 10


class TestProgram:
    """The one in docs/verify-a-statement.md, as somebody without this site runs it."""

    def run(self, tmp_path: Path, content: bytes) -> subprocess.CompletedProcess[str]:
        found = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)
        assert found
        (tmp_path / "verify.py").write_text(found[1])
        (tmp_path / "statement.csv").write_bytes(content)
        return subprocess.run(
            [sys.executable, "-I", "verify.py", "statement.csv"], cwd=tmp_path,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def test_finds_an_export_whole(self, statement: Account, tmp_path: Path) -> None:
        done = self.run(tmp_path, export(statement))
        head = f"whole: the head is line {statement.sequence}, {statement.chain_head}\n"
        assert (done.stdout, done.stderr) == (head, "")

    def test_names_a_changed_line(self, statement: Account, tmp_path: Path) -> None:
        done = self.run(tmp_path, changed(export(statement), 4, "amount", 500))
        assert (done.returncode, done.stderr) == (1, "line 4 was changed\n")
