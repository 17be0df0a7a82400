"""Pages about credits: the landing page, the overview and the statement."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from credits import queries, services
from credits.models import Account, LedgerEntry, Offer
from credits.overview import overview

RECENT_LINES = 5
LINES_PER_PAGE = 50

SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}
# Digits after the point of a currency's minor units, as Stripe counts them; all others have two.
DECIMALS = {
    **dict.fromkeys(("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga"), 0),
    **dict.fromkeys(("pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"), 0),
    **dict.fromkeys(("bhd", "jod", "kwd", "omr", "tnd"), 3),
}
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Line:
    """A ledger entry in words."""

    entry: LedgerEntry
    source: str
    url: str

    @property
    def amount(self) -> str:
        """Signed and grouped; 0 for a claw-back that only raised what is owed."""
        sign = "+" if self.entry.amount > 0 else MINUS if self.entry.amount < 0 else ""
        return sign + number_format(abs(self.entry.amount), force_grouping=True)


@require_safe
@never_cache
def dashboard(request: HttpRequest) -> HttpResponse:
    """The overview of a customer; for everybody else what the site is and costs."""
    if not request.user.is_authenticated:
        return render(request, "credits/landing.html", {"prices": price_rows()})
    now = timezone.now()
    account = _account(request, now)
    context = {
        "overview": overview(account, now=now),
        "lines": _lines(queries.history(account_id=account.pk)[:RECENT_LINES]),
    }
    return render(request, "credits/dashboard.html", context)


@require_safe
@login_required
@never_cache
def ledger(request: HttpRequest) -> HttpResponse:
    """The statement, newest first. `?before=N` shows the lines below sequence N.

    Sequences have no gaps, so the neighbouring pages follow by arithmetic.
    """
    account = _account(request, timezone.now())
    before = _cursor(request.GET.get("before"), last=account.sequence)
    entries = list(
        queries.history(account_id=account.pk).filter(sequence__lt=before)[:LINES_PER_PAGE]
    )
    newer = min(before + LINES_PER_PAGE, account.sequence + 1)
    context = {
        "lines": _lines(entries),
        "total": account.sequence,
        "newer": newer if newer > before else None,
        "older": entries[-1].sequence if entries and entries[-1].sequence > 1 else None,
    }
    return render(request, "credits/ledger.html", context)


def price_rows() -> list[tuple[Offer, str]]:
    return [(offer, money(offer.amount, offer.currency)) for offer in queries.offers()]


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


def _account(request: HttpRequest, now: datetime) -> Account:
    user_id = request.user.pk
    assert user_id is not None, "login_required"
    return services.open_account(user_id=user_id, now=now)


def _lines(entries: Iterable[LedgerEntry]) -> list[Line]:
    return [Line(entry, *_source(entry)) for entry in entries]


def _source(entry: LedgerEntry) -> tuple[str, str]:
    """What is behind an entry: words, and a page if there is one."""
    if entry.note:
        return entry.note, ""
    if entry.reference == "expiry":
        return _("Their time was over"), ""
    kind, _colon, rest = entry.reference.partition(":")
    if kind == "generation" and _is_uuid(rest):
        return _("Generation %s") % rest[:8], reverse("generation:detail", args=[rest])
    words = {
        "checkout": _("Purchase %s"),
        "dispute": _("Dispute %s"),
        "invoice": _("Invoice %s"),
        "refund": _("Refund %s"),
    }
    return (words[kind] % rest, "") if kind in words else (entry.reference, "")


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _cursor(text: str | None, *, last: int) -> int:
    if text is None:
        return last + 1
    if not re.fullmatch(r"[0-9]{1,18}", text) or not 1 < int(text) <= last + 1:
        raise Http404("There is no such page of the statement.")
    return int(text)
