"""Plans changed, ended and resumed by the site, at the sandbox, with the events that follow."""

import json
import random
from datetime import timedelta
from itertools import count

import pytest
from django.test import Client
from django.utils import timezone

from billing_site.sandbox.stripe.tests.conftest import FAILS_LATER, GOOD, KEY, SECRET
from billing_site.sandbox.stripe.tests.test_site import Site
from credits import services
from credits.models import InboxEvent, LedgerEntry, Offer, PlanClick, PlanSchedule, Subscription
from credits.payments import at_stripe, plan_changes, plan_preview, plan_rules
from credits.payments.client import SellingUnavailable
from credits.payments.plan_rules import When
from credits.payments.plan_state import plan_state
from credits.payments.tests.conftest import account, books_balance, new_account, offers

__all__ = ["account", "books_balance", "new_account", "offers"]

pytestmark = pytest.mark.django_db
ALWAYS_ASKS = "4000 0027 6000 3184"
YEAR_CREDITS = 1500


class PlanSite(Site):
    """The account, its plan, and what it does with it."""

    numbers = count(1)

    def subscribes(self, price, card=GOOD):
        self.shop.buy(price, card=card)
        self.hears()
        return self

    def changes(self, slug, **more):
        more.setdefault("click_key", f"click {next(self.numbers)}")
        return plan_changes.change(
            account_id=self.account.pk, offer_slug=slug, now=timezone.now(), **more
        ).outcome

    def previews(self, slug):
        return plan_preview.preview_change(account_id=self.account.pk, offer_slug=slug)

    def cancels(self, key=None):
        key = key or f"click {next(self.numbers)}"
        found = plan_changes.cancel(account_id=self.account.pk, click_key=key, now=timezone.now())
        return found.outcome

    def resumes(self):
        return plan_changes.resume(
            account_id=self.account.pk, click_key=f"click {next(self.numbers)}", now=timezone.now()
        ).outcome

    def in_days(self, days):
        self.shop.sandbox.advance(days)
        return self.hears().subscription

    @property
    def credits(self):
        return self.hears().subscription

    @property
    def state(self):
        return plan_state(account_id=self.account.pk, now=timezone.now())

    @property
    def at_stripe(self):
        return self.shop.client.v1.subscriptions.list({"status": "all"}).data[0]

    def paid(self):
        """The amounts of all invoices that were paid, oldest first."""
        found = self.shop.client.v1.invoices.list({"limit": 100, "status": "paid"}).data
        return [invoice.amount_paid for invoice in reversed(found)]


@pytest.fixture
def site(shop, settings, offers, account):
    settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = KEY, shop.sandbox.address
    settings.STRIPE_WEBHOOK_SECRET = [SECRET]
    account.stripe_customer_id = shop.customer.id
    account.save(update_fields=["stripe_customer_id"])
    shop.mini, shop.year = shop.price("Mini", 500, "month"), shop.price("Year", 30000, "year")
    for slug, allowance in (("mini", 5), ("year", YEAR_CREDITS)):
        Offer.objects.create(
            slug=slug, name=slug, kind="plan", credits=allowance, amount=900, currency="usd",
            interval="year" if slug == "year" else "month",
        )  # fmt: skip
    for slug, price in [
        ("starter", shop.plan), ("pro", shop.pro), ("mini", shop.mini), ("year", shop.year)
    ]:  # fmt: skip
        offer = Offer.objects.get(slug=slug)
        offer.stripe_price_id, offer.amount, offer.rollover_cap = price.id, price.unit_amount, 0
        offer.save(never_bought=True)
    shop.fresh()
    return PlanSite(shop, Client(), account)


def slug(plan):
    return plan and plan.slug


