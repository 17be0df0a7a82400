import re

import pytest
from django.core import mail
from django.test import Client

from billing_site.accounts.models import User
from billing_site.accounts.tests.cast import PASSWORD, new_user
from credits.tests.pages import html, text

pytestmark = pytest.mark.django_db


def sign_in(client: Client, password: str = PASSWORD, email: str = "ada@example.com"):
    return client.post("/accounts/login/", {"login": email, "password": password})


class TestSignUp:
    def test_asks_for_the_code_in_the_mail_and_then_signs_in(self, client: Client) -> None:
        html(client.get("/accounts/signup/"))
        page = client.post(
            "/accounts/signup/", {"email": "Ada@Example.com", "password1": PASSWORD}, follow=True
        )
        assert "Enter Email Verification Code" in text(page)
        assert not User.objects.filter(last_login__isnull=False).exists()

        code = re.search(r"^\s*([A-Z0-9-]{6,12})\s*$", mail.outbox[0].body, re.M)
        assert code, mail.outbox[0].body
        page = client.post("/accounts/confirm-email/", {"code": code[1]}, follow=True)
        assert "Available credits 0" in text(page)
        assert User.objects.get().email == "ada@example.com"

    def test_refuses_a_wrong_code_beside_the_field(self, client: Client) -> None:
        client.post("/accounts/signup/", {"email": "ada@example.com", "password1": PASSWORD})
        page = client.post("/accounts/confirm-email/", {"code": "WRONG-1"})
        assert 'aria-invalid="true"' in html(page)
        assert client.get("/ledger/").status_code == 302

    def test_says_what_is_wrong_with_a_password(self, client: Client) -> None:
        page = client.post("/accounts/signup/", {"email": "ada@example.com", "password1": "12345"})
        assert "too short" in text(page)
        assert not User.objects.exists()

    def test_does_not_tell_whether_an_address_is_known(self, client: Client) -> None:
        new_user()
        page = client.post(
            "/accounts/signup/", {"email": "ada@example.com", "password1": PASSWORD}, follow=True
        )
        assert "Enter Email Verification Code" in text(page)
        assert User.objects.count() == 1


class TestSignIn:
    def test_leads_to_the_overview(self, client: Client) -> None:
        new_user()
        html(client.get("/accounts/login/"))
        assert sign_in(client).headers["Location"] == "/"

    def test_refuses_a_wrong_password(self, client: Client) -> None:
        new_user()
        page = sign_in(client, "wrong")
        assert "not correct" in text(page)

    def test_an_inactive_user_gets_a_page_that_says_so(self, client: Client) -> None:
        new_user(is_active=False)
        response = sign_in(client)
        assert "This account is inactive." in text(client.get(response.headers["Location"]))

    def test_too_many_attempts_are_429(self, client: Client) -> None:
        answers = [sign_in(client, "wrong") for _ in range(31)]
        assert "Too many attempts" in text(answers[-1], status=429)

    def test_sign_out(self, client: Client) -> None:
        client.force_login(new_user())
        html(client.get("/accounts/logout/"))
        client.post("/accounts/logout/")
        assert client.get("/ledger/").status_code == 302


class TestPasswordReset:
    def test_goes_through_the_link_in_the_mail(self, client: Client) -> None:
        new_user()
        html(client.get("/accounts/password/reset/"))
        page = client.post("/accounts/password/reset/", {"email": "ada@example.com"}, follow=True)
        assert "We have sent you an email" in text(page)
        link = re.search(r"http://[^/]+(/accounts/password/reset/key/\S+)", mail.outbox[0].body)
        assert link, mail.outbox[0].body
        page = client.get(link[1], follow=True)
        assert "Change Password" in text(page)
        new = PASSWORD + "x"
        page = client.post(
            page.request["PATH_INFO"], {"password1": new, "password2": new}, follow=True
        )
        html(page)
        assert sign_in(Client(), new).headers["Location"] == "/"

    def test_a_bad_link_says_so(self, client: Client) -> None:
        assert "Bad Token" in text(client.get("/accounts/password/reset/key/1-x/"))


@pytest.mark.parametrize(
    "address",
    ["email/", "password/change/", "logout/", "reauthenticate/", "password/reset/done/",
     "password/reset/key/done/", "inactive/"],
)  # fmt: skip
def test_every_other_account_page_keeps_to_the_policy(client: Client, address: str) -> None:
    client.force_login(new_user())
    html(client.get(f"/accounts/{address}"))
