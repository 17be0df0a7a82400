"""What staff did to a customer, in words. The audit log keeps the stable names."""

from datetime import timedelta
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credits.models import Adjustment, Pool, StaffAction

POOLS = dict(Pool.choices)

WORDS = {
    "account.frozen": gettext_lazy("froze the account"),
    "account.active": gettext_lazy("unfroze the account"),
    "account.link": gettext_lazy("linked the account with its customer at Stripe"),
    "account.import": gettext_lazy("brought the balance over from the system before"),
    "adjustment.posted": gettext_lazy("adjusted what the account has"),
    "adjustment.waiting": gettext_lazy("asked for an adjustment"),
    "adjustment.approve": gettext_lazy("approved an adjustment"),
    "adjustment.refuse": gettext_lazy("refused an adjustment"),
    "adjustment.lapse": gettext_lazy("let an adjustment lapse"),
    "codes.create": gettext_lazy("made promotional codes"),
    "codes.switch_off": gettext_lazy("switched a promotional code off"),
    "credits.grant": gettext_lazy("gave credits"),
    "offer.draft": gettext_lazy("wrote a draft of an offer"),
    "offer.discard": gettext_lazy("discarded a draft of an offer"),
    "offer.publish": gettext_lazy("published an offer"),
    "offer.rename": gettext_lazy("renamed or moved an offer"),
    "offer.retire": gettext_lazy("retired an offer"),
    "offer.sell": gettext_lazy("put an offer back on sale"),
    "offer.init": gettext_lazy("brought the price list in line with its file"),
    "payment.refund": gettext_lazy("refunded a purchase"),
    "inbox.retry": gettext_lazy("tried an event of Stripe again"),
    "inbox.ignore": gettext_lazy("had an event of Stripe ignored"),
    "inbox.mirror_again": gettext_lazy("had an event of Stripe mirrored again"),
    "list.export": gettext_lazy("downloaded a list"),
    "notice.again": gettext_lazy("sent a mail again"),
}


def in_words(action: StaffAction) -> str:
    """Who did what, and why."""
    known = WORDS.get(action.action)
    what = str(known) if known else f"{action.action} {action.target}".strip()
    if action.action.startswith("adjustment."):
        what = f"{what} ({adjustment_in_words(action.after)})"
    elif known and action.account_id is None and action.target:
        what = f"{what} ({action.target})"
    said = {"who": action.actor.removeprefix("staff:"), "what": what}
    words = _("%(who)s %(what)s") % said
    return f"{words}: {action.reason}" if action.reason else words


def adjustment_in_words(terms: dict[str, Any]) -> str:
    """What an adjustment is about, from its kind and terms: "Add credits: 5 bulk"."""
    kind = terms.get("kind", "")
    words = str(dict(Adjustment.Kind.choices).get(kind, kind))
    pools = [str(POOLS[terms[name]]).lower() for name in ("pool", "to_pool") if name in terms]
    if "amount" in terms:
        words += f": {terms['amount']} " + " → ".join(pools)
    if day := last_day(terms):
        words += ", " + _("last day %s") % day
    return words


def last_day(terms: dict[str, Any]) -> str:
    """The last day (UTC) on which credits can be spent, of the moment in the terms; or ""."""
    moment = parse_datetime(terms.get("expires_at") or "")
    return f"{moment - timedelta(microseconds=1):%Y-%m-%d}" if moment else ""
