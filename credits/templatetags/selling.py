"""What the price pages work out of an offer: `{% load selling %}`."""

from collections.abc import Iterable

from django import template
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from credits import queries
from credits.models import Offer
from credits.money import credits_words, grouped, money

register = template.Library()


@register.filter
def of_kind(rows: Iterable[tuple[Offer, str]], kind: str) -> list[tuple[Offer, str]]:
    """The rows of the price list that are plans, packs or single generations."""
    return [row for row in rows if row[0].kind == kind]


@register.filter
def price(offer: Offer) -> str:
    """What it costs, as the price list says it."""
    return money(offer.amount, offer.currency)


@register.filter
def trial(offer: Offer) -> str:
    """What a trial of the plan is: "7 days free with 5 credits, then $9.00 per month"."""
    days = ngettext("%s day", "%s days", offer.trial_days)
    return _("%(days)s free with %(credits)s, then %(price)s per %(interval)s") % {
        "days": days % grouped(offer.trial_days),
        "credits": credits_words(offer.trial_credits),
        "price": price(offer),
        "interval": offer.get_interval_display(),
    }


@register.filter
def any_trial(rows: Iterable[tuple[Offer, str]]) -> bool:
    """Whether any plan of the price list begins with a trial."""
    return any(offer.trial_days for offer, _price in rows)


@register.filter
def per_month(offer: Offer) -> str:
    """A twelfth of what a plan costs per year, rounded up to the currency's smallest unit."""
    return money(-(-offer.amount // 12), offer.currency)


@register.filter
def per_credit(offer: Offer) -> str:
    """What one credit of the offer costs; of a thousand, where one costs less than a few cents.

    Rounded up to the currency's smallest unit.
    """
    if not offer.amount:
        return _("Free of charge")
    for pieces in (1, 1000, 1_000_000):
        amount = -(-offer.amount * pieces // offer.credits)
        if amount >= 5 or pieces == 1_000_000:
            break
    words = money(amount, offer.currency)
    if pieces == 1:
        return _("%(price)s per credit") % {"price": words}
    return _("%(price)s per %(number)s credits") % {"price": words, "number": grouped(pieces)}


@register.inclusion_tag("credits/_ways.html")
def ways_to_pay() -> dict[str, list[Offer]]:
    """The cheapest plan, pack and single generation, as far as they are sold."""
    cheapest: dict[str, Offer] = {}
    for offer in sorted(queries.offers(), key=lambda offer: offer.amount):
        cheapest.setdefault(offer.kind, offer)
    return {"ways": [cheapest[kind] for kind in Offer.Kind.values if kind in cheapest]}


@register.simple_tag
def grace_days() -> int:
    """How long subscription credits outlive their period, while the renewal is paid."""
    return int(settings.SUBSCRIPTION_GRACE.days)
