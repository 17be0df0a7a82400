"""Chaos: one customer's life, told by Stripe in a hundred wrong ways, has to end the same.

A life is a list of events as Stripe sends them. It is played once as it was, and then with events
permuted, repeated, late, or lost and told again at the end, as a redelivery or a reconciliation
would. Every event goes through the signed webhook view and the inbox.

Note [Nothing stays]
    Each run is one transaction on an account of its own that is rolled back, so it leaves no line
    in the ledger, a worker beside it sees nothing of it, and no existing account is touched. Ids
    are rewritten all the same: the life may have been recorded on this very site. The sandbox's
    own price list (`price_list`) is on the site's price list as long as a run takes.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.contrib.auth import get_user_model

from credits import queries, services
from credits.models import CreditLot, InboxEvent, Offer, Payment, RetailToken, Subscription
from credits.payments import inbox, intake
from credits.payments.readers import Object, text
from credits.payments.rules import RULES
from credits.payments.self_delivery import NotTaken, signing

Life = Sequence[Object]

KEPT = {"price", "product", "plan", "coupon", "promotion_code", "tax_rate", "account"}
REFERENCES = {"customer", "subscription", "invoice", "charge", "payment_intent", "refund"}
ROUNDS = 10  # how often events that wait are tried again at the end
ENDS = "customer.subscription.deleted"


def price_list() -> list[Offer]:
    """What the sandbox's life buys, whatever this site sells."""
    kinds = Offer.Kind
    return [
        _offer("starter", kinds.PLAN, 900, credits=20, interval="month"),
        _offer("pro", kinds.PLAN, 2900, credits=100, rollover_cap=20, interval="month"),
        _offer("pack", kinds.PACK, 1500, credits=50),
        _offer("single", kinds.RETAIL, 99),
    ]


def _offer(name: str, kind: str, amount: int, **more: Any) -> Offer:
    return Offer(
        slug=f"chaos-{name}", name=name, kind=kind, amount=amount, currency="usd",
        stripe_price_id=f"price_chaos_{name}", active=False, **more,
    )  # fmt: skip


class BadLife(Exception):
    """The file does not hold one customer's events; the message says where and why."""


@dataclass(frozen=True)
class Deviation:
    """A run that ended otherwise than the life as it was; `seed` repeats it as the first run."""

    seed: int
    sentence: str


