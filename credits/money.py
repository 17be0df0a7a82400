"""Money and credits as people write them; elsewhere minor units with their currency, and ints."""

from django.utils.formats import number_format
from django.utils.translation import ngettext

SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}
# Digits after the point of a currency's minor units, as Stripe counts them; all others have two.
DECIMALS = {
    **dict.fromkeys(("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga"), 0),
    **dict.fromkeys(("pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"), 0),
    **dict.fromkeys(("bhd", "jod", "kwd", "omr", "tnd"), 3),
}
MINUS = "\N{MINUS SIGN}"


def money(amount: int, currency: str) -> str:
    """`amount` minor units as people write it: $9.00, ¥500, 12.50 CHF."""
    code = currency.lower()
    digits = DECIMALS.get(code, 2)
    whole, fraction = divmod(abs(amount), 10**digits)
    text = grouped(whole)
    if digits:
        text += f".{fraction:0{digits}d}"
    sign = MINUS if amount < 0 else ""
    symbol = SYMBOLS.get(code)
    return f"{sign}{symbol}{text}" if symbol else f"{sign}{text} {code.upper()}"


def signed(amount: int) -> str:
    """Credits with their sign: +1,250, and 0 for a claw-back that only raised what is owed."""
    sign = "+" if amount > 0 else MINUS if amount < 0 else ""
    return sign + grouped(abs(amount))


def grouped(number: int) -> str:
    """Credits, or how many of anything: 1,250."""
    return str(number_format(number, force_grouping=True))


def credits_words(number: int) -> str:
    """1 credit, 1,250 credits."""
    return ngettext("%s credit", "%s credits", number) % grouped(number)


def single_words(number: int) -> str:
    """1 single generation, 3 single generations."""
    return ngettext("%s single generation", "%s single generations", number) % grouped(number)
