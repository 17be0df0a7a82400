"""A trial from the click on the price list on, with the sandbox as Stripe."""

import pytest
import stripe
from django.utils import timezone

from billing_site.sandbox.stripe.tests.conftest import ADDRESS, FAILS_LATER, GOOD
from billing_site.sandbox.stripe.tests.test_plan_changes import site
from credits.models import CreditLot, Offer
from credits.payments import checkout
from credits.payments.tests.conftest import account, books_balance, new_account, offers
from credits.tests.pages import client_of, text

__all__ = ["account", "books_balance", "new_account", "offers", "site"]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def with_a_trial(site):
    """Of two plans; the third has none."""
    for slug, trial_credits in [("starter", 5), ("pro", 50)]:
        offer = Offer.objects.get(slug=slug)
        offer.trial_days, offer.trial_credits = 7, trial_credits
        offer.save(never_bought=True)


@pytest.fixture
def subscribe(site, visitor, settings):
    """Buys a plan as a customer does, and returns what the page of Checkout said."""

    settings.SITE_URL = ADDRESS

    def subscribe(slug, card=GOOD):
        url = checkout.start(
            account_id=site.account.pk, offer_slug=slug, quantity=1, click_key=f"click {slug}",
            now=timezone.now(),
        )  # fmt: skip
        said = visitor.open(url).text
        visitor.press("action", "pay", card=card)
        return said

    return subscribe


class TestATrial:
    def test_is_free_and_then_paid_and_renewed_like_any_plan(self, site, subscribe):
        assert "Free for 7 days" in subscribe("starter")
        assert site.credits == 5
        assert (site.paid(), site.state.subscription.status) == ([0], "trialing")
        assert site.in_days(6) == 5
        assert site.in_days(2) == 20
        assert (site.paid(), site.state.subscription.status) == ([0, 900], "active")
        assert site.in_days(31) == 20

    def test_of_a_plan_without_one_is_not_offered(self, site, subscribe):
        assert "Free for" not in subscribe("mini")
        assert site.credits == 5
        assert site.paid() == [500]

    def test_is_had_once(self, site, shop, subscribe):
        subscribe("starter")
        site.hears()
        shop.client.v1.subscriptions.cancel(site.at_stripe.id)
        assert site.credits == 0
        assert "Free for" not in subscribe("pro")
        assert site.credits == 100

    def test_that_is_cancelled_ends_without_a_payment(self, site, subscribe):
        subscribe("starter")
        site.hears()
        assert site.cancels() == "ends"
        assert site.credits == 5
        assert site.in_days(8) == 0
        assert site.paid() == [0]

    def test_whose_payment_fails_brings_no_period(self, site, subscribe):
        subscribe("starter", card=FAILS_LATER)
        assert site.in_days(8) == 5  # until its own end, three days after the trial's
        assert site.in_days(16) == 0  # Stripe has given up, and the plan with it
        assert not CreditLot.objects.filter(amount_paid__gt=0).exists()


class TestThePages:
    def test_say_what_comes_when_the_trial_ends(self, site, subscribe):
        customer = client_of(site.account)
        assert "7 days free with 5 credits, then $9.00 per month" in text(customer.get("/prices/"))
        subscribe("starter")
        site.hears()
        assert "Your trial ends on" in text(customer.get("/"))
        plan = text(customer.get("/subscription/"))
        assert "then 20 credits and $9.00. Cancel before, and you pay nothing." in plan
        change = text(customer.get("/subscription/change/?offer=pro"))
        assert "nothing is paid and no credits are added" in change
        assert "You pay $29.00 and get 100 credits." in change

    def test_promise_no_second_trial(self, site, shop, subscribe):
        subscribe("starter")
        shop.client.v1.subscriptions.cancel(site.at_stripe.id)
        site.hears()
        prices = text(client_of(site.account).get("/prices/"))
        assert "days free" not in prices
        assert "Subscribe to pro" in prices


class TestAChangeOfPlanDuringATrial:
    @pytest.mark.parametrize("target", ["pro", "year"])
    def test_upwards_costs_and_brings_nothing_until_the_trial_ends(self, site, subscribe, target):
        subscribe("starter")
        site.hears()
        preview = site.previews(target)
        assert (preview.when, preview.due_now, preview.credits_now) == ("now", 0, 0)
        assert site.changes(target, preview=preview.token) == "changed"
        assert site.credits == 5
        assert site.state.subscription.status == "trialing"
        assert site.in_days(8) == preview.renewal.credits
        assert sum(site.paid()) == preview.renewal.amount

    def test_downwards_leaves_the_trial_as_it_is(self, site, subscribe):
        subscribe("pro")
        site.hears()
        assert site.changes("starter") == "scheduled"
        assert site.credits == 50
        assert site.state.subscription.status == "trialing"
        assert site.in_days(8) == 20
        assert sum(site.paid()) == 900


class TestTheSandbox:
    @pytest.mark.parametrize("days", [0, -1, 731])
    def test_takes_no_trial_that_stripe_would_not_take(self, shop, days):
        with pytest.raises(
            stripe.InvalidRequestError, match="trial period has to be 1 to 730 days"
        ):
            shop.session(shop.plan, subscription_data={"trial_period_days": days})

    def test_knows_trials_of_subscriptions_only(self, shop):
        with pytest.raises(stripe.InvalidRequestError, match="in `payment` mode"):
            shop.session(shop.pack, subscription_data={"trial_period_days": 7})
