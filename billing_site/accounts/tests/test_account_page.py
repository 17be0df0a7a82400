"""The account page: time zone, export of all data, deletion."""

import json

import pytest
from django.test import Client
from django.utils import timezone

from billing_site.accounts import services
from billing_site.accounts.models import User
from billing_site.accounts.tests.cast import PASSWORD, new_user
from credits import services as credits
from credits.models import CheckoutStart, Subscription
from credits.tests.pages import html, text
from generation.tests.cast import finish, give, give_token, request, start

pytestmark = pytest.mark.django_db


@pytest.fixture
def user(db):
    return new_user()


@pytest.fixture
def account(user, now):
    return credits.open_account(user_id=user.pk, now=now)


@pytest.fixture
def client(user):
    client = Client()
    client.force_login(user)
    return client


def zone_of(user):
    return User.objects.get(pk=user.pk).timezone


@pytest.mark.parametrize("path", ["", "export/", "delete/"])
def test_is_for_who_is_signed_in(db, path):
    answer = Client().get(f"/account/{path}")
    assert answer["Location"] == f"/accounts/login/?next=/account/{path}"


def test_leads_everywhere(client):
    page = html(client.get("/account/"))
    assert "ada@example.com" in page
    for there in ("email/", "password/change/", "2fa/"):
        assert f'href="/accounts/{there}"' in page
    for there in ("/api-keys/", "/account/export/", "/account/delete/", "/ledger/"):
        assert f'href="{there}"' in page


class TestTimeZone:
    NOTICE = "/account/zone/notice/"

    def test_is_utc_until_it_is_known(self, client):
        assert "UTC" in text(client.get("/account/"))

    def test_is_asked_of_the_browser_once(self, client, user):
        assert "zone.js" in html(client.get("/account/"))
        assert client.post(self.NOTICE, {"timezone": "Asia/Kolkata"}).status_code == 204
        assert zone_of(user) == "Asia/Kolkata"
        page = client.get("/account/")
        assert "zone.js" not in html(page)
        assert "IST" in text(page)

    def test_that_somebody_chose_is_not_overruled_by_a_browser(self, client, user):
        client.post("/account/zone/", {"timezone": "Europe/Berlin"})
        client.post(self.NOTICE, {"timezone": "Asia/Kolkata"})
        assert zone_of(user) == "Europe/Berlin"

    def test_may_be_chosen_and_given_up(self, client, user):
        page = client.post("/account/zone/", {"timezone": "Europe/Berlin"}, follow=True)
        assert "Times are shown in Europe/Berlin now." in text(page)
        page = client.post("/account/zone/", {"timezone": ""}, follow=True)
        assert "Times are shown in UTC now." in text(page)
        assert zone_of(user) == ""

    @pytest.mark.parametrize("name", ["", "Mars/Base", "../etc/passwd", "x" * 5000, "a\0b"])
    def test_has_to_exist(self, client, user, name):
        assert client.post(self.NOTICE, {"timezone": name}).status_code == 422
        if name:
            page = html(client.post("/account/zone/", {"timezone": name}), status=422)
            assert 'aria-invalid="true"' in page
        assert zone_of(user) == ""

    def test_is_used_on_other_pages(self, client, user, account, now):
        give(account, now)
        assert "10 Mar 2026, 12:00 UTC" in text(client.get("/ledger/"))
        services.choose_zone(user=user, name="Asia/Tokyo")
        assert "10 Mar 2026, 21:00 JST" in text(client.get("/ledger/"))

    def test_does_not_leak_into_the_next_request(self, client, user):
        services.choose_zone(user=user, name="Asia/Tokyo")
        client.get("/account/")
        assert timezone.get_current_timezone_name() == "UTC"

    def test_that_the_system_has_forgotten_is_utc(self, client, user):
        User.objects.update(timezone="Old/Place")
        assert "UTC" in text(client.get("/account/"))

    def test_the_admin_speaks_utc_to_everybody(self, client, user, account, now):
        give(account, now)
        User.objects.update(is_staff=True, is_superuser=True)
        services.choose_zone(user=user, name="Asia/Tokyo")
        page = f"/admin/credits/account/{account.pk}/change/"
        assert "2026-03-10 12:00" in client.get(page).content.decode()

    def test_programs_get_utc(self, client, user, account, now):
        services.choose_zone(user=user, name="Asia/Tokyo")
        give(account, now)
        line = client.get("/api/v1/ledger").json()["results"][0]
        assert line["created_at"].endswith("Z")


