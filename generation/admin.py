"""Staff sees what was asked for, what came of it and how it was paid."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin

from credits.services import record_action
from generation.models import Generation, OperationPrice

if apps.is_installed("procrastinate.contrib.django"):
    # Its page starts and stops jobs, which nothing writes down; what a job did is its generation.
    admin.site.unregister(apps.get_model("procrastinate", "ProcrastinateJob"))


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
    exclude = ("created_at",)

    def save_model(
        self, request: HttpRequest, obj: OperationPrice, form: Any, change: bool
    ) -> None:
        """In the audit log too, in the transaction of the page."""
        obj.created_at = timezone.now()
        super().save_model(request, obj, form, change)
        record_action(
            actor=f"staff:{request.user.get_username()}",
            action="price.add",
            target=f"{obj.operation}:{obj.version}",
            reason="",
            after={"cost": obj.cost},
            now=obj.created_at,
        )

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
