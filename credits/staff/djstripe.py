"""What dj-stripe keeps of Stripe's objects, for staff to look at.

dj-stripe's own pages are taken down. They change objects, call Stripe and show API keys, and some
end in an error with what current API versions send, the page of an invoice first of all.
"""

import json
from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from djstripe import admin as _djstripe_admin  # noqa: F401 (has registered its pages by now)
from djstripe import models as djstripe

from credits.staff.base import ReadOnlyAdmin

COLUMNS: dict[type[djstripe.StripeModel], list[str]] = {
    djstripe.Customer: ["email", "currency", "delinquent"],
    djstripe.Subscription: ["customer", "status", "cancel_at_period_end"],
    djstripe.Invoice: ["customer", "number", "billing_reason", "status", "amount_paid", "currency"],
    djstripe.PaymentIntent: ["customer", "status", "amount", "currency"],
    djstripe.Charge: ["customer", "status", "amount", "amount_refunded", "currency", "disputed"],
    djstripe.Refund: ["charge", "status", "amount", "currency", "reason"],
    djstripe.Dispute: ["charge", "status", "amount", "currency", "reason"],
    djstripe.Product: ["name", "active"],
    djstripe.Price: ["product", "unit_amount", "currency", "active"],
    djstripe.Event: ["type", "api_version"],
}


def column(name: str) -> Callable[[djstripe.StripeModel], Any]:
    """A column of the list, from the stored JSON: dj-stripe's properties raise where it is empty.

    Amounts are in minor units. An expanded object is shown as its id.
    """

    @admin.display(description=name.replace("_", " "))
    def show(row: djstripe.StripeModel) -> Any:
        found = row.stripe_data.get(name)
        return found.get("id") if isinstance(found, dict) else found

    return show


class StripeObjectAdmin(ReadOnlyAdmin):
    """An object of Stripe as dj-stripe fetched it last."""

    fields = ("id", "created", "livemode", "content")
    ordering = ("-djstripe_id",)
    search_fields = ("id__exact",)
    search_help_text = _("A whole id of Stripe.")

    @admin.display(description=_("content"))
    def content(self, row: djstripe.StripeModel) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(row.stripe_data, indent=2))


def stripe_id(row: djstripe.StripeModel) -> str:
    """What a row is called."""
    return str(row.id)


for model in apps.get_app_config("djstripe").get_models():
    if admin.site.is_registered(model):
        admin.site.unregister(model)
for model, names in COLUMNS.items():
    # Theirs reads amounts and names that may be missing.
    model.__str__ = stripe_id  # type: ignore[assignment]
    admin.site.register(
        model,
        StripeObjectAdmin,
        list_display=("id", *map(column, names), "created"),
    )
