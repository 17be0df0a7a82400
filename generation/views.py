"""Pages for generations. They work without JavaScript; with it a running one grows on the page."""

import uuid
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRefresh

from credits import queries as credit_queries
from credits import services as credits
from generation import failures, queries, services
from generation.models import Generation

PER_PAGE = 25
LONGEST_SEARCH = 200
STOP_POLLING = 286  # htmx's name for "this was the last answer"

STATUS_OF_ERROR: dict[type[Exception], int] = {
    credits.InsufficientCredits: 402,
    credits.RetailTokenUnavailable: 402,
    credits.AccountFrozen: 403,
    credits.IdempotencyConflict: 409,
    services.RetailAlreadyGenerated: 409,
    services.NotFinished: 409,
    services.NotCancelable: 409,
    services.InvalidPrompt: 422,
    services.UnknownOperation: 422,
    services.TooManyOpenGenerations: 429,
}
REFUSALS = tuple(STATUS_OF_ERROR)


class NewGenerationForm(forms.Form):
    """`key` is made when the page is: a form that is sent twice asks for one generation."""

    prompt = forms.CharField(
        label=gettext_lazy("What should be written?"),
        strip=False,
        error_messages={"required": gettext_lazy("Write what you want generated.")},
        widget=forms.Textarea(attrs={"rows": 8, "maxlength": services.MAX_PROMPT_CHARS}),
    )
    funding = forms.ChoiceField(
        label=gettext_lazy("Pay with"),
        choices=Generation.Funding.choices,
        initial=Generation.Funding.CREDITS,
    )
    key = forms.UUIDField()

    def clean_prompt(self) -> str:
        # Browsers send the end of a line as two characters and count it as one.
        return str(self.cleaned_data["prompt"]).replace("\r\n", "\n")


class ListForm(forms.Form):
    """What the list is narrowed to; everything empty is all."""

    text = forms.CharField(
        label=gettext_lazy("Search"),
        required=False,
        max_length=LONGEST_SEARCH,
        widget=forms.TextInput(attrs={"type": "search"}),
    )
    status = forms.ChoiceField(
        label=gettext_lazy("Status"),
        required=False,
        choices=[("", gettext_lazy("Any status")), *Generation.Status.choices],
    )
    funding = forms.ChoiceField(
        label=gettext_lazy("Paid with"),
        required=False,
        choices=[("", gettext_lazy("Any payment")), *Generation.Funding.choices],
    )


