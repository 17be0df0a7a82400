"""Promotional codes: made here, one word or a batch of random ones, and watched here."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from credits import services
from credits.models import PromotionalCode, Redemption
from credits.services.promotions import MOST_AT_ONCE, MOST_DAYS
from credits.staff.base import (
    LastDayField,
    ReadOnlyAdmin,
    StaffForm,
    actor_of,
    end_of,
    number,
)
from credits.staff.links import link_to_row
from credits.staff.lists import csv_answer


class NewCodesForm(StaffForm):
    campaign = forms.CharField(max_length=80, help_text=_("What the codes are for."))
    code = forms.CharField(
        required=False, max_length=40, help_text=_("A word such as WELCOME. Empty: random codes.")
    )
    count = forms.IntegerField(
        initial=1, min_value=1, max_value=MOST_AT_ONCE, help_text=_("How many random codes.")
    )
    beginning = forms.CharField(
        required=False, max_length=20, help_text=_("What random codes begin with.")
    )
    amount = forms.IntegerField(
        label=_("Credits"), min_value=1, help_text=_("That each redemption gives.")
    )
    days = forms.IntegerField(
        initial=30, min_value=1, max_value=MOST_DAYS, help_text=_("How long these credits live.")
    )
    most_uses = forms.IntegerField(
        label=_("Uses at most"),
        required=False,
        initial=1,
        min_value=1,
        help_text=_("Of each code. Empty: no limit."),
    )
    valid_until = LastDayField(
        label=_("Last day"), required=False, help_text=_("On which it can be redeemed (UTC).")
    )
    new_customers_only = forms.BooleanField(required=False)

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if found.get("code") and found.get("count", 1) > 1:
            self.add_error("count", _("One word is one code: leave it empty for random codes."))
        if found.get("code") and found.get("beginning"):
            self.add_error("beginning", _("A word is taken as it is."))
        return found


@admin.register(PromotionalCode)
class PromotionalCodeAdmin(ReadOnlyAdmin):
    """What a code gives is fixed once it exists; it can only be switched off."""

    list_display = (
        "code", "campaign", *map(number, ("credits", "uses", "most_uses")), "valid_until", "active",
    )  # fmt: skip
    list_filter = ("active", "new_customers_only")
    search_fields = ("code__iexact", "campaign__istartswith")
    search_help_text = _("A whole code, or the beginning of a campaign.")
    ordering = ("-id",)
    actions = ("download", "switch_off")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("credits.add_promotionalcode")

    def has_switch_off_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("credits.change_promotionalcode")

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewCodesForm(request.POST or None)
        if form.is_valid():
            try:
                codes = services.create_codes(
                    **_terms(form.cleaned_data), actor=actor_of(request), now=timezone.now()
                )
            except services.CreditsError as error:
                form.add_error(None, str(error))
            else:
                made = ngettext("%d code was made.", "%d codes were made.", len(codes))
                messages.success(request, made % len(codes))
                return redirect("admin:credits_promotionalcode_changelist")
        return self.form_page(
            request,
            form,
            title=gettext("New promotional codes"),
            buttons=[("make", gettext("Make them"))],
        )

    @admin.action(description=_("Download as CSV"), permissions=["view"])
    def download(
        self, request: HttpRequest, codes: QuerySet[PromotionalCode]
    ) -> StreamingHttpResponse:
        columns = ("code", "campaign", "credits", "uses", "most_uses")
        return csv_answer("codes.csv", columns, codes.values_list(*columns))

    @admin.action(description=_("Switch off"), permissions=["switch_off"])
    def switch_off(self, request: HttpRequest, codes: QuerySet[PromotionalCode]) -> None:
        for code in codes.filter(active=True):
            services.switch_off_code(code_id=code.pk, actor=actor_of(request), now=timezone.now())
        self.message_user(request, _("The codes are switched off."))


@admin.register(Redemption)
class RedemptionAdmin(ReadOnlyAdmin):
    list_display = ("code", "customer", "created_at")
    list_select_related = ("code", "account__user")
    search_fields = ("code__code__iexact", "=account__id", "account__user__email__iexact")
    search_help_text = _("A whole code or email address, or an account number.")
    ordering = ("-id",)

    @admin.display(description=_("customer"))
    def customer(self, redemption: Redemption) -> SafeString:
        return link_to_row(redemption.account, redemption.account.user)


def _terms(form: dict[str, Any]) -> dict[str, Any]:
    """The form as create_codes wants it: the last day counts to its end."""
    last_day = form["valid_until"]
    return {**form, "valid_until": end_of(last_day) if last_day else None}
