"""Real threads on real connections: what happens at the same moment comes out as if in turn.

Each race is also run as a negative control without the thing that protects it, mostly the account's
lock; that it then goes wrong proves that the race is one. SQLite has no such clause to take away:
there BEGIN IMMEDIATE is the lock.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet

from credits import books, services
from credits.models import Account, Hold
from credits.services import grants, holds
from credits.tests.conftest import left
from credits.tests.race import a_constraint_refused, kinds, meet_before, race

pytestmark = pytest.mark.django_db(transaction=True)
control = pytest.mark.breaks_the_books


class TestParallelSpends:
    def spend_one(self, customer, times):
        return race(*[partial(customer.spend, 1, idempotency_key=f"k{n}") for n in range(times)])

    def test_spend_exactly_what_there_is(self, new_customer):
        for _round in range(3):
            customer = new_customer()
            customer.grant(10)

            outcomes = self.spend_one(customer, 20)

            assert kinds(outcomes) == {"Hold": 10, "InsufficientCredits": 10}
            assert customer.pools == (0, 0, 0)

    @control
    def test_do_not_without_the_lock(self, customer, without_lock):
        customer.grant(3)
        without_lock(6)

        outcomes = self.spend_one(customer, 6)

        assert a_constraint_refused(outcomes)


class TestRenewalAgainstSpends:
    def run(self, customer, spends=6):
        customer.renew(12)
        return race(
            partial(customer.renew, 100, source_key=f"invoice:{customer.account_id}"),
            *[partial(customer.spend, 2, idempotency_key=f"k{n}") for n in range(spends)],
        )

    def test_takes_each_spend_wholly_from_the_old_or_the_new_period(self, new_customer):
        for _round in range(8):
            customer = new_customer()

            outcomes = self.run(customer)

            assert kinds(outcomes) == {"CreditLot": 1, "Hold": 6}
            assert Hold.objects.filter(account_id=customer.account_id).count() == 6
            for spent in outcomes[1:]:
                assert spent.entries.values("lot").distinct().count() == 1
            new = outcomes[0]
            before = sum(spent.pk < new.pk for spent in outcomes[1:])
            assert customer.pools == (100 - 2 * (6 - before), 0, 0)

    @control
    def test_does_not_without_the_lock(self, customer, without_lock):
        customer.renew(12)
        without_lock(2)

        outcomes = race(partial(customer.renew, 100), partial(customer.spend, 2))

        assert a_constraint_refused(outcomes)


class TestOneSourceKey:
    @pytest.fixture
    def refusals(self, monkeypatch) -> list[IntegrityError]:
        """What the constraints had to stop, also if the service answered well in the end."""
        seen: list[IntegrityError] = []

        @contextmanager
        def watched(*args: Any, **kwargs: Any) -> Iterator[books.Books]:
            try:
                with books.locked(*args, **kwargs) as locked_books:
                    yield locked_books
            except IntegrityError as error:
                seen.append(error)
                raise

        monkeypatch.setattr(grants, "locked", watched)
        return seen

    def grants(self, customer, key):
        return race(*[partial(customer.grant, 5, source_key=key)] * 8)

    def test_makes_one_lot(self, customer, refusals):
        for number in range(5):
            outcomes = self.grants(customer, f"checkout:{number}")

            assert len({lot.pk for lot in outcomes}) == 1

        assert (customer.pools, refusals) == ((0, 0, 25), [])

    def test_of_two_accounts_makes_one_lot(self, new_customer):
        for number in range(5):
            customers = [new_customer(), new_customer()]

            outcomes = race(
                *[partial(each.grant, 5, source_key=f"checkout:{number}") for each in customers]
            )

            assert kinds(outcomes) == {"CreditLot": 1, "IdempotencyConflict": 1}
            assert sum(each.pools[2] for each in customers) == 5

    def test_of_an_invoice_renews_once(self, customer):
        for number in range(5):
            renew = partial(
                customer.renew, 10, source_key=f"invoice:{number}", period_end=customer.in_days(30)
            )

            assert len({lot.pk for lot in race(*[renew] * 4)}) == 1

        assert customer.lines().count("expire -10") == 4

    @control
    def test_needs_the_constraints_without_the_lock(self, customer, refusals, without_lock):
        without_lock(8)

        self.grants(customer, "checkout:1")

        assert refusals


class TestOneIdempotencyKey:
    def take(self, customer, key):
        return race(*[partial(customer.hold, 1, idempotency_key=key)] * 8)

    def test_makes_one_hold(self, customer):
        customer.grant(100)
        for number in range(5):
            outcomes = self.take(customer, f"k{number}")

            assert len({held.pk for held in outcomes}) == 1

        assert (customer.balance.held, customer.pools) == (5, (0, 0, 95))

    def test_makes_one_hold_of_the_last_credit(self, new_customer):
        for _round in range(5):
            customer = new_customer()
            customer.grant(1)

            outcomes = self.take(customer, "k")

            assert len({held.pk for held in outcomes}) == 1

    @control
    def test_makes_more_without_the_unique_key(self, customer):
        """Here the key, not the lock, is what protects."""
        if connection.vendor == "sqlite":
            pytest.skip("SQLite copies the table to drop a key, which its triggers do not survive")
        key = next(each for each in Hold._meta.constraints if each.name == "credits_hold_key_once")
        customer.grant(100)
        with connection.schema_editor() as editor:
            editor.remove_constraint(Hold, key)
        try:
            outcomes = self.take(customer, "k")
        finally:
            for held in Hold.objects.all():
                Hold.objects.filter(pk=held.pk).update(idempotency_key=f"k{held.pk}")
            with connection.schema_editor() as editor:
                editor.add_constraint(Hold, key)

        assert len({held.pk for held in outcomes}) == 8


class TestSettlingAHold:
    def run(self, customer, *settle):
        customer.grant(5)
        held = customer.hold(5)
        return held, race(*[partial(each, held) for each in settle])

    def test_twice_for_different_amounts_captures_once(self, new_customer):
        for _round in range(8):
            customer = new_customer()

            held, outcomes = self.run(
                customer,
                lambda held, customer=customer: customer.capture(held, 3),
                lambda held, customer=customer: customer.capture(held, 4),
            )

            assert kinds(outcomes) == {"Hold": 1, "HoldAlreadySettled": 1}
            held.refresh_from_db()
            assert customer.pools == (0, 0, 5 - held.captured)

    def test_by_capture_and_release_does_one_of_them(self, new_customer):
        for _round in range(8):
            customer = new_customer()

            _held, outcomes = self.run(customer, customer.capture, customer.release)

            assert kinds(outcomes) == {"Hold": 1, "HoldAlreadySettled": 1}
            assert customer.pools in {(0, 0, 0), (0, 0, 5)}

    def test_by_six_releases_gives_back_once(self, new_customer):
        for _round in range(4):
            customer = new_customer()

            _held, outcomes = self.run(customer, *[customer.release] * 6)

            assert kinds(outcomes) == {"Hold": 6}
            assert customer.lines() == ["grant 5", "hold -5", "release 5"]

    @control
    def test_by_capture_and_release_does_both_without_the_lock(self, customer, without_lock):
        without_lock(2, holds, "_settle")

        _held, outcomes = self.run(customer, customer.capture, customer.release)

        assert kinds(outcomes) == {"Hold": 2}


class TestClawBackAgainstSpend:
    def run(self, customer, pack):
        return race(partial(customer.claw_back, pack, 10), partial(customer.spend, 6))

    def test_takes_the_credits_or_makes_them_owed(self, new_customer):
        for _round in range(8):
            customer = new_customer()

            pack = customer.grant(10)

            outcomes = self.run(customer, pack)

            spent = kinds(outcomes)["Hold"]
            assert kinds(outcomes)["InsufficientCredits"] == 1 - spent
            assert (left(pack), customer.owed) == (0, 6 * spent)

    @control
    def test_does_not_without_the_lock(self, customer, without_lock):
        pack = customer.grant(10)
        without_lock(2)

        outcomes = self.run(customer, pack)

        assert a_constraint_refused(outcomes)


class TestExpiryAgainstSpends:
    def run(self, customer):
        customer.grant(10)
        customer.gift(10, days=1)
        customer.wait(days=1)
        sweep = partial(services.expire_due, now=customer.now)
        return race(sweep, sweep, *[partial(customer.spend, 2)] * 4)

    def test_writes_off_once_and_spends_only_what_lasts(self, new_customer):
        for _round in range(6):
            customer = new_customer()

            outcomes = self.run(customer)

            assert kinds(outcomes) == {"Swept": 2, "Hold": 4}
            assert [swept.failed for swept in outcomes[:2]] == [0, 0]
            assert customer.pools == (0, 0, 2)
            assert customer.lines().count("expire -10") == 1

    @control
    def test_does_not_without_the_lock(self, customer, without_lock):
        customer.gift(10, days=1)
        customer.grant(10)
        customer.wait(days=1)
        without_lock(2)

        outcomes = race(partial(services.expire_due, now=customer.now), partial(customer.spend, 2))

        assert a_constraint_refused(outcomes) or outcomes[0].failed


class TestOpeningAnAccount:
    def open(self, user, now):
        return race(*[partial(services.open_account, user_id=user.pk, now=now)] * 6)

    def test_for_one_person_makes_one(self, now):
        for number in range(5):
            user = get_user_model().objects.create_user(email=f"{number}@example.com")

            assert len({account.pk for account in self.open(user, now)}) == 1

    @control
    def test_for_one_person_makes_more_without_the_unique_key(self, now, monkeypatch):
        if connection.vendor != "postgresql":
            pytest.skip("the key of a one-to-one field is dropped in PostgreSQL's words here")
        with connection.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE credits_account DROP CONSTRAINT credits_account_user_id_key"
            )
        try:
            user = get_user_model().objects.create_user(email="a@example.com")
            meet_before(monkeypatch, 6, QuerySet, "create")  # all have looked by then
            outcomes = self.open(user, now)
        finally:
            Account.objects.all().delete()
            with connection.cursor() as cursor:
                cursor.execute(
                    "ALTER TABLE credits_account"
                    " ADD CONSTRAINT credits_account_user_id_key UNIQUE (user_id)"
                )

        assert len({account.pk for account in outcomes}) == 6


class TestDeadlock:
    def test_never_happens_over_many_accounts_in_opposite_orders(self, new_customer):
        customers = [new_customer() for _number in range(8)]
        for customer in customers:
            customer.grant(100)

        def work(order):
            for customer in order:
                pack = customer.grant(2)
                customer.release(customer.hold(3))
                customer.spend(1)
                customer.claw_back(pack, 1)
            services.expire_due(now=customers[0].now)

        outcomes = race(*[partial(work, customers[::step]) for step in (1, -1) * 3])

        assert outcomes == [None] * 6

    @control
    def test_happens_when_a_caller_locks_two_accounts_in_opposite_orders(self, new_customer):
        if connection.vendor == "sqlite":
            pytest.skip("SQLite has one lock for the whole database")
        customers = [new_customer(), new_customer()]
        everybody = Barrier(2)

        def work(first, second):
            with transaction.atomic():
                first.grant(1)
                everybody.wait(timeout=5)
                second.grant(1)

        outcomes = race(partial(work, *customers), partial(work, *customers[::-1]))

        assert kinds(outcomes) == {"NoneType": 1, "OperationalError": 1}
