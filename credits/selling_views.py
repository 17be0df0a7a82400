"""Pages for buying: the price list, the way back from Checkout, and the way to the portal.

They lead to Stripe and back; none of them grants anything.
"""

from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRefresh

from credits import services
from credits.models import CheckoutStart
from credits.payments import checkout, client, portal, trials
from credits.payments.checkout import Stage
from credits.payments.purchases import MOST_PIECES
from credits.requests import account_of
from credits.views import price_rows

STOP_POLLING = 286  # htmx's name for "this was the last answer"
PENDING = (Stage.UNCONFIRMED, Stage.PROCESSING, Stage.ARRIVING)

STATUS_OF_ERROR: dict[type[Exception], int] = {
    services.AccountFrozen: 403,
    checkout.OfferNotForSale: 404,
    checkout.AlreadySubscribed: 409,
    services.IdempotencyConflict: 409,
    checkout.InvalidQuantity: 422,
    checkout.TooManyCheckouts: 429,
    client.SellingUnavailable: 503,
}
REFUSALS = tuple(STATUS_OF_ERROR)


class BuyForm(forms.Form):
    """`key` is made when the page is: sent twice as it is, the form opens one Checkout session."""

    offer = forms.SlugField(max_length=50)
    quantity = forms.IntegerField(min_value=1, max_value=MOST_PIECES)
    key = forms.UUIDField()


@require_safe
@never_cache
def prices(request: HttpRequest) -> HttpResponse:
    """The price list, with buttons for those who can buy."""
    return _price_page(request)


@require_POST
@never_cache
def buy(request: HttpRequest) -> HttpResponse:
    """Opens Checkout."""
    if not request.user.is_authenticated:  # the session ended; this address cannot be returned to
        return redirect_to_login(reverse("pricing"))
    form = BuyForm(request.POST)
    if not form.is_valid():
        sentence = _("Please choose how many, from 1 to %(most)d.") % {"most": MOST_PIECES}
        return _price_page(request, error=sentence, status=422)
    offer, quantity, key = (form.cleaned_data[name] for name in ("offer", "quantity", "key"))
    try:
        url = checkout.start(
            account_id=account_of(request, timezone.now()).pk,
            offer_slug=offer,
            quantity=quantity,
            click_key=f"form:{key}:{offer}:{quantity}",
            now=timezone.now(),
        )
    except REFUSALS as error:
        return _refused(request, error, key)
    return HttpResponseRedirect(url)


@require_POST
@never_cache
def manage(request: HttpRequest) -> HttpResponse:
    """Opens the customer portal."""
    if not request.user.is_authenticated:
        return redirect_to_login(reverse("dashboard"))
    try:
        return HttpResponseRedirect(
            portal.open_portal(account_id=account_of(request, timezone.now()).pk)
        )
    except portal.NoCustomer as error:
        return _price_page(request, error=str(error), status=409)
    except client.SellingUnavailable as error:
        return _refused(request, error)


@require_safe
@login_required
@never_cache
def done(request: HttpRequest) -> HttpResponse:
    """Where Checkout leads back to. Only events bring credits, so this waits until they have."""
    return render(request, "credits/checkout_done.html", _progress(request))


@require_safe
@never_cache
def progress(request: HttpRequest) -> HttpResponse:
    """The part of that page which changes; 204 when the page shows it already."""
    if not request.user.is_authenticated:
        return HttpResponseClientRefresh()
    context = _progress(request)
    if not context["pending"]:
        return render(request, "credits/_checkout_progress.html", context, status=STOP_POLLING)
    if request.GET.get("seen") == context["progress"].stage:
        return HttpResponse(status=204)
    return render(request, "credits/_checkout_progress.html", context)


@require_safe
@login_required
def canceled(request: HttpRequest) -> HttpResponse:
    return render(request, "credits/checkout_canceled.html")


def _progress(request: HttpRequest) -> dict[str, Any]:
    session_id = request.GET.get("session_id", "")
    if not session_id.isprintable():
        raise Http404
    try:
        found = checkout.progress(
            account_id=account_of(request, timezone.now()).pk, session_id=session_id
        )
    except CheckoutStart.DoesNotExist:
        raise Http404("There is no such purchase.") from None
    return {"progress": found, "session_id": session_id, "pending": found.stage in PENDING}


def _refused(request: HttpRequest, error: Exception, key: UUID | None = None) -> HttpResponse:
    """The price list again, with the reason. It keeps the key: trying again is the same click."""
    page = _price_page(
        request, error=_sentence(error), status=STATUS_OF_ERROR[type(error)], key=key
    )
    if isinstance(error, checkout.TooManyCheckouts):
        page.headers["Retry-After"] = str(error.retry_after_seconds)
    return page


def _sentence(error: Exception) -> str:
    if isinstance(error, services.IdempotencyConflict):
        return _("This form was already sent with something else. Please try again.")
    return str(error)


def _price_page(
    request: HttpRequest, *, error: str = "", status: int = 200, key: UUID | None = None
) -> HttpResponse:
    subscription, had_plan = None, False
    if request.user.is_authenticated:
        account_id = account_of(request, timezone.now()).pk
        subscription = portal.live_subscription(account_id=account_id)
        had_plan = trials.has_had_plan(account_id=account_id)
    context = {
        "prices": price_rows(),
        "sells": client.is_configured(),
        "subscription": subscription,
        "had_plan": had_plan,
        "key": key or uuid4(),
        "error": error,
    }
    return render(request, "credits/prices.html", context, status=status)
