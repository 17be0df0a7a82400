"""How the list of Stripe's events is filtered: by state, age and type."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from credits.models import InboxEvent
from credits.payments.rules import RULES

State = InboxEvent.State
UNSETTLED = Q(next_attempt_at__isnull=False)  # few, and has an index


class Standing(admin.SimpleListFilter):
    """Every choice is few rows with an index, or most of the table."""

    title = _("state")
    parameter_name = "state"
    CHOICES = {
        "unsettled": UNSETTLED,
        "waiting": UNSETTLED & Q(state=State.WAITING),
        "failed": UNSETTLED & Q(state=State.FAILED),
        "received": UNSETTLED & Q(state=State.RECEIVED),
        "applied": Q(state=State.APPLIED),
        "ignored": Q(state=State.IGNORED),
        "unmirrored": Q(mirrored_at__isnull=True, next_mirror_at__isnull=True),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("unsettled", _("Not settled")),
            *State.choices,
            ("unmirrored", _("Mirror given up")),
        ]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[InboxEvent]
    ) -> QuerySet[InboxEvent]:
        return queryset.filter(self.CHOICES.get(self.value() or "", Q()))


class Unsettled(admin.SimpleListFilter):
    """How long an event has been waiting for its end."""

    title = _("not settled since")
    parameter_name = "older"
    AGES = {"15": _("over 15 minutes"), "60": _("over an hour"), "1440": _("over a day")}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(self.AGES.items())

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[InboxEvent]
    ) -> QuerySet[InboxEvent]:
        if self.value() not in self.AGES:
            return queryset
        before = timezone.now() - timedelta(minutes=int(self.value() or 0))
        return queryset.filter(UNSETTLED, received_at__lte=before)


class Type(admin.SimpleListFilter):
    """Types that have a rule; asking the table for all would read it all."""

    title = _("type")
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(name, name) for name in sorted(RULES)]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[InboxEvent]
    ) -> QuerySet[InboxEvent]:
        return queryset.filter(type=self.value()) if self.value() else queryset
