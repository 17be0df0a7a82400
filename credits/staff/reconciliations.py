"""What the nightly comparisons with Stripe found, for staff to read."""

from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from credits.models import Reconciliation
from credits.staff.base import ReadOnlyAdmin, number


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnlyAdmin):
    """One row a night: what was found, or why nobody could look."""

    list_display = ("day", number("found"), "started_at", "finished_at", "short_error")
    fields = ("day", "days", "started_at", "finished_at", "found", "sentences", "error")
    readonly_fields = ("sentences",)
    ordering = ("-day",)

    @admin.display(description=_("differences"))
    def sentences(self, night: Reconciliation) -> SafeString:
        return format_html_join("", "<p>{}</p>", ([sentence] for sentence in night.differences))

    @admin.display(description=_("error"))
    def short_error(self, night: Reconciliation) -> str:
        return night.error[:120]
