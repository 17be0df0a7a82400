"""The page on which a promotional code becomes credits."""

from datetime import datetime

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from credits import services
from credits.models import Redemption
from credits.requests import account_of


class CodeForm(forms.Form):
    code = forms.CharField(
        label=_("Code"),
        max_length=80,
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false"}
        ),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def redeem(request: HttpRequest) -> HttpResponse:
    form = CodeForm(request.POST or None, initial={"code": request.GET.get("code", "")[:80]})
    if not form.is_valid():
        return render(request, "credits/redeem.html", {"form": form})
    now = timezone.now()
    try:
        redemption = services.redeem_code(
            account_id=account_of(request, now).pk, code=form.cleaned_data["code"], now=now
        )
    except (services.PromotionalCodeError, services.TooManyAttempts) as error:
        form.add_error("code", str(error))
        status = 429 if isinstance(error, services.TooManyAttempts) else 400
        return render(request, "credits/redeem.html", {"form": form}, status=status)
    if redemption.created_at == now:
        messages.success(request, _added(redemption))
    else:
        messages.info(request, _redeemed_before(redemption))
    return redirect("dashboard")


def _added(redemption: Redemption) -> str:
    amount, until = redemption.lot.granted, redemption.lot.expires_at
    assert until is not None, "promotional credits end"
    sentence = ngettext(
        "%(credits)d credit was added. It can be spent until %(until)s.",
        "%(credits)d credits were added. They can be spent until %(until)s.",
        amount,
    )
    return sentence % {"credits": amount, "until": _day(until)}


def _redeemed_before(redemption: Redemption) -> str:
    day = _day(redemption.created_at)
    return _("You redeemed this code on %(day)s already: nothing was added now.") % {"day": day}


def _day(moment: datetime) -> str:
    return date_format(timezone.localtime(moment), "j M Y")
