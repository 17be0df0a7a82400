"""Credits going out: burn order, hold, capture, release, spend, refund of a spend."""

from datetime import timedelta

import pytest

from credits import services
from credits.models import CreditLot, Hold, Pool
from credits.tests.conftest import left

pytestmark = pytest.mark.django_db


class TestBurnOrder:
    @pytest.fixture
    def full(self, customer):
        customer.grant(10, Pool.BULK)
        customer.gift(10, days=60)
        customer.renew(10)
        return customer

    @pytest.mark.parametrize(
        ("spent", "pools"),
        [
            (1, (9, 10, 10)),
            (10, (0, 10, 10)),
            (11, (0, 9, 10)),
            (20, (0, 0, 10)),
            (21, (0, 0, 9)),
            (30, (0, 0, 0)),
        ],
    )
    def test_is_subscription_then_promotional_then_bulk(self, full, spent, pools):
        full.spend(spent)

        assert full.pools == pools

    def test_takes_the_promotion_that_ends_first(self, customer):
        later = customer.gift(5, days=20)
        sooner = customer.gift(5, days=10)

        customer.spend(6)

        assert (left(sooner), left(later)) == (0, 4)

    def test_takes_the_older_of_two_that_end_together(self, customer):
        older = customer.gift(5, days=10)
        newer = customer.gift(5, days=10)

        customer.spend(6)

        assert (left(older), left(newer)) == (0, 4)

    def test_takes_what_never_ends_last(self, customer):
        lasting = customer.grant(5, Pool.PROMOTIONAL)
        ending = customer.gift(5, days=10)

        customer.spend(6)

        assert (left(ending), left(lasting)) == (0, 4)

    def test_skips_a_lot_that_has_ended(self, customer):
        customer.gift(5, days=1)
        customer.grant(5)
        customer.wait(days=1)

        customer.spend(5)

        assert customer.pools == (0, 0, 0)
        assert customer.lines() == ["grant 5", "grant 5", "expire -5", "hold -5"]

    def test_skips_a_frozen_lot(self, customer):
        disputed = customer.grant(5)
        other = customer.grant(5)
        customer.freeze(disputed)

        customer.spend(5)

        assert left(other) == 0
        with pytest.raises(services.InsufficientCredits):
            customer.spend(1)


class TestHold:
    def test_takes_the_credits_at_once(self, customer):
        customer.grant(10)

        customer.hold(4)

        assert (customer.pools, customer.balance.held) == ((0, 0, 6), 4)

    def test_is_open_and_keeps_its_arguments(self, customer):
        customer.grant(10)
        deadline = customer.in_days(1)

        made = customer.hold(4, reference="generation:7", deadline=deadline)

        found = Hold.objects.get(pk=made.pk)
        assert (found.state, found.amount, found.captured) == ("open", 4, 0)
        assert (found.reference, found.deadline) == ("generation:7", deadline)

    def test_writes_one_line_for_each_lot(self, customer):
        customer.grant(3)
        customer.gift(3, days=10)
        customer.renew(3)

        made = customer.hold(8)

        lines = made.entries.order_by("sequence").values_list("pool", "amount")
        assert list(lines) == [("subscription", -3), ("promotional", -3), ("bulk", -2)]

    def test_for_more_than_there_is_says_how_much_is_missing(self, customer):
        customer.grant(10)

        with pytest.raises(services.InsufficientCredits) as refusal:
            customer.hold(11)

        assert (refusal.value.required, refusal.value.available) == (11, 10)
        assert (customer.pools, Hold.objects.count()) == ((0, 0, 10), 0)

    def test_of_a_frozen_account_is_refused(self, customer):
        customer.grant(10)
        services.freeze_account(account_id=customer.account_id, now=customer.now)

        with pytest.raises(services.AccountFrozen):
            customer.hold(1)

        services.unfreeze_account(account_id=customer.account_id, now=customer.now)
        assert customer.hold(1).amount == 1

    def test_of_an_unknown_account_is_refused(self, customer):
        customer.account_id += 1_000

        with pytest.raises(services.AccountNotFound):
            customer.hold(1)


class TestCapture:
    def test_keeps_all_of_it(self, customer):
        customer.grant(10)

        held = customer.capture(customer.hold(4))

        assert (held.state, held.captured, held.settled_at) == ("captured", 4, customer.now)
        assert (customer.pools, customer.balance.held) == ((0, 0, 6), 0)

    def test_of_a_part_gives_back_what_would_have_been_spent_last(self, customer):
        customer.grant(5)
        customer.renew(5)

        customer.capture(customer.hold(8), 2)

        assert customer.pools == (3, 0, 5)

    def test_of_more_than_was_held_is_refused(self, customer):
        customer.grant(10)
        held = customer.hold(4)

        with pytest.raises(services.InvalidAmount):
            customer.capture(held, 5)

        assert customer.balance.held == 4

    def test_works_on_a_frozen_account(self, customer):
        customer.grant(10)
        held = customer.hold(4)
        services.freeze_account(account_id=customer.account_id, now=customer.now)

        assert customer.capture(held).captured == 4

    def test_works_after_the_lot_has_ended(self, customer):
        customer.gift(5, days=1)
        held = customer.hold(4)
        customer.wait(days=2)

        assert customer.capture(held).captured == 4
        assert customer.pools == (0, 0, 0)

    def test_after_a_release_is_refused(self, customer):
        customer.grant(10)
        held = customer.release(customer.hold(4))

        with pytest.raises(services.HoldAlreadySettled) as refusal:
            customer.capture(held)

        assert refusal.value.hold.state == "released"

    def test_for_another_amount_is_refused(self, customer):
        customer.grant(10)
        held = customer.hold(4)
        customer.capture(held, 3)

        with pytest.raises(services.HoldAlreadySettled):
            customer.capture(held, 2)

    def test_of_an_unknown_hold_is_refused(self, customer):
        customer.grant(1)
        held = customer.hold(1)
        held.pk += 1

        with pytest.raises(Hold.DoesNotExist):
            customer.capture(held)


