import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from credits import drafts, queries, services
from credits.models import Offer
from credits.tests.commands import Ran, run_command
from credits.tests.conftest import Customer

pytestmark = pytest.mark.django_db

PACK = {
    "slug": "pack", "name": "Pack", "kind": "pack", "credits": 50, "amount": 900, "currency": "usd",
}  # fmt: skip
PLAN = {**PACK, "slug": "plan", "kind": "plan", "interval": "month"}
RETAIL = {"slug": "one", "name": "One", "kind": "retail", "amount": 99, "currency": "usd"}


@pytest.fixture
def init(tmp_path: Path) -> Callable[..., Ran]:
    def run(*offers: dict[str, object], text: str = "") -> Ran:
        path = tmp_path / "list.toml"
        path.write_text(text or "".join(map(table, offers)))
        return run_command("init_pricing", "--file", path)

    return run


def table(offer: dict[str, object]) -> str:
    # JSON writes text, numbers and booleans the way TOML does.
    lines = [f"{key} = {json.dumps(value)}" for key, value in offer.items()]
    return "\n".join(["[[offer]]", *lines, ""])


class TestInitPricing:
    def test_the_price_list_that_comes_with_it(self) -> None:
        ran = run_command("init_pricing")

        offers = list(queries.offers().values_list("slug", "kind", "credits", "rollover_cap"))
        assert offers == [
            ("starter", "plan", 20, 0),
            ("pro", "plan", 100, 20),
            ("pack-50", "pack", 50, 0),
            ("pack-100", "pack", 100, 0),
            ("pack-250", "pack", 250, 0),
            ("single", "retail", 0, 0),
        ]
        assert ran.summary == (
            "Price list: 6 offers added, 0 changed, 0 unchanged, 0 taken off sale."
        )

    def test_a_second_run_changes_nothing(self, init: Callable[..., Ran]) -> None:
        init(PACK, PLAN)

        assert init(PACK, PLAN).output == (
            "Price list: 0 offers added, 0 changed, 2 unchanged, 0 taken off sale.\n"
        )

    def test_an_offer_that_nobody_bought_is_updated(self, init: Callable[..., Ran]) -> None:
        init(PACK)

        ran = init({**PACK, "amount": 1000})

        assert Offer.objects.get().amount == 1000
        assert ran.output.splitlines()[0].split() == ["changed", "pack"]

    def test_an_offer_that_left_the_list_is_no_longer_for_sale(
        self, init: Callable[..., Ran]
    ) -> None:
        init(PACK, PLAN)

        ran = init(PLAN)

        assert [offer.slug for offer in queries.offers()] == ["plan"]
        assert "deactivated pack" in ran.output

    def test_and_is_again_when_it_comes_back(self, init: Callable[..., Ran]) -> None:
        init(PACK, PLAN)
        init(PLAN)
        init(PLAN, PACK)

        assert [offer.slug for offer in queries.offers()] == ["plan", "pack"]

    def test_what_staff_does_in_the_admin_is_left_alone(
        self, init: Callable[..., Ran], now: datetime
    ) -> None:
        """A successor stays on sale, what it replaced does not come back, and drafts stay so."""
        init(PLAN, PACK)
        who = {"actor": "staff:a", "now": now}
        old = Offer.objects.get(slug="plan")
        terms = drafts.listed(old)
        new = drafts.save_draft(replace(terms, slug="plan-2"), replaces_id=old.pk, **who)
        drafts.publish(offer_id=new.pk, price_id="", seen=drafts.listed(new), **who)
        drafts.save_draft(replace(terms, slug="draft"), **who)

        ran = init(PLAN, PACK, {**PLAN, "slug": "draft", "amount": 1})

        assert [offer.slug for offer in queries.offers()] == ["plan-2", "pack"]
        assert Offer.objects.get(slug="draft").draft
        assert [line.split()[:3] for line in ran.output.splitlines()[:-1]] == [
            ["left", "alone", f"{slug}:"] for slug in ("draft", "plan", "plan-2")
        ]

    def test_an_id_that_stripe_gave_stays(self, init: Callable[..., Ran]) -> None:
        init(PACK)
        Offer.objects.update(stripe_price_id="price_1")

        init(PACK)

        assert Offer.objects.get().stripe_price_id == "price_1"


