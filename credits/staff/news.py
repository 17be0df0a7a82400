"""What Stripe's events tell, in words: a type for each rule, and what became of it."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from credits.explanations import short
from credits.models import InboxEvent

WORDS = {
    "invoice.paid": gettext_lazy("An invoice was paid"),
    "invoice_payment.paid": gettext_lazy("Which payment paid an invoice"),
    "invoice.payment_failed": gettext_lazy("A payment of an invoice failed"),
    "checkout.session.completed": gettext_lazy("A checkout was completed"),
    "checkout.session.async_payment_succeeded": gettext_lazy("A slow payment has arrived"),
    "charge.succeeded": gettext_lazy("A card or bank was charged"),
    "customer.subscription.created": gettext_lazy("A plan began"),
    "customer.subscription.updated": gettext_lazy("News of the plan"),
    "customer.subscription.deleted": gettext_lazy("The plan ended"),
    "customer.subscription.pending_update_applied": gettext_lazy("A change of plan was paid"),
    "customer.subscription.pending_update_expired": gettext_lazy("A change of plan was not paid"),
    "subscription_schedule.created": gettext_lazy("A later plan was chosen"),
    "subscription_schedule.updated": gettext_lazy("News of the later plan"),
    "subscription_schedule.released": gettext_lazy("No later plan any more"),
    "subscription_schedule.canceled": gettext_lazy("The later plan was withdrawn"),
    "subscription_schedule.completed": gettext_lazy("The later plan has begun"),
    "subscription_schedule.aborted": gettext_lazy("The later plan was given up"),
    "charge.refunded": gettext_lazy("How much of a payment has gone back"),
    "charge.refund.updated": gettext_lazy("News of a refund"),
    "refund.created": gettext_lazy("A refund was made"),
    "refund.updated": gettext_lazy("News of a refund"),
    "refund.failed": gettext_lazy("A refund failed"),
    "charge.dispute.created": gettext_lazy("A payment was disputed"),
    "charge.dispute.closed": gettext_lazy("A dispute was decided"),
}


def in_words(event: InboxEvent) -> str:
    """What came, about what, and what became of it; types without a rule by Stripe's name."""
    what = WORDS.get(event.type, event.type)
    words = _("%(what)s (%(about)s): %(became)s") % {
        "what": what,
        "about": short(event.object_id),
        "became": event.get_state_display().lower(),
    }
    return f"{words}. {event.why[:200]}" if event.why else words
