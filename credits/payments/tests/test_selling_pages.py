"""Prices with buttons, the way to Stripe, the way back. None of these pages grants anything."""

from datetime import UTC, datetime

import pytest

from credits import services
from credits.models import CheckoutStart, LedgerEntry, Offer, RetailToken, Subscription
from credits.payments.tests import events
from credits.payments.tests.fake_stripe_api import selling
from credits.payments.tests.sender import Stripe
from credits.tests.pages import client_of, hidden, html, text

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
def client(account):
    return client_of(account)


@pytest.fixture
def buy(client):
    """Presses a button of the price list, with the key that the page has."""

    def buy(offer="pack-50", quantity="1", **changes):
        key = changes.pop("key", None) or hidden(client.get("/prices/"))
        return client.post(
            "/prices/buy/", {"offer": offer, "quantity": quantity, "key": key, **changes}
        )

    return buy


@pytest.fixture
def events_of(client, account, now, settings):
    """Stripe's events about the one session, which is of the linked customer."""
    settings.STRIPE_WEBHOOK_SECRET = [events.SECRET]

    def sends(kind, **changes):
        account.refresh_from_db()
        session = {
            **events.session("1", offer="pack-50", customer=account.stripe_customer_id),
            "id": CheckoutStart.objects.get().session_id,
            "metadata": {"offer": CheckoutStart.objects.get().offer, "quantity": "2"},
            **changes,
        }
        event = events.event(f"checkout.session.{kind}", session, created=now)
        assert events.deliver(client, event).status_code == 200

    sends.apply = Stripe(client, account, now, events.NEW).apply
    return sends


def subscribe(account, now, status="active", **more):
    Subscription.objects.create(
        subscription_id="sub_1", account=account, status=status, price_id="price_starter",
        as_of=now, **more,
    )  # fmt: skip


class TestThePriceList:
    def test_has_buttons_for_customers(self, client, stripe_api):
        page = client.get("/prices/")
        assert html(page).count('action="/prices/buy/"') == 4
        assert "Subscribe to starter" in text(page)
        assert "Buy pack-50" in text(page)
        assert "no-store" in page["Cache-Control"]

    def test_leads_visitors_to_sign_up(self, client, stripe_api):
        client.logout()
        page = client.get("/prices/")
        assert "<form" not in html(page)
        assert "Sign up to buy" in text(page)

    def test_says_so_where_nothing_can_be_bought(self, client, settings):
        settings.STRIPE_SECRET_KEY = ""
        page = client.get("/prices/")
        assert "/prices/buy/" not in html(page)
        assert "buying is switched off" in text(page)

    def test_says_so_of_an_offer_that_stripe_has_no_price_for(self, client, stripe_api):
        Offer.objects.filter(slug="single").update(stripe_price_id="")
        page = client.get("/prices/")
        assert html(page).count('action="/prices/buy/"') == 3
        assert "Cannot be bought at the moment" in text(page)

    def test_has_no_second_plan_to_buy(self, client, stripe_api, account, now):
        subscribe(account, now)
        page = client.get("/prices/")
        assert html(page).count('action="/prices/buy/"') == 2
        assert "Your plan" in text(page)
        assert "Change plan" in text(page)

    def test_says_that_a_plan_is_about_to_end(self, client, stripe_api, account, now):
        subscribe(account, now, cancel_at_period_end=True)
        assert "Your plan ends with the period" in text(client.get("/prices/"))

    def test_does_not_ask_stripe(self, client, stripe_api):
        client.get("/prices/")
        assert stripe_api.requests == []


