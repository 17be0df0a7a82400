"""What happens when allauth says that something about a person has happened."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed, password_reset
from axes.models import AccessAttempt
from django.dispatch import receiver
from django.utils import timezone

from billing_site.accounts.models import User
from credits import notices, services
from credits.models import Notice


@receiver(email_confirmed)
def welcome(*, email_address: EmailAddress, **_more: Any) -> None:
    """The first address that a person confirms opens the account; later ones are no news."""
    now = timezone.now()
    account = services.open_account(user_id=email_address.user_id, now=now)
    notices.queue(
        account_id=account.pk,
        kind=Notice.Kind.WELCOME,
        fact_key=f"user:{email_address.user_id}",
        now=now,
    )


@receiver(password_reset)
def end_lock_out(user: User, **more: Any) -> None:
    """Whoever reads the person's mail is the person: the new password works at once."""
    AccessAttempt.objects.filter(username=user.email).delete()
