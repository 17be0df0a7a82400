"""Deleting an account while something else happens to it: real threads, and each race's control.

A control is the same race without what protects it, and has to be lost.
"""

from threading import Event

import pytest
from django.db import DatabaseError, connection
from django.utils import timezone

from billing_site.accounts import erasure
from billing_site.accounts.models import User
from billing_site.accounts.tests import test_erasure
from billing_site.accounts.tests.test_erasure import (
    account,
    books_balance,
    client,
    client_of_site,
    new_sandbox,
    now,
    offers,
    receiver,
    sandbox,
    shop,
    site,
    state_file,
    user,
    visitor,
)
from billing_site.console.late_payments import late_payments
from billing_site.sandbox.stripe.tests.conftest import GOOD
from credits import books
from credits import services as credits
from credits.models import Account, CreditLot, StaffAction
from credits.payments import ending
from credits.payments.client import SellingUnavailable
from credits.tests.race import kinds, meet_before, race
from generation.models import Generation
from generation.tests.cast import available, give, request

__all__ = [
    "account", "books_balance", "client", "client_of_site", "new_sandbox", "now", "offers",
    "receiver", "sandbox", "shop", "site", "state_file", "user", "visitor",
]  # fmt: skip

pytestmark = pytest.mark.django_db(transaction=True)
PAUSE = 1  # second: how long one side is held back, to let the other go first
live_plans = test_erasure.live_plans


def delete(user, **by):
    erasure.erase(user=User.objects.get(pk=user.pk), now=timezone.now(), **by)


def without_the_lock(monkeypatch):
    if connection.vendor == "sqlite":
        pytest.skip("BEGIN IMMEDIATE is the lock on SQLite: there is no clause to take away")
    plain, clause, _rest = books._lock_sql(connection.vendor).partition(" FOR ")
    assert clause
    monkeypatch.setattr(books, "_lock_sql", lambda vendor: plain)


class TestAgainstASpend:
    """The spend has seen that the account is active, and writes as late as it can."""

    @pytest.fixture
    def run(self, user, account, now, monkeypatch):
        give(account, now)
        spending, erased = Event(), Event()
        add_hold = books.Books.add_hold

        def late(self, hold):
            spending.set()
            erased.wait(PAUSE)
            add_hold(self, hold)

        monkeypatch.setattr(books.Books, "add_hold", late)

        def leave():
            assert spending.wait(10)
            delete(user)
            erased.set()

        return lambda: race(lambda: request(account, now, prompt="A secret prompt"), leave)

    def test_what_was_asked_for_is_canceled_and_emptied(self, run, account, now):
        assert kinds(run()) == {"Generation": 1, "NoneType": 1}
        left = Generation.objects.get()
        assert (left.status, left.prompt, available(account, now)) == ("canceled", "", 10)

    def test_an_erased_account_spends_without_the_lock(self, run, monkeypatch):
        without_the_lock(monkeypatch)
        assert kinds(run()) == {"Generation": 1, "NoneType": 1}
        left = Generation.objects.get()
        assert (left.status, left.prompt) == ("queued", "A secret prompt")


class TestAgainstAGrant:
    """A payment's event is applied while generations are given back."""

    @pytest.fixture
    def run(self, user, site, shop, now):
        give(site.account, now)
        request(site.account, now)
        shop.buy(shop.pack, metadata={"offer": "pack-50"})
        shop.delivered()
        return lambda: race(lambda: delete(user), site.takes_in)

    @pytest.fixture
    def refused(self, monkeypatch):
        """Lines that the database did not take, also if somebody tried again."""
        seen = []
        write = books.Books.write

        def watched(self):
            try:
                write(self)
            except DatabaseError as error:
                seen.append(error)
                raise

        monkeypatch.setattr(books.Books, "write", watched)
        return seen

    def test_both_come_whole(self, run, account, now, refused):
        assert (run(), refused) == ([None, None], [])
        assert Generation.objects.get().status == "canceled"
        assert available(account, now) == 60
        assert Account.objects.get().status == "frozen"

    @pytest.mark.breaks_the_books
    def test_not_without_the_lock(self, run, refused, monkeypatch):
        without_the_lock(monkeypatch)
        monkeypatch.setattr(Account.objects, "locked", Account.objects.all)
        meet_before(monkeypatch, 2, books.Books, "_write_lines")
        run()
        assert refused