def read_life(path: Path) -> Life:
    """The events of a file with one JSON event a line, oldest first. Raises BadLife."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadLife(f"{path} cannot be read: {error}") from error
    events = [_read(line, number) for number, line in enumerate(lines, start=1) if line.strip()]
    if not any(event["type"] in RULES for event in events):
        raise BadLife(f"{path} holds no events that a rule applies.")
    events.sort(key=lambda event: int(event["created"]))
    customer_of(events)
    return events


def _read(line: str, number: int) -> Object:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        raise BadLife(f"Line {number} is not JSON: one event a line, as Stripe sends it.") from None
    if not intake.has_shape(event):
        raise BadLife(f"Line {number} is not an event of Stripe.")
    if len(line) > intake.MOST_BYTES // 2:
        raise BadLife(f"Line {number} is too long for an event.")
    return dict(event)


def customer_of(life: Life) -> str:
    """The customer whose life it is. Raises BadLife if there are several, or none."""
    objects = [event["data"]["object"] for event in life]
    found = {text(each, "customer") for each in objects} - {""}
    if len(found) != 1:
        named = ", ".join(sorted(found)[:3]) or "none"
        raise BadLife(f"A life is of one customer; this file names {len(found)} ({named}).")
    return found.pop()


def deviations(life: Life, *, runs: int, seed: int) -> Iterator[Deviation]:
    """Plays the life `runs` times in disorder and yields what ended otherwise.

    Every second run of a life whose subscription ends stops before that end: what the renewals
    brought would be gone otherwise. Raises BadLife if not even the life as it was can be applied.
    """
    life = [event for event in life if event["type"] in RULES]  # the others move nothing
    variants = [life, _until_the_end(life)]
    expected = [_played(variant, variant) for variant in variants]
    for end in expected:
        if end["unsettled"]:
            raise BadLife(f"In its own order already, this is left: {end['unsettled'][0]}")
    for number in range(seed, seed + runs):
        which = number % 2
        dice = random.Random(number)  # noqa: S311 (repeatable, no secret)
        end = _played(variants[which], _disorder(variants[which], dice), dice)
        if end != expected[which]:
            yield Deviation(number, _difference(expected[which], end))


def _until_the_end(life: Life) -> Life:
    ends = [number for number, event in enumerate(life) if event["type"] == ENDS]
    return life[: ends[0]] if ends and ends[0] else life


def _disorder(life: Life, dice: random.Random) -> Life:
    """Permuted, some twice or three times, some only at the very end."""
    lost = [event for event in life if dice.random() < 0.15]
    told = [event for event in life if event not in lost]
    told += dice.choices(list(life), k=max(1, len(life) // 3))
    dice.shuffle(told)
    return told + lost


def _difference(expected: dict[str, Any], end: dict[str, Any]) -> str:
    name = next(name for name in expected if expected[name] != end[name])
    return f"{name}: {end[name]} instead of {expected[name]}"


def _played(variant: Life, deliveries: Life, dice: random.Random | None = None) -> dict[str, Any]:
    """How the account ends: see Note [Nothing stays]."""
    now = datetime.fromtimestamp(max(int(event["created"]) for event in variant) + 1, UTC)
    with services.rehearsal(), signing() as deliver:
        run = _Run(variant, now)
        for event in deliveries:
            try:
                deliver(run.renamed(event))
            except NotTaken as answer:
                raise BadLife(f"The webhook refused {event['id']}: {answer}") from answer
            if dice is None or dice.random() < 0.5:  # otherwise the worker is late
                run.apply()
        for _round in range(ROUNDS):
            run.apply()
        return run.end()


class _Run:
    """One life on one throwaway account."""

    def __init__(self, life: Life, now: datetime) -> None:
        self.now, self.tag = now, f"_{uuid4().hex[:10]}"
        self.ids = set().union(*map(_ids, life))
        Offer.objects.bulk_create(price_list())
        email = f"chaos{self.tag}@chaos.invalid"
        user = get_user_model().objects.create_user(email=email, is_active=False)
        self.account_id = services.open_account(user_id=user.pk, now=now).pk
        services.link_customer(
            account_id=self.account_id, customer_id=customer_of(life) + self.tag, now=now
        )

    def renamed(self, value: Any) -> Any:
        """The same with this run's own ids."""
        if isinstance(value, dict):
            return {name: self.renamed(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.renamed(inner) for inner in value]
        return value + self.tag if isinstance(value, str) and value in self.ids else value

    def _rows(self) -> Any:
        return InboxEvent.objects.filter(event_id__endswith=self.tag)

    def apply(self) -> None:
        """What a worker does; what waits is due at once."""
        due = self._rows().exclude(next_attempt_at=None).order_by("id")
        for pk in list(due.values_list("pk", flat=True)):
            InboxEvent.objects.filter(pk=pk).update(next_attempt_at=self.now)
            inbox.apply_one(pk, now=self.now)

    def end(self) -> dict[str, Any]:
        """Everything that must not depend on the order; lots only as long as they live."""
        balance = queries.balance(account_id=self.account_id, now=self.now)
        lots = CreditLot.objects.filter(account_id=self.account_id)
        lots = lots.exclude(expires_at__lte=self.now)
        tokens = RetailToken.objects.filter(account_id=self.account_id)
        payments = Payment.objects.filter(payment_intent__endswith=self.tag)
        subscriptions = Subscription.objects.filter(account_id=self.account_id)
        return {
            "unsettled": sorted(
                f"{row.type}: {row.reason.strip().splitlines()[-1] if row.reason else row.state}"
                for row in self._rows().exclude(next_attempt_at=None)
            ),
            "books": list(queries.find_imbalances([self.account_id])),
            "pools": balance.pools,
            "owed": balance.owed,
            "tokens": self._listed(tokens.values_list("source_key", "state")),
            "payments": self._listed(payments.values_list("source_key", "refunded", "lost")),
            "subscriptions": self._listed(subscriptions.values_list("subscription_id", "status")),
            "lots": self._listed(
                lots.values_list("source_key", "pool", "remaining", "frozen", "clawed_back")
            ),
        }

    def _listed(self, rows: Any) -> list[tuple[Any, ...]]:
        return sorted((str(first).replace(self.tag, ""), *rest) for first, *rest in rows)


def _ids(value: Any) -> set[str]:
    """The ids of objects that belong to a life; prices and what else is the site's stay."""
    if isinstance(value, list):
        return set().union(*map(_ids, value))
    if not isinstance(value, dict):
        return set()
    found = set().union(*map(_ids, value.values()))
    if str(value.get("object")) not in KEPT and isinstance(value.get("id"), str):
        found.add(value["id"])
    for name in REFERENCES:
        if isinstance(value.get(name), str):
            found.add(value[name])
    return found - {""}
