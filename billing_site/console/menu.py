"""The menu of the admin, by what people come for. Pages are called as their lists are."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

MENU = [
    (
        _lazy("Customers"),
        ["credits.account", "accounts.user", "account.emailaddress", "accounts.apikey"],
    ),
    (
        _lazy("Credits"),
        [
            "credits.adjustment", "credits.ledgerentry", "credits.creditlot", "credits.hold",
            "credits.retailtoken", "generation.generation",
        ],
    ),
    (
        _lazy("Money"),
        [
            "credits.payment", "credits.refund", "credits.refundrequest", "credits.subscription",
            "credits.planschedule", "credits.checkoutstart", "credits.planclick",
        ],
    ),
    (
        _lazy("Selling"),
        [
            "credits.offer", "generation.operationprice", "credits.promotionalcode",
            "credits.redemption",
        ],
    ),
    (
        _lazy("What is checked"),
        [
            "credits.inboxevent", "credits.notice", "credits.reconciliation",
            "credits.ledgeraudit", "credits.dailytotal",
        ],
    ),
    (
        _lazy("Staff"),
        ["credits.staffaction", "auth.group", "axes.accessattempt"],
    ),
]  # fmt: skip


def menu(request: HttpRequest) -> list[dict[str, Any]]:
    """unfold's SIDEBAR.navigation: groups with the pages that the person may open, none empty.

    Pages that are in no group (dj-stripe's, and those of apps that a site adds) come last.
    """
    pages = _open_to(request)
    groups = [(str(title), [pages.pop(name, None) for name in names]) for title, names in MENU]
    groups.append((_("Stripe's objects and others"), list(pages.values())))
    first = {"title": _("Overview"), "link": reverse("admin:index")}
    return [
        {"items": [first]},
        *(
            {"title": title, "separator": True, "items": items}
            for title, found in groups
            if (items := [page for page in found if page])
        ),
    ]


def _open_to(request: HttpRequest) -> dict[str, dict[str, Any]]:
    """Every list that this person may open, by its model."""
    return {
        model._meta.label_lower: {
            "title": capfirst(str(model._meta.verbose_name_plural)),
            "link": reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"),
        }
        for model, page in admin.site._registry.items()
        if page.has_module_permission(request) and page.has_view_permission(request)
    }
