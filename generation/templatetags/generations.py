"""What other pages show of generations: `{% load generations %}`."""

from typing import Any

from django import template

from generation import queries
from generation.services import OPERATION

RECENT = 5

register = template.Library()


@register.simple_tag
def text_price() -> int | None:
    """What one generated text costs now, in credits; None before there is a price."""
    return queries.prices().get(OPERATION)


@register.inclusion_tag("generation/_recent.html")
def recent_generations(account_id: int) -> dict[str, Any]:
    """The account's newest generations."""
    rows = queries.generations(account_id=account_id).defer("output")
    return {"generations": rows[:RECENT]}


@register.filter
def texts_for(amount: int, price: int | None) -> int:
    """How many texts that many credits pay for."""
    return amount // price if price else 0
