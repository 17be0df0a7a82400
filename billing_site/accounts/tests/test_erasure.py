"""Deleting an account: the person goes, the books stay, what is interrupted can be repeated.

Stripe is the sandbox, over real HTTP.
"""

import json
import re
from datetime import timedelta
from io import StringIO

import pytest
import requests
from allauth.mfa.models import Authenticator
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from djstripe.models import Customer

from billing_site.accounts import erasure, services
from billing_site.accounts.models import User
from billing_site.accounts.tests.cast import PASSWORD, new_user
from billing_site.sandbox.stripe.tests.conftest import (
    KEY,
    SECRET,
    client,
    new_sandbox,
    receiver,
    sandbox,
    shop,
    state_file,
    visitor,
)
from billing_site.sandbox.stripe.tests.test_site import Site, client_of_site
from credits import queries
from credits import services as credits
from credits.models import Account, InboxEvent, LedgerEntry, Offer, StaffAction
from credits.payments.client import SellingUnavailable
from credits.payments.tests.conftest import offers
from credits.tests.conftest import books_balance
from credits.tests.race import race
from generation import services as generation
from generation.models import Generation
from generation.tests.cast import available, finish, give, give_token, request, start, tokens

__all__ = [
    "books_balance", "client", "client_of_site", "new_sandbox", "offers", "receiver", "sandbox",
    "shop", "state_file", "visitor",
]  # fmt: skip

pytestmark = pytest.mark.django_db(transaction=True)
PERSONAL = ("ada@example.com", "ann@example.com", "A secret prompt", "A secret text")


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def user(db):
    return new_user()


@pytest.fixture
def account(user, now):
    return credits.open_account(user_id=user.pk, now=now)


@pytest.fixture
def site(shop, client_of_site, settings, offers, account, monkeypatch):
    """The account is the customer of the shop at Stripe, which our code reaches too."""
    settings.STRIPE_WEBHOOK_SECRET = [SECRET]
    settings.STRIPE_SECRET_KEY = KEY
    settings.STRIPE_API_BASE = shop.sandbox.address
    account.stripe_customer_id = shop.customer.id
    account.save(update_fields=["stripe_customer_id"])
    for slug, price in [("starter", shop.plan), ("pro", shop.pro)]:
        Offer.objects.filter(slug=slug).update(stripe_price_id=price.id)
    shop.fresh()
    send = requests.Session.request

    def outside_transactions(*arguments, **options):
        assert not connection.in_atomic_block
        return send(*arguments, **options)

    monkeypatch.setattr(requests.Session, "request", outside_transactions)
    return Site(shop, client_of_site, account)


def live_plans(shop):
    return len(shop.client.v1.subscriptions.list({"customer": shop.customer.id}).data)


class TestThePerson:
    def test_is_nobody_afterwards(self, user, now):
        services.create_api_key(user=user, name="Ada's laptop", now=now)
        Authenticator.objects.create(user=user, type="totp", data={"secret": "x"})
        LogEntry.objects.log_actions(user.pk, User.objects.filter(pk=user.pk), CHANGE)
        erasure.erase(user=user, now=now)
        user = User.objects.get(pk=user.pk)
        assert user.email.endswith("@erased.invalid")
        assert not user.is_active
        assert not user.has_usable_password()
        assert user.erased_at == now
        assert not user.emailaddress_set.exists()
        assert not Authenticator.objects.filter(user=user).exists()
        assert [(key.name, key.revoked_at) for key in user.api_keys.all()] == [("erased", now)]
        assert "ada@" not in LogEntry.objects.get().object_repr

    def test_is_signed_out_everywhere_and_cannot_sign_in(self, user, now):
        _key, plain = services.create_api_key(user=user, name="laptop", now=now)
        elsewhere = Client()
        elsewhere.force_login(user)
        erasure.erase(user=user, now=now)
        assert elsewhere.get("/ledger/").status_code == 302
        answer = Client().get("/api/v1/balance", headers={"Authorization": f"Bearer {plain}"})
        assert answer.status_code == 401
        form = {"login": "ada@example.com", "password": PASSWORD}
        assert Client().post("/accounts/login/", form).status_code == 200

    def test_may_come_back_as_somebody_new(self, user, now):
        erasure.erase(user=user, now=now)
        assert credits.open_account(user_id=new_user().pk, now=now).pk != user.credit_account.pk

    def test_is_erased_once(self, user, now):
        erasure.erase(user=user, now=now)
        erasure.erase(user=user, now=now + timedelta(days=1))
        assert User.objects.get(pk=user.pk).erased_at == now

    def test_two_erasures_at_once_are_one(self, user, account, now):
        request_one = give(account, now) or request(account, now)
        outcomes = race(*[lambda: erasure.erase(user=User.objects.get(pk=user.pk), now=now)] * 2)
        assert outcomes == [None, None]
        assert Generation.objects.get(pk=request_one.pk).status == "canceled"
        assert User.objects.filter(email__endswith="@erased.invalid").count() == 1


