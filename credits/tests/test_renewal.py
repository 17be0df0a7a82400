"""A paid period begins: the old credits end, some are carried over, new ones come in."""

import pytest

from credits import services
from credits.models import CreditLot, Pool
from credits.tests.conftest import left

pytestmark = pytest.mark.django_db


class TestResetSubscription:
    def test_begins_the_first_period(self, customer):
        customer.renew(100)

        assert (customer.pools, customer.lines()) == ((100, 0, 0), ["grant 100"])

    def test_ends_what_is_left_and_adds_the_new_credits(self, customer):
        old = customer.renew(100)
        customer.spend(30)

        customer.renew(100)

        assert (customer.pools, left(old)) == ((100, 0, 0), 0)
        assert customer.lines() == ["grant 100", "hold -30", "expire -70", "grant 100"]

    def test_never_touches_the_other_pools(self, customer):
        customer.renew(100)
        customer.gift(7, days=10)
        customer.grant(50)

        customer.renew(200)

        assert customer.pools == (200, 7, 50)

    def test_lives_three_days_longer_than_the_period(self, customer, settings):
        lot = customer.renew(100, days=30)

        assert lot.expires_at == customer.in_days(30) + settings.SUBSCRIPTION_GRACE

    def test_leaves_the_old_credits_until_the_payment_arrives(self, customer):
        customer.renew(100, days=30)
        customer.wait(days=32)
        assert customer.pools == (100, 0, 0)

        customer.wait(days=1)

        assert customer.pools == (0, 0, 0)

    def test_ends_several_old_lots(self, customer):
        customer.renew(100)
        customer.grant(20, Pool.SUBSCRIPTION, expires_at=customer.in_days(10))
        customer.grant(20, Pool.SUBSCRIPTION)

        customer.renew(5)

        assert customer.pools == (5, 0, 0)

    def test_writes_off_one_that_ended_before_only_once(self, customer):
        customer.renew(100, days=1)
        customer.wait(days=10)

        customer.renew(100, rollover_cap=50)

        assert customer.lines() == ["grant 100", "expire -100", "grant 100"]

    def test_for_a_period_that_is_over_gives_nothing_to_spend(self, customer):
        customer.renew(100, period_end=customer.in_days(-4))

        assert customer.pools == (0, 0, 0)

    def test_on_a_frozen_account_still_renews(self, customer):
        services.freeze_account(account_id=customer.account_id, now=customer.now)

        customer.renew(100)

        assert customer.pools == (100, 0, 0)


class TestRollover:
    @pytest.mark.parametrize(
        ("spent", "cap", "carried"),
        [(0, 0, 0), (0, 20, 20), (90, 20, 10), (100, 20, 0), (80, 20, 20), (0, 500, 100)],
    )
    def test_carries_what_is_left_up_to_the_cap(self, customer, spent, cap, carried):
        customer.renew(100)
        if spent:
            customer.spend(spent)

        customer.renew(100, rollover_cap=cap)

        assert customer.pools == (100 + carried, 0, 0)

    def test_counts_the_cap_over_all_old_lots_again_at_every_renewal(self, customer):
        customer.renew(100)
        customer.renew(100, rollover_cap=20)
        assert customer.pools == (120, 0, 0)

        customer.renew(100, rollover_cap=20)

        assert customer.pools == (120, 0, 0)

    def test_is_a_lot_of_its_own_that_ends_with_the_new_period(self, customer):
        customer.renew(100)

        new = customer.renew(100, rollover_cap=20)

        carried = CreditLot.objects.get(source_key=f"rollover:{new.source_key}")
        assert (carried.granted, carried.expires_at) == (20, new.expires_at)

    def test_carries_the_credits_that_would_have_lived_longest(self, customer):
        sooner = customer.grant(10, Pool.SUBSCRIPTION, expires_at=customer.in_days(5))
        later = customer.grant(10, Pool.SUBSCRIPTION, expires_at=customer.in_days(9))

        customer.renew(100, rollover_cap=10)

        kinds = [list(lot.entries.values_list("kind", flat=True)) for lot in (sooner, later)]
        assert kinds == [["grant", "expire"], ["grant", "rollover"]]

    def test_does_not_carry_what_a_dispute_has_frozen(self, customer):
        disputed = customer.renew(100)
        customer.freeze(disputed)

        customer.renew(50, rollover_cap=100)
        assert customer.pools == (50, 0, 0)

        customer.unfreeze(disputed)
        assert customer.pools == (50, 0, 0)  # its period is over

    def test_leaves_what_is_owed_to_the_new_lot(self, customer):
        pack = customer.grant(10)
        customer.spend(10)
        customer.claw_back(pack, 10)

        customer.renew(100, rollover_cap=100)

        assert (customer.pools, customer.owed) == ((90, 0, 0), 0)


class TestRenewalWithAnOpenHold:
    def test_leaves_captured_credits_spent_in_the_old_period(self, customer):
        customer.renew(100)
        held = customer.hold(30)
        customer.renew(100)

        customer.capture(held)

        assert customer.pools == (100, 0, 0)

    def test_lets_them_lapse_if_the_customer_gives_up(self, customer):
        customer.renew(100)
        held = customer.hold(100)
        customer.renew(100)

        customer.release(held, by_customer=True)

        assert customer.pools == (100, 0, 0)

    def test_brings_them_back_into_the_new_period_if_we_failed(self, customer):
        customer.renew(100)
        held = customer.hold(30)
        new = customer.renew(100)

        customer.release(held)

        returned = CreditLot.objects.get(source_key__startswith="return:")
        assert (customer.pools, returned.expires_at) == ((130, 0, 0), new.expires_at)

    def test_ends_them_also_when_the_lot_was_held_entirely(self, customer):
        customer.renew(100)
        held = customer.hold(100)
        customer.wait(days=1)  # long before the old period's own end
        customer.renew(100)

        customer.release(held, by_customer=True)

        assert customer.pools == (100, 0, 0)

    def test_over_two_renewals_brings_them_into_the_second(self, customer):
        customer.renew(100)
        held = customer.hold(30)
        customer.wait(days=30)
        customer.renew(100)
        customer.wait(days=30)
        newest = customer.renew(100)

        customer.release(held)

        returned = CreditLot.objects.get(source_key__startswith="return:")
        assert (customer.pools, returned.expires_at) == ((130, 0, 0), newest.expires_at)

    def test_returns_the_bulk_part_to_its_pack(self, customer):
        pack = customer.grant(50)
        customer.renew(10)
        held = customer.hold(30)
        customer.renew(10)

        customer.release(held, by_customer=True)

        assert (customer.pools, left(pack)) == ((10, 0, 50), 50)

    def test_after_the_plan_is_gone_gives_goodwill_credits(self, customer):
        customer.renew(100, days=30)
        held = customer.hold(30)
        customer.wait(days=40)

        customer.release(held)

        assert customer.pools == (0, 30, 0)

    def test_is_not_a_way_around_the_rollover_cap(self, customer):
        customer.renew(100)
        held = customer.hold(90)

        customer.renew(100, rollover_cap=20)
        assert customer.pools == (110, 0, 0)  # 10 were left

        customer.release(held, by_customer=True)
        assert customer.pools == (110, 0, 0)
