"""Opening and freezing accounts."""

from datetime import datetime

from credits.books import locked
from credits.models import Account


def open_account(*, user_id: int, now: datetime) -> Account:
    """The user's account, made on first use."""
    account, _created = Account.objects.get_or_create(user_id=user_id, defaults={"created_at": now})
    return account


def freeze_account(*, account_id: int, now: datetime) -> None:
    """Stops spending. Credits still come in and expire. Raises AccountNotFound."""
    _set_status(account_id, Account.Status.FROZEN, now)


def unfreeze_account(*, account_id: int, now: datetime) -> None:
    """Allows spending again. Raises AccountNotFound."""
    _set_status(account_id, Account.Status.ACTIVE, now)


def _set_status(account_id: int, status: Account.Status, now: datetime) -> None:
    with locked(account_id, now=now):
        Account.objects.filter(pk=account_id).update(status=status)
