import re

import pytest
from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed
from django.core import mail
from django.test import Client
from django.utils import timezone

from billing_site.accounts.models import User
from billing_site.accounts.tests.cast import PASSWORD, new_user
from credits.models import Notice
from credits.notices import outbox
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
        assert "Enter email verification code" in text(page)
        assert not User.objects.filter(last_login__isnull=False).exists()

        code = re.search(r"^\s*([A-Z0-9-]{6,12})\s*$", mail.outbox[0].body, re.M)
        assert code, mail.outbox[0].body
        page = client.post("/accounts/confirm-email/", {"code": code[1]}, follow=True)
        assert "Available credits 0" in text(page)
        assert User.objects.get().email == "ada@example.com"

    def test_welcomes_once_when_the_address_is_confirmed(self, client: Client) -> None:
        client.post("/accounts/signup/", {"email": "ada@example.com", "password1": PASSWORD})
        assert not Notice.objects.exists()
        code = re.search(r"^\s*([A-Z0-9-]{6,12})\s*$", mail.outbox.pop().body, re.M)
        assert code
        client.post("/accounts/confirm-email/", {"code": code[1]})
        outbox.send_due(now=timezone.now())
        [message] = mail.outbox
        assert (message.subject, message.to) == ("Welcome", ["ada@example.com"])
        address = EmailAddress.objects.get()
        email_confirmed.send(EmailAddress, request=None, email_address=address)
        assert Notice.objects.count() == 1

    def test_refuses_a_wrong_code_beside_the_field(self, client: Client) -> None:
        client.post("/accounts/signup/", {"email": "ada@example.com", "password1": PASSWORD})
        page = client.post("/accounts/confirm-email/", {"code": "WRONG-1"})
        assert 'aria-invalid="true"' in html(page)
        assert client.get("/ledger/").status_code == 302

    def test_says_what_is_wrong_with_a_password(self, client: Client) -> None:
        page = client.post("/accounts/signup/", {"email": "ada@example.com", "password1": "12345"})
        assert "too short" in text(page)
        assert not User.objects.exists()

    @pytest.mark.parametrize("email", ["", "nonsense", "a\0b@example.com", "x" * 300 + "@a.org"])
    def test_refuses_what_is_no_address_beside_the_field(self, client: Client, email: str) -> None:
        page = client.post("/accounts/signup/", {"email": email, "password1": PASSWORD})
        assert 'aria-invalid="true"' in html(page)
        assert not User.objects.exists()

    def test_does_not_tell_whether_an_address_is_known(self, client: Client) -> None:
        new_user()
        page = client.post(
            "/accounts/signup/", {"email": "ada@example.com", "password1": PASSWORD}, follow=True
        )
        assert "Enter email verification code" in text(page)
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
        assert "This account is closed" in text(client.get(response.headers["Location"]))

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
        assert "Change password" in text(page)
        new = PASSWORD + "x"
        page = client.post(
            page.request["PATH_INFO"], {"password1": new, "password2": new}, follow=True
        )
        html(page)
        assert sign_in(Client(), new).headers["Location"] == "/"

    def test_a_bad_link_says_so(self, client: Client) -> None:
        assert "Bad token" in text(client.get("/accounts/password/reset/key/1-x/"))


@pytest.mark.parametrize(
    "address",
    ["email/", "password/change/", "logout/", "reauthenticate/", "password/reset/done/",
     "password/reset/key/done/", "inactive/"],
)  # fmt: skip
def test_every_other_account_page_keeps_to_the_policy(client: Client, address: str) -> None:
    client.force_login(new_user())
    html(client.get(f"/accounts/{address}"))


class TestPasswordChange:
    def test_asks_for_the_old_one_and_ends_other_sessions(self, client: Client) -> None:
        new_user()
        sign_in(client)
        other = Client()
        sign_in(other)
        form = {"oldpassword": "wrong", "password1": PASSWORD + "x", "password2": PASSWORD + "x"}
        assert 'aria-invalid="true"' in html(client.post("/accounts/password/change/", form))
        client.post("/accounts/password/change/", {**form, "oldpassword": PASSWORD})
        assert client.get("/ledger/").status_code == 200
        assert other.get("/ledger/").status_code == 302
        assert sign_in(Client(), PASSWORD + "x").status_code == 302


class TestEmailChange:
    PAGE = "/accounts/email/"

    @pytest.fixture
    def client(self, client: Client) -> Client:
        new_user()
        sign_in(client)
        client.get("/account/")  # which shows the greeting
        return client

    def change(self, client: Client, email: str):
        form = {"email": email, "action_add": ""}
        page = client.post(self.PAGE, form, follow=True)
        if "/reauthenticate/" in page.request["PATH_INFO"]:
            form = {"password": PASSWORD, "next": self.PAGE}
            page = client.post("/accounts/reauthenticate/", form, follow=True)
        return page

    def test_happens_when_the_code_from_the_new_mailbox_is_entered(self, client: Client) -> None:
        page = self.change(client, "New@Example.com")
        assert "Enter email verification code" in text(page)
        assert "ada@example.com" in text(client.get("/account/"))
        code = next(
            found[1]
            for message in mail.outbox
            if message.to == ["new@example.com"]
            and (found := re.search(r"^\s*([A-Z0-9-]{6,12})\s*$", message.body, re.M))
        )
        client.post("/accounts/confirm-email/", {"code": code}, follow=True)
        assert User.objects.get().email == "new@example.com"
        assert sign_in(Client(), email="new@example.com").status_code == 302
        assert sign_in(Client(), email="ada@example.com").status_code == 200

    def test_to_an_address_of_somebody_else_tells_nothing_and_changes_nothing(
        self, client: Client
    ) -> None:
        new_user("bob@example.com")
        unknown = text(self.change(client, "free@example.com"))
        taken = text(self.change(client, "bob@example.com"))
        assert taken.replace("bob@", "free@") == unknown
        assert User.objects.filter(email="ada@example.com").exists()

    @pytest.mark.parametrize("email", ["", "nonsense", "a\0b@example.com", "x" * 300 + "@a.org"])
    def test_refuses_what_is_no_address_beside_the_field(self, client: Client, email: str) -> None:
        assert 'aria-invalid="true"' in html(self.change(client, email))


class TestPasswordResetTellsNothing:
    def test_whether_an_address_is_known(self, client: Client) -> None:
        new_user()
        known, unknown = (
            text(client.post("/accounts/password/reset/", {"email": email}, follow=True))
            for email in ("ada@example.com", "nobody@example.com")
        )
        assert known == unknown
