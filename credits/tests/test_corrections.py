"""Refunds, disputes, and what staff puts right."""

import pytest

from credits import services
from credits.models import CreditLot, Hold, Pool
from credits.services import Direction
from credits.tests.conftest import left

pytestmark = pytest.mark.django_db


class TestClawBack:
    def test_takes_what_is_left_of_the_purchase(self, customer):
        pack = customer.grant(100)

        customer.claw_back(pack, 100)

        assert (customer.pools, customer.owed) == ((0, 0, 0), 0)

    def test_of_a_part_leaves_the_rest(self, customer):
        pack = customer.grant(100)

        customer.claw_back(pack, 40)

        assert (left(pack), customer.owed) == (60, 0)

    def test_never_touches_other_purchases(self, customer):
        other = customer.grant(100)
        pack = customer.grant(100)
        customer.spend(150)

        customer.claw_back(pack, 100)

        assert (left(pack), left(other), customer.owed) == (0, 0, 50)

    def test_makes_what_was_spent_owed_even_if_other_credits_are_there(self, customer):
        pack = customer.grant(100)
        customer.spend(60)
        customer.grant(100)

        customer.claw_back(pack, 100)

        assert (customer.pools, customer.owed) == ((0, 0, 100), 60)

    def test_takes_what_is_left_before_anything_is_owed(self, customer):
        pack = customer.grant(100)
        customer.spend(60)

        customer.claw_back(pack, 50)

        assert (left(pack), customer.owed) == (0, 10)

    def test_forgives_what_had_ended(self, customer):
        gift = customer.gift(100, days=1)
        customer.spend(30)
        customer.wait(days=2)

        customer.claw_back(gift, 100)

        assert customer.owed == 30

    def test_counts_credits_carried_over_as_spent(self, customer):
        month = customer.renew(100)
        customer.renew(100, rollover_cap=20)

        customer.claw_back(month, 100)

        assert (customer.pools, customer.owed) == ((120, 0, 0), 20)

    def test_counts_credits_that_paid_a_debt_as_spent(self, customer):
        first = customer.grant(10)
        customer.spend(10)
        customer.claw_back(first, 10)
        second = customer.grant(30)  # pays the 10

        customer.claw_back(second, 30)

        assert (customer.pools, customer.owed) == ((0, 0, 0), 10)

    def test_for_more_than_was_granted_is_refused(self, customer):
        pack = customer.grant(100)

        with pytest.raises(services.InvalidAmount):
            customer.claw_back(pack, 101)

        assert left(pack) == 100

    def test_of_an_unknown_purchase_is_refused(self, customer):
        with pytest.raises(CreditLot.DoesNotExist):
            customer.claw_back(CreditLot(source_key="checkout:never"), 1)


class TestClawBackIsCumulative:
    def test_the_third_partial_refund_books_the_difference(self, customer):
        pack = customer.grant(100)

        for total in (20, 50, 60):
            customer.claw_back(pack, total)

        assert customer.lines()[1:] == ["claw_back -20", "claw_back -30", "claw_back -10"]

    def test_an_older_total_that_arrives_late_changes_nothing(self, customer):
        pack = customer.grant(100)
        customer.claw_back(pack, 60)

        customer.claw_back(pack, 20)

        assert left(pack) == 40

    def test_what_is_owed_grows_by_the_difference_too(self, customer):
        pack = customer.grant(100)
        customer.spend(90)

        owed = []
        for total in (5, 30, 30, 100):
            customer.claw_back(pack, total)
            owed.append(customer.owed)

        assert owed == [0, 20, 20, 90]

    def test_a_debt_that_was_paid_is_not_demanded_again(self, customer):
        pack = customer.grant(100)
        customer.spend(100)
        customer.claw_back(pack, 40)
        customer.grant(40)  # pays it

        customer.claw_back(pack, 50)

        assert customer.owed == 10

    def test_credits_that_came_back_and_paid_their_debt_are_not_demanded_again(self, customer):
        pack = customer.grant(100)
        held = customer.hold(80)
        customer.claw_back(pack, 50)  # 20 taken, 30 owed
        customer.release(held)  # 30 of the 80 pay that

        customer.claw_back(pack, 100)

        assert (customer.pools, customer.owed) == ((0, 0, 0), 0)


