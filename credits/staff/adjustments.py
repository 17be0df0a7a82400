"""Adjustments: asked for with a preview, posted at once or after a second person agreed."""

import json
from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.signing import Signer
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from credits import services
from credits.models import Account, Adjustment
from credits.money import signed
from credits.staff.adjustment_forms import FORMS, AdjustmentForm, StartForm
from credits.staff.base import ReadOnlyAdmin, StaffForm, last_day_of, number
from credits.staff.links import link_to_row

State = Adjustment.State
APPROVE = "credits.approve_adjustment"


class DecisionForm(StaffForm):
    reason = forms.CharField(
        required=False,
        max_length=200,
        help_text=_("Why it is refused or taken back. Kept in the audit log."),
    )


@admin.register(Adjustment)
class AdjustmentAdmin(ReadOnlyAdmin):
    list_display = (
        "requested_at", "customer", "kind", number("weight"), "state", "requested_by", "reason",
    )  # fmt: skip
    list_filter = ("state", "kind")
    list_select_related = ("account__user", "requested_by")
    search_fields = ("=account__id", "account__user__email__iexact", "requested_by__email__iexact")
    search_help_text = _("A whole email address, or an account number.")
    ordering = ("-requested_at",)
    actions_detail = ("decide",)

    @admin.display(description=_("customer"))
    def customer(self, adjustment: Adjustment) -> SafeString:
        return link_to_row(adjustment.account, adjustment.account.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("credits.add_adjustment")

    def has_decide_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return self.has_add_permission(request) or request.user.has_perm(APPROVE)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """First whose account and what kind; then the form of that kind, a preview, and done."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        account, kind = _account(request), request.GET.get("kind", "")
        if account is None or kind not in FORMS:
            return self._start(request, account)
        form = FORMS[kind](request.POST or None, account=account)
        lines, agreed = [], ""
        if form.is_valid():
            try:
                preview = services.preview_adjustment(
                    account_id=account.pk, kind=kind, terms=form.terms, now=timezone.now()
                )
                agreed = _signature(account.pk, kind, form.terms, preview.sequence)
                if request.POST.get("agreed") == agreed:
                    return self._post(request, form, kind, preview.sequence)
                lines = _lines(preview, form.terms)
            except services.CreditsError as error:
                form.add_error(None, str(error))
        button = ("confirm", gettext("Do this")) if lines else ("preview", gettext("Preview"))
        return self.form_page(
            request,
            form,
            title=f"{Adjustment.Kind(kind).label}: {account.user}",
            buttons=[button],
            lines=lines,
            agreed=agreed,
            back=reverse("admin:credits_account_change", args=[account.pk]),
        )

    @action(description=_("Decide"), url_path="decide", permissions=["decide"])
    def decide(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Approve or refuse, by somebody else; who asked may take it back."""
        adjustment = self.row_or_404(request, object_id)
        form = DecisionForm(request.POST or None)
        if form.is_valid():
            try:
                messages.success(request, self._decide(request, adjustment, form))
                return redirect("admin:credits_adjustment_changelist")
            except services.CreditsError as error:
                form.add_error(None, str(error))
        lines, agreed = _outlook(adjustment)
        return self.form_page(
            request,
            form,
            title=f"{adjustment.get_kind_display()}: {adjustment.account.user}",
            intro=_described(adjustment),
            buttons=_decisions(request, adjustment),
            lines=lines,
            agreed=agreed,
        )

    def _start(self, request: HttpRequest, account: Account | None) -> HttpResponse:
        initial = {"email": account.user} if account else {}
        form = StartForm(request.POST or None, initial=initial)
        if form.is_valid():
            chosen = f"account={form.cleaned_data['email'].pk}&kind={form.cleaned_data['kind']}"
            return redirect(f"{reverse('admin:credits_adjustment_add')}?{chosen}")
        return self.form_page(
            request,
            form,
            title=gettext("Adjust an account"),
            buttons=[("next", gettext("Next"))],
        )

    def _post(
        self, request: HttpRequest, form: AdjustmentForm, kind: str, sequence: int
    ) -> HttpResponse:
        adjustment = services.request_adjustment(
            form_id=form.cleaned_data["form_id"],
            account_id=form.account.pk,
            kind=kind,
            terms=form.terms,
            reason_code=form.cleaned_data["reason_code"],
            reason=form.cleaned_data["reason"],
            user_id=_user_id(request),
            limit=limit_of(request),
            sequence=sequence,
            now=timezone.now(),
        )
        if adjustment.state == State.POSTED:
            messages.success(request, gettext("Posted."))
        else:
            messages.warning(
                request,
                gettext(
                    "Waiting for a second person: above your limit for a day, or your own account."
                ),
            )
        return redirect("admin:credits_adjustment_change", adjustment.pk)

    def _decide(self, request: HttpRequest, adjustment: Adjustment, form: DecisionForm) -> str:
        """Does it and says so. `agreed` is the sequence of the preview that the person saw."""
        decision: dict[str, Any] = {
            "adjustment_id": adjustment.pk,
            "user_id": _user_id(request),
            "now": timezone.now(),
        }
        own = adjustment.requested_by_id == request.user.pk
        if request.POST.get("step") == "refuse" and (own or request.user.has_perm(APPROVE)):
            services.refuse_adjustment(reason=form.cleaned_data["reason"], **decision)
            return gettext("Refused.")
        if request.POST.get("step") != "approve" or not request.user.has_perm(APPROVE):
            raise PermissionDenied
        seen = request.POST.get("agreed", "")
        sequence = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 19 else -1
        services.approve_adjustment(sequence=sequence, **decision)
        return gettext("Approved and posted.")


def limit_of(request: HttpRequest) -> int:
    """Credits that who is signed in may adjust alone within a day: the highest of their groups."""
    limits = settings.ADJUSTMENT_LIMITS
    groups = request.user.groups.values_list("name", flat=True)
    mine = [limits[name] for name in groups if name in limits]
    if request.user.is_superuser:
        mine.extend(limits.values())
    return max(mine, default=0)


def _account(request: HttpRequest) -> Account | None:
    number = request.GET.get("account", "")
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        return None
    return Account.objects.select_related("user").filter(pk=int(number)).first()


def _user_id(request: HttpRequest) -> int:
    assert request.user.pk is not None, "the admin is for who is signed in"
    return request.user.pk


def _outlook(adjustment: Adjustment) -> tuple[list[str], str]:
    """What approving would post now, or why not; and the sequence that this was made of."""
    if adjustment.state != State.WAITING:
        return [gettext("This is settled: %s.") % adjustment.get_state_display()], ""
    try:
        preview = services.preview_adjustment(
            account_id=adjustment.account_id,
            kind=adjustment.kind,
            terms=adjustment.terms,
            now=timezone.now(),
        )
    except services.CreditsError as error:
        return [str(error)], ""
    return _lines(preview, adjustment.terms), str(preview.sequence)


def _lines(preview: services.Preview, terms: dict[str, Any]) -> list[str]:
    """What would be posted, a sentence a line."""
    lines = [
        ngettext(
            "%(kind)s: %(amount)s %(pool)s credit, then %(balance)s there.",
            "%(kind)s: %(amount)s %(pool)s credits, then %(balance)s there.",
            abs(entry.amount),
        )
        % {
            "kind": entry.get_kind_display(),
            "amount": signed(entry.amount),
            "pool": entry.pool,
            "balance": f"{entry.balance_after:,}",
        }
        for entry in preview.entries
    ]
    if not lines:
        lines.append(gettext("No credit moves."))
    if "expires_at" in terms:
        last_day = last_day_of(datetime.fromisoformat(terms["expires_at"]))
        lines.append(gettext("The last day to spend them is %s (UTC).") % last_day)
    return lines


def _described(adjustment: Adjustment) -> str:
    return gettext("%(who)s asked for this on %(day)s: %(reason)s") % {
        "who": adjustment.requested_by,
        "day": f"{adjustment.requested_at:%Y-%m-%d %H:%M} UTC",
        "reason": adjustment.reason,
    }


def _decisions(request: HttpRequest, adjustment: Adjustment) -> list[tuple[str, str]]:
    if adjustment.state != State.WAITING:
        return []
    if adjustment.requested_by_id == request.user.pk:
        return [("refuse", gettext("Take it back"))]
    if not request.user.has_perm(APPROVE):
        return []
    return [("approve", gettext("Approve and post")), ("refuse", gettext("Refuse"))]


def _signature(account_id: int, kind: str, terms: dict[str, Any], sequence: int) -> str:
    """Says that just this preview was looked at."""
    seen = json.dumps([account_id, kind, terms, sequence], sort_keys=True)
    return Signer(salt="adjustment").signature(seen)
