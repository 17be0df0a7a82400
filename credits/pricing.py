"""The price list: reads it from a TOML file, finds everything wrong with it, writes the offers.

The file is the whole list: what is no longer in it is no longer for sale, but for what staff keeps
in the admin (drafts.py). What has been bought is never edited, it is replaced by an offer with
another slug.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Q

from credits.models import CreditLot, Offer, RetailToken, StaffAction
from credits.services.errors import MOST_CREDITS, MOST_PAID

DEFAULT_FILE = Path(__file__).with_name("pricing.toml")
# What Stripe can charge. A misspelt currency would only be noticed by the first customer.
STRIPE_CURRENCIES = """
    aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd
    cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq
    gyd hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd
    lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk
    php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs tnd top
    try ttd twd tzs uah ugx usd uyu uzs vnd vuv wst xaf xcd xof xpf yer zar zmw
"""
MOST_TRIAL_DAYS = 730  # https://docs.stripe.com/api/checkout/sessions/create
CURRENCIES = frozenset(STRIPE_CURRENCIES.split())


class PricingError(Exception):
    """The price list cannot be used; `problems` has one sentence for each thing that is wrong."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Listed:
    """One `[[offer]]` of the file."""

    slug: str
    name: str
    kind: str
    amount: int
    currency: str
    credits: int = 0
    rollover_cap: int = 0
    interval: str = ""
    trial_days: int = 0
    trial_credits: int = 0
    stripe_price_id: str = ""


@dataclass
class Changes:
    """Slugs by what happened to their offers."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    deactivated: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


STAFF_ACTIONS = ("offer.publish", "offer.retire", "offer.sell", "offer.rename")
KEYS = {key.name: key for key in fields(Listed)}


def read(path: Path) -> list[Listed]:
    """The offers of a price list. Raises PricingError with everything that is wrong with it."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise PricingError(f"{path} cannot be read ({error.strerror}): check the name.") from error
    except UnicodeDecodeError as error:
        raise PricingError(f"{path} is not UTF-8 text: save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise PricingError(f"{path} is not valid TOML: {error}.") from error
    tables = document.pop("offer", None)
    if document:
        raise PricingError(f"Unknown key {min(document)!r}: only [[offer]] tables are known.")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise PricingError(f"{path} has no [[offer]] tables: see credits/pricing.toml.")
    problems = [*_problems(tables)]
    if problems:
        raise PricingError(*problems)
    return [Listed(**{**table, "currency": table["currency"].lower()}) for table in tables]


@transaction.atomic
def write(listed: list[Listed]) -> Changes:
    """Makes the offers what the list says, all of them or none.

    What staff has made or changed in the admin is left alone, whatever the list says of it. Raises
    PricingError if the terms of an offer that somebody has bought would change. An id that Stripe
    gave to an offer stays when the list names none.
    """
    of_staff = slugs_of_staff()
    offers = Offer.objects.select_for_update().exclude(slug__in=of_staff)
    known = {offer.slug: offer for offer in offers}
    refused = [
        sentence
        for entry in listed
        if entry.slug in known
        for sentence in _refusal(known[entry.slug], entry)
    ]
    if refused:
        raise PricingError(*refused)
    changes = Changes(left=sorted(of_staff))
    for order, entry in enumerate(listed, start=1):
        if entry.slug in of_staff:
            continue
        offer = known.pop(entry.slug, None) or Offer(slug=entry.slug)
        _write_offer(offer, entry, order, changes)
    for offer in known.values():
        if offer.active:
            offer.active = False
            offer.save(update_fields=["active"])
            changes.deactivated.append(offer.slug)
    return changes


def slugs_of_staff() -> set[str]:
    """The offers that are kept in the admin: drafts, and what staff published, retired or renamed.

    The audit log says which: otherwise a list that nobody has touched would take an offer off sale
    that was published yesterday, and put back what it replaced.
    """
    done = StaffAction.objects.filter(action__in=STAFF_ACTIONS).values("target")
    kept = Offer.objects.filter(Q(draft=True) | Q(slug__in=done))
    return set(kept.values_list("slug", flat=True))


def _write_offer(offer: Offer, entry: Listed, order: int, changes: Changes) -> None:
    wanted = {name: getattr(entry, name) for name in KEYS} | {
        "order": order,
        "active": True,
        "draft": False,
    }
    wanted["stripe_price_id"] = entry.stripe_price_id or offer.stripe_price_id
    different = [name for name, value in wanted.items() if getattr(offer, name) != value]
    for name in different:
        setattr(offer, name, wanted[name])
    if offer._state.adding:
        offer.save(force_insert=True)
        changes.added.append(offer.slug)
    elif different:
        offer.save(update_fields=different, never_bought=True)  # _refusal has looked
        changes.changed.append(offer.slug)
    else:
        changes.unchanged.append(offer.slug)


def _refusal(offer: Offer, entry: Listed) -> Iterator[str]:
    different = [name for name in Offer.TERMS if getattr(offer, name) != getattr(entry, name)]
    if offer.stripe_price_id and entry.stripe_price_id not in ("", offer.stripe_price_id):
        different.append("stripe_price_id")  # running subscriptions are billed under the old id
    if different and _is_bought(offer.slug):
        changes = ", ".join(
            f"{name} {getattr(offer, name)!r} -> {getattr(entry, name)!r}" for name in different
        )
        yield (
            f"{offer.slug} has been bought and keeps its terms ({changes}): "
            f"give the new terms a new slug, such as {offer.slug[:45]}-2."
        )


def _is_bought(slug: str) -> bool:
    """Whether a lot or token was made under this offer: both keep its terms, with the slug."""
    return (
        CreditLot.objects.filter(terms__slug=slug).exists()
        or RetailToken.objects.filter(terms__slug=slug).exists()
    )


def problems_of(entry: Listed) -> list[str]:
    """What is wrong with one offer, a sentence each."""
    table = asdict(entry)
    return [*_wrong_shape(table)] or [*_wrong_content(table)]


# Validation ---------------------------------------------------------------------------------------


def _problems(tables: list[dict[str, Any]]) -> Iterator[str]:
    for number, table in enumerate(tables, start=1):
        label = f"Offer {number}" + (f" ({table['slug']})" if table.get("slug") else "")
        wrong = [*_wrong_shape(table)] or [*_wrong_content(table)]
        yield from (f"{label}: {sentence}" for sentence in wrong)
    for key in ("slug", "stripe_price_id"):
        values = Counter(str(table[key]) for table in tables if table.get(key))
        yield from (
            f"{count} offers have the {key} {value!r}: it must be unique."
            for value, count in values.items()
            if count > 1
        )


def _wrong_shape(table: dict[str, Any]) -> Iterator[str]:
    for name in table:
        if name not in KEYS:
            yield f"unknown key {name!r}; known are {', '.join(KEYS)}."
    for name in ("slug", "name", "kind", "amount", "currency"):
        if name not in table:
            yield f"{name} is missing."
    for name, value in table.items():
        if name not in KEYS:
            continue
        if KEYS[name].type is int and type(value) is not int:
            yield f"{name} must be a whole number, not {value!r} (money is in minor units)."
        if KEYS[name].type is str and type(value) is not str:
            yield f'{name} must be text, not {value!r}: put it in "quotes".'


def _wrong_content(table: dict[str, Any]) -> Iterator[str]:
    entry = Listed(**table)
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,49}", entry.slug):
        yield "slug must be 1 to 50 of a-z, 0-9, - and _."
    if not 1 <= len(entry.name) <= 80 or not entry.name.isprintable():
        yield "name must have 1 to 80 printable characters."
    if not re.fullmatch(r"(price_\w{1,200})?", entry.stripe_price_id, re.ASCII):
        yield f"stripe_price_id {entry.stripe_price_id!r} does not look like price_…."
    if entry.currency.lower() not in CURRENCIES:
        yield f"currency {entry.currency!r} is none that Stripe charges: use a code such as usd."
    if not 0 <= entry.amount <= MOST_PAID:
        yield f"amount must be from 0 to {MOST_PAID} minor units, not {entry.amount}."
    if entry.kind not in Offer.Kind.values:
        yield f"kind must be one of {', '.join(Offer.Kind.values)}, not {entry.kind!r}."
    else:
        yield from _wrong_for_kind(entry)


