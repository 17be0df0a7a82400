"""Opening and freezing accounts."""

from datetime import datetime

from credits.books import locked
from credits.models import Account
from credits.services.errors import CustomerLinkedElsewhere


def open_account(*, user_id: int, now: datetime) -> Account:
    """The user's account, made on first use."""
    account, _created = Account.objects.get_or_create(user_id=user_id, defaults={"created_at": now})
    return account


def link_customer(*, account_id: int, customer_id: str, now: datetime) -> None:
    """Ties a payment provider's customer to the account: who pays with it is this account.

    Repeating changes nothing. Raises CustomerLinkedElsewhere, AccountNotFound.
    """
    with locked(account_id, now=now):
        row = Account.objects.get(pk=account_id)
        other = Account.objects.filter(stripe_customer_id=customer_id).exclude(pk=account_id)
        if row.stripe_customer_id not in (None, customer_id) or other.exists():
            raise CustomerLinkedElsewhere(
                f"{customer_id} cannot be linked: the customer has another account, "
                "or the account another customer."
            )
        row.stripe_customer_id = customer_id
        row.save(update_fields=["stripe_customer_id"])


def freeze_account(*, account_id: int, now: datetime) -> None:
    """Stops spending. Credits still come in and expire. Raises AccountNotFound."""
    _set_status(account_id, Account.Status.FROZEN, now)


def unfreeze_account(*, account_id: int, now: datetime) -> None:
    """Allows spending again. Raises AccountNotFound."""
    _set_status(account_id, Account.Status.ACTIVE, now)


def _set_status(account_id: int, status: Account.Status, now: datetime) -> None:
    with locked(account_id, now=now):
        Account.objects.filter(pk=account_id).update(status=status)