class TestBuying:
    def test_leads_to_the_page_of_stripe(self, buy, stripe_api):
        answer = buy("pack-50", "3")
        [session] = stripe_api.made("checkout.session")
        assert (answer.status_code, answer["Location"]) == (302, session["url"])
        assert stripe_api.asked(CREATE)[0]["metadata[quantity]"] == "3"

    def test_twice_with_one_form_opens_one_page(self, client, buy, stripe_api):
        key = hidden(client.get("/prices/"))
        assert buy(key=key)["Location"] == buy(key=key)["Location"]
        assert len(stripe_api.asked(CREATE)) == 1

    def test_from_a_page_loaded_again_opens_another(self, buy, stripe_api):
        assert buy()["Location"] != buy()["Location"]

    def test_another_number_with_the_same_page_is_another_purchase(self, client, buy, stripe_api):
        key = hidden(client.get("/prices/"))
        assert buy(quantity="1", key=key)["Location"] != buy(quantity="2", key=key)["Location"]

    def test_needs_a_session_and_its_token(self, client, buy, stripe_api, account):
        client.logout()
        answer = buy(key="0" * 32)
        assert answer["Location"] == "/accounts/login/?next=/prices/"
        strict = type(client)(enforce_csrf_checks=True)
        strict.force_login(account.user)
        assert strict.post("/prices/buy/", {"offer": "pack-50"}).status_code == 403
        assert stripe_api.requests == []

    @pytest.mark.parametrize(
        ("form", "status", "sentence"),
        [
            ({"quantity": "0"}, 422, "from 1 to 100"),
            ({"quantity": "101"}, 422, "from 1 to 100"),
            ({"quantity": "1.5"}, 422, "from 1 to 100"),
            ({"quantity": "9" * 5000}, 422, "from 1 to 100"),
            ({"quantity": ""}, 422, "from 1 to 100"),
            ({"offer": "starter", "quantity": "2"}, 422, "1 for a plan"),
            ({"offer": "nothing"}, 404, "no such offer"),
            ({"offer": "x\0y"}, 422, "choose"),
            ({"key": "none"}, 422, "choose"),
        ],
        ids=str,
    )
    def test_refuses_in_words(self, buy, stripe_api, form, status, sentence):
        assert sentence in text(buy(**form), status)
        assert stripe_api.requests == []

    def test_is_refused_to_a_frozen_account(self, buy, stripe_api, account, now):
        services.freeze_account(account_id=account.pk, now=now)
        assert "This account is frozen" in text(buy(), 403)

    def test_of_a_second_plan_points_to_the_portal(self, buy, stripe_api, account, now):
        subscribe(account, now)
        assert "Change it under “Your plan”" in text(buy("pro"), 409)

    def test_stops_after_ten_an_hour(self, buy, stripe_api):
        for _ in range(10):
            assert buy().status_code == 302
        answer = buy()
        assert "At most 10 purchases" in text(answer, 429)
        assert int(answer["Retry-After"]) > 3500

    def test_can_be_repeated_when_stripe_was_away(self, client, buy, stripe_api):
        stripe_api.out_of_order = True
        refused = buy()
        assert "Nothing was charged" in text(refused, 503)
        stripe_api.out_of_order = False
        assert buy(key=hidden(refused)).status_code == 302
        assert CheckoutStart.objects.count() == 1

    def test_leads_nowhere_else(self, buy, stripe_api):
        evil = "https://evil.example"
        answer = buy(next=evil, url=evil, success_url=evil, cancel_url=evil)
        assert answer["Location"].startswith(stripe_api.address)
        assert "evil" not in str(stripe_api.requests)

    @pytest.mark.parametrize("url", ["/prices/buy/", "/subscription/manage/"])
    def test_is_not_done_by_a_link(self, client, stripe_api, url):
        assert client.get(url).status_code == 405