@require_safe
@login_required
@never_cache
def generation_list(request: HttpRequest) -> HttpResponse:
    """Newest first. `?before=<id>` shows those that are older than that one."""
    now = timezone.now()
    form = ListForm(request.GET)
    if not form.is_valid():
        raise Http404("There is no such list.")
    rows = queries.generations(account_id=_account_id(request, now)).defer("output")
    rows = queries.found(rows, **form.cleaned_data)
    before = request.GET.get("before")
    if before is not None:
        rows = queries.older_than(rows, _own(request, before, now))
    page = list(rows[: PER_PAGE + 1])
    chosen = {name: value for name, value in form.cleaned_data.items() if value}
    context = {
        "form": form,
        "generations": page[:PER_PAGE],
        "chosen": chosen,
        "older": urlencode({**chosen, "before": page[PER_PAGE - 1].pk})
        if len(page) > PER_PAGE
        else "",
        "newest": urlencode(chosen),
        "paged": before is not None,
    }
    return render(request, "generation/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def new(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    account_id = _account_id(request, now)
    if request.method != "POST":
        prompt = _own(request, request.GET["from"], now).prompt if "from" in request.GET else ""
        return _new_page(request, account_id, now, NewGenerationForm(initial={"prompt": prompt}))
    form = NewGenerationForm(request.POST)
    if not form.is_valid():
        return _new_page(request, account_id, now, form, status=422)
    try:
        generation, _replayed = services.request_generation(
            account_id=account_id,
            prompt=form.cleaned_data["prompt"],
            funding=Generation.Funding(form.cleaned_data["funding"]),
            operation=services.OPERATION,
            now=now,
            idempotency_key=_form_key(form.cleaned_data["key"]),
        )
    except REFUSALS as error:
        field = "prompt" if isinstance(error, services.InvalidPrompt) else None
        form.add_error(field, _sentence(error))
        return _refuse(_new_page(request, account_id, now, form), error)
    return redirect("generation:detail", pk=generation.pk)


@require_safe
@login_required
@never_cache
def detail(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    now = timezone.now()
    return _detail_page(request, _own(request, pk, now), now)


@require_safe
@login_required
@never_cache
def download(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The finished text as a file."""
    generation = _own(request, pk, timezone.now())
    if generation.status != Generation.Status.SUCCEEDED:
        raise Http404("There is no text yet.")
    name = f"generation-{str(generation.pk)[:8]}.txt"
    return HttpResponse(
        generation.output,
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@require_safe
@never_cache
def progress(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The part of the detail page that changes; 204 when the page shows it already."""
    if not request.user.is_authenticated:  # the session ended: not a login form inside the page
        return HttpResponseClientRefresh()
    now = timezone.now()
    generation = _own(request, pk, now)
    context = _detail_context(generation, now)
    if generation.finished_at is None and request.GET.get("seen") == context["seen"]:
        return HttpResponse(status=204)
    status = STOP_POLLING if generation.finished_at else 200
    return render(request, "generation/_generation.html", context, status=status)


@require_POST
@login_required
def cancel(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    now = timezone.now()
    generation = _own(request, pk, now)
    try:
        services.cancel(generation=generation, now=now)
    except services.NotCancelable as error:
        return _refuse(_detail_page(request, generation, now, error), error)
    return redirect("generation:detail", pk=pk)


@require_POST
@login_required
def regenerate(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    now = timezone.now()
    generation = _own(request, pk, now)
    try:
        key = uuid.UUID(request.POST.get("key", ""))
    except ValueError:
        key = uuid.uuid4()
    try:
        again, _replayed = services.regenerate(
            generation=generation, now=now, idempotency_key=_form_key(key)
        )
    except REFUSALS as error:
        return _refuse(_detail_page(request, generation, now, error), error)
    return redirect("generation:detail", pk=again.pk)


def _account_id(request: HttpRequest, now: datetime) -> int:
    user_id = request.user.pk
    assert user_id is not None, "login_required"
    return credits.account_id_of_user(user_id=user_id, now=now)


def _own(request: HttpRequest, pk: uuid.UUID | str, now: datetime) -> Generation:
    try:
        return queries.generation(
            account_id=_account_id(request, now), generation_id=uuid.UUID(str(pk))
        )
    except (Generation.DoesNotExist, ValueError):
        raise Http404("There is no such generation.") from None


def _form_key(key: uuid.UUID) -> str:
    return f"form:{key}"


def _refuse(page: HttpResponse, error: Exception) -> HttpResponse:
    page.status_code = STATUS_OF_ERROR[type(error)]
    if isinstance(error, services.TooManyOpenGenerations):
        page.headers["Retry-After"] = str(error.retry_after_seconds)
    return page


def _sentence(error: Exception) -> str:
    if isinstance(error, credits.InsufficientCredits):
        return _("Not enough credits: this costs %(cost)d and you have %(available)d.") % {
            "cost": error.required,
            "available": error.available,
        }
    if isinstance(error, credits.IdempotencyConflict):
        return _("This form was already sent with another text. If you want both, send it again.")
    return str(error)


def _new_page(
    request: HttpRequest,
    account_id: int,
    now: datetime,
    form: NewGenerationForm,
    *,
    status: int = 200,
) -> HttpResponse:
    balance = credit_queries.balance(account_id=account_id, now=now)
    cost = queries.prices()[services.OPERATION]
    context = {
        "form": form,
        "key": uuid.uuid4(),
        "cost": cost,
        "balance": balance,
        "max_chars": services.MAX_PROMPT_CHARS,
        "with_credits": balance.available >= cost,
        "with_retail": balance.retail_tokens > 0,
        "funding": form["funding"].value(),
    }
    return render(request, "generation/new.html", context, status=status)


def _detail_page(
    request: HttpRequest,
    generation: Generation,
    now: datetime,
    error: Exception | None = None,
) -> HttpResponse:
    context = _detail_context(generation, now)
    if error is not None:
        context["error"] = _sentence(error)
        context["needs_credits"] = STATUS_OF_ERROR[type(error)] == 402
    return render(request, "generation/detail.html", context)


def _detail_context(generation: Generation, now: datetime) -> dict[str, Any]:
    queued = generation.status == Generation.Status.QUEUED
    ahead = queries.ahead(generation) if queued else 0
    grown = ahead if queued else len(generation.output)
    return {
        "generation": generation,
        "open": generation.finished_at is None,
        "ahead": ahead,
        "seen": f"{generation.status}-{generation.attempts}-{grown}",
        "elapsed": _clock(now - (generation.started_at or generation.created_at)),
        "key": uuid.uuid4(),
        "failure": failures.sentence(generation.error_code),
        "max_starts": services.MAX_STARTS,
        "price_now": queries.prices().get(generation.operation),
        "duration": _duration(generation),
    }


def _clock(time: timedelta) -> str:
    """Minutes and seconds, as polling.js goes on counting them."""
    minutes, seconds = divmod(int(time.total_seconds()), 60)
    return f"{minutes}:{seconds:02}"


def _duration(generation: Generation) -> str:
    if generation.started_at is None or generation.finished_at is None:
        return ""
    seconds = round((generation.finished_at - generation.started_at).total_seconds())
    if seconds == 0:
        return _("under a second")
    return ngettext("%d second", "%d seconds", seconds) % seconds
