"""Whole credits only: anything that is not a positive int is refused, and nothing moves."""

import pytest

from credits import services
from credits.models import CreditLot, Hold, Pool, RetailToken
from credits.services import Direction
from credits.services.errors import MOST_CREDITS, MOST_PAID

pytestmark = pytest.mark.django_db

NOT_WHOLE = [
    -1,
    1.0,
    1.5,
    float("nan"),
    float("inf"),
    True,
    "5",
    " 5 ",
    "\u0661",  # a digit, in Arabic
    b"5",
    None,
    [5],
    2**63,
]
NOT_POSITIVE = [0, -(2**63), MOST_CREDITS + 1, 2**31]


@pytest.fixture
def rich(customer):
    customer.renew(100)
    customer.gift(100, days=10)
    customer.grant(100, source_key="checkout:cs_1")
    customer.open_hold = customer.hold(50)
    customer.lines_before = customer.lines()
    yield customer
    assert customer.lines() == customer.lines_before
    assert (CreditLot.objects.count(), Hold.objects.count()) == (3, 1)
    assert RetailToken.objects.count() == 0


AMOUNTS = {
    "grant": lambda customer, amount: customer.grant(amount),
    "reset_subscription": lambda customer, amount: customer.renew(amount),
    "hold": lambda customer, amount: customer.hold(amount),
    "spend": lambda customer, amount: customer.spend(amount),
    "claw_back": lambda customer, amount: services.claw_back(
        source_key="checkout:cs_1", total=amount, reference="refund", now=customer.now
    ),
    "adjust up": lambda customer, amount: customer.adjust(amount, Direction.ADD),
    "adjust down": lambda customer, amount: customer.adjust(amount, Direction.REMOVE),
}
PAID = {
    "grant": lambda customer, paid: customer.grant(5, amount_paid=paid, currency="usd"),
    "reset_subscription": lambda customer, paid: customer.renew(
        5, amount_paid=paid, currency="usd"
    ),
    "issue_retail_token": lambda customer, paid: customer.buy_token(
        amount_paid=paid, currency="usd"
    ),
}


@pytest.mark.parametrize("amount", NOT_WHOLE + NOT_POSITIVE, ids=repr)
@pytest.mark.parametrize("service", AMOUNTS)
def test_an_impossible_amount_is_refused(rich, service, amount):
    with pytest.raises(services.InvalidAmount):
        AMOUNTS[service](rich, amount)


@pytest.mark.parametrize(
    "amount", [each for each in NOT_WHOLE + NOT_POSITIVE if each is not None], ids=repr
)
def test_an_impossible_capture_is_refused(rich, amount):
    with pytest.raises(services.InvalidAmount):
        rich.capture(rich.open_hold, amount)


@pytest.mark.parametrize("paid", [*NOT_WHOLE, MOST_PAID + 1], ids=repr)
@pytest.mark.parametrize("service", PAID)
def test_an_impossible_price_is_refused(rich, service, paid):
    with pytest.raises(services.InvalidAmount):
        PAID[service](rich, paid)


@pytest.mark.parametrize("cap", NOT_WHOLE, ids=repr)
def test_an_impossible_rollover_cap_is_refused(rich, cap):
    with pytest.raises(services.InvalidAmount):
        rich.renew(100, rollover_cap=cap)


def test_the_largest_amount_goes_through_everything(customer):
    lot = customer.grant(MOST_CREDITS, Pool.BULK)
    for _again in range(3):
        customer.grant(MOST_CREDITS, Pool.BULK)

    customer.refund(customer.spend(MOST_CREDITS))
    customer.claw_back(lot, MOST_CREDITS)

    assert customer.pools == (0, 0, 3 * MOST_CREDITS)


def test_the_refusal_says_what_would_be_right(customer):
    with pytest.raises(services.InvalidAmount, match="whole number from 1 to 1000000000"):
        customer.grant(0)


class TestKeys:
    """What is longer than its column is refused by name, on every database."""

    @pytest.mark.parametrize("key", ["", "k" * 256])
    def test_of_a_grant_and_of_a_token(self, customer, key):
        with pytest.raises(services.InvalidKey):
            customer.grant(1, source_key=key)
        with pytest.raises(services.InvalidKey):
            customer.buy_token(source_key=key)

    def test_of_a_renewal_leave_room_for_what_is_carried_over(self, customer):
        customer.renew(10)
        with pytest.raises(services.InvalidKey, match="246"):
            customer.renew(10, rollover_cap=5, source_key="k" * 247)

        customer.renew(10, rollover_cap=5, source_key="k" * 246)

        assert customer.pools == (15, 0, 0)
