"""Staff: an hour, two factors on a public site, and an admin that may be somewhere else."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings as project
from django.test import Client
from django.utils import timezone

from billing_site.accounts.tests.cast import PASSWORD, new_user
from billing_site.accounts.tests.test_two_factor import code, set_up
from credits.tests.pages import html

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def owner(db):
    return new_user("ada@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def public(settings):
    """What an https SITE_URL switches on, without the redirects."""
    settings.STAFF_NEEDS_SECOND_FACTOR = True


def signed_in():
    client = Client()
    client.post("/accounts/login/", {"login": "ada@example.com", "password": PASSWORD})
    return client


def lasts(client):
    return client.session.get_expiry_date() - timezone.now()


class TestSession:
    def test_of_staff_lasts_an_hour(self, owner):
        client = signed_in()
        assert timedelta(minutes=59) < lasts(client) <= HOUR

    def test_does_not_grow_with_use(self, owner):
        client = signed_in()
        session = client.session
        session.set_expiry(timezone.now() + timedelta(minutes=10))
        session.save()
        assert client.get("/admin/").status_code == 200
        assert lasts(client) <= timedelta(minutes=10)

    def test_that_has_ended_opens_nothing(self, owner):
        client = signed_in()
        session = client.session
        session.set_expiry(timezone.now() - timedelta(seconds=1))
        session.save()
        assert client.get("/admin/").status_code == 302

    def test_of_a_customer_who_becomes_staff_is_cut_in_the_admin(self, db):
        user = new_user("ada@example.com")
        client = signed_in()
        assert lasts(client) > 11 * HOUR
        user.is_staff = user.is_superuser = True
        user.save()
        assert client.get("/admin/").status_code == 200
        assert lasts(client) <= HOUR

    def test_is_not_longer_for_who_wants_to_be_remembered(self, owner):
        client = Client()
        form = {"login": "ada@example.com", "password": PASSWORD, "remember": "on"}
        client.post("/accounts/login/", form)
        assert timedelta(0) < lasts(client) <= HOUR

    def test_is_a_new_one_after_the_sign_in(self, owner):
        """A session that somebody slipped in before is worth nothing."""
        client = Client()
        client.get("/accounts/login/")
        session = client.session
        session["slipped in"] = True
        session.save()
        before = session.session_key
        client.cookies["sessionid"] = before
        client.post("/accounts/login/", {"login": "ada@example.com", "password": PASSWORD})
        assert client.session.session_key != before
        thief = Client()
        thief.cookies["sessionid"] = before
        assert "/login/" in thief.get("/admin/")["Location"]

    def test_of_customers_stays_long(self, db):
        new_user("ada@example.com")
        client = signed_in()
        client.get("/")
        assert lasts(client) > 11 * HOUR


class TestSecondFactor:
    def test_is_not_asked_for_while_trying_out(self, owner):
        assert signed_in().get("/admin/").status_code == 200

    def test_has_to_be_set_up_first(self, owner, public):
        client = signed_in()
        page = client.get("/admin/credits/account/", follow=True)
        assert page.redirect_chain[0][0].startswith("/accounts/2fa/totp/activate/?next=%2Fadmin")
        assert "Staff signs in with two factors" in page.content.decode()

    def test_is_not_enough_to_be_set_up_elsewhere(self, owner, public):
        """A session from before, such as a thief's, has to show it."""
        client = signed_in()
        Authenticator.objects.create(user=owner, type="totp", data={"secret": "x"})
        there = client.get("/admin/")["Location"]
        assert there == "/accounts/2fa/reauthenticate/?next=%2Fadmin%2F"
        html(client.get(there))

    def test_leads_into_the_admin(self, owner, public):
        secret = set_up(signed_in())
        client = signed_in()
        answer = client.post("/accounts/2fa/authenticate/", {"code": code(secret, steps=1)})
        assert answer.status_code == 302
        assert client.get("/admin/").status_code == 200

    def test_cannot_be_avoided_at_the_admins_own_login(self, owner, public):
        client = Client()
        form = {"username": "ada@example.com", "password": PASSWORD}
        answer = client.post("/admin/login/", form)
        assert answer["Location"].startswith("/accounts/login/")
        assert client.get("/admin/").status_code == 302

    @pytest.mark.parametrize("address", ["/admin/jsi18n/", "/admin/password_change/", "/admin/x/"])
    def test_guards_every_page_below(self, owner, public, address):
        assert "/2fa/" in signed_in().get(address)["Location"]

    @pytest.mark.parametrize("way", ["/admin", "/%61dmin/", "/admin//", "/x/../admin/", "/ADMIN/"])
    def test_has_no_way_around_by_spelling(self, owner, public, way):
        answer = signed_in().get(way, follow=True)
        assert "Staff signs in with two factors" in answer.content.decode() or (
            answer.status_code == 404
        )

    def test_is_asked_for_after_a_reset_of_the_password(self, owner, public):
        """Who reads the mail of staff has one factor only."""
        set_up(signed_in())
        owner.set_password("another-plain-word-17")
        owner.save()
        client = Client()
        form = {"login": "ada@example.com", "password": "another-plain-word-17"}
        answer = client.post("/accounts/login/?next=/admin/", form)
        assert answer["Location"].startswith("/accounts/2fa/authenticate/")
        assert "/login/" in client.get("/admin/")["Location"]

    def test_is_asked_for_again_when_it_was_taken_away(self, owner, public):
        secret = set_up(signed_in())
        client = signed_in()
        client.post("/accounts/2fa/authenticate/", {"code": code(secret, steps=1)})
        Authenticator.objects.all().delete()
        assert "/2fa/totp/activate/" in client.get("/admin/")["Location"]

    def test_customers_are_not_asked(self, public, db):
        new_user("ada@example.com")
        client = signed_in()
        assert client.get("/").status_code == 200
        assert client.get("/admin/", follow=True).status_code == 403


SCRIPT = """
import django; django.setup()
from django.test import Client
from django.urls import reverse
from django.conf import settings
client = Client(headers={"host": "localhost"})
policy = client.get(reverse("admin:login"), secure=True)["Content-Security-Policy"]
print(reverse("admin:index"), "unsafe-eval" in policy, settings.STAFF_NEEDS_SECOND_FACTOR)
"""


def run(**environment):
    return subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=project.BASE_DIR, capture_output=True, text=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "billing_site.settings", **environment},
        check=False, timeout=60,
    )  # fmt: skip


class TestAdminPath:
    def test_moves_the_admin_and_its_policy(self):
        done = run(ADMIN_PATH="back-office")
        assert done.stdout.split("\n")[0] == "/back-office/ True False", done.stderr

    def test_two_factors_are_for_public_sites(self):
        done = run(SITE_URL="https://pay.example.com")
        assert done.stdout.startswith("/admin/ True True"), done.stderr

    @pytest.mark.parametrize("path", ["", "/", "a b", "../x", "x?y"])
    def test_has_to_be_a_path(self, path):
        done = run(ADMIN_PATH=path)
        assert "ADMIN_PATH is" in done.stderr
        assert done.returncode == 1
