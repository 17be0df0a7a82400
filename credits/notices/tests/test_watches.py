"""Balances that run low and gifts that end: told once, and not for nothing."""

from datetime import timedelta

import pytest
from django.core import mail

from credits.models import Notice, NoticePreferences, Pool
from credits.notices import outbox, preferences, watches
from credits.tests.race import meet_before, race

pytestmark = pytest.mark.django_db
Kind = Notice.Kind


def wishes(customer, **changes):
    values = {"renewals": True, "expiring": True, "low_balance": None, **changes}
    preferences.save_preferences(account_id=customer.account_id, now=customer.now, **values)


def watch(customer):
    """A minute later: what the duty tells, and the mails that come of it."""
    customer.wait(minutes=1)
    told = watches.watch_balances(now=customer.now)
    outbox.send_due(now=customer.now)
    return told


class TestALowBalance:
    @pytest.fixture(autouse=True)
    def threshold_of_10(self, customer):
        customer.grant(30)
        wishes(customer, low_balance=10)

    def test_is_told_when_fewer_are_left(self, customer):
        customer.spend(20)
        assert watch(customer) == 0  # 10 are left: that is not fewer than 10
        customer.spend(1)
        assert watch(customer) == 1
        [message] = mail.outbox
        assert message.subject == "9 credits left"
        assert "You asked to be told below 10." in message.body
        assert "List-Unsubscribe" in message.extra_headers

    def test_is_told_once_for_a_crossing(self, customer):
        customer.spend(21)
        assert [watch(customer), watch(customer)] == [1, 0]
        customer.spend(5)
        assert watch(customer) == 0

    def test_is_told_again_after_the_balance_has_risen(self, customer):
        customer.spend(21)
        watch(customer)
        customer.grant(1)
        assert watch(customer) == 0
        customer.spend(1)
        assert watch(customer) == 1
        assert len(mail.outbox) == 2

    def test_counts_all_pools(self, customer):
        customer.gift(4, days=30)
        customer.renew(5)
        customer.spend(25)
        assert watch(customer) == 0

    def test_is_not_told_to_who_did_not_ask(self, customer):
        wishes(customer, low_balance=None)
        customer.spend(30)
        assert watch(customer) == 0

    def test_that_was_low_before_one_asked_is_not_told(self, customer):
        customer.spend(25)
        wishes(customer, low_balance=20)
        assert watch(customer) == 0
        customer.grant(50)
        watch(customer)
        customer.spend(50)
        assert watch(customer) == 1

    def test_saving_other_wishes_does_not_arm_it_again(self, customer):
        customer.spend(21)
        watch(customer)
        wishes(customer, low_balance=10, renewals=False)
        assert watch(customer) == 0

    def test_is_not_sent_to_who_switched_it_off_meanwhile(self, customer):
        customer.spend(21)
        watches.watch_balances(now=customer.now)
        preferences.unsubscribe(account_id=customer.account_id, kind=Kind.LOW_BALANCE)
        outbox.send_due(now=customer.now)
        assert mail.outbox == []

    @pytest.mark.django_db(transaction=True)
    def test_is_told_once_by_many_workers(self, customer):
        customer.spend(21)
        told = race(*[lambda: watches.watch_balances(now=customer.now)] * 4)
        assert sum(told) == 1
        assert Notice.objects.count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_is_told_twice_without_the_conditional_update(self, customer, monkeypatch):
        def update_blindly(row, now):
            NoticePreferences.objects.filter(pk=row.pk).update(low_since=now)
            return True

        monkeypatch.setattr(watches, "_tell_low", update_blindly)
        meet_before(monkeypatch, 2, watches, "_tell_low")
        customer.spend(21)
        assert sum(race(*[lambda: watches.watch_balances(now=customer.now)] * 2)) == 2


class TestAGiftThatEnds:
    def told(self, customer):
        told = watches.watch_expiry(now=customer.now)
        outbox.send_due(now=customer.now)
        return told

    def test_is_told_a_week_before(self, customer):
        customer.gift(40, days=30)
        customer.wait(days=22)
        assert self.told(customer) == 0
        customer.wait(days=1)
        assert self.told(customer) == 1
        [message] = mail.outbox
        assert message.subject == "40 credits end on 9 April 2026, 12:00 UTC"

    def test_is_told_once(self, customer):
        customer.gift(40, days=30)
        customer.wait(days=25)
        assert [self.told(customer), self.told(customer)] == [1, 0]

    @pytest.mark.parametrize(("spent", "times"), [(36, 1), (37, 0), (40, 0)])
    def test_is_told_while_a_tenth_is_left(self, customer, spent, times):
        customer.gift(40, days=30)
        customer.spend(spent)
        customer.wait(days=25)
        assert self.told(customer) == times

    def test_that_was_short_from_the_start_is_not_told(self, customer):
        customer.gift(40, days=5)
        assert self.told(customer) == 0

    def test_that_has_ended_is_not_told(self, customer):
        customer.gift(40, days=30)
        customer.wait(days=30)
        assert self.told(customer) == 0

    def test_plans_and_packs_are_not_gifts(self, customer):
        customer.renew(20, days=10)
        customer.grant(20, Pool.BULK)
        customer.wait(days=9)
        assert self.told(customer) == 0

    def test_is_not_sent_to_who_does_not_want_it(self, customer):
        wishes(customer, expiring=False)
        customer.gift(40, days=30)
        customer.wait(days=25)
        self.told(customer)
        assert mail.outbox == []
        assert Notice.objects.get().state == Notice.State.SKIPPED


def test_moments_that_differ_make_facts_that_differ(customer):
    wishes(customer, low_balance=10)
    customer.grant(30)
    for _crossing in range(3):
        watch(customer)
        customer.spend(25)
        customer.wait(seconds=1)
        assert watch(customer) == 1
        customer.grant(25)
    keys = Notice.objects.values_list("fact_key", flat=True)
    assert len(set(keys)) == 3
    assert timedelta(0) < customer.now - Notice.objects.order_by("pk")[0].created_at