class TestRelease:
    def test_gives_the_credits_back_to_the_lots_they_came_from(self, customer):
        pack = customer.grant(3)
        gift = customer.gift(3, days=10)
        month = customer.renew(3)

        customer.release(customer.hold(8))

        assert (left(month), left(gift), left(pack)) == (3, 3, 3)

    def test_after_a_capture_is_refused(self, customer):
        customer.grant(10)
        held = customer.capture(customer.hold(4))

        with pytest.raises(services.HoldAlreadySettled):
            customer.release(held)

    def test_by_the_customer_gives_back_what_has_not_ended(self, customer):
        customer.grant(10)

        customer.release(customer.hold(4), by_customer=True)

        assert customer.pools == (0, 0, 10)

    def test_works_on_a_frozen_account(self, customer):
        customer.grant(10)
        held = customer.hold(4)
        services.freeze_account(account_id=customer.account_id, now=customer.now)

        customer.release(held)

        assert customer.pools == (0, 0, 10)


class TestReleaseAfterTheLotHasEnded:
    def test_by_our_fault_lasts_as_long_as_goodwill(self, customer, settings):
        customer.gift(5, days=1)
        held = customer.hold(5)
        customer.wait(days=2)

        customer.release(held)

        lot = CreditLot.objects.get(account_id=customer.account_id, remaining=5)
        assert lot.pool == Pool.PROMOTIONAL
        assert lot.expires_at == customer.now + timedelta(days=settings.PROMOTIONAL_DAYS)
        assert customer.pools == (0, 5, 0)

    def test_by_the_customer_lapses(self, customer):
        customer.gift(5, days=1)
        held = customer.hold(5)
        customer.wait(days=2)

        customer.release(held, by_customer=True)

        assert customer.pools == (0, 0, 0)
        assert customer.lines() == ["grant 5", "hold -5", "release 5", "expire -5"]

    def test_of_three_lots_lapses_only_for_the_one_that_has_ended(self, customer):
        pack = customer.grant(3)
        gift = customer.gift(3, days=90)
        customer.renew(3)
        held = customer.hold(8)
        customer.wait(days=40)

        customer.release(held, by_customer=True)

        assert (customer.pools, left(gift), left(pack)) == ((0, 3, 3), 3, 3)

    def test_at_the_last_moment_of_the_lot_counts_as_ended(self, customer):
        customer.gift(5, days=1)
        held = customer.hold(5)
        customer.wait(days=1)

        customer.release(held, by_customer=True)

        assert customer.pools == (0, 0, 0)

    def test_gives_back_the_part_that_was_not_captured(self, customer):
        customer.gift(5, days=1)
        held = customer.hold(5)
        customer.wait(days=2)

        customer.capture(held, 2)

        assert customer.pools == (0, 3, 0)


class TestSpend:
    def test_is_hold_and_capture_in_one(self, customer):
        customer.grant(10)

        spent = customer.spend(4)

        found = Hold.objects.get(pk=spent.pk)
        assert (found.state, found.captured, found.settled_at) == ("captured", 4, customer.now)
        assert (customer.pools, customer.balance.held) == ((0, 0, 6), 0)

    def test_may_take_everything(self, customer):
        customer.grant(10)

        customer.spend(10)

        assert customer.pools == (0, 0, 0)


class TestRefundSpend:
    def test_gives_back_all_that_was_captured(self, customer):
        pack = customer.grant(10)

        refunded = customer.refund(customer.spend(4))

        assert (refunded.state, refunded.captured, left(pack)) == ("captured", 0, 10)
        assert customer.lines()[-1] == "refund 4"

    def test_after_a_partial_capture_gives_back_just_that_part(self, customer):
        month, pack = customer.renew(5), customer.grant(5)
        held = customer.hold(8)
        customer.capture(held, 6)

        customer.refund(held)

        assert (left(month), left(pack)) == (5, 5)

    def test_goes_to_the_lot_whose_credits_were_kept(self, customer):
        """What came back before, into another lot, is not taken for kept."""
        customer.renew(5, days=10)
        customer.gift(5, days=10)
        held = customer.hold(10)
        customer.wait(days=20)
        customer.renew(1)
        customer.capture(held, 4)  # the promotional 5 come back, and 1 of the subscription
        assert customer.pools == (1 + 1, 5, 0)

        customer.refund(held)

        assert customer.pools == (1 + 1 + 4, 5, 0)

    def test_stays_spendable_when_the_lot_has_ended(self, customer):
        customer.gift(5, days=1)
        spent = customer.spend(5)
        customer.wait(days=2)

        customer.refund(spent)

        assert customer.pools == (0, 5, 0)

    @pytest.mark.parametrize("settle", ["hold", "release"])
    def test_of_what_was_not_captured_is_refused(self, customer, settle):
        customer.grant(10)
        held = customer.hold(4)
        if settle == "release":
            customer.release(held)

        with pytest.raises(services.HoldAlreadySettled):
            customer.refund(held)
