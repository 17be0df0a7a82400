"""Retail tokens and real threads; test_races.py says how races and their controls are run."""

from functools import partial
from typing import Any

import pytest

from credits import services
from credits.models import RetailToken
from credits.services import retail
from credits.tests.race import kinds, race

pytestmark = pytest.mark.django_db(transaction=True)
control = pytest.mark.breaks_the_books


class TestRetailTokensAtOnce:
    def reserve(self, customer, times=6):
        return race(*[partial(customer.reserve, f"generation:{customer.account_id}:{n}")
                      for n in range(times)])  # fmt: skip

    def test_one_token_is_reserved_for_one_generation(self, new_customer):
        for _round in range(5):
            customer = new_customer()
            customer.buy_token()

            outcomes = self.reserve(customer)

            assert kinds(outcomes) == {"RetailToken": 1, "RetailTokenUnavailable": 5}

    def test_three_tokens_are_reserved_for_three(self, new_customer):
        for _round in range(5):
            customer = new_customer()
            for _token in range(3):
                customer.buy_token()

            outcomes = self.reserve(customer)

            assert kinds(outcomes) == {"RetailToken": 3, "RetailTokenUnavailable": 3}

    def test_one_generation_takes_one_token(self, new_customer):
        for _round in range(5):
            customer = new_customer()
            customer.buy_token()
            customer.buy_token()
            reference = f"generation:{customer.account_id}"

            outcomes = race(*[partial(customer.reserve, reference)] * 6)

            assert len({token.pk for token in outcomes}) == 1
            assert customer.balance.retail_tokens == 1

    def test_is_used_or_refunded_never_both(self, new_customer):
        for _round in range(8):
            customer = new_customer()
            token = customer.buy_token()

            outcomes = race(
                partial(self.use, customer, f"generation:{customer.account_id}"),
                partial(
                    services.revoke_retail_token, source_key=token.source_key, now=customer.now
                ),
            )

            assert kinds(outcomes) == {"RetailToken": 1, "RetailTokenUnavailable": 1}

    def use(self, customer, reference):
        customer.reserve(reference)
        return customer.use(reference)

    @control
    def test_three_tokens_are_not_enough_for_three_without_the_lock(self, customer, without_lock):
        for _token in range(3):
            customer.buy_token()
        without_lock(6, retail, "_move")

        outcomes = self.reserve(customer)

        assert kinds(outcomes)["RetailToken"] < 3  # all went for the oldest

    @control
    def test_is_used_and_refunded_without_lock_and_condition(
        self, customer, monkeypatch, without_lock
    ):
        def move(token: RetailToken, old: str, new: str, **fields: Any) -> None:
            RetailToken.objects.filter(pk=token.pk).update(state=new, **fields)

        token = customer.buy_token()
        monkeypatch.setattr(retail, "_move", move)
        without_lock(2, retail, "_move")

        outcomes = race(
            partial(customer.reserve, "generation:1"),
            partial(services.revoke_retail_token, source_key=token.source_key, now=customer.now),
        )

        assert kinds(outcomes) != {"RetailToken": 1, "RetailTokenUnavailable": 1}
