"""What staff did to a customer, in words. The audit log keeps the stable names."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credits.explanations import short
from credits.models import Adjustment, StaffAction

WORDS = {
    "account.frozen": gettext_lazy("froze the account"),
    "account.active": gettext_lazy("unfroze the account"),
    "account.link": gettext_lazy("linked the account with its customer at Stripe"),
    "account.import": gettext_lazy("brought the balance over from the system before"),
    "adjustment.posted": gettext_lazy("adjusted what the account has"),
    "adjustment.waiting": gettext_lazy("asked for an adjustment"),
    "adjustment.approve": gettext_lazy("approved an adjustment"),
    "adjustment.refuse": gettext_lazy("refused an adjustment"),
    "credits.grant": gettext_lazy("gave credits"),
    "payment.refund": gettext_lazy("asked Stripe to refund a purchase"),
    "inbox.retry": gettext_lazy("tried an event of Stripe again"),
    "inbox.ignore": gettext_lazy("had an event of Stripe ignored"),
    "inbox.mirror_again": gettext_lazy("had an event of Stripe mirrored again"),
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
    if action.action.startswith(ABOUT):
        return short(action.target)
    kind = action.after.get("kind", "")
    if kind not in Adjustment.Kind.values:
        return ""
    amount = action.after.get("amount")
    label = str(Adjustment.Kind(kind).label)
    return f"{label}: {amount:,}" if amount else label
