"""What staff does to people in the admin: each time in the audit log, with nothing lost."""

import json
import re
from datetime import datetime

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing_site.accounts import services
from billing_site.accounts.models import User
from billing_site.accounts.tests.cast import PASSWORD, new_user
from credits import queries
from credits.models import Account, StaffAction
from credits.services import open_account
from credits.tests.conftest import books_balance
from generation.models import Generation
from generation.tests.cast import give, request

__all__ = ["books_balance"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(db: None) -> Client:
    client = Client()
    client.force_login(new_user("owner@example.com", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def ada(db: None) -> User:
    return new_user()


@pytest.fixture
def account(ada: User) -> Account:
    """With 10 credits, one of which a generation holds."""
    now = timezone.now()
    account = open_account(user_id=ada.pk, now=now)
    give(account, now)
    request(account, now)
    return account


def page(name: str, user: User) -> str:
    return reverse(f"admin:accounts_user_{name}", args=[user.pk])


def logged() -> list[tuple[str, str]]:
    return list(StaffAction.objects.order_by("id").values_list("action", "actor"))


OWNER = "staff:owner@example.com"


class TestErasing:
    def test_says_first_what_is_lost(self, client, ada, account):
        text = client.get(page("erase", ada)).content.decode()
        assert "10 credits and 0 single generations are lost." in text
        assert "1 generation is under way: it is canceled." in text
        assert "No plan is running." in text

    def test_needs_the_address_and_a_reason(self, client, ada, account):
        for form in ({}, {"email": ada.email}, {"email": "bob@example.com", "reason": "x"}):
            assert client.post(page("erase", ada), {"x": "y", **form}).status_code == 400
        ada.refresh_from_db()
        assert ada.erased_at is None

    def test_leaves_books_that_balance_and_a_line_in_the_log(self, client, ada, account):
        client.post(page("erase", ada), {"email": "Ada@example.com", "reason": "ticket 7"})

        ada.refresh_from_db()
        assert ada.erased_at is not None
        assert Generation.objects.get().status == "canceled"
        assert queries.balance(account_id=account.pk, now=timezone.now()).available == 10
        assert logged() == [("account.frozen", OWNER), ("person.erase", OWNER)]
        assert "ada@example.com" not in str(list(StaffAction.objects.values()))
        assert b"This account is erased." in client.get(page("erase", ada)).content
        assert b"Erase for good" not in client.get(page("erase", ada)).content
        left = client.get(page("change", ada)).content.decode()
        assert page("erase", ada) not in left and page("export", ada) not in left
        unfreeze = reverse("admin:credits_account_unfreeze", args=[account.pk])
        answer = client.post(unfreeze, {"reason": "x"}, follow=True)
        assert "it stays frozen" in answer.content.decode()
        account.refresh_from_db()
        assert account.status == "frozen"

    def test_is_refused_for_staff(self, client, account):
        boss = User.objects.get(email="owner@example.com")
        assert b"This person is staff." in client.get(page("erase", boss)).content
        client.post(page("erase", boss), {"email": boss.email, "reason": "x"})
        boss.refresh_from_db()
        assert (boss.erased_at, logged()) == (None, [])

    def test_that_stripe_cannot_follow_changes_nothing(self, client, ada, account, settings):
        settings.STRIPE_API_BASE, settings.STRIPE_SECRET_KEY = "http://127.0.0.1:1", "sk_test_1"
        Account.objects.update(stripe_customer_id="cus_1")
        answer = client.post(page("erase", ada), {"email": ada.email, "reason": "x"})
        assert (answer.status_code, b"Nothing was deleted" in answer.content) == (400, True)
        assert Account.objects.get().status == "active"


class TestExporting:
    def test_is_a_file_with_a_reason_in_the_log(self, client, ada, account):
        assert client.post(page("export", ada), {"reason": ""}).status_code == 400
        answer = client.post(page("export", ada), {"reason": "ticket 8"})

        found = json.loads(answer.getvalue())
        assert found["profile"][0]["email"] == ada.email
        assert len(found["generations"]) == 1
        assert "password" not in found["profile"][0]
        assert logged() == [("person.export", OWNER)]

    def test_of_nobody_is_not_found(self, client):
        for name in ("export", "erase"):
            path = reverse(f"admin:accounts_user_{name}", args=["9" * 9])
            assert client.get(path).status_code == 404


def test_the_page_of_a_person_leads_to_the_account(client, ada, account):
    assert page("export", ada) in client.get(page("change", ada)).content.decode()
    url = reverse("admin:credits_account_change", args=[account.pk])
    assert url in client.get(page("change", ada)).content.decode()
    nobody = new_user("new@example.com")
    html = client.get(page("change", nobody)).content.decode()
    assert not re.search(r"/credits/account/\d+/", html)


class TestTheLog:
    def test_tells_powers_and_no_names(self, client, ada):
        form = {"email": "new@example.com", "is_active": "on", "is_staff": "on", "groups": [
            Group.objects.get(name="Support").pk
        ]}  # fmt: skip
        client.post(page("change", ada), form)

        action = StaffAction.objects.get()
        assert (action.action, action.target) == ("user.change", f"user:{ada.pk}")
        assert action.before == {"email": "…", "is_staff": False, "groups": []}
        assert action.after == {"email": "…", "is_staff": True, "groups": ["Support"]}

    def test_of_a_form_that_changes_nothing_is_empty(self, client, ada):
        client.post(page("change", ada), {"email": ada.email, "is_active": "on"})
        assert logged() == []

    def test_has_new_people_and_new_passwords(self, client, ada):
        words = {"password1": PASSWORD, "password2": PASSWORD}
        client.post(reverse("admin:accounts_user_add"), {"email": "b@example.com", **words})
        client.post(reverse("admin:auth_user_password_change", args=[ada.pk]), words)
        wrong = {**words, "password2": "other"}
        client.post(reverse("admin:auth_user_password_change", args=[ada.pk]), wrong)
        assert logged() == [("user.add", OWNER), ("user.password", OWNER)]
        assert PASSWORD not in str(list(StaffAction.objects.values()))

    def test_has_groups(self, client):
        group = Group.objects.create(name="Night shift")
        change = reverse("admin:auth_group_change", args=[group.pk])
        power = Permission.objects.get(codename="refund_payment")
        client.post(change, {"name": "Night shift", "permissions": [power.pk]})
        delete = reverse("admin:auth_group_delete", args=[group.pk])
        client.post(delete, {"post": "yes"})

        assert logged() == [("group.change", OWNER), ("group.delete", OWNER)]
        assert "refund" in str(StaffAction.objects.earliest("id").after)

    def test_has_keys_that_staff_revoked(self, client, ada, now: datetime):
        key, _plain = services.create_api_key(user=ada, name="laptop", now=now)
        form = {"action": "revoke", "_selected_action": [key.pk]}
        for _twice in range(2):
            client.post(reverse("admin:accounts_apikey_changelist"), form)
        assert logged() == [("apikey.revoke", OWNER)]

    def test_is_told_on_the_customers_page(self, client, ada, account, now: datetime):
        key, _plain = services.create_api_key(user=ada, name="laptop", now=now)
        AccessAttempt.objects.create(username=ada.email, failures_since_start=5)
        tried = AccessAttempt.objects.get()
        client.post(page("change", ada), {"email": "new@example.com", "is_active": "on"})
        words = {"password1": PASSWORD, "password2": PASSWORD}
        client.post(reverse("admin:auth_user_password_change", args=[ada.pk]), words)
        form = {"action": "revoke", "_selected_action": [key.pk]}
        client.post(reverse("admin:accounts_apikey_changelist"), form)
        client.post(page("export", ada), {"reason": "ticket 8"})
        User.objects.filter(pk=ada.pk).update(email="ada@example.com")
        client.post(reverse("admin:axes_accessattempt_delete", args=[tried.pk]), {"post": "yes"})

        url = reverse("admin:credits_account_change", args=[account.pk])
        items = client.get(url, {"kind": "staff"}).context["timeline"].items
        assert [item.told.words for item in items] == [
            "owner@example.com ended a lock-out",
            "owner@example.com exported all data of the person: ticket 8",
            "owner@example.com revoked an API key",
            "owner@example.com set a new password",
            "owner@example.com changed the sign-in",
        ]

    def test_has_lock_outs_that_staff_ended(self, client, ada):
        AccessAttempt.objects.create(username=ada.email, failures_since_start=5)
        form = {
            "action": "delete_selected", "post": "yes",
            "_selected_action": [AccessAttempt.objects.get().pk],
        }  # fmt: skip
        client.post(reverse("admin:axes_accessattempt_changelist"), form)

        assert not AccessAttempt.objects.exists()
        assert StaffAction.objects.get().target == f"user:{ada.pk}"

    def test_has_new_prices_of_generations(self, client):
        form = {"operation": "text", "version": 99, "cost": 2}
        client.post(reverse("admin:generation_operationprice_add"), form)
        assert StaffAction.objects.get().after == {"cost": 2}
        assert logged() == [("price.add", OWNER)]


class TestWhoMayChangePeople:
    @pytest.fixture
    def clerk(self, db: None) -> Client:
        """Staff whom an owner has trusted with people."""
        user = new_user("clerk@example.com", is_staff=True)
        names = ["change_user", "view_user", "add_user"]
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        client = Client()
        client.force_login(user)
        return client

    def test_makes_nobody_staff(self, clerk, ada):
        form = {"email": ada.email, "is_active": "on", "is_staff": "on", "is_superuser": "on"}
        assert clerk.post(page("change", ada), form).status_code == 302
        ada.refresh_from_db()
        assert (ada.is_staff, ada.is_superuser) == (False, False)

    def test_does_not_touch_staff(self, clerk, client):
        boss = User.objects.get(email="owner@example.com")
        words = {"password1": PASSWORD, "password2": PASSWORD}
        path = reverse("admin:auth_user_password_change", args=[boss.pk])
        assert clerk.post(path, words).status_code == 403
        assert clerk.post(page("change", boss), {"email": "x@example.com"}).status_code == 403

    def test_deletes_nobody(self, client, ada):
        assert client.post(page("delete", ada), {"post": "yes"}).status_code == 403
