"""`chaos_webhooks`: a life told in disorder ends the same; a rule that minds order is caught."""

import json

import pytest

from credits.models import Account, InboxEvent, LedgerEntry, Offer
from credits.payments import money_back, refunds
from credits.payments.rules import RULES
from credits.tests.commands import run_command

pytestmark = pytest.mark.django_db


def chaos(*arguments):
    return run_command("chaos_webhooks", *arguments)


class TestALifeOfTheSandbox:
    def test_ends_the_same_in_every_run_and_leaves_nothing(self):
        ran = chaos("--runs", 4)
        assert ran.refusal == ""
        assert ran.summary.startswith("All 4 runs of ") and ran.summary.endswith("ended the same.")
        for model in (Account, InboxEvent, LedgerEntry, Offer):
            assert not model.objects.exists()

    def test_has_everything_that_can_go_wrong_in_it(self, tmp_path):
        file = tmp_path / "life.jsonl"
        chaos("--runs", 1, "--save", file)
        told = [json.loads(line) for line in file.read_text().splitlines()]
        types = [event["type"] for event in told]
        assert types.count("invoice.paid") == 3
        assert {"refund.failed", "charge.dispute.closed", "customer.subscription.deleted"} <= {
            *types
        }
        assert chaos("--file", file, "--runs", 2, "--seed", 5).refusal == ""
        assert "cannot be written" in chaos("--save", file).refusal


class TestARuleThatMindsTheOrder:
    @pytest.fixture
    def newest_wins(self, monkeypatch):
        """What the last event said counts, whatever had been said before."""

        def gone_back(payment):
            last = payment.refunded_totals.order_by("-pk").first()
            return last.amount if last else 0

        monkeypatch.setattr(money_back, "gone_back", gone_back)

    def test_is_caught_with_the_seed_that_repeats_it(self, newest_wins):
        ran = chaos("--runs", 4, "--seed", 1)
        assert "ended otherwise" in ran.refusal
        seed = ran.output.split()[1].strip(":")
        again = chaos("--runs", 1, "--seed", seed)
        assert again.output.startswith(f"seed {seed}: ") and again.refusal

    def test_is_caught_where_an_event_counts_twice(self, monkeypatch):
        def twice(event):
            payment = refunds._payment(event)
            payment.refunded += event.object["amount"]
            return refunds._take_back(payment, event)

        monkeypatch.setitem(RULES, "refund.created", twice)
        assert "ended otherwise" in chaos("--runs", 4, "--seed", 1).refusal


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (b"", "no events"),
            (b"{", "Line 1 is not JSON"),
            (b"[1]", "Line 1 is not an event"),
            (b"\xff", "cannot be read"),
        ],
    )
    def test_a_file_that_holds_no_life(self, tmp_path, content, sentence):
        file = tmp_path / "life.jsonl"
        file.write_bytes(content)
        assert sentence in chaos("--file", file).refusal

    def test_a_life_of_two_customers(self, tmp_path):
        file = tmp_path / "life.jsonl"
        with file.open("w") as out:
            for number in (1, 2):
                event = {
                    "id": f"evt_{number}", "object": "event", "type": "invoice.paid",
                    "created": number, "livemode": False,
                    "data": {"object": {"customer": f"cus_{number}"}},
                }  # fmt: skip
                out.write(json.dumps(event) + "\n")
        assert "names 2 (cus_1, cus_2)" in chaos("--file", file).refusal

    def test_a_file_that_is_not_there(self, tmp_path):
        assert "cannot be read" in chaos("--file", tmp_path / "none").refusal

    def test_a_live_key(self, settings):
        settings.STRIPE_LIVE_MODE = True
        assert "live key" in chaos().refusal

    @pytest.mark.parametrize("runs", [0, -1, 10**9])
    def test_a_number_of_runs_that_is_none(self, runs):
        assert "--runs" in chaos("--runs", runs).refusal
