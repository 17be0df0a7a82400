"""`init_pricing` with Stripe: offers and prices find each other, and agree."""

from dataclasses import replace
from functools import partial

import pytest

from credits import pricing
from credits.models import CreditLot, Offer
from credits.payments import prices
from credits.payments.tests.fake_stripe_api import selling
from credits.tests.commands import run_command
from credits.tests.conftest import Customer
from credits.tests.race import kinds, race

pytestmark = pytest.mark.django_db(transaction=True)

CREATE = "POST /v1/prices"
PACK = pricing.Listed("pack", "50 credits", "pack", 900, "usd", credits=50)
PLAN = replace(PACK, slug="plan", kind="plan", interval="month")
YEAR = replace(PLAN, slug="year", interval="year")
TOKEN = pricing.Listed("one", "One", "retail", 99, "eur")


@pytest.fixture
def stripe_api():
    with selling() as api:
        yield api


@pytest.fixture
def init(tmp_path):
    """Runs the command with a list of these offers."""

    def init(*listed):
        path = tmp_path / "list.toml"
        path.write_text("".join(map(table, listed)))
        return run_command("init_pricing", "--file", path)

    return init


def table(entry):
    values = {name: getattr(entry, name) for name in pricing.KEYS}
    lines = [f"{name} = {value!r}" for name, value in values.items() if value or name == "amount"]
    return "\n".join(["[[offer]]", *lines, ""])


def ids():
    return dict(Offer.objects.values_list("slug", "stripe_price_id"))


class TestInitPricing:
    def test_makes_a_price_for_every_offer(self, init, stripe_api):
        init(PACK, PLAN, YEAR, TOKEN)

        asked = {params["lookup_key"]: params for params in stripe_api.asked(CREATE)}
        assert asked["pack"] == {
            "product_data[name]": "50 credits",
            "product_data[metadata][offer]": "pack",
            "unit_amount": "900",
            "currency": "usd",
            "lookup_key": "pack",
            "metadata[offer]": "pack",
        }
        assert asked["plan"]["recurring[interval]"] == "month"
        assert asked["year"]["recurring[interval]"] == "year"
        assert "recurring[interval]" not in asked["one"]
        assert ids() == {price["lookup_key"]: price["id"] for price in stripe_api.made("price")}

    def test_the_price_list_that_comes_with_it(self, stripe_api):
        ran = run_command("init_pricing")
        assert ran.summary.startswith("Price list: 6 offers added")
        assert len(stripe_api.made("price")) == 6

    def test_again_makes_nothing_new(self, init, stripe_api):
        init(PACK, PLAN)
        before = ids()
        ran = init(PACK, PLAN)
        assert ran.output.startswith("Price list: 0 offers added, 0 changed, 2 unchanged")
        assert len(stripe_api.asked(CREATE)) == 2
        assert ids() == before

    def test_finds_a_price_by_its_lookup_key(self, init, stripe_api):
        init(PACK)
        before = ids()
        Offer.objects.all().delete()  # a database made anew
        init(PACK)
        assert ids() == before

    def test_completes_a_list_that_was_made_without_stripe(self, init, settings):
        settings.STRIPE_SECRET_KEY = ""
        init(PACK)
        assert ids() == {"pack": ""}
        with selling() as stripe_api:
            ran = init(PACK)
            assert ran.output.split()[:2] == ["changed", "pack"]
            assert ids() == {"pack": stripe_api.made("price")[0]["id"]}

    def test_an_id_of_another_stripe_account_is_replaced(self, init, stripe_api):
        init(PACK)
        Offer.objects.update(stripe_price_id="price_of_a_sandbox")
        assert not init(PACK).refusal
        assert ids() == {"pack": stripe_api.made("price")[0]["id"]}


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"amount": 1000}, "is 900 usd, not 1000 usd"),
            ({"currency": "eur"}, "is 900 usd, not 900 eur"),
            ({"kind": "plan", "interval": "month"}, "is paid once, not every 1 month"),
        ],
        ids=str,
    )
    def test_of_a_price_that_says_something_else(self, init, stripe_api, changes, sentence):
        init(PACK)
        ran = init(replace(PACK, **changes))
        assert sentence in ran.refusal
        assert "such as pack-2. Nothing was changed." in ran.refusal
        assert Offer.objects.get().amount == 900

    def test_of_a_price_that_is_paid_every_third_month(self, init, stripe_api):
        init(PLAN)
        stripe_api.made("price")[0]["recurring"]["interval_count"] = 3
        assert "is paid every 3 month, not every 1 month" in init(PLAN).refusal

    def test_of_an_archived_price(self, init, stripe_api):
        init(PACK)
        stripe_api.made("price")[0]["active"] = False
        assert "is archived" in init(PACK).refusal

    def test_of_an_id_that_stripe_does_not_know(self, init, stripe_api):
        ran = init(replace(PACK, stripe_price_id="price_misspelt"))
        assert "pack: Stripe has no price 'price_misspelt'." in ran.refusal
        assert not Offer.objects.exists()

    def test_of_new_terms_for_what_was_bought_make_no_price(self, init, stripe_api, account, now):
        init(PACK)
        Customer(account.pk, now).grant(50, terms={"slug": "pack"})
        assert CreditLot.objects.exists()
        ran = init(replace(PACK, credits=60))
        assert "has been bought and keeps its terms" in ran.refusal
        assert len(stripe_api.asked(CREATE)) == 1

    def test_while_stripe_refuses(self, init, stripe_api):
        stripe_api.out_of_order = True
        ran = init(PACK)
        assert "Stripe is out of order" in ran.refusal
        assert ran.refusal.endswith("Nothing was changed.")
        assert not Offer.objects.exists()


def test_two_machines_that_start_at_once_make_one_price(stripe_api):
    outcomes = race(*[partial(prices.with_prices, [PACK, PLAN])] * 3)
    assert kinds(outcomes) == {"list": 3}
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert len(stripe_api.made("price")) == 2
