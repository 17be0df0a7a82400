"""allauth's page for setting up the authenticator app, made safe against a double click."""

from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.views import ActivateTOTPView
from allauth.mfa.utils import is_mfa_enabled
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect


class ActivateTOTP(ActivateTOTPView):  # type: ignore[misc]
    """Sent twice, the form sets up one app, and both answers lead to the recovery codes.

    allauth's own answers the second with an error, or with the page that switches the app off.
    """

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "POST" and is_mfa_enabled(request.user, [Authenticator.Type.TOTP]):
            return redirect("mfa_view_recovery_codes")
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return response

    def form_valid(self, form: Any) -> HttpResponseBase:
        try:
            response: HttpResponseBase = super().form_valid(form)
        except IntegrityError:  # the other click was faster, and has made the codes too
            return redirect("mfa_view_recovery_codes")
        return response
