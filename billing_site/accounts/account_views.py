"""The account page, and what it leads to: time zone, export, deletion."""

from allauth.mfa.utils import is_mfa_enabled
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing_site.accounts import erasure, export, services
from billing_site.accounts.forms import DeleteAccountForm, ZoneForm
from billing_site.accounts.models import User
from credits.payments.client import SellingUnavailable


@require_safe
@login_required
@never_cache
def overview(request: HttpRequest) -> HttpResponse:
    """Everything about the account in one place."""
    user = user_of(request)
    return _overview(request, ZoneForm(initial={"timezone": user.timezone}))


@require_POST
@login_required
def choose_zone(request: HttpRequest) -> HttpResponse:
    user = user_of(request)
    form = ZoneForm(request.POST)
    if not form.is_valid():
        return _overview(request, form, status=422)
    services.choose_zone(user=user, name=form.cleaned_data["timezone"])
    messages.success(request, _("Times are shown in %s now.") % (user.timezone or "UTC"))
    return redirect("accounts:overview")


@require_POST
@login_required
def notice_zone(request: HttpRequest) -> HttpResponse:
    """What zone.js found out. 204, also if a zone is known already; 422 for what is no zone."""
    try:
        services.notice_zone(user=user_of(request), name=request.POST.get("timezone", ""))
    except ValidationError:
        return HttpResponse(status=422)
    return HttpResponse(status=204)


@require_safe
@login_required
@never_cache
def export_data(request: HttpRequest) -> StreamingHttpResponse:
    """All data of the person as a file."""
    pieces = export.pieces(user=user_of(request), now=timezone.now())
    return StreamingHttpResponse(
        pieces,
        content_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="my-data.json"'},
    )


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def delete_account(request: HttpRequest) -> HttpResponse:
    """Says what is lost, asks for the password, and deletes."""
    user, now = user_of(request), timezone.now()
    form = DeleteAccountForm(request.POST or None, user=user)
    status = 422 if request.method == "POST" else 200
    if form.is_valid():
        try:
            erasure.erase(user=user, now=now)
        except SellingUnavailable:
            status = 503
            form.add_error(None, _(
                "Your account was not deleted: the payment provider, where your plan has to be "
                "ended first, cannot be reached. Nothing was changed. Please try again later."
            ))  # fmt: skip
        else:
            logout(request)
            return render(request, "accounts/deleted.html")
    context = {"form": form, "losses": erasure.losses(user=user, now=now)}
    return render(request, "accounts/delete.html", context, status=status)


def user_of(request: HttpRequest) -> User:
    """Who is signed in, on a page that asks for it."""
    assert isinstance(request.user, User), "login_required"
    return request.user


def _overview(request: HttpRequest, form: ZoneForm, *, status: int = 200) -> HttpResponse:
    user = user_of(request)
    context = {
        "form": form,
        "second_factor": is_mfa_enabled(user),
        "keys": user.api_keys.filter(revoked_at=None).count(),
    }
    return render(request, "accounts/overview.html", context, status=status)
