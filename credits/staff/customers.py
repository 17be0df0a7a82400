"""Accounts: what support looks at first, and from where it adjusts and freezes."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from credits import services
from credits.models import Account
from credits.staff.base import ReadOnlyAdmin, StaffForm, actor_of, form_page


class ReasonForm(StaffForm):
    reason = forms.CharField(max_length=200, help_text=_("Kept in the audit log, with your name."))


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "user",
        "subscription_credits",
        "promotional_credits",
        "bulk_credits",
        "owed",
        "status",
    )
    list_filter = ("status",)
    list_select_related = ("user",)
    search_fields = ("user__email__iexact", "=id", "stripe_customer_id__exact")
    search_help_text = _("A whole email address, an account number, or a Stripe customer.")
    actions_detail = ("adjust", "freeze", "unfreeze")

    def has_adjust_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return request.user.has_perm("credits.add_adjustment")

    def has_freeze_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return request.user.has_perm("credits.change_account")

    @action(description=_("Adjust"), url_path="adjust", permissions=["adjust"])
    def adjust(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect(f"{reverse('admin:credits_adjustment_add')}?account={object_id}")

    @action(description=_("Freeze"), url_path="freeze", permissions=["freeze"])
    def freeze(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._change_status(
            request,
            object_id,
            services.freeze_account,
            title=gettext("Freeze this account"),
            intro=gettext("A frozen account cannot spend. Credits still come in, and expire."),
            button=gettext("Freeze"),
        )

    @action(description=_("Unfreeze"), url_path="unfreeze", permissions=["freeze"])
    def unfreeze(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._change_status(
            request,
            object_id,
            services.unfreeze_account,
            title=gettext("Unfreeze this account"),
            intro=gettext("The account may spend again."),
            button=gettext("Unfreeze"),
        )

    def _change_status(
        self, request: HttpRequest, object_id: str, change: Any, *, button: str, **texts: str
    ) -> HttpResponse:
        account = self.get_object(request, object_id)
        if account is None:
            raise Http404
        form = ReasonForm(request.POST or None)
        if form.is_valid():
            reason = form.cleaned_data["reason"]
            change(
                account_id=account.pk, actor=actor_of(request), reason=reason, now=timezone.now()
            )
            messages.success(request, _("Done, and noted in the audit log."))
            return redirect("admin:credits_account_change", account.pk)
        buttons = [("confirm", button)]
        return form_page(request, self.admin_site, form, opts=self.opts, buttons=buttons, **texts)
