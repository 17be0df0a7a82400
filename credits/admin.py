"""Staff reads the books here and cannot change them: every change is a service with a reason."""

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from credits.models import (
    CreditLot,
    Hold,
    InboxEvent,
    LedgerEntry,
    PlanClick,
    PlanSchedule,
    RetailToken,
    Subscription,
)
from credits.staff import (  # noqa: F401 (registers their pages)
    adjustments,
    audit_log,
    audits,
    customers,
    djstripe,
    notices,
    offers,
    promotions,
    reconciliations,
    refunds,
)
from credits.staff.base import ReadOnlyAdmin


@admin.register(CreditLot)
class CreditLotAdmin(ReadOnlyAdmin):
    list_display = (
        "source_key",
        "account_id",
        "pool",
        "granted",
        "remaining",
        "frozen",
        "clawed_back",
        "expires_at",
        "created_at",
    )
    list_filter = ("pool",)
    ordering = ("-id",)
    search_fields = ("=account__id", "source_key__exact")
    search_help_text = _("An account number, or a whole source key such as invoice:in_123.")


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    list_display = ("id", "account_id", "amount", "captured", "state", "reference", "created_at")
    list_filter = ("state",)
    ordering = ("-id",)
    search_fields = ("=account__id", "idempotency_key__exact")
    search_help_text = _("An account number, or a whole idempotency key.")


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = (
        "account_id",
        "sequence",
        "kind",
        "pool",
        "amount",
        "balance_after",
        "reference",
        "actor",
        "created_at",
    )
    list_filter = ("kind", "pool")
    ordering = ("-id",)
    search_fields = ("=account__id",)
    search_help_text = _("An account number.")


@admin.register(RetailToken)
class RetailTokenAdmin(ReadOnlyAdmin):
    list_display = ("source_key", "account_id", "state", "generation_reference", "created_at")
    list_filter = ("state",)
    ordering = ("-id",)
    search_fields = ("=account__id", "source_key__exact", "generation_reference__exact")


@admin.register(InboxEvent)
class InboxEventAdmin(ReadOnlyAdmin):
    """Stripe's events: what arrived, and what became of it. Their bodies are for owners."""

    list_display = ("type", "state", "account_id", "attempts", "short_reason", "received_at")
    list_filter = ("state",)
    ordering = ("-id",)
    search_fields = ("event_id__exact", "object_id__exact", "=account__id")
    search_help_text = _("A whole event or object id, or an account number.")

    def get_exclude(self, request: HttpRequest, obj: InboxEvent | None = None) -> tuple[str, ...]:
        return () if request.user.is_superuser else ("body",)

    @admin.display(description=_("reason"))
    def short_reason(self, event: InboxEvent) -> str:
        return event.reason.strip().rpartition("\n")[2][:120]


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    list_display = ("subscription_id", "account_id", "status", "period_end", "as_of")
    list_filter = ("status",)
    ordering = ("-id",)
    search_fields = ("subscription_id__exact", "=account__id")


@admin.register(PlanSchedule)
class PlanScheduleAdmin(ReadOnlyAdmin):
    list_display = ("schedule_id", "account_id", "active", "price_id", "begins_at", "as_of")
    list_filter = ("active",)
    ordering = ("-id",)
    search_fields = ("schedule_id__exact", "subscription_id__exact", "=account__id")


@admin.register(PlanClick)
class PlanClickAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "account_id", "action", "offer", "outcome")
    list_filter = ("action", "outcome")
    ordering = ("-created_at",)
    search_fields = ("=account__id",)
