"""What staff did to a customer, in words. The audit log keeps the stable names."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credits.explanations import short
from credits.models import StaffAction
from credits.staff import adjustment_words

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
    "payment.refund": gettext_lazy("asked Stripe to refund a purchase"),
    "inbox.retry": gettext_lazy("tried an event of Stripe again"),
    "inbox.ignore": gettext_lazy("had an event of Stripe ignored"),
    "inbox.mirror_again": gettext_lazy("had an event of Stripe mirrored again"),
    "list.export": gettext_lazy("downloaded a list"),
    "notice.again": gettext_lazy("sent a mail again"),
    "apikey.create": gettext_lazy("made an API key"),
    "apikey.revoke": gettext_lazy("revoked an API key"),
    "user.add": gettext_lazy("made the sign-in"),
    "user.change": gettext_lazy("changed the sign-in"),
    "user.password": gettext_lazy("set a new password"),
    "accessattempt.delete": gettext_lazy("ended a lock-out"),
    "person.export": gettext_lazy("exported all data of the person"),
    "person.erase": gettext_lazy("erased the person"),
}
ABOUT = ("payment.", "inbox.")  # of these the target says to which it was done


def in_words(action: StaffAction) -> str:
    """Who did what, and why."""
    known = WORDS.get(action.action)
    said = {
        "who": action.actor.removeprefix("staff:"),
        "what": str(known) if known else f"{action.action} {action.target}".strip(),
    }
    words = _("%(who)s %(what)s") % said
    if known and (which := _which(action)):
        words += f" ({which})"
    return f"{words}: {action.reason}" if action.reason else words


def _which(action: StaffAction) -> str:
    """What tells this deed from others of its kind; "" where the words say it all."""
    if action.action.startswith("adjustment."):
        return adjustment_words.in_short(action.after)
    if action.action.startswith(ABOUT) or action.account_id is None:
        return short(action.target)
    return ""
