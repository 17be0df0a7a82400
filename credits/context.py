"""What every page of a signed-in customer may show."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from credits.payments import portal


def billing(request: HttpRequest) -> dict[str, Any]:
    """`overdue_subscription`: looked up when a template asks for it, so fragments cost nothing."""
    return {"overdue_subscription": SimpleLazyObject(lambda: _overdue(request))}


def _overdue(request: HttpRequest) -> Any:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    return portal.overdue_subscription(user_id=user.pk)
