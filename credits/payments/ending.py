"""The end of selling to an account, when its owner leaves: at Stripe first, and at once."""

import stripe

from credits.models import Account
from credits.payments.client import asking, connect
from credits.payments.portal import LIVE, live_subscription

ENDED = ("canceled", "incomplete_expired")


def end_at_once(*, account_id: int) -> None:
    """Ends the account's open Checkout sessions and its subscriptions.

    Stripe's list decides, because events may be on their way. Nothing is refunded or prorated, and
    repeating ends nothing twice. Not inside a transaction. Raises SellingUnavailable; what was
    ended before it stays so. https://docs.stripe.com/billing/subscriptions/cancel
    """
    customer_id = Account.objects.get(pk=account_id).stripe_customer_id
    if not customer_id:
        return
    client = connect()
    with asking():
        sessions = client.v1.checkout.sessions.list(
            params={"customer": customer_id, "status": "open"}
        )
        for session in sessions.auto_paging_iter():
            _expire(client, session.id)
        subscriptions = client.v1.subscriptions.list(params={"customer": customer_id})
        for subscription in subscriptions.auto_paging_iter():
            _end(client, subscription.id)


def has_plan(*, account_id: int) -> bool:
    """Whether Stripe has told of a subscription that has not ended."""
    return live_subscription(account_id=account_id) is not None


def accounts_with_plans(account_ids: list[int]) -> list[int]:
    """Those of the accounts that have a subscription which has not ended."""
    live = Account.objects.filter(pk__in=account_ids, subscriptions__status__in=LIVE)
    return list(live.values_list("pk", flat=True).distinct())


def _expire(client: stripe.StripeClient, session_id: str) -> None:
    try:
        client.v1.checkout.sessions.expire(session_id)
    except stripe.InvalidRequestError:  # paid or expired since it was listed
        if client.v1.checkout.sessions.retrieve(session_id).status == "open":
            raise


def _end(client: stripe.StripeClient, subscription_id: str) -> None:
    try:
        client.v1.subscriptions.cancel(subscription_id)
    except stripe.InvalidRequestError:  # ended since it was listed
        if client.v1.subscriptions.retrieve(subscription_id).status not in ENDED:
            raise
