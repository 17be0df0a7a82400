from datetime import UTC, datetime, time, timedelta

import pytest
from django.contrib.auth import get_user_model
from pytest_django import Settings

from credits.models import Account, CreditLot, LedgerEntry
from credits.tests.commands import Ran, run_command

pytestmark = pytest.mark.django_db
TODAY = datetime.now(UTC).date()


@pytest.fixture(autouse=True)
def ada() -> None:
    get_user_model().objects.create_user(email="ada@example.com")


def grant(*more: str, amount: str = "5", pool: str = "bulk", email: str = "ada@example.com") -> Ran:
    return run_command("grant_credits", email, amount, "--pool", pool, "--reason", "sorry", *more)


class TestGrantCredits:
    def test_keeps_the_reason_and_who_ran_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LOGNAME", "grace")

        ran = grant(email="Ada@Example.com")

        assert ran.output.splitlines() == [
            "before: 0 credits (0 subscription, 0 promotional, 0 bulk)",
            "after:  5 credits (0 subscription, 0 promotional, 5 bulk)",
            "ada@example.com got 5 bulk credits.",
        ]
        entry = LedgerEntry.objects.get()
        assert (entry.actor, entry.note) == ("cli:grace", "sorry")

    def test_promotional_credits_end_after_the_usual_days(self, settings: Settings) -> None:
        settings.PROMOTIONAL_DAYS = 10

        ran = grant(pool="promotional")

        lot = CreditLot.objects.get()
        assert lot.expires_at == lot.created_at + timedelta(days=10)
        assert f"to be spent by {lot.expires_at:%Y-%m-%d %H:%M} UTC" in ran.summary

    @pytest.mark.parametrize("pool", ["promotional", "subscription"])
    def test_the_last_day_counts_whole(self, pool: str) -> None:
        grant("--expires", str(TODAY), pool=pool)

        tomorrow = TODAY + timedelta(days=1)
        assert CreditLot.objects.get().expires_at == datetime.combine(tomorrow, time(), UTC)

    def test_the_same_key_adds_nothing_again(self) -> None:
        grant("--key", "ticket-7")

        ran = grant("--key", "ticket-7")

        assert ran.summary == f"Nothing was added: ticket-7 was granted on {TODAY}."
        assert Account.objects.get().bulk_credits == 5

    def test_without_a_key_every_run_is_a_grant_of_its_own(self) -> None:
        grant()
        grant()

        assert Account.objects.get().bulk_credits == 10


class TestRefusals:
    @pytest.mark.parametrize(
        ("amount", "sentence"),
        [
            ("0", "Credits must be from 1 to 1000000000, not 0."),
            ("-5", "'-5' is not a positive whole number of credits."),
            ("2.5", "'2.5' is not a positive whole number of credits."),
            ("five", "'five' is not a positive whole number of credits."),
            ("\u0665", "'\u0665' is not a positive whole number of credits."),
            ("1000000001", "Credits must be from 1 to 1000000000, not 1000000001."),
            ("9" * 5000, "is not a positive whole number of credits."),
        ],
    )
    def test_amounts(self, amount: str, sentence: str) -> None:
        assert sentence in grant(amount=amount).refusal
        assert not CreditLot.objects.exists()

    @pytest.mark.parametrize(
        ("arguments", "pool", "sentence"),
        [
            (
                (),
                "subscription",
                "Subscription credits end with a period: say with --expires when.",
            ),
            (("--expires", "2999-01-01"), "bulk", "Bulk credits never end: leave out --expires"),
            (("--expires", "2020-01-01"), "promotional", "2020-01-01 is over: give a day from"),
            (("--expires", "9999-12-31"), "promotional", "9999-12-31 is more than ten years ahead"),
            (
                ("--expires", "tomorrow"),
                "promotional",
                "'tomorrow' is not a day: write YYYY-MM-DD.",
            ),
            (("--key", " "), "bulk", "This may not be empty."),
            (("--key", "k" * 250), "bulk", "The key is too long: at most 248 characters are kept."),
            (("--reason", ""), "bulk", "This may not be empty."),
            (("--reason", "r" * 256), "bulk", "This has 256 characters, at most 255 are kept."),
            (("--reason", "bad \udcff byte"), "bulk", "characters that are not text"),
            ((), "gold", "invalid choice: 'gold'"),
        ],
    )
    def test_options(self, arguments: tuple[str, ...], pool: str, sentence: str) -> None:
        assert sentence in grant(*arguments, pool=pool).refusal
        assert not CreditLot.objects.exists()

    def test_a_person_who_is_not_there(self) -> None:
        assert grant(email="bob@example.com").refusal == (
            "Nobody has signed up as bob@example.com: check the address."
        )

    def test_something_that_is_no_address(self) -> None:
        assert "'ada' is not an email address." in grant(email="ada").refusal

    def test_a_key_that_was_used_for_another_grant(self) -> None:
        grant("--key", "ticket-7")

        ran = grant("--key", "ticket-7", amount="6")

        assert ran.refusal == "The key 'manual:ticket-7' was already used for a different request."
        assert Account.objects.get().bulk_credits == 5
