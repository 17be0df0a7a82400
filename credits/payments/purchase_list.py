"""What an account has bought, with Stripe's documents about it, from what events have told."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.db.models import Q
from django.utils.translation import gettext as _

from credits.explanations import bought_words
from credits.models import FIRST_PIECE, CreditLot, InboxEvent, Payment, RetailToken
from credits.payments.purchases import payment_key
from credits.payments.readers import Object, payment_intents, text

PER_PAGE = 20
State = RetailToken.State


@dataclass
class Purchase:
    """One payment and what it brought. `credits` and `left` count tokens where tokens were bought.

    `refunded`, `lost` and `amount_paid` are in minor units of `currency`.
    """

    source_key: str
    name: str
    bought_at: datetime
    amount_paid: int
    currency: str
    credits: int
    left: int
    is_tokens: bool
    taken_back: int
    set_aside: int
    refunded: int = 0
    lost: int = 0  # in disputes
    documents: list[tuple[str, str]] = field(default_factory=list)  # what it is, where it is

    @property
    def reference(self) -> str:
        return self.source_key.partition(":")[2]


def purchases(*, account_id: int) -> "Paginator[Any]":
    """Pages of source keys, newest first; `on_page` makes purchases of them."""
    paid = Q(source_key__startswith="invoice:") | Q(source_key__startswith="checkout:")
    lots = CreditLot.objects.filter(paid, account_id=account_id)
    tokens = RetailToken.objects.filter(
        account_id=account_id,
        source_key__startswith="checkout:",
        source_key__endswith=FIRST_PIECE,
    )
    columns = ("created_at", "source_key")
    both = lots.values_list(*columns).union(tokens.values_list(*columns), all=True)
    return Paginator(both.order_by("-created_at", "-source_key"), PER_PAGE)


def on_page(page: "Page[Any]", *, account_id: int) -> list[Purchase]:
    """The purchases of a page, in its order. A fixed number of queries."""
    keys = [key for _at, key in page]
    lots = CreditLot.objects.filter(account_id=account_id, source_key__in=keys)
    found = {lot.source_key: _of_lot(lot) for lot in lots}
    sessions = [key.removesuffix(FIRST_PIECE) for key in keys if key not in found]
    found |= {bought.source_key: bought for bought in _of_tokens(account_id, sessions)}
    ordered = [found[key if key in found else key.removesuffix(FIRST_PIECE)] for key in keys]
    _add_money_back(ordered)
    _add_documents(account_id, ordered)
    return ordered


def is_stripes(url: str) -> bool:
    """Whether the address is a page of Stripe (or of its sandbox): only such are linked."""
    if re.fullmatch(r"https://([a-z0-9-]+\.)*stripe\.com/[!-~]*", url):
        return True
    base = settings.STRIPE_API_BASE
    return bool(base) and url.startswith(f"{base.rstrip('/')}/")


def _of_lot(lot: CreditLot) -> Purchase:
    return Purchase(
        source_key=lot.source_key,
        name=bought_words(lot) or lot.get_pool_display(),
        bought_at=lot.created_at,
        amount_paid=lot.amount_paid,
        currency=lot.currency,
        credits=lot.granted,
        left=lot.remaining,
        is_tokens=False,
        taken_back=lot.clawed_back,
        set_aside=lot.frozen if lot.frozen_at else 0,
    )


def _of_tokens(account_id: int, sessions: list[str]) -> Iterator[Purchase]:
    """One purchase for each of the sessions (`checkout:cs_…`), of all its pieces."""
    if not sessions:
        return
    wanted = Q()
    for key in sessions:
        wanted |= Q(source_key__startswith=f"{key}:")
    pieces = defaultdict(list)
    for token in RetailToken.objects.filter(wanted, account_id=account_id).order_by("pk"):
        pieces[token.source_key.rpartition(":")[0]].append(token)
    for key, tokens in pieces.items():
        states = [token.state for token in tokens]
        yield Purchase(
            source_key=key,
            name=str(tokens[0].terms.get("name") or _("Single generation")),
            bought_at=tokens[0].created_at,
            amount_paid=sum(token.amount_paid for token in tokens),
            currency=tokens[0].currency,
            credits=len(tokens),
            left=states.count(State.AVAILABLE),
            is_tokens=True,
            taken_back=states.count(State.REVOKED),
            set_aside=0,
        )


def _add_money_back(found: list[Purchase]) -> None:
    """What has really gone back: a refund that failed later is not among it."""
    by_key = {one.source_key: one for one in found}
    for payment in Payment.objects.filter(source_key__in=by_key):
        by_key[payment.source_key].refunded += payment.refunded
        by_key[payment.source_key].lost += payment.lost


def _add_documents(account_id: int, found: list[Purchase]) -> None:
    """Invoices and receipts, from the events about these purchases."""
    about = defaultdict(list)
    for fact, stated in _events(account_id, [one.source_key for one in found]):
        about[fact].append(stated)
    further: dict[str, Purchase] = {}  # the charge of a purchase, the invoice of a Checkout
    for one in found:
        for stated in about[one.source_key]:
            _add_links(one, stated)
            further.update((payment_key(intent), one) for intent in payment_intents(stated))
            if invoice := text(stated, "invoice"):
                further[f"invoice:{invoice}"] = one
    for fact, stated in _events(account_id, further):
        _add_links(further[fact], stated)


def _events(account_id: int, facts: Iterable[str]) -> Iterator[tuple[str, Object]]:
    events = InboxEvent.objects.filter(account_id=account_id, fact_key__in=facts).order_by("pk")
    for fact, body in events.values_list("fact_key", "body"):
        yield fact, json.loads(body)["data"]["object"]


def _add_links(bought: Purchase, stated: Object) -> None:
    for name, words in (
        ("hosted_invoice_url", _("Invoice")),
        ("invoice_pdf", _("Invoice, PDF")),
        ("receipt_url", _("Receipt")),
    ):
        url = text(stated, name)
        if is_stripes(url) and words not in dict(bought.documents):
            bought.documents.append((words, url))
