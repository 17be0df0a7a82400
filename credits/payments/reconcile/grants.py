"""From our side to Stripe's: is everything paid for that was granted, and granted once?"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, groupby
from typing import TypeVar

import stripe
from django.db.models import Q

from credits.models import CreditLot, Pool, RetailToken
from credits.payments.readers import Object, text
from credits.payments.reconcile import stripe_side
from credits.payments.reconcile.differences import Difference, Kind

Granted = CreditLot | RetailToken
Some = TypeVar("Some", CreditLot, RetailToken)

BATCH = 1000
FROM_STRIPE = Q(source_key__startswith="invoice:") | Q(source_key__startswith="checkout:")


class Grants:
    """Lots and tokens, found by what Stripe lists; remembers the ids of those that it has seen."""

    def __init__(self) -> None:
        self._seen: dict[type[Granted], set[int]] = {CreditLot: set(), RetailToken: set()}

    def of_invoices(self, page: list[Object]) -> dict[str, CreditLot]:
        """The lots of paid invoices, by source key."""
        return self._lots([f"invoice:{invoice['id']}" for invoice in page])

    def of_sessions(self, page: list[Object]) -> dict[str, list[Granted]]:
        """What was delivered for paid sessions, by session id, also what was delivered too much."""
        found: dict[str, list[Granted]] = {session["id"]: [] for session in page}
        lots = self._lots([f"checkout:{session['id']}" for session in page])
        keys = [f"checkout:{row['id']}:{n}" for row in page for n in range(1, _pieces(row) + 2)]
        tokens = RetailToken.objects.filter(source_key__in=keys).select_related("account")
        for lot in lots.values():
            found[lot.source_key.split(":")[1]].append(lot)
        for token in self._saw(tokens):
            found[token.source_key.split(":")[1]].append(token)
        return found

    def wrong_lot(self, lot: CreditLot, invoice: Object) -> Iterator[Difference]:
        """A lot that is not what its invoice paid for."""
        key = f"{lot.source_key} {text(invoice, 'customer')}"
        yield from _wrong_owner(lot, text(invoice, "customer"))
        if lot.pool != Pool.SUBSCRIPTION:
            yield _difference(Kind.NOT_PAID, key, lot, f"a plan, and it is in the pool {lot.pool}")

    def wrong_delivery(self, session: Object, found: list[Granted]) -> Iterator[Difference]:
        """More than a session paid for, or for somebody else."""
        for granted in found[:1]:
            yield from _wrong_owner(granted, text(session, "customer"))
        lots = [row for row in found if isinstance(row, CreditLot) and not _is_gone(row)]
        tokens = [row for row in found if isinstance(row, RetailToken) and not _is_gone(row)]
        key, pieces = f"checkout:{session['id']}", _pieces(session)
        for lot in lots:
            bought = int(lot.terms.get("credits", lot.granted)) * pieces
            if (kept := lot.granted - lot.clawed_back) > bought:
                said = f"{kept} credits were granted, {bought} bought"
                yield _difference(Kind.GRANTED_TWICE, key, lot, said)
            if lot.pool != Pool.BULK:
                said = f"a pack, and it is in the pool {lot.pool}"
                yield _difference(Kind.NOT_PAID, key, lot, said)
        if len(tokens) > pieces or (lots and tokens):
            said = f"{len(tokens)} tokens and {len(lots)} lots for {pieces} bought"
            yield _difference(Kind.GRANTED_TWICE, key, found[0], said)
        if found and (invoice := text(session, "invoice")):
            for lot in CreditLot.objects.filter(source_key=f"invoice:{invoice}"):
                said = f"also granted as {lot.source_key}"
                yield _difference(Kind.GRANTED_TWICE, key, lot, said)

    def not_paid(
        self, client: stripe.StripeClient, since: datetime
    ) -> Iterator[Difference | Granted]:
        """Every grant since then that has a purchase at Stripe, and after it what is wrong with it.

        Ask after everything that Stripe lists has been seen: what is left is asked for one by one.
        """
        all_granted: Iterator[Granted] = chain(_since(CreditLot, since), _since(RetailToken, since))
        for granted in all_granted:
            yield granted
            if granted.pk not in self._seen[type(granted)]:
                yield from _unless_paid(client, granted)
        yield from _periods_granted_twice(since)

    def _lots(self, keys: list[str]) -> dict[str, CreditLot]:
        lots = CreditLot.objects.filter(source_key__in=keys).select_related("account")
        return {lot.source_key: lot for lot in self._saw(lots)}

    def _saw(self, found: Iterable[Some]) -> Iterator[Some]:
        for granted in found:
            self._seen[type(granted)].add(granted.pk)
            yield granted


def _pieces(session: Object) -> int:
    pieces = text(session, "metadata", "quantity") or "1"
    return int(pieces) if pieces.isascii() and pieces.isdigit() and len(pieces) < 4 else 1


def _wrong_owner(granted: Granted, customer_id: str) -> Iterator[Difference]:
    if customer_id and granted.account.stripe_customer_id != customer_id:
        said = f"{customer_id} paid, who is somebody else"
        yield _difference(Kind.NOT_PAID, granted.source_key, granted, said)


def _is_gone(granted: Granted) -> bool:
    """Whether all of it has been taken back: how staff settles what was granted wrongly."""
    if isinstance(granted, CreditLot):
        return granted.clawed_back == granted.granted
    return granted.state == RetailToken.State.REVOKED


def _unless_paid(client: stripe.StripeClient, granted: Granted) -> Iterator[Difference]:
    if not _is_gone(granted) and not stripe_side.is_paid(client, granted.source_key):
        said = "Stripe does not know this purchase as paid"
        yield _difference(Kind.NOT_PAID, granted.source_key, granted, said)


def _since(model: type[Some], since: datetime) -> Iterator[Some]:
    """Account by account, oldest first: lots are numbered so."""
    rows = model._default_manager.filter(FROM_STRIPE, created_at__gte=since).order_by("pk")
    last = 0
    while batch := list(rows.filter(pk__gt=last)[:BATCH]):
        yield from batch
        last = batch[-1].pk


def _periods_granted_twice(since: datetime) -> Iterator[Difference]:
    """Two lots of one subscription for the same paid period."""
    for _, lots in groupby(_since(CreditLot, since), lambda lot: lot.account_id):
        periods = Counter[tuple[str, str]]()
        for lot in lots:
            if _is_gone(lot):
                continue
            period = (lot.terms.get("subscription", ""), lot.terms.get("period_end", ""))
            periods[period] += 1
            if all(period) and periods[period] == 2:
                said = f"the period of {period[0]} until {period[1]} has two lots"
                yield _difference(Kind.GRANTED_TWICE, lot.source_key, lot, said)


def _difference(kind: Kind, objects: str, granted: Granted, said: str) -> Difference:
    return Difference(
        kind, objects, said, granted.account_id, granted.amount_paid, granted.currency
    )
