"""The same key and arguments again return the first result; other arguments are a conflict."""

import pytest
from django.db import transaction

from credits import services
from credits.models import CreditLot, Hold, LedgerEntry, Pool
from credits.services import Direction

pytestmark = pytest.mark.django_db


@pytest.fixture
def nothing_moves(customer):
    """Asserts that the rest of the test writes no line."""
    customer.lines_before = None

    def start():
        customer.lines_before = customer.lines()

    yield start
    assert customer.lines() == customer.lines_before


class TestGrantAgain:
    def test_returns_the_first_lot(self, customer, nothing_moves):
        first = customer.grant(5, source_key="checkout:cs_1")
        nothing_moves()

        assert customer.grant(5, source_key="checkout:cs_1").pk == first.pk

    @pytest.mark.parametrize("other", [{"amount": 6}, {"amount": 5, "pool": Pool.PROMOTIONAL}])
    def test_with_other_arguments_is_a_conflict(self, customer, nothing_moves, other):
        customer.grant(5, source_key="checkout:cs_1")
        nothing_moves()

        with pytest.raises(services.IdempotencyConflict):
            customer.grant(source_key="checkout:cs_1", **other)

    def test_for_another_account_is_a_conflict(self, customer, new_customer):
        other = new_customer()
        customer.grant(5, source_key="checkout:cs_1")

        with pytest.raises(services.IdempotencyConflict):
            other.grant(5, source_key="checkout:cs_1")

        assert (customer.pools, other.pools) == ((0, 0, 5), (0, 0, 0))

    def test_after_it_was_spent_does_not_refill_it(self, customer, nothing_moves):
        customer.grant(5, source_key="checkout:cs_1")
        customer.spend(5)
        nothing_moves()

        customer.grant(5, source_key="checkout:cs_1")


class TestResetAgain:
    def test_does_not_end_the_period_twice(self, customer, nothing_moves):
        customer.renew(100, source_key="invoice:in_1")
        customer.spend(30)
        nothing_moves()

        customer.renew(100, source_key="invoice:in_1", rollover_cap=50)

        assert customer.pools == (70, 0, 0)

    def test_of_an_older_invoice_does_not_end_the_newer_period(self, customer, nothing_moves):
        customer.renew(100, source_key="invoice:in_1")
        customer.renew(200, source_key="invoice:in_2")
        nothing_moves()

        customer.renew(100, source_key="invoice:in_1")

    def test_with_another_amount_is_a_conflict(self, customer, nothing_moves):
        customer.renew(100, source_key="invoice:in_1")
        nothing_moves()

        with pytest.raises(services.IdempotencyConflict):
            customer.renew(200, source_key="invoice:in_1")


@pytest.mark.parametrize("take", ["hold", "spend"])
class TestTakingAgain:
    def test_returns_the_first_hold(self, customer, nothing_moves, take):
        customer.grant(10)
        first = getattr(customer, take)(4, idempotency_key="k")
        nothing_moves()

        assert getattr(customer, take)(4, idempotency_key="k").pk == first.pk

    def test_when_nothing_is_left_returns_the_first_hold(self, customer, nothing_moves, take):
        customer.grant(4)
        first = getattr(customer, take)(4, idempotency_key="k")
        nothing_moves()

        assert getattr(customer, take)(4, idempotency_key="k").pk == first.pk

    def test_on_an_account_frozen_since_returns_the_first_hold(self, customer, nothing_moves, take):
        customer.grant(10)
        first = getattr(customer, take)(4, idempotency_key="k")
        services.freeze_account(account_id=customer.account_id, now=customer.now)
        nothing_moves()

        assert getattr(customer, take)(4, idempotency_key="k").pk == first.pk

    @pytest.mark.parametrize("other", [{"amount": 5}, {"amount": 4, "reference": "generation:2"}])
    def test_with_other_arguments_is_a_conflict(self, customer, nothing_moves, take, other):
        customer.grant(10)
        getattr(customer, take)(4, idempotency_key="k")
        nothing_moves()

        with pytest.raises(services.IdempotencyConflict):
            getattr(customer, take)(idempotency_key="k", **other)

    def test_by_the_other_function_is_a_conflict(self, customer, nothing_moves, take):
        customer.grant(10)
        getattr(customer, take)(4, idempotency_key="k")
        nothing_moves()

        with pytest.raises(services.IdempotencyConflict):
            getattr(customer, "spend" if take == "hold" else "hold")(4, idempotency_key="k")

    def test_with_another_customers_key_is_a_new_hold(self, customer, new_customer, take):
        other = new_customer()
        for each in (customer, other):
            each.grant(10)
            getattr(each, take)(4, idempotency_key="k")

        assert (customer.pools, other.pools) == ((0, 0, 6), (0, 0, 6))

    def test_that_was_refused_may_succeed_later(self, customer, take):
        with pytest.raises(services.InsufficientCredits):
            getattr(customer, take)(4, idempotency_key="k")
        customer.grant(10)

        assert getattr(customer, take)(4, idempotency_key="k").amount == 4

    def test_leaves_the_callers_transaction_usable(self, customer, take):
        customer.grant(10)
        with transaction.atomic():
            first = getattr(customer, take)(4, idempotency_key="k")
            again = getattr(customer, take)(4, idempotency_key="k")
            getattr(customer, take)(1, idempotency_key="k2")

        assert (again.pk, Hold.objects.count()) == (first.pk, 2)


