"""What the price list works out of its offers, and the rules beside it."""

import pytest
from django.test import Client

from credits.models import Offer
from credits.templatetags.selling import per_credit
from credits.tests.pages import text


def offer(amount: int, pieces: int, currency: str = "usd", **fields: object) -> Offer:
    return Offer(
        **{"slug": "o", "name": "O", "kind": "pack", **fields},
        amount=amount, credits=pieces, currency=currency,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("amount", "pieces", "currency", "written"),
    [
        (1500, 50, "usd", "$0.30 per credit"),
        (1000, 30, "usd", "$0.34 per credit"),  # never less than it is
        (500, 10_000, "usd", "$0.50 per 1,000 credits"),
        (1, 1_000_000_000, "usd", "$0.01 per 1,000,000 credits"),
        (500, 50, "jpy", "¥10 per credit"),
        (0, 5, "usd", "Free of charge"),
    ],
)
def test_the_price_of_a_credit(amount: int, pieces: int, currency: str, written: str) -> None:
    assert per_credit(offer(amount, pieces, currency)) == written


@pytest.mark.django_db
class TestPriceList:
    def test_says_what_a_plan_brings_and_what_becomes_of_the_rest(self, client: Client) -> None:
        offer(2900, 100, kind="plan", interval="month", rollover_cap=20).save()
        page = text(client.get("/prices/"))
        assert "$29.00 per month" in page
        assert "100 credits per month (100 texts) $0.29 per credit" in page
        assert "Up to 20 unused ones carry over" in page

    def test_says_that_unused_credits_end_where_none_carry_over(self, client: Client) -> None:
        offer(900, 20, kind="plan", interval="year").save()
        assert "Unused ones end with the period" in text(client.get("/prices/"))

    def test_says_what_a_trial_is_to_who_never_had_a_plan(self, client: Client) -> None:
        offer(
            900, 20, kind="plan", interval="month", trial_days=7, trial_credits=1,
            stripe_price_id="price_1",
        ).save()  # fmt: skip
        page = text(client.get("/prices/"))
        assert "7 days free with 1 credit, then $9.00 per month" in page
        assert "How does a trial work?" in page

    def test_does_not_speak_of_trials_where_there_are_none(self, client: Client) -> None:
        offer(900, 20, kind="plan", interval="month").save()
        assert "trial" not in text(client.get("/prices/"))

    @pytest.mark.parametrize(
        ("amount", "written"),
        [
            (29_000, "$290.00 per year $24.17 per month, billed yearly"),  # never less than it is
            (12_000, "$120.00 per year $10.00 per month, billed yearly"),
        ],
    )
    def test_says_what_a_yearly_plan_costs_per_month(
        self, client: Client, amount: int, written: str
    ) -> None:
        offer(amount, 1200, kind="plan", interval="year").save()
        assert written in text(client.get("/prices/"))

    def test_has_nothing_to_divide_in_a_monthly_or_a_free_plan(self, client: Client) -> None:
        offer(900, 20, kind="plan", interval="month").save()
        offer(0, 20, kind="plan", interval="year", slug="free").save()
        assert "billed yearly" not in text(client.get("/prices/"))

    def test_has_no_heading_for_what_is_not_sold(self, client: Client) -> None:
        offer(1500, 50).save()
        page = text(client.get("/prices/"))
        assert "Packs paid once" in page
        assert "Plans new credits" not in page
        assert "Just one" not in page

    @pytest.mark.parametrize("address", ["/", "/prices/"])
    def test_states_the_rules(self, client: Client, address: str) -> None:
        page = text(client.get(address))
        assert "A text costs 1 credit, whatever its length" in page
        assert "live 3 days longer while the next payment arrives" in page
        assert "Credits from packs never end" in page
