"""Accounts: what support looks at first, and from where it adjusts and freezes."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from credits import services
from credits.models import Account, Payment
from credits.payments import rehearsals
from credits.services.errors import MOST_PAID
from credits.staff import customer_page
from credits.staff.base import MinorUnits, ReadOnlyAdmin, StaffForm, actor_of, number
from credits.staff.purchases import purchases_of
from credits.staff.search import accounts_named

PURCHASES_SHOWN = 100


class ReasonForm(StaffForm):
    reason = forms.CharField(max_length=200, help_text=_("Kept in the audit log, with your name."))


class WhatIfForm(StaffForm):
    """What is to happen, and to which purchase; what is not needed is not looked at."""

    what = forms.ChoiceField(label=_("If this happened now"), choices=rehearsals.What.choices)
    payment = forms.ChoiceField(label=_("Purchase"), required=False)
    amount = MinorUnits(
        label=_("Amount refunded"),
        required=False,
        min_value=1,
        max_value=MOST_PAID,
        help_text=_("In minor units: 900 usd are $9.00. Empty: all that is left."),
    )

    def __init__(self, *args: Any, account: Account, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        bought = purchases_of(account.pk, most=PURCHASES_SHOWN)
        self.payments = {str(one.payment.pk): one.payment for one in bought}
        field = self.fields["payment"]
        assert isinstance(field, forms.ChoiceField)
        named = [(one.payment.pk, f"{one} ({one.payment.payment_intent})") for one in bought]
        field.choices = [("", "–"), *named]  # noqa: RUF001

    def clean_payment(self) -> Payment | None:
        return self.payments.get(self.cleaned_data["payment"])


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "user",
        number("subscription_credits"),
        number("promotional_credits"),
        number("bulk_credits"),
        number("owed"),
        "status",
    )
    list_filter = ("status",)
    list_select_related = ("user",)
    ordering = ("-id",)
    search_fields = ("=id",)  # shows the field; get_search_results looks for more than this
    search_help_text = _(
        "Whole: email address, account number, API key, or an id of a Stripe customer, invoice, "
        "session, payment, refund, subscription or event, or of a generation."
    )
    actions_detail = ("explain", "rehearse", "adjust", "freeze", "unfreeze")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Account], search_term: str
    ) -> tuple[QuerySet[Account], bool]:
        if not search_term.strip():
            return queryset, False
        return queryset.filter(pk__in=accounts_named(search_term)), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, or at once the only customer that a search has found."""
        answer: HttpResponse = super().changelist_view(request, extra_context)
        found = getattr(answer, "context_data", None) or {}
        if request.GET.get("q", "").strip() and "cl" in found and len(found["cl"].result_list) == 1:
            return redirect("admin:credits_account_change", found["cl"].result_list[0].pk)
        return answer

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The page of the customer (customer_page.py) in place of a form that changes nothing."""
        account = self.get_object(request, object_id) if self.has_view_permission(request) else None
        context = extra_context or {}
        if account is not None and request.method != "POST":
            context |= customer_page.context_of(request, account, now=timezone.now())
        answer: HttpResponse = super().change_view(request, object_id, form_url, context)
        return answer

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Of freezing and unfreezing, what the account is not."""
        account = self.get_object(request, str(object_id))
        done = "unfreeze" if account and account.status == Account.Status.ACTIVE else "freeze"
        found: list[Any] = super().get_actions_detail(request, object_id)
        return [action for action in found if not action.action_name.endswith(f"_{done}")]

    def has_adjust_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return request.user.has_perm("credits.add_adjustment")

    def has_freeze_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return request.user.has_perm("credits.change_account")

    @action(description=_("Explain"), url_path="explain", permissions=["view"])
    def explain(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Every lot of the account and what became of it, adding up to the balance."""
        account = self.row_or_404(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": account,
            "title": gettext("Why %s has what it has") % account.user,
            **customer_page.story_of(account),
        }
        return TemplateResponse(request, "admin/credits/account/explain.html", context)

    @action(description=_("What if …"), url_path="what-if", permissions=["view"])
    def rehearse(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What a renewal, an end, a refund or a dispute would post now. Nothing is kept."""
        account = self.row_or_404(request, object_id)
        form = WhatIfForm(request.POST or None, account=account)
        lines: list[str] = []
        if form.is_valid():
            try:
                outlook = rehearsals.rehearse(
                    account_id=account.pk, now=timezone.now(), **form.cleaned_data
                )
                lines = list(customer_page.outlook_lines(outlook))
            except rehearsals.NothingToRehearse as reason:
                form.add_error(None, str(reason))
        return self.form_page(
            request,
            form,
            title=gettext("What if … %s") % account.user,
            intro=gettext("This shows what would be posted for %s. Nothing is changed.")
            % account.user,
            buttons=[("preview", gettext("Show what it would do"))],
            lines=lines,
            original=account,
        )

    @action(description=_("Adjust"), url_path="adjust", permissions=["adjust"])
    def adjust(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect(f"{reverse('admin:credits_adjustment_add')}?account={object_id}")

    @action(description=_("Freeze"), url_path="freeze", permissions=["freeze"])
    def freeze(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._change_status(
            request,
            object_id,
            services.freeze_account,
            title=gettext("Freeze the account of %s"),
            intro=gettext("A frozen account cannot spend. Credits still come in, and expire."),
            button=gettext("Freeze"),
        )

    @action(description=_("Unfreeze"), url_path="unfreeze", permissions=["freeze"])
    def unfreeze(self, request: HttpRequest, object_id: str) -> HttpResponse:
        account = self.row_or_404(request, object_id)
        if not account.user.is_active:
            messages.error(request, _("Nobody can sign in to this account: it stays frozen."))
            return redirect("admin:credits_account_change", account.pk)
        return self._change_status(
            request,
            object_id,
            services.unfreeze_account,
            title=gettext("Unfreeze the account of %s"),
            intro=gettext("The account may spend again."),
            button=gettext("Unfreeze"),
        )

    def _change_status(
        self,
        request: HttpRequest,
        object_id: str,
        change: Any,
        *,
        title: str,
        intro: str,
        button: str,
    ) -> HttpResponse:
        account = self.row_or_404(request, object_id)
        form = ReasonForm(request.POST or None)
        if form.is_valid():
            reason = form.cleaned_data["reason"]
            change(
                account_id=account.pk, actor=actor_of(request), reason=reason, now=timezone.now()
            )
            messages.success(request, _("Done, and noted in the audit log."))
            return redirect("admin:credits_account_change", account.pk)
        return self.form_page(
            request,
            form,
            title=title % account.user,
            intro=intro,
            buttons=[("confirm", button)],
            original=account,
        )
