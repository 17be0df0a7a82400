"""Stripe's customer portal: where a subscription is changed, paid and ended."""

from django.conf import settings
from stripe.params.billing_portal import SessionCreateParams

from credits.models import Account, Subscription
from credits.payments import portal_settings
from credits.payments.client import asking, connect

# Of these only an end at Stripe makes room for another plan; `unpaid` can still be paid.
LIVE = ("active", "trialing", "past_due", "unpaid", "paused")
OVERDUE = ("past_due", "unpaid")


class NoCustomer(Exception):
    """The account has never bought anything, so there is nothing to manage."""


def live_subscription(*, account_id: int) -> Subscription | None:
    """The subscription that the account has now, as far as Stripe has told."""
    found = Subscription.objects.filter(account_id=account_id, status__in=LIVE)
    return found.order_by("-as_of", "-pk").first()


def overdue_subscription(*, user_id: int) -> Subscription | None:
    """The user's subscription, if its last payment failed. One query: every page asks."""
    found = Subscription.objects.filter(account__user_id=user_id, status__in=LIVE)
    newest = found.order_by("-as_of", "-pk").first()
    return newest if newest and newest.status in OVERDUE else None


def open_portal(*, account_id: int) -> str:
    """The address of a portal session. Raises NoCustomer, SellingUnavailable."""
    customer_id = Account.objects.get(pk=account_id).stripe_customer_id
    if not customer_id:
        raise NoCustomer("There is nothing to manage yet: this account has not bought anything.")
    client = connect()
    with asking():
        params: SessionCreateParams = {
            "customer": customer_id,
            "return_url": f"{settings.SITE_URL}/subscription/",
        }
        if configuration := portal_settings.find(client):
            params["configuration"] = configuration.id
        session = client.v1.billing_portal.sessions.create(params)
    return session.url
