"""Money as people write it. Everywhere else it is minor units with their currency."""

from django.utils.formats import number_format

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
    text = number_format(whole, force_grouping=True)
    if digits:
        text += f".{fraction:0{digits}d}"
    sign = MINUS if amount < 0 else ""
    symbol = SYMBOLS.get(code)
    return f"{sign}{symbol}{text}" if symbol else f"{sign}{text} {code.upper()}"


def signed(amount: int) -> str:
    """Credits with their sign: +1,250, and 0 for a claw-back that only raised what is owed."""
    sign = "+" if amount > 0 else MINUS if amount < 0 else ""
    return sign + number_format(abs(amount), force_grouping=True)
