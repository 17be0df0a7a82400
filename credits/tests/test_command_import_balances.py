from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model

from credits import imports, services
from credits.models import Account, CreditLot, LedgerEntry
from credits.tests.commands import Ran, run_command

pytestmark = pytest.mark.django_db

HEADER = "email,subscription_credits,bulk_credits\n"
THREE = HEADER + "ada@example.com,20,50\nbob@example.com,0,7\neve@example.com,0,0\n"


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Ran]:
    def run(content: str | bytes, *options: str) -> Ran:
        path = tmp_path / "balances.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return run_command("import_balances", path, *options)

    return run


def balances() -> dict[str, tuple[int, int]]:
    accounts = Account.objects.values_list("user__email", "subscription_credits", "bulk_credits")
    return {email: (subscription, bulk) for email, subscription, bulk in accounts}


class TestImportBalances:
    def test_makes_people_accounts_and_opening_lots(self, load: Callable[..., Ran]) -> None:
        load(THREE)

        assert balances() == {
            "ada@example.com": (20, 50), "bob@example.com": (0, 7), "eve@example.com": (0, 0),
        }  # fmt: skip
        assert set(CreditLot.objects.values_list("source_key", flat=True)) == {
            "import:ada@example.com:subscription",
            "import:ada@example.com:bulk",
            "import:bob@example.com:bulk",
        }
        assert not any(user.has_usable_password() for user in get_user_model().objects.all())
        assert (
            LedgerEntry.objects.filter(note="opening balance", actor__startswith="cli:").count()
            == 3
        )

    def test_prints_totals_that_reconcile(self, load: Callable[..., Ran]) -> None:
        load(HEADER + "bob@example.com,0,7\n")

        ran = load(THREE)

        assert [line.split() for line in ran.output.splitlines()[:-1]] == [
            ["rows", "subscription", "bulk"],
            ["imported", "now", "2", "20", "50"],
            ["imported", "before", "1", "0", "7"],
            ["in", "the", "file", "3", "20", "57"],
        ]
        assert ran.summary == "2 rows with 70 credits imported, 2 people made."

    def test_a_second_run_changes_nothing(self, load: Callable[..., Ran]) -> None:
        load(THREE)
        lines = LedgerEntry.objects.count()

        ran = load(THREE)

        assert ran.summary == "Nothing to import: every row was imported before."
        assert LedgerEntry.objects.count() == lines

    def test_also_when_the_credits_have_been_spent_meanwhile(
        self, load: Callable[..., Ran]
    ) -> None:
        load(THREE)
        services.spend(
            account_id=Account.objects.get(user__email="bob@example.com").pk,
            amount=7,
            reference="generation:1",
            idempotency_key="1",
            now=datetime.now(UTC),
        )

        assert load(THREE).summary == "Nothing to import: every row was imported before."
        assert balances()["bob@example.com"] == (0, 0)

    def test_a_dry_run_says_the_same_and_writes_nothing(self, load: Callable[..., Ran]) -> None:
        ran = load(THREE, "--dry-run")

        assert ran.summary == (
            "Dry run, nothing was written: 3 rows with 77 credits would be imported, 3 people made."
        )
        assert "to import" in ran.output
        assert not get_user_model().objects.exists()

    def test_people_who_are_there_keep_what_they_have(self, load: Callable[..., Ran]) -> None:
        get_user_model().objects.create_user(email="ada@example.com", password="keep me")

        ran = load(THREE)

        assert get_user_model().objects.get(email="ada@example.com").check_password("keep me")
        assert ran.summary == "3 rows with 77 credits imported, 2 people made."

    def test_subscription_credits_end_a_month_and_the_grace_later(
        self, load: Callable[..., Ran]
    ) -> None:
        load(THREE)

        lot = CreditLot.objects.get(pool="subscription")
        assert lot.expires_at == lot.created_at + timedelta(days=33)
        assert set(CreditLot.objects.filter(pool="bulk").values_list("expires_at", flat=True)) == {
            None
        }

    def test_or_on_the_day_that_is_given(self, load: Callable[..., Ran]) -> None:
        today = datetime.now(UTC).date()

        load(THREE, "--subscription-ends", str(today))

        tomorrow = datetime.combine(today + timedelta(days=1), time(), UTC)
        assert CreditLot.objects.get(pool="subscription").expires_at == tomorrow

    def test_reads_what_a_spreadsheet_writes(self, load: Callable[..., Ran]) -> None:
        text = (
            '\ufeffBulk_Credits,"Email",subscription_credits\r\n 7 ,"Ada@Example.com", 20\r\n\r\n'
        )

        load(text)

        assert balances() == {"ada@example.com": (20, 7)}

    def test_long_work_shows_how_far_it_is(
        self, load: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(imports, "ROWS_AT_ONCE", 2)

        assert "2 of 3 rows imported" in load(THREE).output

    def test_a_run_that_was_cut_short_goes_on(
        self, load: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            write_row = imports._write_row

            def stop_at_eve(row: imports.Row, *rest: object) -> None:
                if row.email.startswith("eve"):
                    raise KeyboardInterrupt
                write_row(row, *rest)  # type: ignore[arg-type]

            patch.setattr(imports, "_write_row", stop_at_eve)
            ran = load(THREE)
        assert ran.refusal == "Stopped after at least 0 of 3 rows: run it again to go on."

        assert load(THREE).summary == "1 rows with 0 credits imported, 1 people made."


class TestChangedRows:
    @pytest.mark.parametrize(
        ("row", "imported"),
        [
            ("ada@example.com,20,51", "20 subscription and 50 bulk credits, not 20 and 51"),
            ("ada@example.com,0,50", "20 subscription and 50 bulk credits, not 0 and 50"),
            ("bob@example.com,3,7", "0 subscription and 7 bulk credits, not 3 and 7"),
        ],
    )
    def test_are_refused_with_their_line(
        self, load: Callable[..., Ran], row: str, imported: str
    ) -> None:
        load(THREE)

        ran = load(f"{HEADER}new@example.com,1,1\n{row}\n")

        assert ran.refusal.startswith("Line 3: ") and imported in ran.refusal
        assert "new@example.com" not in balances()


class TestRefusals:
    @pytest.mark.parametrize(
        ("row", "sentence"),
        [
            (
                "ada@example.com,-5,0",
                "subscription_credits is negative (-5): a balance is 0 or more.",
            ),
            ("ada@example.com,5,1.5", "bulk_credits is '1.5': it must be a whole number from 0 to"),
            ("ada@example.com,5,1e3", "bulk_credits is '1e3': it must be a whole number from 0 to"),
            (
                "ada@example.com,5,\u0663",
                "bulk_credits is '\u0663': it must be a whole number from 0 to",
            ),
            ("ada@example.com,5,1000000001", "it must be a whole number from 0 to 1000000000."),
            ("ada@example.com,,0", "subscription_credits is empty: write 0 for none."),
            ("ada,5,5", "'ada' is not an email address."),
            (",5,5", "'' is not an email address."),
            ("a\0da@example.com,5,5", "is not an email address."),
            ("ada@example.com,5", "2 columns instead of 3."),
            ("ada@example.com,5,5,5", "4 columns instead of 3."),
            (
                f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 60}.com,5,5",
                "is longer than 235 characters.",
            ),
        ],
    )
    def test_a_row(self, load: Callable[..., Ran], row: str, sentence: str) -> None:
        ran = load(f"{HEADER}good@example.com,1,1\n{row}\n")

        assert ran.refusal.startswith("Line 3: ") and sentence in ran.refusal
        assert ran.refusal.endswith("Nothing was imported.")
        assert balances() == {}

    def test_an_address_that_is_there_twice(self, load: Callable[..., Ran]) -> None:
        ran = load(HEADER + "ada@example.com,1,1\nbob@example.com,1,1\nADA@example.com,1,1\n")

        assert ran.refusal == (
            "Line 4: ada@example.com is also on line 2: keep one of them. Nothing was imported."
        )

    def test_every_problem_is_listed(self, load: Callable[..., Ran]) -> None:
        ran = load(HEADER + "ada,-1,x\n\nbob@example.com,1,1\neve@example.com,,-2\n")

        assert [line[:7] for line in ran.errors.splitlines()] == ["Line 2:"] * 3 + ["Line 5:"]
        assert ran.refusal == (
            "Line 5: bulk_credits is negative (-2): a balance is 0 or more. "
            "5 problems; nothing was imported."
        )

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (b"", "is empty."),
            (b"\n \n", "is empty."),
            (HEADER.encode(), "The file has no rows below its header"),
            (b"ada@example.com,1,1\n", "Line 1: column email is missing, column subscription_"),
            (
                b"email,bulk_credits\na@b.example,1\n",
                "Line 1: column subscription_credits is missing",
            ),
            (HEADER.strip().encode() + b",name\n", "Line 1: column 'name' is not known"),
            (HEADER.strip().encode() + b",email\n", "Line 1: column email is there twice"),
            (HEADER.replace(",", ";").encode(), "the columns are not separated by commas"),
            (THREE.encode("utf-16"), "is UTF-16 text: save it as UTF-8."),
            (
                HEADER.encode() + "zoë@example.com,1,1".encode("latin-1"),
                "Line 2: this is not UTF-8",
            ),
            (
                HEADER.encode() + b'"ada@example.com,1,1\n',
                "this is not CSV (unexpected end of data)",
            ),
            (HEADER.encode() + b"a" * 200_000, "Line 2: this is not CSV (field larger than"),
        ],
    )
    def test_a_file(self, load: Callable[..., Ran], content: bytes, sentence: str) -> None:
        assert sentence in load(content).refusal

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        ran = run_command("import_balances", tmp_path / "none.csv")

        assert "cannot be read (No such file or directory): check the name." in ran.refusal

    def test_a_last_day_that_is_over(self, load: Callable[..., Ran]) -> None:
        assert "2020-01-01 is over" in load(THREE, "--subscription-ends", "2020-01-01").refusal
        assert balances() == {}