class TestAnUpgrade:
    def test_comes_at_once_and_costs_and_brings_what_its_preview_said(self, site, shop):
        site.subscribes(shop.plan)
        site.in_days(10)
        preview = site.previews("pro")
        shop.sandbox.advance(1)  # the customer thinks it over: the price is still the previewed one
        assert (preview.when, preview.takes_effect_at) == (When.NOW, None)
        assert 0 < preview.due_now < 2000
        assert 40 < preview.credits_now < 80

        assert site.changes("pro", preview=preview.token) == "changed"

        assert site.credits == 20 + preview.credits_now
        assert site.paid() == [900, preview.due_now]
        assert slug(site.state.plan) == "pro"

    def test_renews_as_its_preview_said(self, site, shop):
        site.subscribes(shop.plan)
        preview = site.previews("pro").renewal
        site.changes("pro")
        site.hears()
        assert site.state.subscription.period_end == preview.at
        assert site.in_days(32) == preview.credits == 100
        assert site.paid()[-1] == preview.amount == 2900

    def test_twice_with_one_click_is_charged_once(self, site, shop):
        site.subscribes(shop.plan)
        assert {site.changes("pro", click_key="same") for _ in range(3)} == {"changed"}
        assert len(site.paid()) == 2

    def test_from_two_tabs_is_charged_once_each_difference(self, site, shop):
        site.subscribes(shop.mini)
        first, second = site.previews("starter"), site.previews("pro")
        site.changes("starter", preview=first.token)
        with pytest.raises(plan_preview.PreviewOutdated):
            site.changes("pro", preview=second.token)  # it would not cost what the tab says
        assert site.changes("pro") == "changed"
        assert sum(site.paid()) == 2900
        assert 98 <= site.credits <= 100  # each difference is rounded down

    def test_whose_answer_is_lost_is_made_once(self, site, shop, monkeypatch):
        monkeypatch.setattr("stripe._http_client.HTTPClient.INITIAL_DELAY", 0.01)
        site.subscribes(shop.plan)
        update = type(shop.client.v1.subscriptions).update

        def lost(*args, **kwargs):
            shop.sandbox.set_api(failure="lost")
            return update(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(type(shop.client.v1.subscriptions), "update", lost)
            with pytest.raises(SellingUnavailable, match="nothing is charged twice"):
                site.changes("pro", click_key="same")
        shop.sandbox.set_api()
        assert site.changes("pro", click_key="same") == "changed"
        assert site.paid() == [900, 2000]

    def test_is_possible_when_stripe_is_back(self, site, shop, monkeypatch):
        monkeypatch.setattr("stripe._http_client.HTTPClient.INITIAL_DELAY", 0.01)
        site.subscribes(shop.plan)
        shop.sandbox.set_api(failure="refused")
        with pytest.raises(SellingUnavailable):
            site.changes("pro", click_key="same")
        shop.sandbox.set_api()
        assert site.changes("pro", click_key="same") == "changed"

    def test_during_another_is_refused(self, site, shop, account):
        site.subscribes(shop.plan)
        now = timezone.now()
        PlanClick.objects.create(
            account=account, click_key="other", action="change", offer="mini", created_at=now,
            under_way_until=now + timedelta(minutes=1),
        )  # fmt: skip
        with pytest.raises(plan_changes.ChangeUnderWay):
            site.changes("pro")
        assert len(site.paid()) == 1


class TestAnUpgradeThatIsNotPaid:
    @pytest.fixture(params=[FAILS_LATER, ALWAYS_ASKS], ids=["declined", "3-D Secure"])
    def unpaid(self, request, site, shop):
        shop.buy(shop.plan, card=request.param)
        if "challenge" in shop.visitor.address:
            shop.visitor.press("answer", "complete")
        site.hears()
        assert site.changes("pro") == "payment_required"
        site.hears()
        return site

    def test_leaves_the_old_plan_and_its_credits(self, unpaid):
        assert (slug(unpaid.state.plan), slug(unpaid.state.waiting_plan)) == ("starter", "pro")
        assert unpaid.credits == 20
        assert unpaid.state.subscription.status == "active"

    def test_is_paid_on_the_page_that_it_leads_to(self, unpaid, shop):
        shop.visitor.open(unpaid.state.pay_url).press("action", "pay", card=GOOD)
        assert 99 <= unpaid.credits <= 100  # a second may have passed
        assert (slug(unpaid.state.plan), unpaid.state.waiting_plan) == ("pro", None)

    def test_again_leads_to_the_same_invoice(self, unpaid, shop):
        url = unpaid.state.pay_url
        assert unpaid.changes("pro") == "payment_required"
        assert unpaid.state.pay_url == url
        assert len(shop.client.v1.invoices.list({"status": "open"}).data) == 1

    def test_is_given_up_when_the_old_plan_is_kept(self, unpaid, shop):
        assert unpaid.changes("starter") == "kept"
        unpaid.hears()
        assert unpaid.state.waiting_plan is None
        assert not shop.client.v1.invoices.list({"status": "open"}).data

    def test_is_given_up_by_itself_after_a_day(self, unpaid, shop):
        assert unpaid.in_days(1) == 20
        assert unpaid.state.waiting_plan is None
        assert slug(unpaid.state.plan) == "starter"


class TestADowngrade:
    def test_comes_when_the_period_ends(self, site, shop):
        site.subscribes(shop.pro)
        preview = site.previews("starter")
        assert (preview.when, preview.due_now, preview.credits_now) == ("at_period_end", 0, 0)
        assert site.changes("starter", preview=preview.token) == "scheduled"
        assert site.credits == 100
        assert (slug(site.state.plan), slug(site.state.next_plan)) == ("pro", "starter")
        assert site.state.next_at == preview.takes_effect_at == preview.renewal.at
        assert site.in_days(32) == preview.renewal.credits == 20
        assert site.paid() == [2900, 900]
        assert (slug(site.state.plan), site.state.next_plan) == ("starter", None)
        assert site.in_days(62) == 20
        assert not site.at_stripe.schedule

    def test_is_withdrawn_by_the_present_plan(self, site, shop):
        site.subscribes(shop.pro)
        site.changes("starter")
        assert site.previews("pro").when == When.KEEP
        assert site.changes("pro") == "kept"
        site.hears()
        assert site.state.next_plan is None
        assert site.in_days(32) == 100
        assert site.paid() == [2900, 2900]

    def test_can_be_another_one_until_then(self, site, shop):
        site.subscribes(shop.pro)
        site.changes("starter")
        shop.sandbox.advance(1)
        assert site.changes("mini") == "scheduled"
        site.hears()
        assert slug(site.state.next_plan) == "mini"
        assert site.in_days(32) == 5

    def test_is_withdrawn_by_an_upgrade(self, site, shop):
        site.subscribes(shop.plan)
        site.changes("mini")
        assert site.changes("pro") == "changed"
        assert 99 <= site.credits <= 100  # a second may have passed
        assert site.state.next_plan is None
        assert site.in_days(32) == 100

    def test_and_up_again_neither_charges_twice_nor_makes_credits(self, site, shop):
        site.subscribes(shop.plan)
        for _ in range(3):
            for name in ("pro", "starter", "pro", "mini"):
                site.changes(name)
                site.hears()
                shop.sandbox.advance(1)
        assert site.paid() == [900, 2000]
        grants = LedgerEntry.objects.filter(kind="grant")
        assert list(grants.values_list("amount", flat=True).order_by("id")) == [
            20,
            site.credits - 20,
        ]

    def test_goes_on_with_a_failing_card(self, site, shop):
        site.subscribes(shop.pro, card=FAILS_LATER)
        site.changes("starter")
        assert site.in_days(32) == 100  # the grace of three days
        assert site.state.payment_failed
        assert slug(site.state.plan) == "starter"


class TestAnotherInterval:
    def test_from_month_to_year_begins_a_new_period_and_keeps_what_is_left(self, site, shop):
        site.subscribes(shop.plan)
        services.spend(
            account_id=site.account.pk, amount=8, idempotency_key="s", reference="generation:1",
            now=timezone.now(),
        )  # fmt: skip
        site.in_days(10)
        preview = site.previews("year")
        assert site.changes("year", preview=preview.token) == "changed"
        assert YEAR_CREDITS - 20 < preview.credits_now < YEAR_CREDITS
        assert site.credits == 12 + preview.credits_now
        assert site.paid() == [900, preview.due_now]
        assert site.state.subscription.period_end == preview.renewal.at

    def test_from_year_to_month_waits_for_the_year_to_end(self, site, shop):
        site.subscribes(shop.year)
        assert site.changes("pro") == "scheduled"
        assert site.credits == YEAR_CREDITS
        assert site.in_days(367) == 100
        assert site.paid() == [30000, 2900]
        assert site.in_days(31) == 100

    def test_after_an_upgrade_counts_the_same_in_every_order(self, site, shop, new_account):
        site.subscribes(shop.mini)
        shop.sandbox.advance(10)
        site.changes("pro")
        shop.sandbox.advance(10)
        site.changes("year")
        shop.delivered()
        events = list(shop.receiver.events)
        expected = site.credits
        assert len([event for event in events if event["type"] == "invoice.paid"]) == 2
        assert expected > YEAR_CREDITS

        year = [event["id"] for event in events if event["type"] == "invoice.paid"][-1]
        bodies = sorted(stored_events(), key=lambda event: event["id"] != year)  # the last is first
        assert retold(site, new_account(), bodies).credits == expected


def stored_events():
    bodies = InboxEvent.objects.order_by("id").values_list("body", flat=True)
    return [json.loads(body) for body in bodies]


def retold(site, account, events, *, one_by_one=False):
    """The same events, in the given order, about another account with names of its own.

    Those that arrive together are applied in Stripe's order.
    """
    text = json.dumps(events)
    found = {event["data"]["object"]["id"] for event in events} | {event["id"] for event in events}
    for name in {site.account.stripe_customer_id, *found}:
        text = text.replace(name, f"{name}x{account.pk}")
    account.stripe_customer_id = f"{site.account.stripe_customer_id}x{account.pk}"
    account.save(update_fields=["stripe_customer_id"])
    other = PlanSite(site.shop, Client(), account)
    renamed = json.loads(text)
    for arriving in [[event] for event in renamed] if one_by_one else [renamed]:
        site.shop.receiver.events[:] = arriving
        other.takes_in()
    other.hears()
    return other


class TestTheEnd:
    def test_comes_with_the_period_and_takes_only_the_plans_credits(self, site, shop):
        site.subscribes(shop.plan)
        shop.buy(shop.pack, metadata={"offer": "pack-50"})
        site.hears()
        preview = plan_preview.preview_cancel(account_id=site.account.pk, now=timezone.now())
        assert (preview.credits_that_end, preview.bulk) == (20, 50)
        assert site.cancels() == "ends"
        site.hears()
        assert site.state.is_ending
        assert site.state.subscription.period_end == preview.ends_at
        assert site.credits == 20
        shop.sandbox.advance(32)
        left = site.hears()
        assert (left.subscription, left.bulk) == (0, 50)
        assert site.state is None

    def test_can_be_taken_back(self, site, shop):
        site.subscribes(shop.plan)
        site.cancels()
        site.hears()
        assert site.resumes() == "resumed"
        site.hears()
        assert not site.state.is_ending
        assert site.in_days(32) == 20
        assert site.paid() == [900, 900]

    def test_withdraws_what_was_planned(self, site, shop):
        site.subscribes(shop.pro)
        site.changes("starter")
        assert site.cancels() == "ends"
        site.hears()
        assert (site.state.is_ending, site.state.next_plan) == (True, None)
        assert site.in_days(32) == 0

    def test_is_refused_where_there_is_nothing_to_end_or_resume(self, site, shop):
        with pytest.raises(at_stripe.NoSubscription):
            site.cancels()
        site.subscribes(shop.plan)
        with pytest.raises(plan_changes.NotEnding):
            site.resumes()
        assert site.cancels("same") == site.cancels("same") == "ends"
        with pytest.raises(plan_rules.AlreadyEnding):
            site.cancels()
        with pytest.raises(plan_rules.PlanIsEnding):
            site.changes("pro")

    def test_comes_at_once_where_the_period_is_not_paid(self, site, shop):
        site.subscribes(shop.plan, card=FAILS_LATER)
        site.in_days(32)
        assert site.state.payment_failed
        with pytest.raises(plan_rules.PaymentDue):
            site.changes("pro")
        preview = plan_preview.preview_cancel(account_id=site.account.pk, now=timezone.now())
        assert preview.ends_at is None
        assert site.cancels() == "ended"
        assert site.credits == 0
        assert site.state is None
        shop.sandbox.advance(30)
        assert site.paid() == [900]


class TestAFrozenAccount:
    def test_changes_nothing_but_may_stop_paying(self, site, shop, account):
        site.subscribes(shop.plan)
        services.freeze_account(account_id=account.pk, now=timezone.now())
        with pytest.raises(services.AccountFrozen):
            site.changes("pro")
        assert site.cancels() == "ends"
        with pytest.raises(services.AccountFrozen):
            site.resumes()


class TestRefusals:
    def test_of_what_is_no_plan_for_sale(self, site, shop):
        site.subscribes(shop.plan)
        for name in ("nothing", "pack-50", ""):
            with pytest.raises(Exception, match="no such plan"):
                site.changes(name)
        with pytest.raises(plan_rules.AlreadyOnPlan):
            site.changes("starter")

    def test_of_a_preview_that_is_forged_old_or_of_another_plan(self, site, shop, monkeypatch):
        site.subscribes(shop.plan)
        token = site.previews("pro").token
        for bad in (token[:-1], "x", site.previews("mini").token):
            with pytest.raises(plan_preview.PreviewOutdated):
                site.changes("pro", preview=bad)
        with monkeypatch.context() as patch:
            patch.setattr(plan_preview, "VALID_SECONDS", -1)
            with pytest.raises(plan_preview.PreviewOutdated):
                site.changes("pro", preview=token)
        site.in_days(32)  # another period
        with pytest.raises(plan_preview.PreviewOutdated):
            site.changes("pro", preview=token)
        assert site.paid() == [900, 900]

    def test_of_a_key_for_something_else(self, site, shop):
        site.subscribes(shop.plan)
        site.changes("mini", click_key="same")
        with pytest.raises(services.IdempotencyConflict):
            site.changes("pro", click_key="same")

    def test_of_too_many_clicks(self, site, shop, account, monkeypatch):
        monkeypatch.setattr(plan_changes, "MOST_AN_HOUR", 2)
        site.subscribes(shop.pro)
        site.changes("starter")
        site.changes("mini")
        with pytest.raises(plan_changes.TooManyChanges) as caught:
            site.changes("starter")
        assert caught.value.retry_after_seconds > 3500


def test_the_page_says_so_until_events_have_arrived(site, shop):
    site.subscribes(shop.pro)
    assert not site.state.is_confirming
    site.changes("starter")
    assert site.state.is_confirming
    site.hears()
    assert not site.state.is_confirming


def test_a_life_of_changes_ends_the_same_in_every_order(site, shop, new_account):
    site.subscribes(shop.plan)
    for name in ("pro", "mini", "starter", "pro"):
        shop.sandbox.advance(2)
        site.changes(name)
    shop.sandbox.advance(1)
    site.cancels()
    site.hears()
    expected = ending(site)
    assert 80 < expected["credits"] < 100
    events = stored_events()
    for _ in range(4):
        random.shuffle(events)
        assert ending(retold(site, new_account(), events)) == expected


def ending(site):
    subscription = Subscription.objects.get(account=site.account)
    schedules = PlanSchedule.objects.filter(account=site.account, active=True)
    return {
        "credits": site.credits,
        "plan": slug(site.state.plan),
        "ends": subscription.cancel_at_period_end,
        "schedules": schedules.count(),
    }
