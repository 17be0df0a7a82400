"""Staff sees what was asked for, what came of it and how it was paid."""

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from generation.models import Generation, OperationPrice


@admin.register(Generation)
class GenerationAdmin(ModelAdmin):  # type: ignore[misc]
    """Looking only; prompts and outputs are the customer's and are left out."""

    list_display = (
        "id",
        "account_id",
        "status",
        "operation",
        "cost",
        "funding",
        "attempts",
        "error_code",
        "created_at",
    )
    list_filter = ("status", "funding")
    exclude = ("prompt", "output")
    ordering = ("-created_at",)
    search_fields = ("=account__id", "=id")
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(OperationPrice)
class OperationPriceAdmin(ModelAdmin):  # type: ignore[misc]
    """A new price is a new version; old ones stay as they are."""

    list_display = ("operation", "version", "cost", "created_at")
    ordering = ("operation", "-version")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
