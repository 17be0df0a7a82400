import pytest

from credits.money import money, signed


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        (900, "usd", "$9.00"),
        (5, "EUR", "€0.05"),
        (123456789, "gbp", "£1,234,567.89"),
        (500, "jpy", "¥500"),
        (1500000, "krw", "1,500,000 KRW"),
        (1250, "chf", "12.50 CHF"),
        (1250, "kwd", "1.250 KWD"),
        (-900, "usd", "−$9.00"),  # noqa: RUF001
        (0, "usd", "$0.00"),
    ],
)
def test_money_is_written_as_its_currency_is(amount: int, currency: str, written: str) -> None:
    assert money(amount, currency) == written


@pytest.mark.parametrize(
    ("amount", "written"),
    [(1250, "+1,250"), (-1250, "−1,250"), (0, "0")],  # noqa: RUF001
)
def test_credits_are_written_with_their_sign(amount: int, written: str) -> None:
    assert signed(amount) == written
