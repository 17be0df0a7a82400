"""What the rules would make of an event now. Everything they do is rolled back."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import OperationalError
from django.db.models import Count, Sum

from credits import queries, services
from credits.models import Account, CreditLot, Payment, RetailToken, Subscription
from credits.payments import rules
from credits.payments.outcomes import Event, Ignore, Wait
from credits.payments.readers import Object, rows, text

MONEY_BACK = ("charge.", "refund.")  # kinds of events whose rules lock the payment first


@dataclass(frozen=True)
class Outcome:
    """`books` credits, or only `notes` something that later events need; or the reason why not."""

    account_id: int | None
    books: bool = False
    notes: bool = False
    credits: int = 0
    tokens: int = 0
    reason: str = ""
    waits: bool = False

    def __str__(self) -> str:
        if self.reason:
            return self.reason
        found = [
            f"{number:+d} {name}"
            for number, name in ((self.credits, "credits"), (self.tokens, "tokens"))
            if number
        ]
        return f"the rules would book {', '.join(found)}" if found else "the rules were not told"


def outcome_of(event: Object, *, customer_id: str, now: datetime) -> Outcome:
    """Applies the event and takes it back. The account is locked meanwhile, for milliseconds.

    Raises OperationalError if a lock is not to be had, also at the third attempt.
    """
    for _ in range(2):
        with suppress(OperationalError):
            return _try(event, customer_id, now)
    return _try(event, customer_id, now)


def _try(event: Object, customer_id: str, now: datetime) -> Outcome:
    obj = event["data"]["object"]
    payments = payment_intents(obj)
    account_id = account_of(customer_id, payments)
    created_at = datetime.fromtimestamp(event["created"], UTC)
    try:
        with services.rehearsal():
            lock(event["type"], payments, account_id)
            before = _standing(account_id, payments, now)
            done = rules.apply(Event(event["type"], obj, created_at, now))
            after = _standing(account_id, payments, now)
    except Ignore as nothing:
        return Outcome(account_id, reason=str(nothing))
    except Wait as missing:
        return Outcome(account_id, reason=str(missing), waits=True)
    except OperationalError:  # a lock was not to be had: that says nothing about the event
        raise
    except Exception as error:  # noqa: BLE001 (whatever it is: the other differences are still found)
        return Outcome(account_id, reason=f"{type(error).__name__}: {error}", waits=True)
    return Outcome(
        account_id,
        books=before.credits != after.credits,
        notes=before.notes != after.notes,
        credits=after.available - before.available,
        tokens=after.tokens - before.tokens,
        reason=done.ignored_because,
    )


def lock(kind: str, payments: list[str], account_id: int | None) -> None:
    """In the order in which the rules lock, so that no worker and we wait for each other."""
    if kind.startswith(MONEY_BACK):
        list(Payment.objects.select_for_update().filter(payment_intent__in=payments).order_by("pk"))
    if account_id:
        Account.objects.locked().get(pk=account_id)


def payment_intents(obj: Object) -> list[str]:
    """Those that a charge, dispute, session, invoice or invoice payment names."""
    linked = [text(row, "payment", "payment_intent") for row in rows(obj, "payments")]
    found = [text(obj, "payment_intent"), text(obj, "payment", "payment_intent"), *linked]
    return [name for name in found if name]


def account_of(customer_id: str, payments: list[str]) -> int | None:
    """By the customer; where the object names none, by what its payment had bought."""
    if customer_id:
        owner = Account.objects.filter(stripe_customer_id=customer_id)
        return owner.values_list("pk", flat=True).first()
    payment = Payment.objects.filter(payment_intent__in=payments).first()
    if payment is None:
        return None
    lot = CreditLot.objects.filter(source_key=payment.source_key).first()
    token = RetailToken.objects.filter(source_key__startswith=f"{payment.source_key}:").first()
    found = lot or token
    return found.account_id if found else None


@dataclass(frozen=True)
class _Standing:
    """Whatever a rule can change: about the credits, and what is noted for later events."""

    available: int
    tokens: int
    credits: Any
    notes: Any


def _standing(account_id: int | None, payments: list[str], now: datetime) -> _Standing:
    paid = Payment.objects.filter(payment_intent__in=payments).order_by("pk")
    known_payments = list(paid.values_list("payment_intent", "refunded", "lost"))
    if account_id is None:
        return _Standing(0, 0, None, known_payments)
    balance = queries.balance(account_id=account_id, now=now)
    lots = CreditLot.objects.filter(account_id=account_id)
    # Frozen and clawed back: what a dispute or refund does to a lot of which nothing is left.
    totals = lots.aggregate(Count("pk"), Count("frozen_at"), Sum("clawed_back"))
    subscriptions = Subscription.objects.filter(account_id=account_id).order_by("pk")
    states = subscriptions.values_list(
        "subscription_id", "status", "price_id", "period_end", "cancel_at_period_end"
    )
    return _Standing(
        available=balance.available,
        tokens=balance.retail_tokens,
        credits=(balance, totals),
        notes=(known_payments, list(states)),
    )
