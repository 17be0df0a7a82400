"""A refund in words: what it is of, and what it would do."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.utils.translation import gettext, ngettext

from credits.explanations import short_key
from credits.money import grouped, money
from credits.payments import refunding
from credits.staff.purchases import Purchase, described


def in_currency(amount: int, currency: str) -> str:
    """As money; in minor units while nothing is booked that tells the currency."""
    return money(amount, currency) if currency else gettext("%d minor units") % amount


def outlook(preview: refunding.Preview, amount: str) -> Iterator[str]:
    """What the refund would do, a sentence a line."""
    yield ngettext(
        "Refunding %(amount)s would take back %(taken)s credit.",
        "Refunding %(amount)s would take back %(taken)s credits.",
        preview.taken,
    ) % {"amount": amount, "taken": grouped(preview.taken)}
    if preview.owed:
        yield ngettext(
            "It would leave %s credit owed, because it is spent.",
            "It would leave %s credits owed, because they are spent.",
            preview.owed,
        ) % grouped(preview.owed)
    if preview.tokens or preview.tokens_used:
        yield gettext(
            "It would revoke %(tokens)d single generations (%(used)d are used and stay used)."
        ) % {"tokens": preview.tokens, "used": preview.tokens_used}


def intro(payment: Any, *, now: datetime) -> str:
    """What the payment, with its annotated currency, paid for, and what of it can be refunded."""
    refundable = gettext("%(left)s can be refunded. %(id)s, %(key)s") % {
        "left": in_currency(refunding.left_of(payment, now=now), payment.currency),
        "id": payment.payment_intent,
        "key": short_key(payment.source_key),
    }
    return " ".join([*map(_bought, described([payment])), refundable])


def _bought(purchase: Purchase) -> str:
    return gettext("%(what)s, bought by %(who)s on %(day)s for %(amount)s.") % {
        "what": purchase.words,
        "who": purchase.bought.account.user,
        "day": f"{purchase.bought_at:%Y-%m-%d}",
        "amount": purchase.paid,
    }