class TestBoughtOffers:
    @pytest.fixture(autouse=True)
    def bought(self, init: Callable[..., Ran], customer: Customer) -> None:
        init({**PACK, "stripe_price_id": "price_1"}, RETAIL)
        customer.grant(50, terms={"slug": "pack"})
        services.issue_retail_token(
            account_id=customer.account_id,
            source_key="checkout:1",
            terms={"slug": "one"},
            now=customer.now,
        )

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"amount": 800}, "amount 900 -> 800"),
            ({"credits": 60}, "credits 50 -> 60"),
            ({"currency": "eur"}, "currency 'usd' -> 'eur'"),
            ({"stripe_price_id": "price_2"}, "stripe_price_id 'price_1' -> 'price_2'"),
        ],
    )
    def test_keep_their_terms(
        self, init: Callable[..., Ran], change: dict[str, object], said: str
    ) -> None:
        ran = init({**PACK, **change}, RETAIL, PLAN)

        assert ran.refusal == (
            f"pack has been bought and keeps its terms ({said}): "
            "give the new terms a new slug, such as pack-2. Nothing was changed."
        )
        assert Offer.objects.count() == 2

    def test_every_one_of_them_is_named(self, init: Callable[..., Ran]) -> None:
        ran = init({**PACK, "amount": 1}, {**RETAIL, "amount": 1})

        assert "pack has been bought" in ran.errors and "one has been bought" in ran.refusal

    def test_may_be_renamed_and_moved(self, init: Callable[..., Ran]) -> None:
        init(RETAIL, {**PACK, "name": "Fifty"})

        assert [offer.name for offer in queries.offers()] == ["One", "Fifty"]

    def test_may_leave_the_list(self, init: Callable[..., Ran]) -> None:
        assert init(PLAN).summary == (
            "Price list: 1 offers added, 0 changed, 0 unchanged, 2 taken off sale."
        )


class TestRefusals:
    @pytest.mark.parametrize(
        ("offer", "sentence"),
        [
            ({**PACK, "colour": "red"}, "unknown key 'colour'; known are slug, name, kind,"),
            ({k: v for k, v in PACK.items() if k != "amount"}, "amount is missing."),
            ({**PACK, "amount": -1}, "amount must be from 0 to 1000000000000 minor units, not -1."),
            (
                {**PACK, "amount": 9.99},
                "amount must be a whole number, not 9.99 (money is in minor",
            ),
            ({**PACK, "amount": True}, "amount must be a whole number, not True"),
            ({**PACK, "amount": 0}, "amount may be 0 for a plan only."),
            ({**PACK, "currency": "euro"}, "currency 'euro' is none that Stripe charges"),
            ({**PACK, "currency": 978}, "currency must be text, not 978"),
            ({**PACK, "kind": "bundle"}, "kind must be one of plan, pack, retail, not 'bundle'."),
            ({**PACK, "credits": 0}, "credits must be from 1 to 1000000000, not 0."),
            (
                {**PACK, "interval": "month"},
                "interval is for plans only: take it out of this pack.",
            ),
            ({**PACK, "rollover_cap": 5}, "rollover_cap is for plans only"),
            ({**PLAN, "interval": "week"}, "interval of a plan must be month or year, not 'week'."),
            ({**PLAN, "rollover_cap": -1}, "rollover_cap must be from 0 to 1000000000, not -1."),
            ({**PLAN, "trial_days": 7}, "trial_days and trial_credits go together"),
            ({**PLAN, "trial_days": 731, "trial_credits": 5}, "trial_days must be from 0 to 730"),
            ({**PLAN, "trial_days": 7, "trial_credits": -5}, "trial_credits must be from 0 to"),
            ({**PACK, "trial_days": 7}, "trial_days is for plans only"),
            ({**RETAIL, "credits": 1}, "a retail offer has no credits"),
            ({**PACK, "slug": "Big Pack"}, "slug must be 1 to 50 of a-z, 0-9, - and _."),
            ({**PACK, "name": ""}, "name must have 1 to 80 printable characters."),
            ({**PACK, "stripe_price_id": "prod_1"}, "'prod_1' does not look like price_…."),
        ],
    )
    def test_an_offer(
        self, init: Callable[..., Ran], offer: dict[str, object], sentence: str
    ) -> None:
        ran = init({**PACK, "slug": "good"}, offer)

        assert ran.refusal.startswith("Offer 2") and sentence in ran.refusal
        assert not Offer.objects.exists()

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("[[offer]\n", "is not valid TOML: "),
            ("# nothing", "has no [[offer]] tables"),
            ("offer = 5", "has no [[offer]] tables"),
            ("[offers]\n[[offer]]", "Unknown key 'offers'"),
        ],
    )
    def test_a_file(self, init: Callable[..., Ran], text: str, sentence: str) -> None:
        assert sentence in init(text=text).refusal

    def test_a_slug_that_is_there_twice(self, init: Callable[..., Ran]) -> None:
        assert "2 offers have the slug 'pack': it must be unique." in init(PACK, PACK).refusal

    def test_everything_that_is_wrong_is_said_at_once(self, init: Callable[..., Ran]) -> None:
        ran = init({**PACK, "amount": -1, "currency": "xxx"}, {**PLAN, "interval": "week"})

        assert len(ran.errors.splitlines()) == 2 and ran.refusal

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        ran = run_command("init_pricing", "--file", tmp_path / "none.toml")

        assert "none.toml cannot be read (No such file or directory): check" in ran.refusal

    def test_a_file_that_is_no_text(self, tmp_path: Path) -> None:
        path = tmp_path / "list.toml"
        path.write_bytes(b"\xff\xfe[\x00")

        assert "is not UTF-8 text" in run_command("init_pricing", "--file", path).refusal
