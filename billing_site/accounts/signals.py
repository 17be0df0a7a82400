"""What happens around signing in."""

from typing import Any

from allauth.account.signals import password_reset
from axes.models import AccessAttempt
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest

from billing_site.accounts.middleware import end_within_the_hour
from billing_site.accounts.models import User


@receiver(user_logged_in)
def shorten_session_of_staff(request: HttpRequest, user: User, **more: Any) -> None:
    """Counted from the sign-in, not from the last click: a stolen cookie is worth an hour."""
    if user.is_staff:
        end_within_the_hour(request.session)


@receiver(password_reset)
def end_lock_out(user: User, **more: Any) -> None:
    """Whoever reads the person's mail is the person: the new password works at once."""
    AccessAttempt.objects.filter(username=user.email).delete()
