"""Pages for the plan that an account has: what it is, what a change would do, and doing it.

Every change has a page before it that says what happens now and at the next renewal. What the
pages say of the plan itself comes from Stripe's events only.
"""

from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from credits import queries, services
from credits.models import Offer, PlanClick
from credits.money import money
from credits.payments import client, plan_changes, plan_preview
from credits.payments.at_stripe import PlanRefused
from credits.payments.checkout import OfferNotForSale
from credits.payments.plan_rules import is_upgrade
from credits.payments.plan_state import PlanState, plan_state
from credits.requests import account_of

Outcome = PlanClick.Outcome

STATUS_OF_ERROR: dict[type[Exception], int] = {
    services.AccountFrozen: 403,
    OfferNotForSale: 404,
    services.IdempotencyConflict: 409,
    plan_changes.ChangeUnderWay: 409,
    PlanRefused: 409,
    plan_changes.TooManyChanges: 429,
    client.SellingUnavailable: 503,
}
REFUSALS = tuple(STATUS_OF_ERROR)


class ChangeForm(forms.Form):
    """`key` is made when the page is: sent twice as it is, the form changes the plan once."""

    offer = forms.SlugField(max_length=50)
    preview = forms.CharField(max_length=500, required=False)
    key = forms.UUIDField()


class KeyForm(forms.Form):
    key = forms.UUIDField()


@require_safe
@login_required
@never_cache
def subscription(request: HttpRequest) -> HttpResponse:
    """The plan, what is ahead of it, and what can be done."""
    return _page(request)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def change(request: HttpRequest) -> HttpResponse:
    """What another plan would mean; sent, it is changed."""
    form = ChangeForm(
        request.POST if request.method == "POST" else {**request.GET.dict(), "key": uuid4()}
    )
    if not form.is_valid():
        return _page(request, error=_("Please choose a plan."), status=422)
    offer, key = form.cleaned_data["offer"], form.cleaned_data["key"]
    try:
        if request.method == "POST":
            click = plan_changes.change(
                account_id=account_of(request, timezone.now()).pk,
                offer_slug=offer,
                click_key=f"form:{key}:{offer}",
                preview=form.cleaned_data["preview"],
                now=timezone.now(),
            )
            return _done(request, click)
        found = plan_preview.preview_change(
            account_id=account_of(request, timezone.now()).pk, offer_slug=offer
        )
    except REFUSALS as error:
        return _refused(request, error)
    context = {
        "preview": found,
        "due_now": money(found.due_now, found.currency),
        "renewal_price": money(found.renewal.amount, found.currency),
        "state": _state(request),
        "key": key,
    }
    return render(request, "credits/subscription/change.html", context)


@require_safe
@login_required
@never_cache
def pay(request: HttpRequest) -> HttpResponse:
    """On to the page of Stripe where a change is paid that waits for it."""
    state = _state(request)
    waits = state is not None and state.waiting_plan is not None
    return redirect(state.pay_url if state and waits and state.pay_url else "subscription")


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def cancel(request: HttpRequest) -> HttpResponse:
    """What the end would mean; sent, it comes."""
    try:
        if request.method == "POST":
            return _clicked(request, plan_changes.cancel)
        found = plan_preview.preview_cancel(
            account_id=account_of(request, timezone.now()).pk, now=timezone.now()
        )
    except REFUSALS as error:
        return _refused(request, error)
    context = {"preview": found, "key": uuid4()}
    return render(request, "credits/subscription/cancel.html", context)


@require_POST
@login_required
@never_cache
def resume(request: HttpRequest) -> HttpResponse:
    """Takes the end back."""
    try:
        return _clicked(request, plan_changes.resume)
    except REFUSALS as error:
        return _refused(request, error)


def _clicked(request: HttpRequest, act: Any) -> HttpResponse:
    form = KeyForm(request.POST)
    if not form.is_valid():
        return _page(request, error=_("Please try again."), status=422)
    click = act(
        account_id=account_of(request, timezone.now()).pk,
        click_key=f"form:{form.cleaned_data['key']}",
        now=timezone.now(),
    )
    return _done(request, click)


def _done(request: HttpRequest, click: PlanClick) -> HttpResponse:
    """Back to the plan, with what was reached. Until its events are here, it says so there."""
    sentences = {
        Outcome.CHANGED: _("Your plan was changed."),
        Outcome.SCHEDULED: _("Your plan changes when the period ends."),
        Outcome.KEPT: _("Your plan goes on as it is."),
        Outcome.ENDS: _("Your plan ends with the period that is paid."),
        Outcome.ENDED: _("Your plan has ended."),
        Outcome.RESUMED: _("Your plan goes on."),
    }
    if sentence := sentences.get(Outcome(click.outcome)):
        messages.success(request, sentence)
    else:
        messages.warning(
            request,
            _("The payment did not go through yet, so you still have your old plan."),
        )
    return redirect("subscription")


def _refused(request: HttpRequest, error: Exception) -> HttpResponse:
    """The plan with the reason. A double click is no fault: it looks at what the first one does."""
    if isinstance(error, plan_changes.ChangeUnderWay):
        messages.info(request, str(error))
        return redirect("subscription")
    status = next(STATUS_OF_ERROR[base] for base in type(error).__mro__ if base in STATUS_OF_ERROR)
    sentence = str(error)
    if isinstance(error, services.IdempotencyConflict):
        sentence = _("This form was already sent with something else. Please try again.")
    page = _page(request, error=sentence, status=status)
    if isinstance(error, plan_changes.TooManyChanges):
        page.headers["Retry-After"] = str(error.retry_after_seconds)
    return page


def _page(request: HttpRequest, *, error: str = "", status: int = 200) -> HttpResponse:
    state = _state(request)
    context = {
        "state": state,
        "price": money(state.plan.amount, state.plan.currency) if state and state.plan else "",
        "next_price": _price(state.renewing_plan) if state else "",
        "others": _others(state) if state else [],
        "key": uuid4(),
        "error": error,
    }
    return render(request, "credits/subscription/page.html", context, status=status)


def _price(plan: Offer | None) -> str:
    return money(plan.amount, plan.currency) if plan else ""


def _others(state: PlanState) -> list[tuple[Offer, str, bool]]:
    """Plans to change to, their price, and whether each comes at once."""
    if state.plan is None or state.is_ending or state.payment_failed:
        return []
    plans = [
        offer
        for offer in queries.offers()
        if offer.kind == Offer.Kind.PLAN
        and offer.stripe_price_id
        and offer not in (state.plan, state.next_plan, state.waiting_plan)
    ]
    return [(plan, _price(plan), is_upgrade(state.plan, plan)) for plan in plans]


def _state(request: HttpRequest) -> PlanState | None:
    return plan_state(account_id=account_of(request, timezone.now()).pk, now=timezone.now())
