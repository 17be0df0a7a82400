"""Guessing passwords: who is stopped, who is not, and the way out."""

import re
from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.core import mail
from django.core.cache import cache
from django.db import connection
from django.test import Client

from billing_site.accounts import services
from billing_site.accounts.tests.cast import PASSWORD, new_user
from credits.tests.pages import text

pytestmark = pytest.mark.django_db
LOGIN = "/accounts/login/"


@pytest.fixture(autouse=True)
def ada(db):
    return new_user()


@pytest.fixture
def behind_a_proxy(settings):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1


def sign_in(password, email="ada@example.com", client=None, **headers):
    form = {"login": email, "password": password}
    return (client or Client()).post(LOGIN, form, headers=headers)


def guess(times=5, **more):
    return [sign_in("wrong", **more) for _ in range(times)]


def test_the_fifth_wrong_password_locks_out_and_says_what_helps():
    *first, last = guess()
    assert [answer.status_code for answer in first] == [200] * 4
    page = text(last, status=429)
    assert "15 minutes" in page
    assert "Choose a new password" in page


def test_then_the_right_password_does_not_help_until_15_minutes_are_over():
    guess()
    assert sign_in(PASSWORD).status_code == 429
    for attempt in AccessAttempt.objects.all():
        AccessAttempt.objects.filter(pk=attempt.pk).update(
            attempt_time=attempt.attempt_time - timedelta(minutes=16)
        )
    assert sign_in(PASSWORD).status_code == 302


def test_trying_again_meanwhile_does_not_prolong_it():
    guess()
    [before] = AccessAttempt.objects.values_list("attempt_time", flat=True)
    guess(3)
    assert AccessAttempt.objects.get().attempt_time == before


def test_an_unknown_address_is_locked_out_alike():
    answers = guess(email="nobody@example.com")
    assert [answer.status_code for answer in answers] == [200] * 4 + [429]


def test_the_spelling_of_the_address_makes_no_difference():
    guess(4)
    assert guess(1, email=" ADA@Example.com")[0].status_code == 429


def test_a_right_password_forgets_the_wrong_ones():
    for _ in range(3):
        guess(4)
        assert sign_in(PASSWORD).status_code == 302


def test_others_at_the_same_address_are_not_locked_out():
    new_user("bob@example.com")
    guess()
    assert sign_in(PASSWORD, "bob@example.com").status_code == 302


def test_the_person_elsewhere_is_not_locked_out(behind_a_proxy):
    guess(**{"X-Forwarded-For": "203.0.113.7"})
    assert sign_in(PASSWORD, **{"X-Forwarded-For": "203.0.113.7"}).status_code == 429
    assert sign_in(PASSWORD, **{"X-Forwarded-For": "198.51.100.1"}).status_code == 302


def test_an_address_that_the_client_made_up_does_not_count(behind_a_proxy):
    for number in range(5):
        answer = guess(1, **{"X-Forwarded-For": f"10.0.0.{number}, 203.0.113.7"})[0]
    assert answer.status_code == 429


def test_without_a_proxy_the_header_does_not_count():
    for number in range(5):
        answer = guess(1, **{"X-Forwarded-For": f"10.0.0.{number}"})[0]
    assert answer.status_code == 429


def test_the_admin_has_no_second_door():
    guess()
    form = {"username": "ada@example.com", "password": PASSWORD}
    answer = Client().post("/admin/login/", form)
    assert answer["Location"].startswith(LOGIN)


def test_guessing_in_the_middle_of_a_session_counts_as_well(ada):
    client = Client()
    client.force_login(ada)
    answers = [client.post("/account/delete/", {"password": "wrong"}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [422] * 4 + [429]
    ada.refresh_from_db()
    assert ada.erased_at is None


def test_api_keys_go_on_working(ada, now):
    _key, plain = services.create_api_key(user=ada, name="shop", now=now)
    guess()
    answer = Client().get("/api/v1/balance", headers={"Authorization": f"Bearer {plain}"})
    assert answer.status_code == 200
    bad = {"Authorization": "Bearer bs_wrong"}
    assert {Client().get("/api/v1/balance", headers=bad).status_code for _ in range(9)} == {401}
    assert AccessAttempt.objects.count() == 1


def test_a_new_password_by_mail_is_the_way_out():
    guess()
    client = Client()
    client.post("/accounts/password/reset/", {"email": "ada@example.com"})
    link = re.search(r"http://[^/]+(/accounts/password/reset/key/\S+)", mail.outbox[-1].body)
    page = client.get(link[1], follow=True)
    new = {"password1": PASSWORD + "x", "password2": PASSWORD + "x"}
    client.post(page.request["PATH_INFO"], new)
    assert sign_in(PASSWORD + "x").status_code == 302


def test_all_processes_count_together():
    guess(1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM billing_site_cache")
        assert cursor.fetchone()[0] > 0
    cache.clear()
    assert AccessAttempt.objects.get().failures_since_start == 1


def test_no_password_is_written_down():
    sign_in("a-secret-guess")
    assert "a-secret-guess" not in str(list(AccessAttempt.objects.values()))
