"""Staff sees what was asked for, what came of it and how it was paid."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import Model, Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from credits.services import record_action
from credits.staff import search
from credits.staff.base import actor_of, number
from credits.staff.lists import BookList, Days
from generation.models import Generation, OperationPrice

if apps.is_installed("procrastinate.contrib.django"):
    # Its page starts and stops jobs, which nothing writes down; what a job did is its generation.
    admin.site.unregister(apps.get_model("procrastinate", "ProcrastinateJob"))


@admin.register(Generation)
class GenerationAdmin(BookList):
    """Looking only; prompts and outputs are the customer's and are left out."""

    list_display = (
        "short_id", "customer", "status", "operation", number("cost"), "funding",
        number("attempts"), "error_code", "created_at",
    )  # fmt: skip
    list_filter = ("status", "funding", Days)
    exclude = ("prompt", "output")
    readonly_fields = ("customer",)
    search_help_text = _("A whole email, account, customer, generation or idempotency key.")

    def find_named(self, word: str) -> Q:
        return named(word)

    @admin.display(description=_("generation"))
    def short_id(self, generation: Generation) -> str:
        """As the ledger calls it: a whole one takes four lines of a column."""
        return str(generation.pk)[:8]


def named(word: str) -> Q:
    """The generation with this id, or made by the request with this idempotency key."""
    pk = search.uuid_in(word)
    key = Q(idempotency_key=word)
    return key | Q(pk=pk) if pk else key


def hold_of(word: str) -> int | None:
    """The hold that pays for the generation named."""
    return Generation.objects.filter(named(word)).values_list("hold_id", flat=True).first()


search.HOLD_FINDERS.append(hold_of)


@admin.register(OperationPrice)
class OperationPriceAdmin(ModelAdmin):  # type: ignore[misc]
    """A new price is a new version; old ones stay as they are."""

    list_display = ("operation", number("version"), number("cost"), "created_at")
    ordering = ("operation", "-version")
    exclude = ("created_at",)

    def save_model(
        self, request: HttpRequest, obj: OperationPrice, form: Any, change: bool
    ) -> None:
        """In the audit log too, in the transaction of the page."""
        obj.created_at = timezone.now()
        super().save_model(request, obj, form, change)
        record_action(
            actor=actor_of(request),
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
