"""Every form of a customer, sent twice at the same moment: once is done, and nobody sees an error.

Without JavaScript a double click sends a form twice, and so does a browser that asks again after
the back button. What goes through Stripe is in sandbox/stripe/tests/test_subscription_pages.py
(plans) and credits/payments/tests/test_checkout.py (buying).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from allauth.mfa.totp.views import ActivateTOTPView
from django.core import signing
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from billing_site.accounts import services as people
from billing_site.accounts.models import ApiKey, User
from billing_site.accounts.second_factor import ActivateTOTP
from billing_site.accounts.tests.cast import PASSWORD, new_user
from billing_site.accounts.tests.test_two_factor import ACTIVATE, code, set_up
from credits import services as credits
from credits.models import Account, Notice, NoticePreferences, Redemption
from credits.notices.preferences import SALT
from credits.tests.race import kinds, meet_before, race
from generation.models import Generation
from generation.tests.cast import finish, give, request, start

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "6f9619ff-8b86-4011-b42d-00cf4fc964ff"


@pytest.fixture(autouse=True)
def no_earlier_attempts() -> None:
    cache.clear()


@dataclass
class Customer:
    """Ada, who signed in a moment ago."""

    user: User
    account: Account
    client: Client
    now: datetime


@pytest.fixture
def ada() -> Customer:
    user, now, client = new_user(), timezone.now(), Client()
    account = credits.open_account(user_id=user.pk, now=now)
    give(account, now)
    client.force_login(user)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return Customer(user, account, client, now)


@dataclass
class Form:
    """What is sent where, and what is counted after it."""

    address: str
    fields: dict[str, str]
    count: Callable[[], Any]
    expected: Any = 1


def generate(ada: Customer) -> Form:
    fields = {"prompt": "A story.", "funding": "credits", "key": KEY}
    return Form("/generations/new/", fields, Generation.objects.count)


def regenerate(ada: Customer) -> Form:
    first = start(ada.account, ada.now)
    finish(first, ada.now)
    return Form(f"/generations/{first.pk}/regenerate/", {"key": KEY}, Generation.objects.count, 2)


def cancel_generation(ada: Customer) -> Form:
    row = request(ada.account, ada.now)
    given_back = ada.account.entries.filter(kind="release").count
    return Form(f"/generations/{row.pk}/cancel/", {}, given_back)


def redeem(ada: Customer) -> Form:
    credits.create_codes(
        campaign="Spring", amount=5, days=30, actor="staff", now=ada.now, code="SPRING"
    )
    return Form("/redeem/", {"code": "spring"}, Redemption.objects.count)


def make_api_key(ada: Customer) -> Form:
    return Form("/api-keys/", {"name": "laptop"}, ApiKey.objects.count)


def revoke_api_key(ada: Customer) -> Form:
    key, _plain = people.create_api_key(user=ada.user, name="laptop", now=ada.now)
    return Form(f"/api-keys/{key.pk}/revoke/", {}, ApiKey.objects.exclude(revoked_at=None).count)


def choose_notices(ada: Customer) -> Form:
    fields = {"low_balance": "5"}
    return Form("/notifications/", fields, NoticePreferences.objects.filter(low_balance=5).count)


def unsubscribe(ada: Customer) -> Form:
    token = signing.dumps([ada.account.pk, Notice.Kind.RENEWAL], salt=SALT)
    off = NoticePreferences.objects.filter(renewals=False)
    return Form(f"/notifications/off/{token}/", {}, off.count)


def choose_zone(ada: Customer) -> Form:
    in_tokyo = User.objects.filter(timezone="Asia/Tokyo")
    return Form("/account/zone/", {"timezone": "Asia/Tokyo"}, in_tokyo.count)


def delete_account(ada: Customer) -> Form:
    erased = User.objects.exclude(erased_at=None)
    return Form("/account/delete/", {"password": PASSWORD}, erased.count)


def activate_second_factor(ada: Customer) -> Form:
    page = ada.client.get(ACTIVATE).content.decode()
    secret = re.search(r'id="totp-secret"[^>]*>([A-Z2-7]+)<', page)
    assert secret
    factors = Authenticator.objects.order_by("type").values_list("type", flat=True)
    fields = {"code": code(secret[1])}
    return Form(ACTIVATE, fields, lambda: list(factors), ["recovery_codes", "totp"])


def make_recovery_codes(ada: Customer) -> Form:
    set_up(ada.client)
    codes = Authenticator.objects.filter(type="recovery_codes")
    return Form("/accounts/2fa/recovery-codes/generate/", {}, codes.count)


def deactivate_second_factor(ada: Customer) -> Form:
    set_up(ada.client)
    return Form("/accounts/2fa/totp/deactivate/", {}, Authenticator.objects.count, 0)


def change_email(ada: Customer) -> Form:
    return Form(
        "/accounts/email/",
        {"email": "new@example.com", "action_add": ""},
        EmailAddress.objects.filter(email="ada@example.com").count,
    )


def change_password(ada: Customer) -> Form:
    fields = {"oldpassword": PASSWORD, "password1": "other-words-17", "password2": "other-words-17"}

    def changed() -> bool:
        return User.objects.get().check_password("other-words-17")

    return Form("/accounts/password/change/", fields, changed, True)


def sign_up(ada: Customer) -> Form:
    ada.client.logout()
    fields = {"email": "bob@example.com", "password1": PASSWORD}
    return Form("/accounts/signup/", fields, User.objects.filter(email="bob@example.com").count)


def sign_in(ada: Customer) -> Form:
    ada.client.logout()
    fields = {"login": ada.user.email, "password": PASSWORD}
    return Form("/accounts/login/", fields, User.objects.count)


def sign_out(ada: Customer) -> Form:
    return Form("/accounts/logout/", {}, User.objects.count)


FORMS = [
    generate, regenerate, cancel_generation, redeem, make_api_key, revoke_api_key, choose_notices,
    unsubscribe, choose_zone, delete_account, activate_second_factor, make_recovery_codes,
    deactivate_second_factor, change_email, change_password, sign_up, sign_in, sign_out,
]  # fmt: skip


def send_twice(client: Client, form: Form) -> list[Any]:
    """The statuses of both answers; an error of ours would be here as the exception."""

    def send() -> int:
        again = Client()
        again.cookies = client.cookies.copy()
        return again.post(form.address, form.fields).status_code

    return race(send, send)


@pytest.mark.parametrize("prepare", FORMS, ids=lambda prepare: prepare.__name__)
def test_a_form_sent_twice_at_once_is_done_once(
    ada: Customer, prepare: Callable[[Customer], Form]
) -> None:
    form = prepare(ada)
    statuses = send_twice(ada.client, form)
    assert all(isinstance(status, int) for status in statuses), statuses
    assert min(statuses) < 400
    assert form.count() == form.expected


def test_without_its_lock_two_keys_would_be_made(
    ada: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(User.objects, "select_for_update", User.objects.all)
    meet_before(monkeypatch, 2, ApiKey.objects, "create")
    send_twice(ada.client, make_api_key(ada))
    assert ApiKey.objects.count() == 2


def test_allauths_own_page_of_the_second_factor_would_answer_with_an_error(
    ada: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ActivateTOTP, "form_valid", ActivateTOTPView.form_valid)
    meet_before(monkeypatch, 2, TOTP, "activate")
    outcomes = send_twice(ada.client, activate_second_factor(ada))
    assert "IntegrityError" in kinds(outcomes)