class TestSettlingAgain:
    def test_capture_changes_nothing(self, customer, nothing_moves):
        customer.grant(10)
        held = customer.hold(4)
        first = customer.capture(held, 3)
        nothing_moves()
        customer.wait(hours=1)

        assert customer.capture(held, 3).settled_at == first.settled_at

    @pytest.mark.parametrize("kept", [3, 4])
    def test_capture_is_still_known_after_its_credits_were_given_back(self, customer, kept):
        customer.grant(10)
        held = customer.capture(customer.hold(4), kept)
        customer.refund(held)

        assert customer.capture(held, kept).pk == held.pk
        with pytest.raises(services.HoldAlreadySettled):
            customer.capture(held, kept - 1)
        assert customer.balance.available == 10

    def test_release_changes_nothing(self, customer, nothing_moves):
        customer.grant(10)
        held = customer.hold(4)
        first = customer.release(held)
        nothing_moves()
        customer.wait(hours=1)

        assert customer.release(held, by_customer=True).settled_at == first.settled_at

    def test_refund_changes_nothing(self, customer, nothing_moves):
        customer.grant(10)
        spent = customer.refund(customer.spend(4))
        nothing_moves()

        assert customer.refund(spent).captured == 0


class TestCorrectingAgain:
    def test_reverse_claw_back_changes_nothing(self, customer, nothing_moves):
        pack = customer.grant(10)
        customer.spend(8)
        customer.claw_back(pack, 6)
        customer.reverse_claw_back(pack, 2)
        nothing_moves()

        customer.reverse_claw_back(pack, 2)
        customer.reverse_claw_back(pack, 5)

    def test_claw_back_changes_nothing(self, customer, nothing_moves):
        pack = customer.grant(10)
        customer.spend(8)
        customer.claw_back(pack, 6)
        nothing_moves()

        customer.claw_back(pack, 6)

        assert customer.owed == 4

    def test_freeze_changes_nothing(self, customer, nothing_moves):
        pack = customer.grant(10)
        first = customer.freeze(pack)
        nothing_moves()
        customer.wait(hours=1)

        assert customer.freeze(pack).frozen_at == first.frozen_at

    def test_unfreeze_changes_nothing(self, customer, nothing_moves):
        pack = customer.grant(10)
        customer.freeze(pack)
        customer.unfreeze(pack)
        nothing_moves()

        assert customer.unfreeze(pack).frozen == 0

    @pytest.mark.parametrize("direction", Direction)
    def test_adjust_returns_the_first_result(self, customer, nothing_moves, direction):
        customer.grant(10)
        first = customer.adjust(5, direction, idempotency_key="f")
        nothing_moves()

        assert customer.adjust(5, direction, idempotency_key="f").pk == first.pk

    @pytest.mark.parametrize("direction", Direction)
    @pytest.mark.parametrize(
        "other",
        [{"amount": 4}, {"pool": Pool.SUBSCRIPTION}, {"direction": "the other"}],
        ids=["amount", "pool", "direction"],
    )
    def test_adjust_with_other_arguments_is_a_conflict(
        self, customer, nothing_moves, direction, other
    ):
        customer.renew(10)
        customer.grant(10)
        arguments = {"amount": 5, "direction": direction, "pool": Pool.BULK}
        customer.adjust(**arguments, idempotency_key="f")
        nothing_moves()
        if "direction" in other:
            other = {"direction": next(each for each in Direction if each is not direction)}

        with pytest.raises(services.IdempotencyConflict):
            customer.adjust(**{**arguments, **other}, idempotency_key="f")

    def test_removing_when_nothing_is_left_returns_the_first_result(self, customer, nothing_moves):
        customer.grant(5)
        first = customer.adjust(5, Direction.REMOVE, idempotency_key="f")
        nothing_moves()

        assert customer.adjust(5, Direction.REMOVE, idempotency_key="f").pk == first.pk


class TestInTheCallersTransaction:
    def test_everything_is_undone_together(self, customer):
        class Oops(Exception):
            pass

        with pytest.raises(Oops), transaction.atomic():
            customer.grant(10)
            customer.spend(4)
            raise Oops

        assert (CreditLot.objects.count(), LedgerEntry.objects.count()) == (0, 0)
        assert customer.pools == (0, 0, 0)

    def test_a_refusal_leaves_it_usable(self, customer):
        with transaction.atomic():
            customer.grant(10)
            with pytest.raises(services.InsufficientCredits):
                customer.spend(11)
            customer.spend(4)

        assert customer.pools == (0, 0, 6)
