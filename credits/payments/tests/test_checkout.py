"""Opening Checkout, by the API: over real HTTP to a Stripe that remembers what it was asked."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet
from rest_framework.test import APIClient

from credits import queries, services
from credits.models import Account, CheckoutStart, LedgerEntry, Offer, RetailToken, Subscription
from credits.payments import checkout
from credits.payments.client import SellingUnavailable
from credits.payments.customers import customer_of
from credits.payments.tests.fake_stripe_api import selling
from credits.tests.race import kinds, meet_before, race

pytestmark = pytest.mark.django_db(transaction=True)

CREATE = "POST /v1/checkout/sessions"


@pytest.fixture
def stripe_api():
    with selling() as api:
        yield api


@pytest.fixture(autouse=True)
def shop(offers):
    Offer.objects.filter(stripe_price_id="").update(stripe_price_id="price_once")


@pytest.fixture
def now():
    return datetime.now(UTC)


@pytest.fixture
def start(account, now):
    """Starts a purchase; anything may be said otherwise."""
    numbers = iter(range(1000))

    def start(offer="pack-50", quantity=1, **changes):
        arguments = {
            "account_id": account.pk, "click_key": f"click {next(numbers)}", "now": now, **changes
        }  # fmt: skip
        return checkout.start(offer_slug=offer, quantity=quantity, **arguments)

    return start


def subscribe(account, now, status="active", subscription_id="sub_1"):
    Subscription.objects.create(
        subscription_id=subscription_id, account=account, status=status,
        price_id="price_starter", as_of=now,
    )  # fmt: skip


def nothing_is_granted(account):
    assert not LedgerEntry.objects.exists()
    assert not RetailToken.objects.exists()
    return queries.balance(account_id=account.pk, now=datetime.now(UTC)).available == 0


class TestAPurchase:
    def test_of_packs_opens_a_payment(self, start, stripe_api, account, settings):
        settings.SITE_URL = "https://shop.example.com"

        url = start("pack-50", 3)

        [params] = stripe_api.asked(CREATE)
        account.refresh_from_db()
        assert params == {
            "mode": "payment",
            "customer": account.stripe_customer_id,
            "line_items[0][price]": "price_once",
            "line_items[0][quantity]": "3",
            "metadata[offer]": "pack-50",
            "metadata[quantity]": "3",
            "allow_promotion_codes": "true",
            "success_url": "https://shop.example.com/purchases/done/"
            "?session_id={CHECKOUT_SESSION_ID}",
            "cancel_url": "https://shop.example.com/purchases/canceled/",
        }
        [session] = stripe_api.made("checkout.session")
        assert url == session["url"]
        assert nothing_is_granted(account)

    def test_of_a_plan_opens_a_subscription(self, start, stripe_api):
        start("starter")
        [params] = stripe_api.asked(CREATE)
        assert params["mode"] == "subscription"
        assert params["line_items[0][price]"] == "price_starter"

    def test_has_taxes_where_they_are_switched_on(self, start, stripe_api, settings):
        settings.STRIPE_AUTOMATIC_TAX = True
        start()
        [params] = stripe_api.asked(CREATE)
        assert params["automatic_tax[enabled]"] == "true"
        assert params["customer_update[address]"] == "auto"

    def test_makes_the_customer_only_once(self, start, stripe_api, account):
        start("pack-50")
        start("single")
        [params] = stripe_api.asked("POST /v1/customers")
        assert params == {"email": account.user.email, "metadata[account]": str(account.pk)}

    def test_repeated_with_its_key_opens_no_other_page(self, start, stripe_api):
        urls = {start(click_key="same") for _ in range(3)}
        assert len(urls) == len(stripe_api.asked(CREATE)) == 1

    def test_repeated_after_an_answer_was_lost_finds_the_same_page(self, start, stripe_api):
        first = start(click_key="same")
        CheckoutStart.objects.update(session_id="", url="")  # as if we had died before writing it
        assert start(click_key="same") == first
        assert len(stripe_api.made("checkout.session")) == 1

    def test_of_two_accounts_with_the_same_key_are_two(self, start, stripe_api, new_account):
        assert start(click_key="same") != start(click_key="same", account_id=new_account().pk)


class TestRefusals:
    def test_of_what_is_not_for_sale(self, start, stripe_api):
        Offer.objects.filter(slug="pro").update(active=False)
        for slug in ("nothing", "pro", "pack", ""):
            with pytest.raises(checkout.OfferNotForSale):
                start(slug)

    @pytest.mark.parametrize(
        ("offer", "quantity"), [("pack-50", 0), ("pack-50", 101), ("single", -1), ("starter", 2)]
    )
    def test_of_a_quantity_out_of_bounds(self, start, stripe_api, offer, quantity):
        with pytest.raises(checkout.InvalidQuantity, match="The quantity has to be"):
            start(offer, quantity)

    def test_of_a_frozen_account(self, start, stripe_api, account, now):
        services.freeze_account(account_id=account.pk, now=now)
        with pytest.raises(services.AccountFrozen):
            start()

    @pytest.fixture
    def leaves_meanwhile(self, monkeypatch, account):
        """The account is frozen, as by its deletion, between the click and its session."""

        def freeze_first(*, account_id, now):
            services.freeze_account(account_id=account.pk, actor="system", reason="", now=now)
            return customer_of(account_id=account_id, now=now)

        monkeypatch.setattr(checkout, "customer_of", freeze_first)

    def test_of_an_account_that_leaves_meanwhile(self, start, stripe_api, leaves_meanwhile):
        with pytest.raises(services.AccountFrozen):
            start()
        [session] = stripe_api.made("checkout.session")
        assert session["status"] == "expired"
        assert not CheckoutStart.objects.exclude(url="").exists()

    def test_and_stays_open_without_the_second_look(
        self, start, stripe_api, leaves_meanwhile, monkeypatch
    ):
        monkeypatch.setattr(checkout, "_refuse_if_frozen", lambda *asked: None)
        start()
        [session] = stripe_api.made("checkout.session")
        assert session["status"] == "open"

    def test_of_the_key_of_another_purchase(self, start, stripe_api):
        start("pack-50", 1, click_key="same")
        for offer, quantity in (("pack-50", 2), ("single", 1)):
            with pytest.raises(services.IdempotencyConflict):
                start(offer, quantity, click_key="same")

    def test_where_no_key_is_configured(self, start, settings):
        settings.STRIPE_SECRET_KEY = ""
        with pytest.raises(SellingUnavailable, match="does not sell"):
            start()
        assert not CheckoutStart.objects.exists()

    def test_while_an_offer_has_no_price_at_stripe(self, start, stripe_api):
        Offer.objects.update(stripe_price_id="")
        with pytest.raises(SellingUnavailable, match="pack-50 cannot be bought"):
            start()

    def test_while_stripe_refuses(self, start, stripe_api):
        stripe_api.out_of_order = True
        with pytest.raises(SellingUnavailable, match="Nothing was charged") as caught:
            start(click_key="same")
        assert "out of order" in caught.value.reason

        stripe_api.out_of_order = False
        assert start(click_key="same")

    def test_while_stripe_cannot_be_reached(self, start, settings, monkeypatch):
        monkeypatch.setattr("stripe._http_client.HTTPClient.INITIAL_DELAY", 0.01)
        settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = "sk_test_1", "http://127.0.0.1:9"
        with pytest.raises(SellingUnavailable, match="Nothing was charged"):
            start()


class TestASecondPlan:
    @pytest.mark.parametrize("status", ["active", "trialing", "past_due", "unpaid", "paused"])
    def test_is_refused_while_there_is_one(self, start, stripe_api, account, now, status):
        subscribe(account, now, status)
        with pytest.raises(checkout.AlreadySubscribed, match="Your plan"):
            start("pro")

    def test_is_sold_after_the_first_has_ended(self, start, stripe_api, account, now):
        subscribe(account, now, "canceled")
        assert start("starter")

    def test_does_not_keep_anybody_from_packs(self, start, stripe_api, account, now):
        subscribe(account, now)
        assert start("pack-50")

    def test_in_another_tab_ends_the_first_page(self, start, stripe_api):
        start("starter")
        start("pro")
        first, second = stripe_api.made("checkout.session")
        assert (first["status"], second["status"]) == ("expired", "open")

    def test_ends_a_page_that_its_click_has_not_got_yet(self, start, stripe_api):
        start("starter")
        CheckoutStart.objects.update(session_id="", url="")
        start("pro")
        first, second = stripe_api.made("checkout.session")
        assert (first["status"], second["status"]) == ("expired", "open")

    def test_leaves_alone_what_was_never_led_anywhere(self, start, stripe_api, now):
        stripe_api.out_of_order = True
        with pytest.raises(SellingUnavailable):
            start("starter", now=now - timedelta(minutes=10))
        stripe_api.out_of_order = False
        start("pro")
        assert len(stripe_api.made("checkout.session")) == 1

    def test_leaves_pages_for_packs_open(self, start, stripe_api):
        start("pack-50")
        start("pro")
        assert {page["status"] for page in stripe_api.made("checkout.session")} == {"open"}

    def test_is_refused_when_the_first_is_paid_and_nothing_has_arrived(self, start, stripe_api):
        start("starter")
        [first] = stripe_api.made("checkout.session")
        first.update(status="complete", subscription="sub_1")
        with pytest.raises(checkout.AlreadySubscribed):
            start("pro")

    def test_is_sold_on_the_day_on_which_the_first_was_ended(self, start, stripe_api, account, now):
        start("starter")
        [first] = stripe_api.made("checkout.session")
        first.update(status="complete", subscription="sub_1")
        subscribe(account, now, "canceled")
        assert start("pro")


class TestTheHourlyLimit:
    def test_counts_pages_not_repetitions(self, start, stripe_api):
        for number in [*range(10), *range(10)]:
            start(click_key=f"key {number}")
        with pytest.raises(checkout.TooManyCheckouts) as caught:
            start(click_key="key 10")
        assert caught.value.retry_after_seconds == 3601
        assert len(stripe_api.asked(CREATE)) == 10

    def test_ends_with_the_hour(self, start, stripe_api, now):
        for minutes in range(10):
            start(now=now + timedelta(minutes=minutes))
        with pytest.raises(checkout.TooManyCheckouts):
            start(now=now + timedelta(minutes=59))
        assert start(now=now + timedelta(minutes=60))

    def test_is_each_accounts_own(self, start, stripe_api, new_account):
        for _ in range(10):
            start()
        assert start(account_id=new_account().pk)


class TestAtTheSameMoment:
    def test_two_clicks_with_one_key_open_one_page(self, start, stripe_api):
        urls = race(*[partial(start, click_key="same")] * 4)
        assert kinds(urls) == {"str": 4}
        assert len(set(urls)) == len(stripe_api.made("checkout.session")) == 1

    def test_two_first_purchases_make_one_customer(self, start, stripe_api, account):
        assert kinds(race(start, start, start)) == {"str": 3}
        [customer] = stripe_api.made("customer")
        account.refresh_from_db()
        assert account.stripe_customer_id == customer["id"]

    def test_clicks_on_two_plans_leave_exactly_one_page_open(self, start, stripe_api, monkeypatch):
        meet_before(monkeypatch, 2, checkout, "_close_earlier_plans")  # both are written down
        for _round in range(3):
            outcomes = race(partial(start, "starter"), partial(start, "pro"))
            assert kinds(outcomes) == {"str": 2}
            pages = [page["status"] for page in stripe_api.made("checkout.session")]
            assert pages.count("open") == 1

    def test_and_may_leave_none_where_each_ends_the_other(self, start, stripe_api, monkeypatch):
        def all_others(click):
            return CheckoutStart.objects.filter(account_id=click.account_id).exclude(pk=click.pk)

        monkeypatch.setattr(checkout, "_earlier", all_others)
        meet_before(monkeypatch, 2, checkout, "_close_earlier_plans")
        race(partial(start, "starter"), partial(start, "pro"))
        pages = [page["status"] for page in stripe_api.made("checkout.session")]
        assert pages.count("open") == 0

    def test_the_limit_is_exact(self, start, stripe_api):
        outcomes = race(*[start] * 16)
        assert kinds(outcomes) == {"str": 10, "TooManyCheckouts": 6}

    @pytest.mark.skipif(
        connection.vendor == "sqlite", reason="BEGIN IMMEDIATE is the lock on SQLite"
    )
    def test_and_is_not_without_the_accounts_lock(self, start, stripe_api, monkeypatch):
        monkeypatch.setattr(QuerySet, "select_for_update", lambda self, **how: self.all())
        meet_before(monkeypatch, 12, QuerySet, "create")  # by then all have counted
        assert kinds(race(*[start] * 12)) == {"str": 12}

    def test_stripe_is_not_asked_while_a_lock_is_held(self, start):
        """If it were, every test here would fail like this."""
        with (
            pytest.raises(AssertionError, match="v1/customers"),
            selling(),
            transaction.atomic(),
        ):
            start()


class TestTheCustomer:
    def test_that_staff_linked_meanwhile_is_used(self, account, now, stripe_api, monkeypatch):
        link = services.link_customer

        def staff_first(*, account_id, customer_id, now):
            Account.objects.filter(pk=account_id).update(stripe_customer_id="cus_by_staff")
            link(account_id=account_id, customer_id=customer_id, now=now)

        monkeypatch.setattr(services, "link_customer", staff_first)
        assert customer_of(account_id=account.pk, now=now) == "cus_by_staff"


class TestTheApi:
    @pytest.fixture
    def api(self, account):
        client = APIClient()
        client.force_authenticate(account.user)
        return client

    def test_answers_with_the_address_of_the_page(self, api, stripe_api, account):
        answer = api.post("/api/v1/checkout", {"offer": "pack-50", "quantity": 2}, format="json")
        [session] = stripe_api.made("checkout.session")
        assert (answer.status_code, answer.json()) == (201, {"url": session["url"]})
        assert nothing_is_granted(account)

    def test_one_piece_unless_said_otherwise(self, api, stripe_api):
        api.post("/api/v1/checkout", {"offer": "starter"}, format="json")
        assert stripe_api.asked(CREATE)[0]["line_items[0][quantity]"] == "1"

    def test_repeats_with_the_header(self, api, stripe_api):
        def post(key):
            headers = {"Idempotency-Key": key} if key else {}
            body = {"offer": "pack-50"}
            return api.post("/api/v1/checkout", body, format="json", headers=headers).json()["url"]

        assert post("a") == post("a")
        assert len({post("a"), post("b"), post(None), post(None)}) == 4

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "offer"),
            ({"offer": 5}, "offer"),
            ({"offer": "pack\0"}, "offer"),
            ({"offer": "pack-50", "quantity": 0}, "quantity"),
            ({"offer": "pack-50", "quantity": 101}, "quantity"),
            ({"offer": "pack-50", "quantity": "2"}, "quantity"),
            ({"offer": "pack-50", "quantity": 1.0}, "quantity"),
            ({"offer": "pack-50", "quantity": True}, "quantity"),
            ({"offer": "pack-50", "quantity": None}, "quantity"),
            ({"offer": "starter", "quantity": 2}, "quantity"),
            ({"offer": "pack-50", "customer": "cus_1"}, "customer"),
            ({"offer": "pack-50", "success_url": "https://evil.example"}, "success_url"),
        ],
    )
    def test_says_which_field_is_wrong(self, api, stripe_api, body, field):
        answer = api.post("/api/v1/checkout", body, format="json")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert [error["field"] for error in answer.json()["errors"]] == [field]
        assert stripe_api.requests == []

    @pytest.mark.parametrize("key", ["", "é", "x" * 201, "a\tb"])
    def test_refuses_a_key_that_is_none(self, api, stripe_api, key):
        answer = api.post(
            "/api/v1/checkout", {"offer": "pack-50"}, format="json", HTTP_IDEMPOTENCY_KEY=key
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")

    def refusal(self, api, offer="pack-50", **headers):
        answer = api.post("/api/v1/checkout", {"offer": offer}, format="json", headers=headers)
        assert answer["Content-Type"] == "application/problem+json"
        return answer.status_code, answer.json()["code"]

    def test_has_a_code_for_each_refusal(self, api, stripe_api, account, now, settings):
        assert self.refusal(api, "nothing") == (404, "offer_not_found")
        subscribe(account, now)
        assert self.refusal(api, "pro") == (409, "already_subscribed")
        headers = {"Idempotency-Key": "k"}
        api.post("/api/v1/checkout", {"offer": "single"}, format="json", headers=headers)
        assert self.refusal(api, **headers) == (409, "idempotency_conflict")
        services.freeze_account(account_id=account.pk, now=now)
        assert self.refusal(api) == (403, "account_frozen")
        settings.STRIPE_SECRET_KEY = ""
        assert self.refusal(api) == (503, "selling_unavailable")

    def test_says_when_the_hour_is_over(self, api, stripe_api):
        for _ in range(10):
            api.post("/api/v1/checkout", {"offer": "pack-50"}, format="json")
        answer = api.post("/api/v1/checkout", {"offer": "pack-50"}, format="json")
        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
        assert 3500 < int(answer["Retry-After"]) <= 3601

    def test_what_goes_to_stripe_comes_from_settings_only(self, api, stripe_api, settings):
        settings.ALLOWED_HOSTS = ["*"]
        api.post(
            "/api/v1/checkout?success_url=https://evil.example",
            {"offer": "pack-50"},
            format="json",
            headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example",
                     "Origin": "https://evil.example", "Referer": "https://evil.example/"},
        )  # fmt: skip
        assert "evil" not in json.dumps(stripe_api.requests)
