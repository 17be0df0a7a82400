"""Every ledger line in words: one function per kind says why the balance changed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from credits.models import CreditLot, LedgerEntry
from credits.money import grouped, money

Kind = LedgerEntry.Kind

MACHINES = ("system", "stripe", "customer", "quickstart")  # every other actor is staff


@dataclass(frozen=True)
class Explanation:
    """Why a line is there. `link` names the page at `url`, if there is one."""

    words: str
    link: str = ""
    url: str = ""

    def __str__(self) -> str:
        return f"{self.words}: {self.link}" if self.link else self.words


def explain(entry: LedgerEntry) -> Explanation:
    """The line in words. Reads `entry.lot`: a list of lines should have selected it."""
    words = EXPLAIN[Kind(entry.kind)](entry)
    generation = _generation(entry)
    if not generation:
        return Explanation(capfirst(words))
    url = reverse("generation:detail", args=[generation])
    return Explanation(words, _("generation %s") % generation[:8], url)


def _grant(entry: LedgerEntry) -> str:
    source, _id = _parts(entry.reference)
    if source == "import":
        return _("Opening balance, brought over from the system before")
    if source in ("invoice", "checkout"):
        return _with_note(entry, ", ".join(_purchase(entry)))
    if entry.actor not in MACHINES and entry.note:
        return _("Given by staff: %s") % entry.note
    return entry.note or _fact(entry)


def _hold(entry: LedgerEntry) -> str:
    return _with_note(entry, _("Price of the work") if _generation(entry) else _fact(entry))


def _release(entry: LedgerEntry) -> str:
    if entry.note == "deadline passed":
        return _("The work was not done in time, so it costs nothing")
    words = _("The work was not done, so it costs nothing")
    if entry.actor == "customer":
        words = _("The work was canceled, so it costs nothing")
    elif _is_made_by(entry):
        words = _("The work was not done; its credits had ended meanwhile and were renewed")
    return _with_note(entry, words)


def _refund(entry: LedgerEntry) -> str:
    return _with_note(entry, _("Goodwill: the price of the work given back"))


def _expire(entry: LedgerEntry) -> str:
    lot = lot_words(entry.lot)
    source, identity = _parts(entry.reference)
    if source == "invoice":
        return _("A new period began (invoice %(id)s): %(lot)s") % {"id": identity, "lot": lot}
    if source == "dispute":
        return _("Their time was over when the dispute ended: %s") % lot
    if entry.reference == "expiry":
        end = _day(entry.lot.expires_at or entry.created_at)
        return _("Their time was over on %(end)s: %(lot)s") % {"end": end, "lot": lot}
    if _generation(entry):
        return _("They came back after their time was over")
    return _("The plan ended: %s") % lot


def _rollover(entry: LedgerEntry) -> str:
    invoice = _parts(entry.reference)[1]
    if entry.amount > 0:
        return _("Left over from the last period, into the one of invoice %s") % invoice
    return _("Left over, into the new period of invoice %s") % invoice


def _claw_back(entry: LedgerEntry) -> str:
    words = _("The money for it went back: %s") % lot_words(entry.lot)
    if _generation(entry):
        words = _("They came back after their purchase was refunded, and pay what is owed for it")
    if entry.owed_after:
        words += ". " + _("Owed after this, because it was spent: %s") % grouped(entry.owed_after)
    return words


def _restore(entry: LedgerEntry) -> str:
    return _("A refund failed, and what it had taken comes back: %s") % lot_words(entry.lot)


def _repay(entry: LedgerEntry) -> str:
    words = _("Paid for credits that were spent before their purchase was refunded")
    if entry.owed_after:
        words += ". " + _("Still owed: %s") % grouped(entry.owed_after)
    return words


def _freeze(entry: LedgerEntry) -> str:
    source, identity = _parts(entry.reference)
    lot = lot_words(entry.lot)
    if source == "dispute":
        return _("The payment is disputed (%(id)s): %(lot)s") % {"id": identity, "lot": lot}
    return _("Still set aside, the payment is disputed: %s") % lot


def _unfreeze(entry: LedgerEntry) -> str:
    source, identity = _parts(entry.reference)
    lot = lot_words(entry.lot)
    if source == "dispute":
        return _("The dispute %(id)s is over: %(lot)s") % {"id": identity, "lot": lot}
    return _("Out of what was set aside, to be taken back: %s") % lot


def _adjust(entry: LedgerEntry) -> str:
    source, identity = _parts(entry.reference.removeprefix("adjustment:"))
    if entry.actor == "stripe" and source == "invoice":
        return _("Change to a smaller plan, invoice %s") % identity
    moved = {
        "out": _("Moved to another pool by staff"),
        "in": _("Moved from another pool by staff"),
    }
    words = moved.get(identity, _("By staff"))
    return f"{words}: {entry.note}" if entry.note else words


EXPLAIN: dict[LedgerEntry.Kind, Callable[[LedgerEntry], str]] = {
    Kind.GRANT: _grant,
    Kind.HOLD: _hold,
    Kind.RELEASE: _release,
    Kind.REFUND: _refund,
    Kind.EXPIRE: _expire,
    Kind.ROLLOVER: _rollover,
    Kind.CLAW_BACK: _claw_back,
    Kind.REPAY: _repay,
    Kind.RESTORE: _restore,
    Kind.FREEZE: _freeze,
    Kind.UNFREEZE: _unfreeze,
    Kind.ADJUST: _adjust,
}


def lot_words(lot: CreditLot) -> str:
    """What a lot of credits is, to its owner: "Plan Basic, period 1 Mar 2026 - 1 Apr 2026"."""
    if "code" in lot.terms:
        return str(_("Code %s") % lot.terms["code"])
    words = _("%(pool)s credits of %(day)s")
    if _parts(lot.source_key)[0] == "rollover":
        words = _("Carried over on %(day)s")
    said = {"pool": lot.get_pool_display(), "day": _day(lot.created_at)}
    return bought_words(lot) or words % said


def bought_words(lot: CreditLot) -> str:
    """The plan with its period, or the pack with its pieces; "" for what was not bought so."""
    name = str(lot.terms.get("name") or "")
    if not name:
        return ""
    source, _id = _parts(lot.source_key)
    if source == "invoice" and "period_start" in lot.terms:
        words = (
            _("Trial of plan %(name)s, %(period)s")
            if lot.terms.get("trial")
            else _("Plan %(name)s, period %(period)s")
        )
        return words % {"name": name, "period": _period(lot)}
    if "carried_into" in lot.terms:
        return _("Carried over from a period of %s that was told late") % name
    if source == "invoice":
        return _("Change to plan %s") % name
    pieces = lot.granted // lot.terms["credits"] if lot.terms.get("credits") else 1
    return f"{pieces} × {name}" if pieces > 1 else name  # noqa: RUF001


def _purchase(entry: LedgerEntry) -> list[str]:
    lot = entry.lot
    paid = money(lot.amount_paid, lot.currency) if lot.amount_paid else ""
    return [words for words in (bought_words(lot), paid, _fact(entry)) if words]


def _fact(entry: LedgerEntry) -> str:
    """The business fact behind a line, as its reference names it."""
    source, identity = _parts(entry.reference)
    words = {
        "checkout": _("purchase %s"),
        "dispute": _("dispute %s"),
        "invoice": _("invoice %s"),
        "refund": _("refund %s"),
    }
    return words[source] % short(identity) if source in words else entry.reference


def short(identity: str) -> str:
    """Of the 66 characters of a Checkout session, people compare the first."""
    return f"{identity[:16]}…" if len(identity) > 30 else identity


def short_key(source_key: str) -> str:
    """Where something came from, such as checkout:cs_test_a1…, without the tail of a long id."""
    source, identity = _parts(source_key)
    return f"{source}:{short(identity)}"


def _with_note(entry: LedgerEntry, words: str) -> str:
    return f"{words} ({entry.note})" if entry.note else words


def _is_made_by(entry: LedgerEntry) -> bool:
    """Whether the line is the one that made its lot."""
    return entry.pk == entry.lot_id


def _generation(entry: LedgerEntry) -> str:
    """The id of the generation that the line is about, or ""."""
    source, identity = _parts(entry.reference)
    try:
        return identity if source == "generation" and str(UUID(identity)) == identity else ""
    except ValueError:
        return ""


def _parts(reference: str) -> tuple[str, str]:
    source, _colon, identity = reference.partition(":")
    return source, identity


def _day(moment: datetime) -> str:
    return date_format(timezone.localtime(moment), "j M Y")


def _period(lot: CreditLot) -> str:
    """The paid period in days; the year is said once where it is the same."""
    start, end = (
        timezone.localtime(datetime.fromisoformat(lot.terms[name]))
        for name in ("period_start", "period_end")
    )
    first = date_format(start, "j M" if start.year == end.year else "j M Y")
    return f"{first} – {_day(end)}"  # noqa: RUF001
