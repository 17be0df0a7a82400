"""The audit log: what staff did."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from credits.models import StaffAction
from credits.staff.base import ReadOnlyAdmin


@admin.register(StaffAction)
class StaffActionAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "actor", "action", "account_id", "target", "reason")
    list_filter = ("action",)
    search_fields = (
        "actor__exact",
        "target__exact",
        "=account__id",
        "account__user__email__iexact",
    )
    search_help_text = _("A whole actor, target or email address, or an account number.")
    ordering = ("-id",)