class TestAClawBackOfARefundThatFailed:
    def test_gives_back_what_it_took(self, customer):
        pack = customer.grant(100)
        customer.claw_back(pack, 70)

        for total in (30, 30, 50):
            customer.reverse_claw_back(pack, total)

        assert customer.lines()[1:] == ["claw_back -70", "restore 40"]

    def test_lowers_what_it_made_owed_first(self, customer):
        pack = customer.grant(100)
        customer.spend(60)
        customer.claw_back(pack, 100)

        customer.reverse_claw_back(pack, 50)
        assert (left(pack), customer.owed) == (0, 10)
        customer.reverse_claw_back(pack, 0)
        assert (left(pack), customer.owed) == (40, 0)

    def test_gives_a_paid_debt_back_to_the_lots_that_paid_it(self, customer):
        pack = customer.grant(100)
        customer.spend(60)
        customer.claw_back(pack, 100)
        first, second = customer.grant(50), customer.grant(50)

        customer.reverse_claw_back(pack, 0)

        assert (left(pack), left(first), left(second)) == (40, 50, 50)

    def test_brings_back_nothing_that_had_been_forgiven(self, customer):
        gift = customer.gift(100, days=1)
        customer.wait(days=2)
        customer.claw_back(gift, 100)

        customer.reverse_claw_back(gift, 0)

        assert customer.balance.available == 0

    def test_keeps_credits_spendable_whose_lot_has_ended_meanwhile(self, customer):
        month = customer.renew(100)
        customer.claw_back(month, 100)
        customer.renew(20)

        customer.reverse_claw_back(month, 0)

        assert customer.pools == (120, 0, 0)

    def test_can_be_clawed_back_once_more(self, customer):
        pack = customer.grant(100)
        customer.spend(60)
        customer.claw_back(pack, 100)
        customer.grant(60)  # pays it
        customer.reverse_claw_back(pack, 0)

        customer.claw_back(pack, 100)

        assert (left(pack), customer.owed, customer.pools) == (0, 60, (0, 0, 60))

    def test_below_nothing_is_refused(self, customer):
        with pytest.raises(services.InvalidAmount):
            customer.reverse_claw_back(customer.grant(10), -1)


class TestCreditsThatComeBackAfterAClawBack:
    def test_pay_what_was_demanded_of_them_first(self, customer):
        pack = customer.grant(100)
        held = customer.hold(80)
        customer.claw_back(pack, 50)
        assert customer.owed == 30

        customer.release(held)

        assert (customer.owed, left(pack)) == (0, 50)
        assert customer.lines()[-3:] == ["release 30", "claw_back -30", "release 50"]

    def test_pay_it_after_a_refund_of_the_spend_too(self, customer):
        pack = customer.grant(100)
        spent = customer.spend(100)
        customer.claw_back(pack, 100)

        customer.refund(spent)

        assert (customer.pools, customer.owed) == ((0, 0, 0), 0)

    def test_pay_it_also_when_their_lot_has_ended(self, customer):
        month = customer.renew(100)
        held = customer.hold(80)
        customer.claw_back(month, 50)
        customer.renew(10)

        customer.release(held)
        assert (customer.pools, customer.owed) == ((60, 0, 0), 0)

        customer.claw_back(month, 100)  # 50 more, that live on in another lot
        assert customer.owed == 50

    def test_pay_it_also_when_they_would_lapse(self, customer):
        month = customer.renew(100)
        held = customer.hold(80)
        customer.renew(10)
        customer.claw_back(month, 100)
        assert customer.owed == 80

        customer.release(held, by_customer=True)

        assert (customer.pools, customer.owed) == ((10, 0, 0), 0)

    def test_do_not_pay_for_other_purchases(self, customer):
        pack = customer.grant(10)
        held = customer.hold(10)
        other = customer.grant(20)
        customer.spend(20)
        customer.claw_back(other, 20)

        customer.release(held)

        assert (left(pack), customer.owed) == (10, 20)


