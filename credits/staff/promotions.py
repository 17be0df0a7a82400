"""Promotional codes: made here, one word or a batch of random ones, and watched here."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from credits import services
from credits.models import PromotionalCode, Redemption
from credits.services.promotions import MOST_AT_ONCE, MOST_DAYS, normalised
from credits.staff.base import (
    LastDayField,
    StaffForm,
    actor_of,
    end_of,
    last_day_of,
    number,
    start_of,
)
from credits.staff.links import link_to_list, link_to_row
from credits.staff.lists import BookList
from credits.staff.search import account_named


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
    valid_from = LastDayField(
        label=_("First day"),
        required=False,
        help_text=_("On which it can be redeemed (UTC). Empty: at once."),
    )
    valid_until = LastDayField(
        label=_("Last day"),
        required=False,
        help_text=_("On which it can be redeemed (UTC). Empty: no end."),
    )
    new_customers_only = forms.BooleanField(
        required=False, help_text=_("Only for accounts that have never paid for anything.")
    )

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if found.get("code") and found.get("count", 1) > 1:
            self.add_error("count", _("One word is one code: leave it empty for random codes."))
        if found.get("code") and found.get("beginning"):
            self.add_error("beginning", _("A word is taken as it is."))
        return found


@admin.register(PromotionalCode)
class PromotionalCodeAdmin(BookList):
    """What a code gives is fixed once it exists; it can only be switched off."""

    list_display = (
        "code", "campaign", *map(number, ("credits", "uses", "most_uses")), "valid_from",
        "last_day", "active",
    )  # fmt: skip
    fields = (
        "code", "campaign", "credits", "days", "uses", "most_uses", "redemptions", "valid_from",
        "last_day", "new_customers_only", "active", "created_by", "created_at",
    )  # fmt: skip
    list_filter = ("active", "new_customers_only")
    moment = ""
    search_help_text = _("A whole code or campaign.")
    readonly_fields = ("redemptions", "last_day")
    actions = ("switch_off",)
    actions_detail = ("switch_off_this",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("credits.add_promotionalcode")

    def has_switch_off_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return request.user.has_perm("credits.change_promotionalcode")

    def find(self, word: str) -> Q:
        return Q(code=normalised(word)) | Q(campaign=word)

    @admin.display(description=_("last day"), empty_value="-")
    def last_day(self, code: PromotionalCode) -> str | None:
        """As the form asks for it; in the database stands the moment after it."""
        return f"{last_day_of(code.valid_until):%Y-%m-%d}" if code.valid_until else None

    @admin.display(description=_("redemptions"))
    def redemptions(self, code: PromotionalCode) -> SafeString:
        words = gettext("%d so far: who, and when") % code.uses
        return link_to_list("credits_redemption", words, q=code.code)

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Nothing, of a code that is switched off already."""
        code = self.get_object(request, str(object_id))
        return super().get_actions_detail(request, object_id) if code and code.active else []

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewCodesForm(request.POST or None)
        if form.is_valid():
            now = timezone.now()
            try:
                codes = services.create_codes(
                    **_terms(form.cleaned_data), actor=actor_of(request), now=now
                )
            except services.CreditsError as error:
                form.add_error(None, str(error))
            else:
                return self._made(request, codes)
        return self.form_page(
            request,
            form,
            title=gettext("New promotional codes"),
            intro=gettext("Each can be redeemed once per account, on the site and by the API."),
            buttons=[("make", gettext("Make them"))],
        )

    def _made(self, request: HttpRequest, codes: list[PromotionalCode]) -> HttpResponse:
        """To the list of just these."""
        made = ngettext(
            "%(count)d code was made. “Download as CSV” below the list takes it along.",
            "%(count)d codes were made. “Download as CSV” below the list takes them along.",
            len(codes),
        )
        messages.success(request, made % {"count": len(codes)})
        batch = {"campaign": codes[0].campaign, "created_at": codes[0].created_at.isoformat()}
        listing = reverse("admin:credits_promotionalcode_changelist")
        return redirect(f"{listing}?{urlencode(batch)}")

    @action(description=_("Switch off"), url_path="switch-off", permissions=["switch_off"])
    def switch_off_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        code = self.row_or_404(request, object_id)
        if request.method != "POST":
            return self.form_page(
                request,
                StaffForm(),
                title=gettext("Switch off %s") % code,
                intro=gettext("Nobody can redeem it any more, for good. What it gave stays."),
                buttons=[("confirm", gettext("Switch off"))],
            )
        services.switch_off_code(code_id=code.pk, actor=actor_of(request), now=timezone.now())
        messages.success(request, gettext("%s is switched off.") % code)
        return redirect("admin:credits_promotionalcode_change", code.pk)

    @admin.action(description=_("Switch off"), permissions=["switch_off"])
    def switch_off(self, request: HttpRequest, codes: QuerySet[PromotionalCode]) -> None:
        good = list(codes.filter(active=True))
        for code in good:
            services.switch_off_code(code_id=code.pk, actor=actor_of(request), now=timezone.now())
        done = ngettext("%d code was switched off.", "%d codes were switched off.", len(good))
        self.message_user(request, done % len(good))


@admin.register(Redemption)
class RedemptionAdmin(BookList):
    list_display = ("created_at", "code", "customer", "added")
    list_select_related = ("code", "lot")
    readonly_fields = ("customer", "added")
    moment = ""
    search_help_text = _("A whole code or email address, or an account number.")

    def find(self, word: str) -> Q:
        named = Q(code__code=normalised(word))
        account_id = account_named(word)
        return named if account_id is None else named | Q(account_id=account_id)

    @admin.display(description=_("credits"))
    def added(self, redemption: Redemption) -> SafeString:
        return link_to_row(redemption.lot, redemption.lot.granted)


def _terms(form: dict[str, Any]) -> dict[str, Any]:
    """The form as create_codes wants it: from the first day's beginning to the last day's end."""
    first_day, last_day = form["valid_from"], form["valid_until"]
    return {
        **form,
        "valid_from": start_of(first_day) if first_day else None,
        "valid_until": end_of(last_day) if last_day else None,
    }
