"""Opening and freezing accounts."""

from datetime import datetime

from django.db import connection

from credits.books import locked
from credits.models import Account
from credits.services.audit_log import record_action
from credits.services.errors import CustomerLinkedElsewhere


def open_account(*, user_id: int, now: datetime) -> Account:
    """The user's account, made on first use."""
    account, _created = Account.objects.get_or_create(user_id=user_id, defaults={"created_at": now})
    return account


def account_id_of_user(*, user_id: int, now: datetime) -> int:
    """The id of open_account alone: plain SQL, because every request for a generation asks."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM credits_account WHERE user_id = %s", [user_id])
        row = cursor.fetchone()
    return int(row[0]) if row else open_account(user_id=user_id, now=now).pk


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


def freeze_account(
    *, account_id: int, now: datetime, actor: str = "system", reason: str = ""
) -> None:
    """Stops spending. Credits still come in and expire. Raises AccountNotFound."""
    _set_status(account_id, Account.Status.FROZEN, actor, reason, now)


def unfreeze_account(
    *, account_id: int, now: datetime, actor: str = "system", reason: str = ""
) -> None:
    """Allows spending again. Raises AccountNotFound."""
    _set_status(account_id, Account.Status.ACTIVE, actor, reason, now)


def _set_status(
    account_id: int, status: Account.Status, actor: str, reason: str, now: datetime
) -> None:
    """Repeating changes nothing and logs nothing."""
    with locked(account_id, now=now):
        if Account.objects.filter(pk=account_id).exclude(status=status).update(status=status):
            record_action(
                actor=actor,
                action=f"account.{status}",
                account_id=account_id,
                reason=reason,
                after={"status": status},
                now=now,
            )