class TestTheWayBack:
    @pytest.fixture
    def bought(self, buy, stripe_api):
        """The address that Checkout leads back to."""
        buy("pack-50", "2")
        return f"/purchases/done/?session_id={CheckoutStart.objects.get().session_id}"

    def test_waits_while_stripe_has_said_nothing(self, client, bought):
        page = client.get(bought)
        assert "Waiting for the payment to be confirmed" in text(page)
        assert "Confirmed" not in text(page)
        assert 'http-equiv="refresh"' in html(page)  # without JavaScript

    def test_says_received_when_stripe_has_and_arrived_when_it_has(self, client, bought, events_of):
        events_of("completed")
        assert "Confirmed, credits are arriving" in text(client.get(bought))
        assert not LedgerEntry.objects.exists()
        events_of.apply()
        page = client.get(bought)
        assert "100 credits have arrived" in text(page)
        assert "hx-get" not in html(page)

    def test_counts_single_generations(self, client, buy, stripe_api, events_of):
        buy("single", "2")
        events_of("completed")
        events_of.apply()
        address = f"/purchases/done/?session_id={CheckoutStart.objects.get().session_id}"
        assert "2 single generations have arrived" in text(client.get(address))

    def test_follows_a_payment_that_takes_days(self, client, bought, events_of):
        events_of("completed", payment_status="unpaid")
        events_of.apply()
        assert "still working on the payment" in text(client.get(bought))
        events_of("async_payment_succeeded")
        assert "Confirmed" in text(client.get(bought))
        events_of.apply()
        assert "100 credits have arrived" in text(client.get(bought))

    def test_says_when_such_a_payment_failed(self, client, bought, events_of):
        events_of("completed", payment_status="unpaid")
        events_of("async_payment_failed", payment_status="unpaid")
        events_of.apply()
        assert "did not succeed" in text(client.get(bought))

    def test_waits_for_the_invoice_of_a_plan(self, client, buy, stripe_api, events_of, account):
        buy("starter")
        address = f"/purchases/done/?session_id={CheckoutStart.objects.get().session_id}"
        events_of("completed", mode="subscription", subscription="sub_1", payment_intent=None)
        events_of.apply()
        assert "Confirmed, credits are arriving" in text(client.get(address))
        account.refresh_from_db()
        stripe = Stripe(client, account, datetime.now(UTC), events.NEW)
        stripe.pays_invoice(reason="subscription_create", customer=account.stripe_customer_id)
        assert "20 credits have arrived" in text(client.get(address))

    def test_grants_nothing_however_often_it_is_opened(self, client, bought):
        for _ in range(3):
            client.get(bought)
            client.get(bought.replace("done", "progress"))
            client.get("/purchases/canceled/")
        assert not LedgerEntry.objects.exists()
        assert not RetailToken.objects.exists()

    @pytest.mark.parametrize("session_id", ["", "cs_other", "x\0y", "a" * 5000, "%", "_"])
    @pytest.mark.usefixtures("bought")
    def test_shows_no_other_session(self, client, session_id):
        for name in ("done", "progress"):
            answer = client.get(f"/purchases/{name}/", {"session_id": session_id})
            assert answer.status_code == 404

    def test_shows_nothing_to_others(self, bought, new_account):
        assert client_of(new_account()).get(bought).status_code == 404
        assert client_of(new_account()).get(bought.replace("done", "progress")).status_code == 404

    def test_a_click_without_a_session_cannot_be_looked_at(self, client, bought):
        CheckoutStart.objects.update(session_id="")
        assert client.get("/purchases/done/?session_id=").status_code == 404

    def test_asks_for_news_until_there_are_some(self, client, bought, events_of):
        progress = bought.replace("done", "progress")
        assert client.get(f"{progress}&seen=unconfirmed").status_code == 204
        assert client.get(progress).status_code == 200
        events_of("completed")
        assert client.get(f"{progress}&seen=unconfirmed").status_code == 200
        events_of.apply()
        assert client.get(f"{progress}&seen=arriving").status_code == 286

    def test_sends_those_whose_session_ended_to_sign_in(self, client, bought):
        client.logout()
        assert client.get(bought)["Location"].startswith("/accounts/login/?next=/purchases/done/")
        assert client.get(bought.replace("done", "progress"))["HX-Refresh"] == "true"

    def test_from_the_cancel_link_says_that_nothing_was_charged(self, client):
        assert "Nothing is charged" in text(client.get("/purchases/canceled/"))


class TestThePortal:
    def test_needs_a_session(self, client, stripe_api):
        client.logout()
        answer = client.post("/subscription/manage/")
        assert answer["Location"] == "/accounts/login/?next=/"
        assert stripe_api.requests == []

    @pytest.fixture
    def subscriber(self, account, now, stripe_api):
        stripe_api.objects["cus_1"] = {"id": "cus_1", "object": "customer"}
        services.link_customer(account_id=account.pk, customer_id="cus_1", now=now)
        subscribe(account, now)
        return account

    def test_is_opened_for_the_own_customer_only(self, client, subscriber, stripe_api, settings):
        settings.SITE_URL = "https://shop.example.com"
        answer = client.post(
            "/subscription/manage/", {"customer": "cus_2", "return_url": "https://evil.example"}
        )
        [session] = stripe_api.made("billing_portal.session")
        assert (answer.status_code, answer["Location"]) == (302, session["url"])
        assert stripe_api.asked("POST /v1/billing_portal/sessions") == [
            {"customer": "cus_1", "return_url": "https://shop.example.com/subscription/"}
        ]

    def test_is_not_there_for_who_never_bought(self, client, stripe_api):
        assert "nothing to manage" in text(client.post("/subscription/manage/"), 409)

    def test_says_so_when_stripe_is_away(self, client, subscriber, stripe_api):
        stripe_api.out_of_order = True
        assert "not available at the moment" in text(client.post("/subscription/manage/"), 503)

    def test_is_offered_on_the_overview_when_a_payment_failed(self, client, subscriber):
        assert "payment for your plan failed" not in text(client.get("/"))
        Subscription.objects.update(status="past_due")
        page = client.get("/")
        assert "The last payment for your plan failed" in text(page)
        assert 'action="/subscription/manage/"' in html(page)

    def test_the_banner_is_ones_own(self, subscriber, new_account):
        Subscription.objects.update(status="past_due")
        assert "payment for your plan" not in text(client_of(new_account()).get("/"))
