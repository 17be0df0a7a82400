"""The second factor, from setting it up to switching it off, through the pages."""

import re
import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core import mail
from django.test import Client

from billing_site.accounts.tests.cast import PASSWORD, new_user
from credits.tests.pages import html, text

pytestmark = pytest.mark.django_db
LOGIN, ACTIVATE = "/accounts/login/", "/accounts/2fa/totp/activate/"


@pytest.fixture
def ada(db):
    return new_user()


@pytest.fixture
def client(ada):
    """Signed in a moment ago with the password."""
    return signed_in()


def signed_in(**more):
    client = Client()
    client.post(LOGIN, {"login": "ada@example.com", "password": PASSWORD, **more})
    return client


def code(secret, steps=0):
    """What the app shows; `steps` later, because each code is taken once."""
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + steps))


def confirm_password(client, page):
    if "Confirm" in page.content.decode() and "reauthenticate" in page.request["PATH_INFO"]:
        next_page = page.request["QUERY_STRING"].partition("next=")[2].replace("%2F", "/")
        form = {"password": PASSWORD, "next": next_page}
        return client.post("/accounts/reauthenticate/", form, follow=True)
    return page


def set_up(client):
    """Sets the app up; returns its secret."""
    page = confirm_password(client, client.get(ACTIVATE, follow=True))
    secret = re.search(r'id="totp-secret"[^>]*>([A-Z2-7]+)<', html(page))[1]
    done = client.post(ACTIVATE, {"code": code(secret)}, follow=True)
    html(done)
    return secret


class TestSettingUp:
    def test_shows_a_picture_that_the_policy_allows(self, client):
        page = html(confirm_password(client, client.get(ACTIVATE, follow=True)))
        assert re.search(r'<img[^>]+src="data:image/svg', page)

    def test_refuses_a_wrong_code_beside_the_field(self, client, ada):
        confirm_password(client, client.get(ACTIVATE, follow=True))
        assert 'aria-invalid="true"' in html(client.post(ACTIVATE, {"code": "000000"}))
        assert not Authenticator.objects.exists()

    def test_sent_again_leads_to_the_recovery_codes(self, client):
        set_up(client)
        again = client.post(ACTIVATE, {"code": "000000"}, follow=True)
        assert "Each of these signs you in once" in text(again)

    @pytest.mark.django_db(transaction=True)
    def test_leads_to_the_recovery_codes_and_tells_by_mail(self, client):
        set_up(client)
        assert set(Authenticator.objects.values_list("type", flat=True)) == {
            "totp",
            "recovery_codes",
        }
        assert len(recovery_codes(client)) == 10
        assert "ada@example.com" in mail.outbox[-1].to
        page = text(client.get("/accounts/2fa/"))
        assert "Your authenticator app is set up." in page
        assert "10 codes are left" in page

    def test_the_account_page_says_so(self, client):
        assert "Second factor None" in text(client.get("/account/"))
        set_up(client)
        assert "Second factor Authenticator app" in text(client.get("/account/"))


class TestSigningIn:
    def test_takes_the_password_and_a_code(self, client):
        secret = set_up(client)
        phone = signed_in()
        assert phone.get("/ledger/").status_code == 302
        html(phone.get("/accounts/2fa/authenticate/"))
        wrong = phone.post("/accounts/2fa/authenticate/", {"code": "000000"})
        assert 'aria-invalid="true"' in html(wrong)
        phone.post("/accounts/2fa/authenticate/", {"code": code(secret, steps=1)})
        assert phone.get("/ledger/").status_code == 200

    def test_takes_a_recovery_code_once(self, client):
        set_up(client)
        spare = recovery_codes(client)[0]
        assert with_code(spare).get("/ledger/").status_code == 200
        assert with_code(spare).get("/ledger/").status_code == 302

    def test_a_new_password_by_mail_is_not_a_way_around_it(self, client):
        set_up(client)
        thief = Client()
        thief.post("/accounts/password/reset/", {"email": "ada@example.com"})
        link = re.search(r"http://[^/]+(/accounts/password/reset/key/\S+)", mail.outbox[-1].body)
        page = thief.get(link[1], follow=True)
        new = {"password1": PASSWORD + "x", "password2": PASSWORD + "x"}
        thief.post(page.request["PATH_INFO"], new)
        assert thief.get("/ledger/").status_code == 302
        thief.post(LOGIN, {"login": "ada@example.com", "password": PASSWORD + "x"})
        assert thief.get("/ledger/").status_code == 302

    def test_codes_cannot_be_guessed_for_long(self, client):
        set_up(client)
        thief = signed_in()
        answers = [
            thief.post("/accounts/2fa/authenticate/", {"code": f"{number:06}"}, follow=True)
            for number in range(40)
        ]
        assert "Too many" in answers[-1].content.decode()


class TestSwitchingOff:
    OFF = "/accounts/2fa/totp/deactivate/"

    def test_asks_who_it_is_first(self, client, ada):
        secret = set_up(client)
        later = with_code(code(secret, steps=1))
        forget_reauthentication(later)
        assert "/reauthenticate/" in later.post(self.OFF)["Location"]
        assert Authenticator.objects.filter(type="totp").exists()

    def test_takes_the_recovery_codes_along(self, client):
        set_up(client)
        html(client.get(self.OFF, follow=True))
        client.post(self.OFF)
        assert not Authenticator.objects.exists()
        assert signed_in().get("/ledger/").status_code == 200


def forget_reauthentication(client):
    session = client.session
    for record in session.get("account_authentication_methods", []):
        record.pop("reauthenticated", None)
        record["at"] -= 3600
    session.save()


def recovery_codes(client):
    page = html(client.get("/accounts/2fa/recovery-codes/", follow=True))
    return re.findall(r"<li>(\d{8})</li>", page)


def with_code(value):
    client = signed_in()
    client.post("/accounts/2fa/authenticate/", {"code": value})
    return client
