"""The Stripe customer of an account: made once, by our server only. It decides who is paying."""

import hashlib
from datetime import datetime

from credits import services
from credits.models import Account
from credits.payments.client import asking, connect


def customer_of(*, account_id: int, now: datetime) -> str:
    """The id of the account's Stripe customer, made on first use. Raises SellingUnavailable.

    The customer is made before anything is locked. Two first purchases at once ask with the same
    idempotency key, so Stripe makes one customer and tells both of them its id.
    """
    account = Account.objects.select_related("user").get(pk=account_id)
    if account.stripe_customer_id:
        return account.stripe_customer_id
    with asking():
        customer = connect().v1.customers.create(
            params={"email": account.user.email, "metadata": {"account": str(account.pk)}},
            options={"idempotency_key": _key(account)},
        )
    try:
        services.link_customer(account_id=account.pk, customer_id=customer.id, now=now)
    except services.CustomerLinkedElsewhere:
        linked = Account.objects.get(pk=account_id).stripe_customer_id
        if not linked:
            raise
        return linked  # staff linked another one meanwhile
    return customer.id


def _key(account: Account) -> str:
    """The same for the same request: Stripe refuses a key that comes with another email address.

    The account's age is in it because accounts of a database made anew begin at 1 again.
    """
    request = f"{account.created_at.isoformat()} {account.user.email}"
    return f"customer:{account.pk}:{hashlib.sha256(request.encode()).hexdigest()[:16]}"
