"""Credits coming in from purchases and gifts."""

from datetime import timedelta

import pytest

from credits import services
from credits.models import CreditLot, Pool
from credits.tests.conftest import left

pytestmark = pytest.mark.django_db


class TestOpenAccount:
    def test_starts_empty(self, customer):
        assert customer.pools == (0, 0, 0)

    def test_returns_the_account_that_the_user_has(self, account, now):
        again = services.open_account(user_id=account.user_id, now=now + timedelta(days=1))

        assert (again.pk, again.created_at) == (account.pk, now)


class TestGrant:
    @pytest.mark.parametrize(
        ("pool", "pools"),
        [
            (Pool.SUBSCRIPTION, (7, 0, 0)),
            (Pool.PROMOTIONAL, (0, 7, 0)),
            (Pool.BULK, (0, 0, 7)),
        ],
    )
    def test_adds_to_its_own_pool_only(self, customer, pool, pools):
        customer.grant(7, pool)

        assert customer.pools == pools

    def test_adds_packs_up(self, customer):
        customer.grant(50)
        customer.grant(100)

        assert customer.pools == (0, 0, 150)

    def test_keeps_what_was_bought_and_paid(self, customer):
        customer.grant(
            100,
            source_key="checkout:cs_1",
            amount_paid=1999,
            currency="eur",
            terms={"offer": "pack-100"},
        )

        lot = CreditLot.objects.get(source_key="checkout:cs_1")
        assert (lot.amount_paid, lot.currency, lot.terms) == (1999, "eur", {"offer": "pack-100"})

    def test_writes_one_line_that_says_why(self, customer):
        lot = customer.grant(100, source_key="checkout:cs_1", actor="staff", note="by phone")

        line = lot.entries.get()
        assert (line.kind, line.amount, line.balance_after) == ("grant", 100, 100)
        assert (line.reference, line.actor, line.note) == ("checkout:cs_1", "staff", "by phone")

    def test_returns_the_lot_as_it_is_stored(self, customer):
        lot = customer.grant(100)

        stored = CreditLot.objects.get(pk=lot.pk)
        assert (lot.granted, lot.remaining, lot.account_id) == (100, 100, customer.account_id)
        assert (stored.granted, stored.remaining, stored.account_id) == (
            100,
            100,
            customer.account_id,
        )

    def test_is_refused_for_an_account_that_does_not_exist(self, customer):
        customer.account_id += 1_000

        with pytest.raises(services.AccountNotFound):
            customer.grant(5)

    def test_comes_in_on_a_frozen_account_too(self, customer):
        services.freeze_account(account_id=customer.account_id, now=customer.now)

        customer.grant(5)

        assert customer.pools == (0, 0, 5)

    def test_that_has_ended_already_is_never_spendable(self, customer):
        customer.gift(5, days=0)

        assert customer.pools == (0, 0, 0)
        with pytest.raises(services.InsufficientCredits):
            customer.spend(1)


class TestGrantPaysWhatIsOwedFirst:
    def owes(self, customer, amount):
        pack = customer.grant(amount)
        customer.spend(amount)
        customer.claw_back(pack, amount)

    def test_and_keeps_the_rest(self, customer):
        self.owes(customer, 30)

        lot = customer.grant(100)

        assert (customer.owed, left(lot), customer.pools) == (0, 70, (0, 0, 70))
        assert customer.lines()[-2:] == ["grant 100", "repay -30"]

    def test_as_far_as_it_goes(self, customer):
        self.owes(customer, 30)

        lot = customer.grant(20)

        assert (customer.owed, left(lot)) == (10, 0)

    def test_over_several_grants(self, customer):
        self.owes(customer, 30)

        for pool in Pool:
            customer.grant(12, pool)

        assert (customer.owed, customer.pools) == (0, (0, 0, 6))

    def test_and_a_renewal_does_too(self, customer):
        self.owes(customer, 30)

        customer.renew(100)

        assert (customer.owed, customer.pools) == (0, (70, 0, 0))