class TestGenerations:
    def test_lose_their_texts_and_keep_their_costs(self, user, account, now):
        give(account, now)
        claimed = start(account, now, prompt="A secret prompt")
        finish(claimed, now, output="A secret text")
        erasure.erase(user=user, now=now)
        row = Generation.objects.get()
        assert (row.prompt, row.output, row.request_hash) == ("", "", "")
        assert (row.status, row.cost) == ("succeeded", 1)

    def test_under_way_are_canceled_and_give_back_what_they_hold(self, user, account, now):
        give(account, now)
        give_token(account, now)
        running = start(account, now)
        request(account, now, funding="retail")
        erasure.erase(user=user, now=now)
        assert set(Generation.objects.values_list("status", flat=True)) == {"canceled"}
        assert (available(account, now), tokens(account, now)) == (10, 1)
        with pytest.raises(generation.LeaseLost):
            finish(running, now, output="A secret text")
        assert not Generation.objects.exclude(prompt="", output="").exists()

    def test_that_finish_at_the_same_moment_are_paid_or_canceled_and_empty(
        self, user, account, now
    ):
        give(account, now)
        running = start(account, now, prompt="A secret prompt")
        race(
            lambda: erasure.erase(user=User.objects.get(pk=user.pk), now=now),
            lambda: finish(running, now, output="A secret text"),
        )
        row = Generation.objects.get()
        assert (row.prompt, row.output) == ("", "")
        assert available(account, now) == (9 if row.status == "succeeded" else 10)

    def test_cannot_be_requested_any_more(self, user, account, now):
        give(account, now)
        erasure.erase(user=user, now=now)
        with pytest.raises(credits.AccountFrozen):
            request(account, now)


class TestThePlan:
    def test_ends_at_stripe_at_once(self, user, site, shop, now):
        shop.buy(shop.plan)
        site.hears()
        erasure.erase(user=user, now=now)
        assert live_plans(shop) == 0
        assert site.hears().subscription == 0

    def test_ends_also_before_its_events_have_arrived(self, user, site, shop, now):
        shop.buy(shop.plan)
        erasure.erase(user=user, now=now)
        assert live_plans(shop) == 0

    def test_cannot_begin_in_a_checkout_that_was_open(self, user, site, shop, now):
        session = shop.session(shop.plan)
        erasure.erase(user=user, now=now)
        assert shop.client.v1.checkout.sessions.retrieve(session.id).status == "expired"

    def test_keeps_everything_when_stripe_cannot_be_reached(self, user, site, shop, settings, now):
        give(site.account, now)
        open_one = request(site.account, now, prompt="A secret prompt")
        address, settings.STRIPE_API_BASE = settings.STRIPE_API_BASE, "http://127.0.0.1:1"
        with pytest.raises(SellingUnavailable):
            erasure.erase(user=user, now=now)
        assert User.objects.get(pk=user.pk).email == "ada@example.com"
        assert Account.objects.get().status == "active"
        open_one.refresh_from_db()
        assert (open_one.status, open_one.prompt) == ("queued", "A secret prompt")
        settings.STRIPE_API_BASE = address
        erasure.erase(user=user, now=now)
        assert User.objects.get(pk=user.pk).erased_at == now

    def test_an_account_that_staff_froze_stays_frozen_then(self, user, site, settings, now):
        credits.freeze_account(account_id=site.account.pk, now=now)
        settings.STRIPE_API_BASE = "http://127.0.0.1:1"
        with pytest.raises(SellingUnavailable):
            erasure.erase(user=user, now=now)
        assert Account.objects.get().status == "frozen"

    def test_that_begins_afterwards_is_ended_by_the_worker(self, user, site, shop, now):
        erasure.erase(user=user, now=now)
        shop.buy(shop.plan)
        site.hears()
        assert live_plans(shop) == 1
        erasure.follow_up(now=timezone.now())
        assert live_plans(shop) == 0


