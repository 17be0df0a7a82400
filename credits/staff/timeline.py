"""Everything that happened to an account, in one list: newest first, a page at a time.

Each kind of thing is a Source; the site adds what credits does not know. A page takes the newest of
all sources and remembers for each where it stopped, so no row is left out or shown twice, whatever
their clocks say. A page costs one query a source, however long the history is.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from typing import Any

from django.core import signing
from django.db.models import Model, Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credits.explanations import explain, short, short_key
from credits.models import (
    CheckoutStart,
    InboxEvent,
    LedgerEntry,
    Notice,
    PlanClick,
    RetailToken,
    StaffAction,
)
from credits.money import grouped, signed
from credits.staff import news
from credits.staff.deeds import in_words

PAGE = 40
FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Told:
    """One thing of the timeline: credits that it moved, and the balance of their pool after it."""

    words: str
    more: str = ""
    balance: str = ""


@dataclass(frozen=True)
class Source:
    """One kind of thing: its rows of an account, which field is their time, and their words.

    `number` names the field that alone is their order, where there is one with an index.
    """

    kind: str
    label: Any
    rows: Callable[[int], QuerySet[Any]]
    tell: Callable[[Any], Told]
    at: str = "created_at"
    number: str = ""

    def newest(self, account_id: int, after: list[str] | None) -> QuerySet[Any]:
        """Newest first, after the row at this place."""
        rows = self.rows(account_id)
        if self.number:
            older = Q(**{f"{self.number}__lt": after[1]}) if after else Q()
            return rows.filter(older).order_by(f"-{self.number}")
        if after:
            moment = datetime.fromisoformat(after[0])
            older = Q(**{f"{self.at}__lt": moment})
            rows = rows.filter(older | Q(**{self.at: moment, "pk__lt": after[1]}))
        return rows.order_by(f"-{self.at}", "-pk")

    def place(self, row: Any) -> list[str]:
        """Where a row is: its moment, and its number or id."""
        return [getattr(row, self.at).isoformat(), str(getattr(row, self.number or "pk"))]


@dataclass(frozen=True)
class Item:
    """A row of the timeline as the page shows it."""

    source: Source
    at: datetime
    row: Model

    @cached_property
    def told(self) -> Told:
        return self.source.tell(self.row)

    @property
    def url(self) -> str:
        meta = self.row._meta
        return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[self.row.pk])


@dataclass(frozen=True)
class Page:
    items: list[Item]
    next: str  # what to ask for to go on; empty at the end


def page(account_id: int, sources: list[Source], after: str = "") -> Page:
    """The next things of these sources. `after` is a page's `next`; anything else is the start."""
    places = _read(after)
    found = list(islice(_merged(account_id, sources, places), PAGE + 1))
    shown = found[:PAGE]
    for item in shown:
        places[item.source.kind] = item.source.place(item.row)
    return Page(shown, signing.dumps(places, compress=True) if len(found) > PAGE else "")


def visible_to(user: Any) -> list[Source]:
    """The sources whose lists this member of the staff may see."""
    return [source for source in SOURCES if user.has_perm(_permission(source))]


def _merged(account_id: int, sources: list[Source], places: dict[str, list[str]]) -> Iterator[Item]:
    streams = [
        [
            Item(source, getattr(row, source.at), row)
            for row in source.newest(account_id, places.get(source.kind))[: PAGE + 1]
        ]
        for source in sources
    ]
    return heapq.merge(*streams, key=lambda item: FOREVER - item.at)


def _read(after: str) -> dict[str, list[str]]:
    try:
        return dict(signing.loads(after)) if after else {}
    except signing.BadSignature:
        return {}


def _permission(source: Source) -> str:
    meta = source.rows(0).model._meta
    return f"{meta.app_label}.view_{meta.model_name}"


# What credits knows -------------------------------------------------------------------------------


def _line(entry: LedgerEntry) -> Told:
    balance = f"{entry.get_pool_display()} {grouped(entry.balance_after)}"
    return Told(str(explain(entry)), signed(entry.amount), balance)


def _token(token: RetailToken) -> Told:
    origin = short_key(token.source_key)
    if token.source_key.startswith("adjustment:"):
        origin = _("given by staff: %s") % token.terms.get("note", "")
    words = _("A single generation came (%(source)s), now %(state)s") % {
        "source": origin,
        "state": token.get_state_display().lower(),
    }
    return Told(words)


def _event(event: InboxEvent) -> Told:
    return Told(news.in_words(event))


def _notice(notice: Notice) -> Told:
    error = notice.error.strip().rpartition("\n")[2][:200]
    words = f"{notice.get_kind_display()}: {notice.get_state_display()}"
    return Told(f"{words} ({error})" if error else words)


def _action(action: StaffAction) -> Told:
    return Told(in_words(action))


def _checkout(start: CheckoutStart) -> Told:
    words = _("Wanted to buy %(quantity)d of %(offer)s") % {
        "quantity": start.quantity,
        "offer": start.offer,
    }
    return Told(f"{words} ({short(start.session_id)})" if start.session_id else words)


def _plan_click(click: PlanClick) -> Told:
    words = f"{click.get_action_display()} {click.offer}".strip()
    return Told(f"{words}: {click.get_outcome_display()}")


def _of(model: type[Any]) -> Callable[[int], QuerySet[Any]]:
    return lambda account_id: model.objects.filter(account_id=account_id)


SOURCES: list[Source] = [
    Source(
        "ledger",
        gettext_lazy("Credits"),
        lambda account_id: LedgerEntry.objects.filter(account_id=account_id).select_related("lot"),
        _line,
        number="sequence",
    ),
    Source("tokens", gettext_lazy("Single generations"), _of(RetailToken), _token),
    Source(
        "stripe",
        gettext_lazy("Stripe's events"),
        lambda account_id: InboxEvent.objects.filter(account_id=account_id).defer("body"),
        _event,
        at="received_at",
    ),
    Source("checkouts", gettext_lazy("Checkouts"), _of(CheckoutStart), _checkout),
    Source("plans", gettext_lazy("Plan changes"), _of(PlanClick), _plan_click),
    Source("mails", gettext_lazy("Mails"), _of(Notice), _notice),
    Source("staff", gettext_lazy("Staff"), _of(StaffAction), _action),
]
