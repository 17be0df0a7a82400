"""Stripe's events for staff: what arrived, and what it caused."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credits.models import InboxEvent
from credits.payments import by_hand
from credits.staff.base import number
from credits.staff.event_actions import EventActions
from credits.staff.event_filters import Standing, Type, Unsettled
from credits.staff.event_words import block, line_words
from credits.staff.links import at_stripe, link_to_list, link_to_row
from credits.staff.lists import Days

MOST_LINES = 200  # of the ledger on an event's page
VIEW_BODY = "credits.view_event_body"


@admin.register(InboxEvent)
class InboxEventAdmin(EventActions):
    """Stripe's events: what arrived, and what became of it."""

    moment = "received_at"
    list_display = (
        "type", "state", "received_at", "customer", number("attempts"), "last_reason", "mirror",
    )  # fmt: skip
    list_filter = (Standing, Unsettled, Type, Days)
    search_help_text = _("A whole event, object or fact's id, email, account or customer.")

    def find_named(self, word: str) -> Q:
        return Q(event_id=word) | Q(object_id=word)

    # The list ---------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[InboxEvent]:
        return super().get_queryset(request).defer("body")

    @admin.display(description=_("reason"), empty_value="")
    def last_reason(self, event: InboxEvent) -> str:
        return event.why[:120]

    @admin.display(description=_("mirror"))
    def mirror(self, event: InboxEvent) -> str:
        if event.mirrored_at:
            return gettext("done")
        if event.next_mirror_at is None:
            return gettext("given up")
        return gettext("waiting") if event.mirror_error else gettext("due")

    # The page of one --------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: InboxEvent | None = None) -> Any:
        came = ("type", "event", "about", "api_version", "created_at", "received_at")
        became = (
            "state", "customer", "attempts", "next_attempt_at", "applied_at", "fact_key",
            "whole_reason", "caused",
        )  # fmt: skip
        mirrored = ("mirror", "mirror_attempts", "next_mirror_at", "mirrored_at", "whole_error")
        found = [
            (_("What came"), {"fields": came}),
            (_("What became of it"), {"fields": became}),
            (_("dj-stripe's copy"), {"fields": mirrored}),
        ]
        if request.user.has_perm(VIEW_BODY):
            found.append((_("As it came"), {"fields": ("pretty_body",)}))
        return found

    def get_readonly_fields(self, request: HttpRequest, obj: InboxEvent | None = None) -> Any:
        return [name for _title, part in self.get_fieldsets(request) for name in part["fields"]]

    def get_exclude(self, request: HttpRequest, obj: InboxEvent | None = None) -> Any:
        return () if request.user.has_perm(VIEW_BODY) else ("body",)

    @admin.display(description=_("event"))
    def event(self, event: InboxEvent) -> SafeString | str:
        return at_stripe(event.event_id)

    @admin.display(description=_("about"))
    def about(self, event: InboxEvent) -> SafeString | str:
        return at_stripe(event.object_id)

    @admin.display(description=_("reason"))
    def whole_reason(self, event: InboxEvent) -> SafeString | str:
        """In words, and below them the traceback, if it failed."""
        if not event.failed_with:
            return event.why or "-"
        return format_html("<p>{}</p>{}", event.why, block(event.failed_with))

    @admin.display(description=_("error"))
    def whole_error(self, event: InboxEvent) -> SafeString | str:
        return block(event.mirror_error)

    @admin.display(description=_("ledger lines that it caused"))
    def caused(self, event: InboxEvent) -> SafeString | str:
        lines = list(by_hand.lines_of(event).select_related("lot")[:MOST_LINES])
        if not lines:
            return gettext("None.")
        links = ((link_to_row(line, line_words(line)),) for line in lines)
        rows = format_html_join("", "<li>{}</li>", links)
        all_lines = link_to_list("credits_ledgerentry", gettext("In the ledger"), q=event.event_id)
        return format_html("<ul>{}</ul>{}", rows, all_lines)

    @admin.display(description=_("body"))
    def pretty_body(self, event: InboxEvent) -> SafeString | str:
        return block(json.dumps(json.loads(event.body), indent=2, ensure_ascii=False))
