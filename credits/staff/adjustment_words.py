"""An adjustment in words: what exactly was asked for and why, and what posting it would do."""

from datetime import date, datetime
from typing import Any

from django.utils.translation import gettext, gettext_lazy, ngettext

from credits import services
from credits.explanations import lot_words, short_key
from credits.models import Adjustment, CreditLot, Hold, Pool, RetailToken
from credits.money import grouped, signed
from credits.staff.adjustment_forms import REASON_CODES
from credits.staff.base import last_day_of

WITHOUT_CREDITS: dict[str, Any] = {
    Adjustment.Kind.EXTEND: gettext_lazy("No credit moves, they only live longer."),
    Adjustment.Kind.ISSUE_TOKEN: gettext_lazy(
        "No credit moves. The customer gets one single generation."
    ),
    Adjustment.Kind.REVOKE_TOKEN: gettext_lazy("No credit moves. The single generation is gone."),
}

Row = CreditLot | Hold | RetailToken
ROWS: dict[str, type[Row]] = {"lot": CreditLot, "hold": Hold, "token": RetailToken}


def what(adjustment: Adjustment) -> str:
    """The terms: "70 promotional credits, last day 2026-12-31 (UTC)"."""
    words, day = _which(adjustment), _last_day_of(adjustment.terms)
    if day is None:
        return words
    return gettext("%(what)s, last day %(day)s (UTC)") % {"what": words, "day": day}


def in_short(terms: dict[str, Any]) -> str:
    """The same of its kind and terms alone, without a query: "Add credits: 5 bulk"."""
    kind = terms.get("kind", "")
    words = str(dict(Adjustment.Kind.choices).get(kind, kind))
    pools = [Pool(terms[name]).label.lower() for name in ("pool", "to_pool") if name in terms]
    if "amount" in terms:
        words += f": {grouped(terms['amount'])} " + " → ".join(pools)
    if day := _last_day_of(terms):
        words += ", " + gettext("last day %s") % day
    return words


def why(adjustment: Adjustment) -> str:
    """The code of the reason as the form offers it."""
    return str(REASON_CODES.get(adjustment.reason_code, adjustment.reason_code))


def request_words(adjustment: Adjustment) -> str:
    """What was asked for, by whom, when and why."""
    return gettext("%(what)s. %(who)s asked for this on %(day)s: %(reason)s (%(why)s)") % {
        "what": what(adjustment),
        "who": adjustment.requested_by,
        "day": f"{adjustment.requested_at:%Y-%m-%d %H:%M} UTC",
        "reason": adjustment.reason,
        "why": why(adjustment),
    }


def preview_lines(preview: services.Preview, kind: str, terms: dict[str, Any]) -> list[str]:
    """What would be posted, a sentence a line."""
    lines = [
        ngettext(
            "%(kind)s: %(amount)s %(pool)s credit, then %(balance)s there.",
            "%(kind)s: %(amount)s %(pool)s credits, then %(balance)s there.",
            abs(entry.amount),
        )
        % {
            "kind": entry.get_kind_display(),
            "amount": signed(entry.amount),
            "pool": entry.pool,
            "balance": grouped(entry.balance_after),
        }
        for entry in preview.entries
    ]
    if not lines:
        lines.append(str(WITHOUT_CREDITS.get(kind, gettext("No credit moves."))))
    if day := _last_day_of(terms):
        lines.append(gettext("The last day to spend them is %s (UTC).") % day)
    return lines


def row_of(adjustment: Adjustment) -> Row | None:
    """The lot, hold or single generation that the adjustment is about."""
    for name, model in ROWS.items():
        if name in adjustment.terms:
            rows = model._default_manager.filter(account=adjustment.account_id)
            return rows.filter(pk=adjustment.terms[name]).first()
    return None


def _which(adjustment: Adjustment) -> str:
    terms, row = adjustment.terms, row_of(adjustment)
    # Of what is extended or given back, the weight is how many credits that was when it was asked.
    amount = grouped(adjustment.weight)
    if "to_pool" in terms:
        pools = {name: Pool(terms[name]).label.lower() for name in ("pool", "to_pool")}
        return gettext("%(amount)s credits, from %(pool)s to %(to_pool)s") % {
            "amount": amount,
            **pools,
        }
    if "pool" in terms:
        pool = Pool(terms["pool"]).label.lower()
        return gettext("%(amount)s %(pool)s credits") % {"amount": amount, "pool": pool}
    if isinstance(row, CreditLot):
        return gettext("%(amount)s credits: %(lot)s") % {"amount": amount, "lot": lot_words(row)}
    if isinstance(row, Hold):
        return gettext("%(amount)s credits that %(work)s cost") % {
            "amount": amount,
            "work": row.reference,
        }
    single = gettext("One single generation")
    return f"{single}, {short_key(row.source_key)}" if row else single


def _last_day_of(terms: dict[str, Any]) -> date | None:
    """The last day of the credits, if they are to have one."""
    expires_at = terms.get("expires_at")
    return last_day_of(datetime.fromisoformat(expires_at)) if expires_at else None
