"""One payment, one successful generation, never a second."""

import pytest

from credits import services
from credits.models import RetailToken

pytestmark = pytest.mark.django_db


def state_of(token):
    return RetailToken.objects.get(pk=token.pk).state


class TestIssue:
    def test_makes_one_free_token(self, customer):
        token = customer.buy_token(amount_paid=99, currency="usd", terms={"offer": "single"})

        assert (token.state, token.amount_paid, token.terms) == (
            "available", 99, {"offer": "single"},
        )  # fmt: skip
        assert customer.balance.retail_tokens == 1

    def test_of_the_same_payment_makes_no_second_one(self, customer):
        first = customer.buy_token(source_key="checkout:cs_1")

        assert customer.buy_token(source_key="checkout:cs_1").pk == first.pk
        assert customer.balance.retail_tokens == 1

    def test_of_another_customers_payment_is_refused(self, customer, new_customer):
        customer.buy_token(source_key="checkout:cs_1")
        other = new_customer()

        with pytest.raises(services.IdempotencyConflict):
            other.buy_token(source_key="checkout:cs_1")

        assert other.balance.retail_tokens == 0

    def test_of_a_used_one_again_does_not_make_it_free(self, customer):
        token = customer.buy_token(source_key="checkout:cs_1")
        customer.reserve("generation:1")
        customer.use("generation:1")

        customer.buy_token(source_key="checkout:cs_1")

        assert state_of(token) == "used"


class TestReserve:
    def test_takes_the_oldest_free_token(self, customer):
        first, second = customer.buy_token(), customer.buy_token()

        customer.reserve("generation:1")

        assert (state_of(first), state_of(second)) == ("reserved", "available")

    def test_again_for_the_same_generation_returns_its_token(self, customer):
        customer.buy_token()
        customer.buy_token()
        token = customer.reserve("generation:1")

        assert customer.reserve("generation:1").pk == token.pk
        assert customer.balance.retail_tokens == 1

    def test_without_a_free_token_is_refused(self, customer):
        customer.buy_token()
        customer.reserve("generation:1")

        with pytest.raises(services.RetailTokenUnavailable):
            customer.reserve("generation:2")

    def test_never_takes_another_customers_token(self, customer, new_customer):
        new_customer().buy_token()

        with pytest.raises(services.RetailTokenUnavailable):
            customer.reserve("generation:1")

    def test_for_another_customers_generation_is_refused(self, customer, new_customer):
        other = new_customer()
        other.buy_token()
        other.reserve("generation:1")
        customer.buy_token()

        with pytest.raises(services.RetailTokenUnavailable):
            customer.reserve("generation:1")

    def test_on_a_frozen_account_is_refused(self, customer):
        customer.buy_token()
        services.freeze_account(account_id=customer.account_id, now=customer.now)

        with pytest.raises(services.AccountFrozen):
            customer.reserve("generation:1")

    def test_for_a_generation_that_used_its_token_is_refused(self, customer):
        customer.buy_token()
        customer.buy_token()
        customer.reserve("generation:1")
        customer.use("generation:1")

        with pytest.raises(services.RetailTokenUnavailable):
            customer.reserve("generation:1")

        assert customer.balance.retail_tokens == 1


class TestUse:
    def test_is_final(self, customer):
        customer.buy_token()
        customer.reserve("generation:1")

        token = customer.use("generation:1")

        assert (token.state, token.settled_at) == ("used", customer.now)
        with pytest.raises(services.RetailTokenUnavailable):
            customer.give_token_back("generation:1")
        with pytest.raises(services.RetailTokenUnavailable):
            services.revoke_retail_token(source_key=token.source_key, now=customer.now)
        assert state_of(token) == "used"

    def test_again_changes_nothing(self, customer):
        customer.buy_token()
        customer.reserve("generation:1")
        first = customer.use("generation:1")
        customer.wait(days=1)

        assert customer.use("generation:1").settled_at == first.settled_at

    def test_without_a_reservation_is_refused(self, customer):
        customer.buy_token()

        with pytest.raises(services.RetailTokenUnavailable):
            customer.use("generation:1")

    def test_of_another_customers_reservation_is_refused(self, customer, new_customer):
        other = new_customer()
        token = other.buy_token()
        other.reserve("generation:1")

        with pytest.raises(services.RetailTokenUnavailable):
            customer.use("generation:1")

        assert state_of(token) == "reserved"


class TestReturn:
    def test_makes_it_free_again(self, customer):
        token = customer.buy_token()
        customer.reserve("generation:1")

        customer.give_token_back("generation:1")

        assert (state_of(token), customer.balance.retail_tokens) == ("available", 1)
        assert customer.reserve("generation:2").pk == token.pk

    def test_again_changes_nothing(self, customer):
        customer.buy_token()
        customer.reserve("generation:1")
        customer.give_token_back("generation:1")
        customer.reserve("generation:2")

        customer.give_token_back("generation:1")

        assert customer.balance.retail_tokens == 0

    def test_after_a_return_the_generation_may_not_use_it(self, customer):
        customer.buy_token()
        customer.reserve("generation:1")
        customer.give_token_back("generation:1")

        with pytest.raises(services.RetailTokenUnavailable):
            customer.use("generation:1")


class TestRevoke:
    def test_takes_a_free_token_away(self, customer):
        token = customer.buy_token()

        services.revoke_retail_token(source_key=token.source_key, now=customer.now)

        assert (state_of(token), customer.balance.retail_tokens) == ("revoked", 0)
        with pytest.raises(services.RetailTokenUnavailable):
            customer.reserve("generation:1")

    def test_again_changes_nothing(self, customer):
        token = customer.buy_token()
        services.revoke_retail_token(source_key=token.source_key, now=customer.now)

        again = services.revoke_retail_token(source_key=token.source_key, now=customer.in_days(1))

        assert again.settled_at == customer.now

    def test_of_a_token_in_use_is_refused_until_it_is_free(self, customer):
        token = customer.buy_token()
        customer.reserve("generation:1")

        with pytest.raises(services.RetailTokenUnavailable):
            services.revoke_retail_token(source_key=token.source_key, now=customer.now)

        customer.give_token_back("generation:1")
        services.revoke_retail_token(source_key=token.source_key, now=customer.now)
        assert state_of(token) == "revoked"

    def test_of_an_unknown_payment_is_refused(self, customer):
        with pytest.raises(RetailToken.DoesNotExist):
            services.revoke_retail_token(source_key="checkout:never", now=customer.now)


def test_a_token_whose_refund_failed_is_free_again_once(customer, now):
    token = customer.buy_token()
    services.revoke_retail_token(source_key=token.source_key, now=now)
    for _ in range(2):
        restored = services.restore_retail_token(source_key=token.source_key, now=now)
        assert (restored.state, restored.settled_at) == (RetailToken.State.AVAILABLE, None)


def test_a_used_token_is_never_freed_by_a_failed_refund(customer, now):
    token = customer.buy_token()
    customer.reserve("g")
    customer.use("g")
    restored = services.restore_retail_token(source_key=token.source_key, now=now)
    assert restored.state == RetailToken.State.USED
