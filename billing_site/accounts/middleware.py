"""What holds on every page for who is signed in: staff safety, and the time zone."""

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from allauth.account.authentication import get_authentication_records
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from billing_site.accounts.models import User

Page = Callable[[HttpRequest], HttpResponse]


class StaffSafety:
    """A session of staff lasts STAFF_SESSION; on a public site the admin asks for a second factor.

    It is counted from the sign-in, not from the last click: a stolen cookie is worth an hour.
    """

    def __init__(self, get_response: Page) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(reverse("admin:index")) and request.user.is_staff:
            _end_within_the_hour(request.session)
            if settings.STAFF_NEEDS_SECOND_FACTOR and (way := _missing_factor(request)):
                return way
        response = self.get_response(request)
        if request.session.modified and request.user.is_staff:  # signed in just now, for example
            _end_within_the_hour(request.session)
        return response


class OwnTimeZone:
    """Times are shown in the zone of who is signed in; UTC where it is not known.

    The admin speaks UTC to everybody, like its days, its logs and Stripe: two people who talk about
    a line see the same time.
    """

    def __init__(self, get_response: Page) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(_zone_of(request)):
            return self.get_response(request)


def _end_within_the_hour(session: SessionBase) -> None:
    """Shortens a session to STAFF_SESSION from now. One that ends sooner is left alone."""
    latest = timezone.now() + settings.STAFF_SESSION
    if session.get_expiry_date() > latest + timedelta(seconds=1):
        session.set_expiry(latest)


def _missing_factor(request: HttpRequest) -> HttpResponse | None:
    """Where to go first: to set up a second factor, or to show it in this session."""
    there = urlencode({"next": request.get_full_path()})
    if not is_mfa_enabled(request.user):
        messages.warning(request, _("Staff signs in with two factors: set up the second one."))
        return redirect(f"{reverse('mfa_activate_totp')}?{there}")
    if not any(
        record["method"] == "mfa" for record in get_authentication_records(request, request.user)
    ):
        return redirect(f"{reverse('mfa_reauthenticate')}?{there}")
    return None


def _zone_of(request: HttpRequest) -> ZoneInfo | None:
    """Programs get UTC, and their session, if any, is not looked up."""
    if (
        request.path.startswith(("/api/", reverse("admin:index")))
        or settings.SESSION_COOKIE_NAME not in request.COOKIES
    ):
        return None
    user: User | AnonymousUser = request.user
    return user.zone if isinstance(user, User) else None
