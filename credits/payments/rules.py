"""Which rule applies which event: the table of docs/stripe.md, row by row.

A rule reads an event, makes one or a few calls to credits.services and says what it booked. Keys
name the business fact (`invoice:in_123`), so two events about one payment count once, and the end
is the same whatever order events arrive in. A rule that lacks something which another event will
bring raises Wait; one that has nothing to do raises Ignore.
"""

from collections.abc import Callable

from credits.payments import failures, invoices, purchases, refunds, schedules, subscriptions
from credits.payments.outcomes import Done, Event, Ignore

RULES: dict[str, Callable[[Event], Done]] = {
    "invoice.paid": invoices.apply_paid,
    "invoice_payment.paid": invoices.apply_payment,
    "invoice.payment_failed": failures.apply_failed,
    "checkout.session.completed": purchases.apply_session,
    "checkout.session.async_payment_succeeded": purchases.apply_session,
    "charge.succeeded": purchases.apply_charge,
    "customer.subscription.created": subscriptions.apply_change,
    "customer.subscription.updated": subscriptions.apply_change,
    "customer.subscription.deleted": subscriptions.apply_change,
    "charge.refunded": refunds.apply_charge,
    "charge.refund.updated": refunds.apply_refund,
    "refund.created": refunds.apply_refund,
    "refund.updated": refunds.apply_refund,
    "refund.failed": refunds.apply_refund,
    "customer.subscription.pending_update_applied": subscriptions.apply_change,
    "customer.subscription.pending_update_expired": subscriptions.apply_change,
    "subscription_schedule.created": schedules.apply_schedule,
    "subscription_schedule.updated": schedules.apply_schedule,
    "subscription_schedule.released": schedules.apply_schedule,
    "subscription_schedule.canceled": schedules.apply_schedule,
    "subscription_schedule.completed": schedules.apply_schedule,
    "subscription_schedule.aborted": schedules.apply_schedule,
    "charge.dispute.created": refunds.apply_dispute_opened,
    "charge.dispute.closed": refunds.apply_dispute_closed,
}


def apply(event: Event) -> Done:
    """Applies one event. Raises Ignore, Wait, readers.Unreadable and errors of credits.services."""
    rule = RULES.get(event.type)
    if rule is None:
        raise Ignore("No rule for events of this type.")
    return rule(event)
