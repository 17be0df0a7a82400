"""Invoices that could not be collected. Nothing moves in the books; the customer is told."""

from credits.models import InboxEvent, Subscription
from credits.payments import tell
from credits.payments.outcomes import Done, Event, Ignore, locked_account
from credits.payments.readers import read_invoice
from credits.payments.subscriptions import ENDED


def apply_failed(event: Event) -> Done:
    """`invoice.payment_failed`: one mail for each attempt. What the failure means for the
    subscription arrives as `customer.subscription.*`."""
    invoice = read_invoice(event.object)
    account = locked_account(invoice.customer_id)
    if not invoice.subscription_id:
        raise Ignore("Not an invoice of a subscription.")
    if invoice.reason == "subscription_create":
        raise Ignore("A first payment fails in Checkout, before the customer's eyes.")
    if _is_paid(invoice.id):
        raise Ignore("It has been paid meanwhile.")
    if Subscription.objects.filter(
        subscription_id=invoice.subscription_id, status__in=ENDED
    ).exists():
        raise Ignore("The subscription has ended, and the customer knows.")
    tell.payment_failed(account, invoice, event)
    return Done(f"invoice:{invoice.id}", account.pk)


def _is_paid(invoice_id: str) -> bool:
    paid = InboxEvent.objects.filter(type="invoice.paid", object_id=invoice_id)
    return paid.exists()