class TestDispute:
    def test_opened_sets_aside_what_is_left(self, customer):
        pack = customer.grant(100)
        customer.spend(30)

        lot = customer.freeze(pack)

        assert (lot.frozen, lot.remaining, customer.pools) == (70, 0, (0, 0, 0))

    def test_won_brings_it_back(self, customer):
        pack = customer.grant(100)
        customer.freeze(pack)

        lot = customer.unfreeze(pack)

        assert (lot.frozen, lot.frozen_at, customer.pools) == (0, None, (0, 0, 100))

    def test_won_after_the_lot_has_ended_writes_it_off(self, customer):
        gift = customer.gift(100, days=1)
        customer.freeze(gift)
        customer.wait(days=2)

        customer.unfreeze(gift)

        assert (customer.pools, customer.lines()[-1]) == ((0, 0, 0), "expire -100")

    def test_lost_takes_what_was_set_aside_and_the_rest_is_owed(self, customer):
        pack = customer.grant(100)
        customer.spend(30)
        customer.freeze(pack)

        lot = customer.claw_back(pack, 100)

        assert (lot.frozen, customer.pools, customer.owed) == (0, (0, 0, 0), 30)

    def test_lost_for_a_part_keeps_the_rest_set_aside(self, customer):
        pack = customer.grant(100)
        customer.freeze(pack)

        lot = customer.claw_back(pack, 60)

        assert (lot.frozen, customer.pools) == (40, (0, 0, 0))

    def test_after_a_refund_counts_it_once(self, customer):
        pack = customer.grant(100)
        customer.freeze(pack)
        customer.claw_back(pack, 40)  # the refund
        customer.claw_back(pack, 100)  # the lost dispute, over all

        assert (customer.unfreeze(pack).remaining, customer.owed) == (0, 0)

    def test_sets_aside_what_comes_back_meanwhile(self, customer):
        pack = customer.grant(100)
        held = customer.hold(30)
        customer.freeze(pack)

        customer.release(held)

        assert (customer.pools, CreditLot.objects.get(pk=pack.pk).frozen) == ((0, 0, 0), 100)

    def test_sets_aside_what_comes_back_after_the_lots_end_too(self, customer):
        gift = customer.gift(30, days=2)
        held = customer.hold(30)
        customer.freeze(gift)
        customer.wait(days=3)

        customer.release(held)
        assert customer.pools == (0, 0, 0)

        customer.unfreeze(gift)
        assert customer.pools == (0, 0, 0)

    def test_of_a_lot_that_is_all_spent_sets_aside_what_comes_back(self, customer):
        pack = customer.grant(100)
        spent = customer.spend(100)
        customer.freeze(pack)

        customer.refund(spent)
        assert customer.pools == (0, 0, 0)

        customer.unfreeze(pack)
        assert customer.pools == (0, 0, 100)

    def test_takes_a_debt_out_of_what_comes_back_before_setting_it_aside(self, customer):
        pack = customer.grant(100)
        held = customer.hold(80)
        customer.freeze(pack)
        customer.claw_back(pack, 50)

        customer.release(held)

        assert (CreditLot.objects.get(pk=pack.pk).frozen, customer.owed) == (50, 0)

    def test_leaves_other_lots_alone(self, customer):
        customer.grant(5)
        customer.freeze(customer.grant(100))

        assert customer.pools == (0, 0, 5)


class TestAdjust:
    def test_adds_to_one_pool(self, customer):
        lot = customer.adjust(5, Direction.ADD, Pool.PROMOTIONAL, expires_at=customer.in_days(9))

        assert (customer.pools, lot.expires_at) == ((0, 5, 0), customer.in_days(9))

    def test_removes_from_that_pool_only(self, customer):
        customer.renew(10)
        customer.grant(10)

        customer.adjust(4, Direction.REMOVE, Pool.BULK)

        assert customer.pools == (10, 0, 6)

    def test_cannot_remove_more_than_the_pool_has(self, customer):
        customer.renew(10)
        customer.grant(3)

        with pytest.raises(services.InsufficientCredits) as refusal:
            customer.adjust(4, Direction.REMOVE, Pool.BULK)

        assert refusal.value.available == 3

    def test_keeps_who_and_why(self, customer):
        services.adjust(
            account_id=customer.account_id,
            pool=Pool.BULK,
            amount=5,
            direction=Direction.ADD,
            idempotency_key="f1",
            actor="staff:7",
            note="outage of 9 March",
            now=customer.now,
        )

        line = CreditLot.objects.get().entries.get()
        assert (line.kind, line.actor, line.note) == ("adjust", "staff:7", "outage of 9 March")

    def test_pays_what_is_owed_first_when_adding(self, customer):
        pack = customer.grant(10)
        customer.spend(10)
        customer.claw_back(pack, 10)

        customer.adjust(15, Direction.ADD)

        assert (customer.pools, customer.owed) == ((0, 0, 5), 0)

    def test_removes_from_a_frozen_account_too(self, customer):
        customer.grant(10)
        services.freeze_account(account_id=customer.account_id, now=customer.now)

        removed = customer.adjust(4, Direction.REMOVE)

        assert (removed.state, customer.pools) == (Hold.State.CAPTURED, (0, 0, 6))

    def test_takes_the_direction_by_its_value_too(self, customer):
        customer.adjust(5, "add")

        assert customer.pools == (0, 0, 5)

    def test_in_no_direction_is_refused(self, customer):
        customer.grant(10)

        with pytest.raises(ValueError, match="sideways"):
            customer.adjust(5, "sideways")

        assert customer.pools == (0, 0, 10)