class TestExport:
    def export(self, client):
        answer = client.get("/account/export/")
        assert answer.streaming
        assert answer["Content-Disposition"] == 'attachment; filename="my-data.json"'
        assert "no-store" in answer["Cache-Control"]
        body = b"".join(answer.streaming_content).decode()
        return json.loads(body), body

    def test_of_a_new_account_is_complete_json(self, client):
        data, _body = self.export(client)
        assert data["profile"][0]["email"] == "ada@example.com"
        assert data["ledger"] == data["generations"] == []

    def test_holds_everything_that_is_theirs(self, client, user, account, now):
        key, plain = services.create_api_key(user=user, name="Adas laptop", now=now)
        give(account, now)
        token = give_token(account, now)
        finish(start(account, now, prompt="Über “prompts”"), now, output="A text")
        request(account, now, funding="retail")
        CheckoutStart.objects.create(
            account=account, click_key="k", offer="pack-50", quantity=2, created_at=now
        )
        Subscription.objects.create(
            account=account, subscription_id="sub_1", status="active", as_of=now
        )
        data, body = self.export(client)
        assert data["email_addresses"][0]["email"] == "ada@example.com"
        assert data["api_keys"][0]["name"] == "Adas laptop"
        assert [line["amount"] for line in data["ledger"]] == [10, -1]
        assert data["lots"][0]["granted"] == 10
        assert data["tokens"][0]["source_key"] == token.source_key
        assert data["purchases"][0]["offer"] == "pack-50"
        assert data["subscriptions"][0]["subscription_id"] == "sub_1"
        texts = {(row["prompt"], row["output"]) for row in data["generations"]}
        assert texts == {("Über “prompts”", "A text"), ("Tell me a story.", "")}
        for secret in (plain, key.digest, user.password):
            assert secret not in body

    def test_holds_nothing_of_others(self, client, account, now):
        other = credits.open_account(user_id=new_user("bob@example.com").pk, now=now)
        give(other, now)
        request(other, now, prompt="Bob's prompt")
        _data, body = self.export(client)
        assert "bob" not in body.lower()
        assert f'"id": {other.pk},' not in body

    def test_knows_every_table_that_is_about_an_account(self, client):
        """A new table about people has to be exported, or named here with the reason."""
        data, _body = self.export(client)
        exported = {
            "holds", "purchases", "subscriptions", "ledger", "lots", "tokens", "generations",
            "plan_schedules", "plan_changes", "redemptions", "adjustments", "mails",
            "mail_preferences",
        }  # fmt: skip
        assert exported <= set(data)
        related = {field.related_model.__name__ for field in credits_account().related_objects}
        left_out = {
            "InboxEvent",  # Stripe's words, about what is exported as lots and tokens
            "StaffAction",  # what staff did is staff's; what came of it is in the ledger
        }
        assert related == left_out | {
            "Hold", "CheckoutStart", "Subscription", "LedgerEntry", "CreditLot", "RetailToken",
            "Generation", "PlanSchedule", "PlanClick", "Redemption", "Adjustment", "Notice",
            "NoticePreferences",
        }  # fmt: skip


def credits_account():
    return User._meta.get_field("credit_account").related_model._meta


class TestDeletion:
    PAGE = "/account/delete/"

    def test_says_what_is_lost(self, client, account, now):
        give(account, now, 1234)
        give_token(account, now)
        request(account, now)
        Subscription.objects.create(
            account=account, subscription_id="sub_1", status="active", as_of=now
        )
        page = text(client.get(self.PAGE))
        assert "You lose 1,234 credits" in page
        assert "You lose 1 single generation" in page
        assert "1 generation under way is canceled" in page
        assert "Your plan ends at once" in page

    def test_needs_the_password(self, client, user):
        for password in ("", "wrong"):
            page = html(client.post(self.PAGE, {"password": password}), status=422)
            assert 'aria-invalid="true"' in page
        assert User.objects.get().erased_at is None

    @pytest.mark.django_db(transaction=True)
    def test_deletes_and_signs_out(self, client, user):
        page = client.post(self.PAGE, {"password": PASSWORD})
        assert "Your account is deleted" in text(page)
        assert "Sign in" in text(page)
        assert User.objects.get().erased_at is not None
        assert client.get("/account/").status_code == 302

    @pytest.mark.django_db(transaction=True)
    def test_says_so_when_stripe_cannot_be_reached(self, client, account, settings):
        account.stripe_customer_id = "cus_1"
        account.save()
        settings.STRIPE_SECRET_KEY = "sk_test_" + "1" * 24
        settings.STRIPE_API_BASE = "http://127.0.0.1:1"
        page = client.post(self.PAGE, {"password": PASSWORD})
        assert "Your account was not deleted" in text(page, status=503)
        assert User.objects.get().erased_at is None
