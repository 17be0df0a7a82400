"""The pages and the API of a plan, as a customer uses them, with the sandbox as Stripe."""

from datetime import timedelta
from functools import partial

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from billing_site.sandbox.stripe.tests.conftest import FAILS_LATER, GOOD
from billing_site.sandbox.stripe.tests.test_plan_changes import site
from credits import services
from credits.models import PlanClick
from credits.payments import plan_changes
from credits.payments.tests.conftest import account, books_balance, new_account, offers
from credits.tests.pages import client_of, hidden, html, text
from credits.tests.race import kinds, meet_before, race

__all__ = ["account", "books_balance", "new_account", "offers", "site"]

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/subscription/"


@pytest.fixture
def customer(account):
    return client_of(account)


@pytest.fixture
def subscriber(site, shop):
    return site.subscribes(shop.plan)


def confirm(customer, offer, **changes):
    """Looks at a change and sends its form."""
    page = customer.get(f"{PAGE}change/?offer={offer}")
    fields = {name: hidden(page, name) for name in ("offer", "preview", "key")}
    return customer.post(f"{PAGE}change/", {**fields, **changes})


class TestThePage:
    def test_of_somebody_without_a_plan_leads_to_the_prices(self, site, customer):
        page = customer.get(PAGE)
        assert "You have no plan" in text(page)
        assert 'href="/prices/"' in html(page)
        for url in ("cancel/", "change/?offer=pro"):
            assert "has no plan" in text(customer.get(PAGE + url), 409)

    def test_says_what_there_is_and_what_comes(self, subscriber, customer):
        page = text(customer.get(PAGE))
        assert "starter $9.00 per month" in page
        assert "It renews for $9.00 and brings 20 credits on" in page
        assert "Change to pro" in page
        assert "Change to starter" not in page

    def test_offers_the_other_plans_on_the_price_list(self, subscriber, customer):
        page = html(customer.get("/prices/"))
        assert f'href="{PAGE}change/?offer=pro"' in page
        assert f'href="{PAGE}change/?offer=starter"' not in page

    def test_needs_somebody(self, subscriber, customer):
        customer.logout()
        for url in ("", "change/?offer=pro", "cancel/"):
            assert customer.get(PAGE + url)["Location"].startswith("/accounts/login/")
        for url in ("change/", "cancel/", "resume/"):
            assert customer.post(PAGE + url).status_code == 302
        assert PlanClick.objects.count() == 0

    def test_shows_nobody_elses_plan(self, subscriber, new_account):
        assert "You have no plan" in text(client_of(new_account()).get(PAGE))


class TestAChange:
    def test_shows_first_what_it_does(self, subscriber, customer):
        page = text(customer.get(f"{PAGE}change/?offer=pro"))
        assert "Change from starter to pro" in page
        assert "You pay $20.00, the difference for the time that is left." in page
        assert "You pay $29.00 and get 100 credits." in page
        assert subscriber.credits == 20

    def test_is_made_by_its_form_and_confirmed_by_events(self, subscriber, customer):
        answer = confirm(customer, "pro")
        assert (answer.status_code, answer["Location"]) == (302, PAGE)
        page = text(customer.get(PAGE))
        assert "Your plan was changed." in page
        assert "being confirmed" in page
        assert 99 <= subscriber.credits <= 100
        page = text(customer.get(PAGE))
        assert "being confirmed" not in page
        assert "pro $29.00 per month" in page

    def test_sent_twice_is_made_once(self, subscriber, customer):
        key = "0" * 32
        for _ in range(2):
            assert confirm(customer, "mini", key=key).status_code == 302
        assert PlanClick.objects.count() == 1

    def test_during_another_looks_at_that_one(self, subscriber, customer, account):
        now = timezone.now()
        PlanClick.objects.create(
            account=account, click_key="first", action="change", offer="pro", created_at=now,
            under_way_until=now + timedelta(minutes=1),
        )  # fmt: skip
        assert confirm(customer, "pro")["Location"] == PAGE
        assert "is being changed already" in text(customer.get(PAGE))
        assert subscriber.paid() == [900]

    def test_that_waits_can_be_withdrawn(self, subscriber, customer):
        confirm(customer, "mini")
        subscriber.hears()
        page = customer.get(PAGE)
        assert "It changes to mini ($5.00, 5 credits) on" in text(page)
        customer.post(f"{PAGE}change/", {"offer": "starter", "key": hidden(page)})
        subscriber.hears()
        assert "It renews for $9.00" in text(customer.get(PAGE))

    def test_that_is_not_paid_leads_to_where_it_is(self, site, shop, customer):
        site.subscribes(shop.plan, card=FAILS_LATER)
        confirm(customer, "pro")
        site.hears()
        page = customer.get(PAGE)
        assert "The change to pro is not paid" in text(page)
        assert "starter $9.00 per month" in text(page)
        assert f'href="{PAGE}pay/"' in html(page)
        led = customer.get(f"{PAGE}pay/")["Location"]
        shop.visitor.open(led).press("action", "pay", card=GOOD)
        assert 99 <= site.credits <= 100
        assert customer.get(f"{PAGE}pay/")["Location"] == PAGE  # nothing is left to pay

    def test_whose_preview_is_no_longer_true_is_not_made(self, subscriber, customer):
        page = customer.get(f"{PAGE}change/?offer=pro")
        fields = {name: hidden(page, name) for name in ("offer", "preview", "key")}
        subscriber.changes("year")
        answer = customer.post(f"{PAGE}change/", fields)
        assert "This preview is no longer true" in text(answer, 409)

    @pytest.mark.parametrize(
        ("query", "status", "sentence"),
        [
            ("", 422, "choose a plan"),
            ("?offer=x%00", 422, "choose a plan"),
            ("?offer=nothing", 404, "no such plan"),
            ("?offer=pack-50", 404, "no such plan"),
            ("?offer=starter", 409, "starter is your plan already"),
        ],
    )
    def test_is_refused_in_words(self, subscriber, customer, query, status, sentence):
        assert sentence in text(customer.get(f"{PAGE}change/{query}"), status)
        assert subscriber.paid() == [900]

    def test_is_refused_to_a_frozen_account(self, subscriber, customer, account):
        services.freeze_account(account_id=account.pk, now=timezone.now())
        assert "frozen" in text(confirm(customer, "pro"), 403)

    def test_says_so_when_stripe_is_away(self, subscriber, customer, shop, monkeypatch):
        monkeypatch.setattr("stripe._http_client.HTTPClient.INITIAL_DELAY", 0.01)
        shop.sandbox.set_api(failure="refused")
        page = customer.get(f"{PAGE}change/?offer=pro")
        assert "Nothing was changed: please try again" in text(page, 503)