def _wrong_for_kind(entry: Listed) -> Iterator[str]:
    if entry.kind == Offer.Kind.RETAIL:
        if entry.credits:
            yield "a retail offer has no credits: it pays for one generation."
    elif not 1 <= entry.credits <= MOST_CREDITS:
        yield f"credits must be from 1 to {MOST_CREDITS}, not {entry.credits}."
    if entry.kind == Offer.Kind.PLAN:
        yield from _wrong_plan(entry)
        return
    if entry.amount == 0:
        yield "amount may be 0 for a plan only."
    if entry.interval:
        yield f"interval is for plans only: take it out of this {entry.kind}."
    for name in ("rollover_cap", "trial_days", "trial_credits"):
        if getattr(entry, name):
            yield f"{name} is for plans only: take it out of this {entry.kind}."


def _wrong_plan(entry: Listed) -> Iterator[str]:
    if entry.interval not in (Offer.Interval.MONTH, Offer.Interval.YEAR):
        yield f"interval of a plan must be month or year, not {entry.interval!r}."
    if not 0 <= entry.rollover_cap <= MOST_CREDITS:
        yield f"rollover_cap must be from 0 to {MOST_CREDITS}, not {entry.rollover_cap}."
    if not 0 <= entry.trial_days <= MOST_TRIAL_DAYS:
        yield f"trial_days must be from 0 to {MOST_TRIAL_DAYS}, not {entry.trial_days}."
    if not 0 <= entry.trial_credits <= MOST_CREDITS:
        yield f"trial_credits must be from 0 to {MOST_CREDITS}, not {entry.trial_credits}."
    if bool(entry.trial_days) != bool(entry.trial_credits):
        yield "trial_days and trial_credits go together: give both, or neither."
    if entry.trial_days and not entry.amount:
        yield "a plan that costs nothing needs no trial: take trial_days out."
