"""What the proofs of the books found, and what finished days added up to, for staff to read."""

from django.contrib import admin

from credits.models import DailyTotal, LedgerAudit
from credits.staff.base import ReadOnlyAdmin, number


@admin.register(LedgerAudit)
class LedgerAuditAdmin(ReadOnlyAdmin):
    list_display = (
        "started_at",
        "finished_at",
        "night",
        *map(number, ("accounts", "entries", "found")),
    )
    exclude = ("next_account",)
    ordering = ("-started_at",)


@admin.register(DailyTotal)
class DailyTotalAdmin(ReadOnlyAdmin):
    """Copies of the ledger's sums: the front page shows the last ones."""

    list_display = (
        "day",
        *map(number, ("sold", "granted", "spent", "expired", "clawed_back", "lines")),
    )
    ordering = ("-day",)
