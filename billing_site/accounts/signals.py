"""What happens when somebody has proved who they are."""

from typing import Any

from allauth.account.signals import password_reset
from axes.models import AccessAttempt
from django.dispatch import receiver

from billing_site.accounts.models import User


@receiver(password_reset)
def end_lock_out(user: User, **more: Any) -> None:
    """Whoever reads the person's mail is the person: the new password works at once."""
    AccessAttempt.objects.filter(username=user.email).delete()
