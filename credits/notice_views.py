"""Pages for the mails that a customer gets: which ones, and out of one by its link."""

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from credits.models import NoticePreferences
from credits.notices import preferences
from credits.requests import account_of

MOST = 1_000_000_000  # as many credits as one operation can move


class PreferencesForm(forms.ModelForm):  # type: ignore[type-arg]
    low_balance = forms.IntegerField(
        label=gettext_lazy("When fewer credits are left than"),
        help_text=gettext_lazy("Empty for never. You are told once, until you have more again."),
        required=False,
        min_value=1,
        max_value=MOST,
        error_messages=dict.fromkeys(
            ("invalid", "min_value", "max_value"),
            gettext_lazy("Please enter a whole number from 1 to a billion, or nothing."),
        ),
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )

    class Meta:
        model = NoticePreferences
        fields = ("renewals", "expiring", "low_balance")
        labels = {
            "renewals": gettext_lazy("When my plan was renewed"),
            "expiring": gettext_lazy("A week before gifts end"),
        }


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def notifications(request: HttpRequest) -> HttpResponse:
    """The wishes of the signed-in customer."""
    now = timezone.now()
    account = account_of(request, now)
    data = request.POST if request.method == "POST" else None
    form = PreferencesForm(data, instance=preferences.preferences_of(account_id=account.pk))
    if form.is_valid():
        preferences.save_preferences(account_id=account.pk, now=now, **form.cleaned_data)
        messages.success(request, _("Saved."))
        return redirect("notifications")
    status = 422 if form.is_bound else 200
    return render(request, "credits/notifications.html", {"form": form}, status=status)


@csrf_exempt  # the token says who, and mail programs post without a page (RFC 8058)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """Asks first: programs that look through mails open links. Needs no sign-in."""
    try:
        found = preferences.read_token(token)
    except preferences.InvalidToken:
        raise Http404("The link is not one of ours.") from None
    done = request.method == "POST"
    if done:
        preferences.unsubscribe(account_id=found.account_id, kind=found.kind)
    context = {"kind": found.kind.label, "done": done, "token": token}
    return render(request, "credits/unsubscribe.html", context)
