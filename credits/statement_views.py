"""The statement: on the screen, on paper, as a file, at a past moment, and checked."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allauth.core.internal import ratelimit
from django.contrib.auth.decorators import login_required
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_safe

from credits import queries, statement_files, statements, verification
from credits.explanations import Explanation, explain
from credits.models import Account, LedgerEntry, Pool
from credits.money import signed
from credits.requests import account_of
from credits.statement_forms import MomentForm, StatementForm, VerifyForm
from credits.statements import Selection

MOST_PRINTED = 2000  # lines; a browser lays out more for minutes
MOST_UPLOADED = 10 * 1024 * 1024  # bytes: some 45,000 lines
UPLOADS = {"upload": "10/m/ip"}  # anybody may send one, and it costs a second of CPU


@dataclass(frozen=True)
class Line:
    """A ledger entry, in words. `event` is the same for all lines that one event made."""

    entry: LedgerEntry
    why: Explanation

    @property
    def amount(self) -> str:
        return signed(self.entry.amount)

    @property
    def event(self) -> tuple[datetime, str]:
        return self.entry.created_at, self.entry.reference


def lines_of(entries: Iterable[LedgerEntry]) -> list[Line]:
    """The entries in words; they should have selected their lots."""
    return [Line(entry, explain(entry)) for entry in entries]


@require_safe
@login_required
@never_cache
def ledger(request: HttpRequest) -> HttpResponse:
    """The statement, newest first, by month, pool and kind.

    `?before=N` shows the lines below sequence N, `?after=N` those above.
    """
    account = account_of(request, timezone.now())
    form = StatementForm(request.GET, account, now=timezone.now())
    context: dict[str, Any] = {"form": form, "account": account}
    if not form.is_valid():
        return render(request, "credits/ledger.html", context, status=422)
    selection = form.selection()
    page = statements.page(
        selection, before=_cursor(request, "before"), after=_cursor(request, "after")
    )
    context |= {
        "lines": lines_of(page.entries),
        "page": page,
        "selection": selection,
        "query": _query(request),
    }
    if selection.month:
        context["movements"] = statements.movements(account_id=account.pk, month=selection.month)
    return render(request, "credits/ledger.html", context)


@require_safe
@login_required
@never_cache
def export_csv(request: HttpRequest) -> HttpResponseBase:
    """The same lines as a CSV file, oldest first."""
    account, selection = _asked(request)
    entries = statements.in_batches(selection, last=account.sequence)
    return _download(
        statement_files.csv_lines(entries), "text/csv; charset=utf-8", f"{_name(selection)}.csv"
    )


@require_safe
@login_required
@never_cache
def export_json(request: HttpRequest) -> HttpResponseBase:
    """The same lines as a JSON file, oldest first, with the head of the chain."""
    account, selection = _asked(request)
    entries = statements.in_batches(selection, last=account.sequence)
    lines = statement_files.json_lines(account, entries)
    return _download(lines, "application/json", f"{_name(selection)}.json")


@require_safe
@login_required
@never_cache
def printed(request: HttpRequest) -> HttpResponse:
    """A month, or everything, for paper or PDF: opening balances, lines oldest first, closing."""
    account, selection = _asked(request)
    whole = Selection(account.pk, month=selection.month)  # what adds up
    lines = whole.lines()
    total = lines.count()
    shown = lines.order_by("sequence") if total <= MOST_PRINTED else lines.none()
    now = timezone.now()
    context = {
        "account": account,
        "month": whole.month,
        "now": now,
        "movements": statements.movements(account_id=account.pk, month=whole.month),
        "lines": lines_of(shown),
        "total": total,
        "most": MOST_PRINTED,
        "balance": queries.balance(account_id=account.pk, now=now),
    }
    return render(request, "credits/statement/print.html", context)


@require_safe
@login_required
@never_cache
def balance_at(request: HttpRequest) -> HttpResponse:
    """What there was at the end of a day, or at a time of it."""
    account = account_of(request, timezone.now())
    form = MomentForm(request.GET or None, now=timezone.now())
    context: dict[str, Any] = {"form": form}
    status = 422 if form.is_bound else 200
    if form.is_valid():
        moment = form.cleaned_data["moment"]
        balance = queries.balance_at(account_id=account.pk, moment=moment)
        pools = [(pool, balance.pools[pool]) for pool in Pool]
        context |= {"balance": balance, "pools": pools, "moment": moment}
        status = 200
    return render(request, "credits/statement/balance.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@csrf_exempt  # only until the size is known: _verify looks at the token
def verify(request: HttpRequest) -> HttpResponseBase:
    """Checks an exported statement, for anybody who has one."""
    if request.method == "POST" and not _may_upload(request):
        response = _refused(request, _("These were many. Wait a minute, then try again."), 429)
        response.headers["Retry-After"] = "60"
        return response
    try:
        if int(request.headers.get("Content-Length") or 0) > MOST_UPLOADED:
            raise RequestDataTooBig
        return _verify(request)
    except RequestDataTooBig:
        sentence = _("This is too large: a file may have 10 MB, pasted text 256 KB.")
        return _refused(request, sentence, 413)


def _may_upload(request: HttpRequest) -> bool:
    """Whether this address of the network has not sent too many. Counts this one."""
    usage = ratelimit.consume(request, app="credits", action="upload", config=UPLOADS)
    return usage is not None


def _refused(request: HttpRequest, sentence: str, status: int) -> HttpResponse:
    """The page with the reason, without having read what was sent."""
    context = {"form": VerifyForm(), "error": sentence}
    return render(request, "credits/statement/verify.html", context, status=status)


@csrf_protect
def _verify(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return render(request, "credits/statement/verify.html", {"form": VerifyForm()})
    form = VerifyForm(request.POST, request.FILES)
    context: dict[str, Any] = {"form": form}
    status = 422
    if form.is_valid():
        try:
            context |= _checked(request, form.content())
            status = 200
        except verification.Unreadable as error:
            form.add_error("file" if form.cleaned_data["file"] else "text", str(error))
    return render(request, "credits/statement/verify.html", context, status=status)


def _checked(request: HttpRequest, content: bytes) -> dict[str, Any]:
    """What is found out about the file: more, if it is about the account of who asks."""
    lines = verification.read(content)
    verdict = verification.verify(lines)
    account = account_of(request, timezone.now()) if request.user.is_authenticated else None
    is_own = account is not None and account.pk == verdict.account_id
    if is_own:
        verification.compare(lines, verdict)
    return {"verdict": verdict, "account": account, "is_own": is_own}


def _asked(request: HttpRequest) -> tuple[Account, Selection]:
    account = account_of(request, timezone.now())
    form = StatementForm(request.GET, account, now=timezone.now())
    if not form.is_valid():
        raise Http404("There is no such statement.")
    return account, form.selection()


def _query(request: HttpRequest) -> str:
    """The filters of this page, for links to others."""
    asked = request.GET.copy()
    for name in ("before", "after"):
        asked.pop(name, None)
    return asked.urlencode()


def _name(selection: Selection) -> str:
    parts = ("statement", str(selection.month or ""), selection.pool, selection.kind)
    return "-".join(part for part in parts if part)


def _download(lines: Iterable[str], content_type: str, name: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(lines, content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _cursor(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise Http404("There is no such page of the statement.")
    return int(text)