class TestTheEnd:
    def test_is_explained_made_and_taken_back(self, subscriber, customer):
        page = customer.get(f"{PAGE}cancel/")
        assert "There are 20 credits of it now" in text(page)
        customer.post(f"{PAGE}cancel/", {"key": hidden(page)})
        subscriber.hears()
        page = customer.get(PAGE)
        assert "It has been canceled and ends on" in text(page)
        assert "Change to pro" not in text(page)
        assert "is ending already" in text(customer.get(f"{PAGE}cancel/"), 409)
        customer.post(f"{PAGE}resume/", {"key": hidden(page)})
        subscriber.hears()
        assert "It renews for $9.00" in text(customer.get(PAGE))

    def test_is_not_made_by_a_link(self, subscriber, customer):
        assert customer.get(f"{PAGE}resume/").status_code == 405
        customer.get(f"{PAGE}cancel/")
        subscriber.hears()
        assert not subscriber.state.is_ending


class TestTheApi:
    @pytest.fixture
    def api(self, account):
        client = APIClient()
        client.force_authenticate(account.user)

        def call(verb="", body=None, **headers):
            address = f"/api/v1/subscription{verb}"
            if body is None:
                return client.get(address)
            return client.post(address, body, format="json", headers=headers)

        return call

    def test_previews_changes_and_tells(self, subscriber, api):
        assert api().json()["offer"]["slug"] == "starter"
        preview = api("/preview", {"offer": "pro"}).json()
        assert (preview["when"], preview["due_now"]) == ("now", 2000)
        answer = api("/change", {"offer": "pro", "preview": preview["preview"]})
        assert answer.json() == {"outcome": "changed", "pay_url": ""}
        assert api().json()["confirming"]
        assert subscriber.credits == 20 + preview["credits_now"]
        assert api().json()["offer"]["slug"] == "pro"
        assert api("/change", {"offer": "mini"}).json()["outcome"] == "scheduled"
        subscriber.hears()
        assert api().json()["next"]["offer"]["slug"] == "mini"

    def test_says_what_the_end_would_do_as_the_page_does(self, subscriber, shop, api, customer):
        shop.buy(shop.pack, metadata={"offer": "pack-50"})
        subscriber.hears()
        preview = api("/cancel/preview", {}).json()
        assert preview["offer"]["slug"] == "starter"
        assert (preview["when"], preview["credits_that_end"]) == ("at_period_end", 20)
        assert preview["stays"] == {"promotional": 0, "bulk": 50, "retail_tokens": 0}
        assert preview["takes_effect_at"] == api().json()["period_end"]
        page = html(customer.get(f"{PAGE}cancel/"))
        assert f'datetime="{preview["takes_effect_at"].replace("Z", "+00:00")}"' in page
        assert not subscriber.state.is_ending

    def test_says_that_an_unpaid_plan_would_end_at_once(self, site, shop, api):
        site.subscribes(shop.plan, card=FAILS_LATER)
        site.in_days(32)
        preview = api("/cancel/preview", {}).json()
        assert (preview["when"], preview["takes_effect_at"]) == ("now", None)

    def test_ends_and_resumes(self, subscriber, api):
        key = {"Idempotency-Key": "k"}
        for _ in range(2):
            assert api("/cancel", {}, **key).json()["outcome"] == "ends"
        subscriber.hears()
        assert api().json()["cancel_at_period_end"]
        assert api("/resume", {}).json()["outcome"] == "resumed"

    def test_has_a_code_for_each_refusal(self, site, shop, api, account):
        def code(*args, **headers):
            answer = api(*args, **headers)
            assert answer["Content-Type"] == "application/problem+json"
            return answer.status_code, answer.json()["code"]

        assert api().json()["status"] == "none"
        assert code("/cancel", {}) == (409, "no_subscription")
        assert code("/cancel/preview", {}) == (409, "no_subscription")
        site.subscribes(shop.plan)
        assert code("/change", {"offer": "starter"}) == (409, "already_on_plan")
        assert code("/change", {"offer": "nothing"}) == (404, "offer_not_found")
        assert code("/change", {"offer": "pro", "preview": "x"}) == (409, "preview_outdated")
        assert code("/change", {"offer": 5}) == (400, "invalid_request")
        assert code("/cancel", {"at": "now"}) == (400, "invalid_request")
        assert code("/cancel/preview", {"at": "now"}) == (400, "invalid_request")
        assert code("/resume", {}) == (409, "plan_not_ending")
        key = {"Idempotency-Key": "k"}
        api("/cancel", {}, **key)
        assert code("/resume", {}, **key) == (409, "idempotency_conflict")
        assert code("/cancel", {}) == (409, "plan_is_ending")
        assert code("/cancel/preview", {}) == (409, "plan_is_ending")
        assert code("/preview", {"offer": "pro"}) == (409, "plan_is_ending")
        services.freeze_account(account_id=account.pk, now=timezone.now())
        assert code("/resume", {}) == (403, "account_frozen")