class TestTheBooks:
    def test_keep_every_line_and_a_later_payment(self, user, site, shop, now):
        shop.buy(shop.pack, metadata={"offer": "pack-50"})
        site.hears()
        lines = list(LedgerEntry.objects.values())
        erasure.erase(user=user, now=now)
        assert list(LedgerEntry.objects.values()) == lines
        shop.buy(shop.pack, metadata={"offer": "pack-50"})
        assert site.hears().bulk == 100
        assert list(queries.find_imbalances()) == []

    def test_name_nobody(self, user, site, shop, now):
        shop.buy(shop.plan)
        shop.buy(shop.pack, metadata={"offer": "pack-50"})
        site.hears()
        assert {"ann@example.com", '"last4"'} <= set(
            re.findall('ann@example.com|"last4"', bodies())
        )
        erasure.erase(user=user, now=now)
        assert not [word for word in PERSONAL if word in bodies()]
        assert '"last4"' not in bodies()

    def test_are_the_same_when_scrubbed_events_are_applied_again(self, user, site, shop, now):
        shop.buy(shop.plan)
        pack = shop.buy(shop.pack, metadata={"offer": "pack-50"})
        shop.client.v1.refunds.create({"payment_intent": pack.payment_intent, "amount": 100})
        site.hears()
        erasure.erase(user=user, now=now)
        site.hears()
        lines = LedgerEntry.objects.count()
        outcomes = dict(InboxEvent.objects.values_list("event_id", "state"))
        InboxEvent.objects.update(state="received", next_attempt_at=timezone.now())
        site.hears()
        assert LedgerEntry.objects.count() == lines
        assert dict(InboxEvent.objects.values_list("event_id", "state")) == outcomes

    def test_of_dj_stripe_name_nobody_either(self, user, site, shop, now):
        for number, customer in enumerate((shop.customer.id, "cus_other")):
            Customer.objects.create(
                id=f"cus_copy{number}", email="ann@example.com", livemode=False,
                stripe_data={"id": customer, "name": "Ann", "balance": 3},
            )  # fmt: skip
        erasure.erase(user=user, now=now)
        ours, other = Customer.objects.order_by("id")
        assert (ours.email, ours.stripe_data["name"], ours.stripe_data["balance"]) == ("", None, 3)
        assert (other.email, other.stripe_data["name"]) == ("ann@example.com", "Ann")

    def test_of_others_are_untouched(self, user, site, shop, now):
        InboxEvent.objects.create(
            event_id="evt_other", type="invoice.paid", created_at=now, received_at=now,
            body=json.dumps({"data": {"object": {"customer": "cus_other", "email": "bob@x.org"}}}),
            next_attempt_at=now + timedelta(days=1),
        )  # fmt: skip
        erasure.erase(user=user, now=now)
        assert "bob@x.org" in InboxEvent.objects.get(event_id="evt_other").body

    def test_new_events_lose_their_names_within_the_hour(self, user, site, shop, now):
        erasure.erase(user=user, now=now)
        shop.buy(shop.pack, metadata={"offer": "pack-50"})
        site.hears()
        assert "ann@example.com" in bodies()
        erasure.follow_up(now=timezone.now())
        assert "ann@example.com" not in bodies()


def bodies():
    return "\n".join(InboxEvent.objects.values_list("body", flat=True))


class TestTheCommand:
    def run(self, *arguments):
        out = StringIO()
        call_command("erase_account", *arguments, stdout=out)
        return out.getvalue()

    def test_says_first_what_is_lost(self, user, account, now):
        give(account, now)
        said = self.run("ADA@example.com")
        assert "would lose 10 credits, 0 single generations and no plan. Add --yes" in said
        assert User.objects.get().erased_at is None

    def test_deletes_with_yes(self, user):
        assert "@erased.invalid now." in self.run("ada@example.com", "--yes")
        assert User.objects.get().erased_at is not None

    def test_is_in_the_audit_log(self, user):
        self.run("ada@example.com", "--yes", "--reason", "ticket 7")
        logged = StaffAction.objects.values_list("action", "reason", "target")
        assert list(logged) == [
            ("account.frozen", "ticket 7", ""), ("person.erase", "ticket 7", f"user:{user.pk}"),
        ]  # fmt: skip
        assert StaffAction.objects.filter(actor__startswith="cli:").count() == 2

    def test_says_that_stripe_cannot_be_reached(self, user, site, settings):
        settings.STRIPE_API_BASE = "http://127.0.0.1:1"
        with pytest.raises(CommandError, match="Nothing was deleted: APIConnectionError"):
            self.run("ada@example.com", "--yes")

    def test_names_an_unknown_address(self, db):
        with pytest.raises(CommandError, match=r"There is no user x@example\.com"):
            self.run("x@example.com")
