"""The page of API keys."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from billing_site.accounts import services
from billing_site.accounts.account_views import user_of
from billing_site.accounts.forms import ApiKeyForm

PLACEHOLDER = "bs_YOUR_KEY"


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def api_keys(request: HttpRequest) -> HttpResponse:
    """The keys. A new one is shown in the answer that makes it, and nowhere else."""
    if request.method != "POST":
        return _page(request, ApiKeyForm())
    form = ApiKeyForm(request.POST)
    if form.is_valid():
        try:
            _key, plain = services.create_api_key(
                user=user_of(request), name=form.cleaned_data["name"], now=timezone.now()
            )
        except services.ApiKeyError as error:
            form.add_error("name", str(error))
        else:
            return _page(request, ApiKeyForm(), plain=plain)
    return _page(request, form, status=422)


@require_POST
@login_required
def revoke_api_key(request: HttpRequest, pk: int) -> HttpResponse:
    key = get_object_or_404(user_of(request).api_keys, pk=pk)
    services.revoke_api_key(key=key, now=timezone.now())
    messages.success(request, _("The key “%s” is revoked: it works no longer.") % key.name)
    return redirect("accounts:api_keys")


def _page(
    request: HttpRequest, form: ApiKeyForm, *, plain: str = "", status: int = 200
) -> HttpResponse:
    context = {
        "form": form,
        "new_key": plain,
        "key": plain or PLACEHOLDER,
        "site_url": settings.SITE_URL,
        "keys": user_of(request).api_keys.filter(revoked_at=None).order_by("-created_at"),
    }
    return render(request, "accounts/api_keys.html", context, status=status)