class TestAtTheSameMoment:
    def test_a_form_sent_twice_is_done_once(self, subscriber, customer):
        def send_twice(address, fields):
            again = [Client() for _ in range(2)]
            for client in again:
                client.cookies = customer.cookies.copy()
            return race(*[partial(client.post, address, fields) for client in again])

        page = customer.get(f"{PAGE}change/?offer=pro")
        fields = {name: hidden(page, name) for name in ("offer", "preview", "key")}
        answers = send_twice(f"{PAGE}change/", fields)
        subscriber.hears()
        answers += send_twice(f"{PAGE}cancel/", {"key": hidden(customer.get(f"{PAGE}cancel/"))})
        subscriber.hears()
        answers += send_twice(f"{PAGE}resume/", {"key": hidden(customer.get(PAGE))})

        assert [(answer.status_code, answer["Location"]) for answer in answers] == [(302, PAGE)] * 6
        assert [click.action for click in PlanClick.objects.order_by("created_at")] == [
            "change", "cancel", "resume",
        ]  # fmt: skip
        assert subscriber.paid() == [900, 2000]

    def test_two_upgrades_charge_one_difference(self, subscriber, monkeypatch):
        outcomes = race(partial(subscriber.changes, "pro"), partial(subscriber.changes, "pro"))
        assert kinds(outcomes)["str"] >= 1
        refused = [outcome for outcome in outcomes if not isinstance(outcome, str)]
        assert all("already" in str(error) for error in refused)
        assert subscriber.paid() == [900, 2000]

    def test_two_plans_are_changed_to_one_after_the_other(self, subscriber, monkeypatch):
        meet_before(monkeypatch, 2, plan_changes, "_write_down")
        outcomes = race(partial(subscriber.changes, "pro"), partial(subscriber.changes, "year"))
        assert kinds(outcomes) == {"str": 1, "ChangeUnderWay": 1}
        assert len(subscriber.paid()) == 2

    def test_and_both_are_charged_where_nothing_keeps_them_apart(self, subscriber, monkeypatch):
        monkeypatch.setattr(plan_changes, "UNDER_WAY", timedelta(minutes=-1))
        meet_before(monkeypatch, 2, plan_changes, "_change")
        outcomes = race(partial(subscriber.changes, "pro"), partial(subscriber.changes, "year"))
        assert kinds(outcomes)["ChangeUnderWay"] == 0
        assert len(subscriber.paid()) == 3
