"""Staff reads the books here and cannot change them: every change is a service with a reason."""

from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from credits import services
from credits.models import (
    Account,
    CreditLot,
    Hold,
    InboxEvent,
    LedgerEntry,
    Offer,
    Payment,
    RetailToken,
    Subscription,
)
from credits.payments import admin as payments_admin  # noqa: F401 (dj-stripe's pages)
from credits.read_only_admin import ReadOnlyAdmin


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
    search_fields = ("user__email__iexact", "=id")
    search_help_text = _("A whole email address, or an account number.")
    actions = ("freeze", "unfreeze")

    def has_freeze_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("credits.change_account")

    @admin.action(description=_("Freeze: stop spending"), permissions=["freeze"])
    def freeze(self, request: HttpRequest, accounts: QuerySet[Account]) -> None:
        for account in accounts:
            services.freeze_account(account_id=account.pk, now=timezone.now())
        self.message_user(request, _("%d accounts frozen.") % len(accounts))

    @admin.action(description=_("Unfreeze: allow spending"), permissions=["freeze"])
    def unfreeze(self, request: HttpRequest, accounts: QuerySet[Account]) -> None:
        for account in accounts:
            services.unfreeze_account(account_id=account.pk, now=timezone.now())
        self.message_user(request, _("%d accounts may spend again.") % len(accounts))


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
    """Stripe's events: what arrived, and what became of it."""

    list_display = ("type", "state", "account_id", "attempts", "short_reason", "received_at")
    list_filter = ("state",)
    ordering = ("-id",)
    search_fields = ("event_id__exact", "object_id__exact", "=account__id")
    search_help_text = _("A whole event or object id, or an account number.")

    @admin.display(description=_("reason"))
    def short_reason(self, event: InboxEvent) -> str:
        return event.reason.strip().rpartition("\n")[2][:120]


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    list_display = ("subscription_id", "account_id", "status", "period_end", "as_of")
    list_filter = ("status",)
    ordering = ("-id",)
    search_fields = ("subscription_id__exact", "=account__id")


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    list_display = ("payment_intent", "source_key", "amount", "refunded", "lost")
    ordering = ("-id",)
    search_fields = ("payment_intent__exact", "source_key__exact")


@admin.register(Offer)
class OfferAdmin(ModelAdmin):  # type: ignore[misc]
    """What is sold may still be hidden and sorted here; prices come from `init_pricing`."""

    list_display = ("name", "kind", "credits", "amount", "currency", "interval", "active", "order")
    list_filter = ("kind", "active")
    list_editable = ("active", "order")
    ordering = ("order", "slug")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        editable = {"active", "order", "name"}
        return tuple(field.name for field in Offer._meta.fields if field.name not in editable)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
