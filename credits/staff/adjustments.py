"""Adjustments: asked for with a preview, posted at once or after a second person agreed."""

import json
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
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from credits import services
from credits.models import Account, Adjustment, StaffAction
from credits.staff import adjustment_words
from credits.staff.adjustment_forms import FORMS, AdjustmentForm, StartForm
from credits.staff.base import ReadOnlyAdmin, StaffForm, number
from credits.staff.deeds import in_words
from credits.staff.links import link_to_row
from credits.staff.search import number_in

State = Adjustment.State
APPROVE = "credits.approve_adjustment"
COUNTS_AS = number("weight", _("counts as (credits)"))  # against the limit of who asked


class DecisionForm(StaffForm):
    reason = forms.CharField(
        required=False,
        max_length=200,
        help_text=_("Why it is refused or taken back. Kept in the audit log."),
    )


@admin.register(Adjustment)
class AdjustmentAdmin(ReadOnlyAdmin):
    list_display = (
        "requested_at", "customer", "in_short", COUNTS_AS, "state", "requested_by", "reason",
    )  # fmt: skip
    fields = (
        "customer", "requested_at", "requested_by", "kind", "what", "about", COUNTS_AS, "why",
        "reason", "state", "decided_by", "decided_at", "happened",
    )  # fmt: skip
    readonly_fields = ("customer", "what", "about", COUNTS_AS, "why", "happened")
    list_filter = ("state", "kind")
    list_select_related = ("account__user", "requested_by")
    search_fields = ("=account__id", "account__user__email__iexact", "requested_by__email__iexact")
    search_help_text = _("A whole email address, or an account number.")
    ordering = ("-requested_at",)
    actions_detail = ("decide",)

    @admin.display(description=_("customer"))
    def customer(self, adjustment: Adjustment) -> SafeString:
        return link_to_row(adjustment.account, adjustment.account.user)

    @admin.display(description=_("what"))
    def what(self, adjustment: Adjustment) -> str:
        return adjustment_words.what(adjustment)

    @admin.display(description=_("about"), empty_value="-")
    def about(self, adjustment: Adjustment) -> SafeString | None:
        """The lot, hold or single generation, with its history."""
        row = adjustment_words.row_of(adjustment)
        return link_to_row(row) if row else None

    @admin.display(description=_("what"))
    def in_short(self, adjustment: Adjustment) -> str:
        """Without asking for what it is about."""
        return adjustment_words.in_short({"kind": adjustment.kind, **adjustment.terms})

    @admin.display(description=_("why"))
    def why(self, adjustment: Adjustment) -> str:
        return adjustment_words.why(adjustment)

    @admin.display(description=_("what happened (UTC)"))
    def happened(self, adjustment: Adjustment) -> SafeString:
        """Who asked, approved, refused: its lines of the audit log."""
        log = StaffAction.objects.filter(
            account_id=adjustment.account_id, target=f"adjustment:{adjustment.pk}"
        ).order_by("pk")
        told = [(f"{action.created_at:%Y-%m-%d %H:%M}", in_words(action)) for action in log]
        return format_html_join(mark_safe("<br>"), "{} {}", told)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("credits.add_adjustment")

    def has_decide_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return self.has_add_permission(request) or request.user.has_perm(APPROVE)

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Nothing to decide once it is settled."""
        adjustment = self.get_object(request, str(object_id))
        waits = adjustment is not None and adjustment.state == State.WAITING
        return super().get_actions_detail(request, object_id) if waits else []

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """First whose account and what kind; then the form of that kind."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        account, kind = _account(request), request.GET.get("kind", "")
        if account is None or kind not in FORMS:
            return self._start(request, account)
        return self._ask(request, account, kind)

    def _ask(self, request: HttpRequest, account: Account, kind: str) -> HttpResponse:
        """The form of a kind, what it would do, and after a second click just that is done."""
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
                lines = adjustment_words.preview_lines(preview, kind, form.terms)
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
                return redirect("admin:credits_adjustment_change", adjustment.pk)
            except services.CreditsError as error:
                form.add_error(None, str(error))
        lines, agreed = _outlook(adjustment)
        return self.form_page(
            request,
            form,
            title=f"{adjustment.get_kind_display()}: {adjustment.account.user}",
            intro=adjustment_words.request_words(adjustment),
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
            return gettext("Taken back.") if own else gettext("Refused.")
        if request.POST.get("step") != "approve" or not request.user.has_perm(APPROVE):
            raise PermissionDenied
        seen = number_in(request.POST.get("agreed", ""))
        services.approve_adjustment(sequence=-1 if seen is None else seen, **decision)
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
    """The account in the address, if it is one."""
    number = number_in(request.GET.get("account", ""))
    return Account.objects.select_related("user").filter(pk=number or 0).first()


def _user_id(request: HttpRequest) -> int:
    assert request.user.pk is not None, "the admin is for who is signed in"
    return request.user.pk


def _outlook(adjustment: Adjustment) -> tuple[list[str], str]:
    """What approving would post now, or why not; and the sequence that this was made of."""
    if services.has_lapsed(adjustment, now=timezone.now()):
        return [
            gettext("Nobody decided it within 7 days: it has lapsed, and can be asked anew.")
        ], ""
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
    lines = adjustment_words.preview_lines(preview, adjustment.kind, adjustment.terms)
    return lines, str(preview.sequence)


def _decisions(request: HttpRequest, adjustment: Adjustment) -> list[tuple[str, str]]:
    if adjustment.state != State.WAITING or services.has_lapsed(adjustment, now=timezone.now()):
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