class TestAgainstACheckout:
    """The page to pay on is open while its owner leaves."""

    @pytest.fixture
    def pay(self, shop):
        session = shop.session(shop.pack, metadata={"offer": "pack-50"})
        shop.visitor.open(session.url)

        def pay():
            shop.visitor.press("action", "pay", card=GOOD)

        pay.status = lambda: shop.client.v1.checkout.sessions.retrieve(session.id).status
        return pay

    def test_it_is_paid_and_seen_by_staff_or_can_not_be_paid(self, user, site, pay):
        race(lambda: delete(user), pay)
        site.hears()
        bought = CreditLot.objects.filter(source_key__startswith="checkout:").count()
        assert (pay.status(), bought) in [("expired", 0), ("complete", 1)]
        assert late_payments().count() == bought

    def test_what_is_paid_in_that_moment_is_to_be_refunded(self, user, site, pay, monkeypatch):
        """Paid between Stripe's list of open sessions and the end of this one."""
        expire = ending._expire

        def too_late(*arguments):
            pay()
            expire(*arguments)

        monkeypatch.setattr(ending, "_expire", too_late)
        delete(user)
        site.hears()
        assert Account.objects.get().status == "frozen"
        assert late_payments().get().amount == 500

    def test_it_stays_open_unless_it_is_ended(self, user, site, pay, monkeypatch):
        monkeypatch.setattr(ending, "_expire", lambda *arguments: None)
        delete(user)
        assert pay.status() == "open"
        pay()
        assert pay.status() == "complete"


class TestTwoDeletionsAtOnce:
    def run(self, user, monkeypatch):
        meet_before(monkeypatch, 2, erasure, "_become_nobody")
        return race(*[lambda who=who: delete(user, actor=who) for who in ("cli:a", "cli:b")])

    def test_are_noted_once(self, user, account, monkeypatch):
        assert self.run(user, monkeypatch) == [None, None]
        assert StaffAction.objects.filter(action="person.erase").count() == 1

    def test_are_noted_twice_without_the_lock(self, user, account, monkeypatch):
        monkeypatch.setattr(User.objects, "select_for_update", User.objects.all)
        meet_before(monkeypatch, 2, erasure.EmailAddress.objects, "filter")
        assert self.run(user, monkeypatch) == [None, None]
        assert StaffAction.objects.filter(action="person.erase").count() == 2

    @pytest.fixture
    def one_fails_at_stripe(self, user, account, monkeypatch):
        """It has frozen the account first, so it is the one that would lift that."""
        end_at_once, frozen, other = ending.end_at_once, Event(), Event()
        first = []

        def end(**who):
            if first:
                return end_at_once(**who)
            first.append(True)
            frozen.set()
            other.wait(10)
            raise SellingUnavailable("Stripe cannot be reached.", reason="no network")

        monkeypatch.setattr(ending, "end_at_once", end)

        def second():
            assert frozen.wait(10)
            delete(user)
            other.set()

        return lambda: race(lambda: delete(user), second)

    def test_the_one_that_fails_does_not_thaw_what_the_other_erased(self, one_fails_at_stripe):
        assert kinds(one_fails_at_stripe()) == {"SellingUnavailable": 1, "NoneType": 1}
        assert Account.objects.get().status == "frozen"

    def test_and_would_without_the_look_at_the_person(self, one_fails_at_stripe, monkeypatch):
        def thaw(user, account, now, by):
            credits.unfreeze_account(account_id=account.pk, now=now, **by)

        monkeypatch.setattr(erasure, "_stay", thaw)
        one_fails_at_stripe()
        assert Account.objects.get().status == "active"
