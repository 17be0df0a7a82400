"""What staff did to a customer, in words. The audit log keeps the stable names."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credits.models import StaffAction

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
    "payment.refund": gettext_lazy("refunded a purchase"),
    "inbox.retry": gettext_lazy("tried an event of Stripe again"),
    "inbox.ignore": gettext_lazy("had an event of Stripe ignored"),
    "inbox.mirror_again": gettext_lazy("had an event of Stripe mirrored again"),
    "notice.again": gettext_lazy("sent a mail again"),
}


def in_words(action: StaffAction) -> str:
    """Who did what, and why."""
    known = WORDS.get(action.action)
    said = {
        "who": action.actor.removeprefix("staff:"),
        "what": str(known) if known else f"{action.action} {action.target}".strip(),
    }
    words = _("%(who)s %(what)s") % said
    return f"{words}: {action.reason}" if action.reason else words
