"""Stripe's events for staff: what arrived, what it caused, and what can be done about the rest."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import OperationalError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from credits.explanations import explain
from credits.models import InboxEvent, LedgerEntry
from credits.payments import by_hand
from credits.payments.rules import RULES
from credits.staff.base import StaffForm, actor_of
from credits.staff.links import at_stripe, link_to_list, link_to_row
from credits.staff.lists import BookList, Days

State = InboxEvent.State
AT_ONCE = 200  # events of one click; each takes milliseconds
UNSETTLED = Q(next_attempt_at__isnull=False)  # few, and has an index
VIEW_BODY = "credits.view_event_body"


class ReasonForm(StaffForm):
    reason = forms.CharField(
        max_length=200, help_text=_("Why nothing is to come of it. Kept in the audit log.")
    )


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


@admin.register(InboxEvent)
class InboxEventAdmin(BookList):
    """Stripe's events: what arrived, and what became of it."""

    moment = "received_at"
    list_display = ("type", "state", "received_at", "customer", "attempts", "last_reason", "mirror")
    list_filter = (Standing, Unsettled, Type, Days)
    search_help_text = _("A whole event, object or fact's id, email, account or customer.")
    actions = ("retry_all", "mirror_all")
    actions_detail = ("try_out", "retry", "ignore", "mirror_again")

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
        return format_html("<p>{}</p>{}", event.why, _block(event.failed_with))

    @admin.display(description=_("error"))
    def whole_error(self, event: InboxEvent) -> SafeString | str:
        return _block(event.mirror_error)

    @admin.display(description=_("ledger lines that it caused"))
    def caused(self, event: InboxEvent) -> SafeString | str:
        lines = list(by_hand.lines_of(event).select_related("lot")[:AT_ONCE])
        if not lines:
            return gettext("None.")
        rows = format_html_join("", "<li>{}</li>", ((link_to_row(e, _line(e)),) for e in lines))
        all_lines = link_to_list("credits_ledgerentry", gettext("In the ledger"), q=event.event_id)
        return format_html("<ul>{}</ul>{}", rows, all_lines)

    @admin.display(description=_("body"))
    def pretty_body(self, event: InboxEvent) -> SafeString | str:
        return _block(json.dumps(json.loads(event.body), indent=2, ensure_ascii=False))

    # What can be done -------------------------------------------------------------------------

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> InboxEvent | None:
        """Read once in a request: the page asks for it, and so does each permission."""
        read: dict[str, InboxEvent | None] = vars(request).setdefault("events_read", {})
        if object_id not in read:
            read[object_id] = super().get_object(request, object_id, from_field)
        return read[object_id]

    def has_decide_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        """Of settled events there is nothing to decide."""
        if not request.user.has_perm("credits.change_inboxevent"):
            return False
        event = self.get_object(request, object_id) if object_id else None
        return event is None or event.state != State.APPLIED

    def has_ignore_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        """What is ignored already need not be."""
        event = self.get_object(request, object_id) if object_id else None
        ignored = event is not None and event.state == State.IGNORED
        return not ignored and self.has_decide_permission(request, object_id)

    def has_mirror_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        if not request.user.has_perm("credits.change_inboxevent"):
            return False
        event = self.get_object(request, object_id) if object_id else None
        return event is None or (event.mirrored_at is None and event.next_mirror_at is None)

    @action(description=_("Dry run"), url_path="dry-run", permissions=["decide"])
    def try_out(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What would come of it, and the button that makes it so."""
        event = self.row_or_404(request, object_id)
        if request.method == "POST":
            return self._retried(request, event)
        try:
            lines = _outlook(by_hand.try_out(event.pk, now=timezone.now()))
        except (by_hand.EventBusy, OperationalError) as error:
            return self._refused(request, event, error)
        return self.form_page(
            request,
            StaffForm(),
            title=gettext("Dry run of %s") % event.type,
            intro=gettext("The real rule was run and all of it was taken back. Nothing has moved."),
            lines=lines,
            buttons=[("apply", gettext("Apply it now"))],
            original=event,
        )

    @action(description=_("Retry now"), url_path="retry", permissions=["decide"])
    def retry(self, request: HttpRequest, object_id: str) -> HttpResponse:
        event = self.row_or_404(request, object_id)
        if request.method != "POST":
            return self.form_page(
                request,
                StaffForm(),
                title=gettext("Retry %s now") % event.type,
                intro=gettext("The event is applied at once, like a worker would."),
                buttons=[("retry", gettext("Retry now"))],
                original=event,
            )
        return self._retried(request, event)

    def _retried(self, request: HttpRequest, event: InboxEvent) -> HttpResponse:
        try:
            after = by_hand.retry(event.pk, actor=actor_of(request), now=timezone.now())
        except (by_hand.EventBusy, by_hand.EventSettled, OperationalError) as error:
            return self._refused(request, event, error)
        level = messages.SUCCESS if after.state == State.APPLIED else messages.WARNING
        self.message_user(request, _ending(after), level)
        return redirect("admin:credits_inboxevent_change", event.pk)

    @action(description=_("Ignore …"), url_path="ignore", permissions=["ignore"])
    def ignore(self, request: HttpRequest, object_id: str) -> HttpResponse:
        event = self.row_or_404(request, object_id)
        form = ReasonForm(request.POST or None)
        if not form.is_valid():
            return self.form_page(
                request,
                form,
                title=gettext("Ignore %s") % event.type,
                intro=gettext("Nothing comes of the event. “Retry now” takes this back."),
                buttons=[("ignore", gettext("Ignore"))],
                original=event,
            )
        reason = form.cleaned_data["reason"]
        try:
            by_hand.ignore(event.pk, actor=actor_of(request), reason=reason, now=timezone.now())
        except (by_hand.EventBusy, by_hand.EventSettled, OperationalError) as error:
            return self._refused(request, event, error)
        self.message_user(request, gettext("Ignored, and noted in the audit log."))
        return redirect("admin:credits_inboxevent_change", event.pk)

    @action(description=_("Mirror again"), url_path="mirror-again", permissions=["mirror"])
    def mirror_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        event = self.row_or_404(request, object_id)
        if request.method != "POST":
            return self.form_page(
                request,
                StaffForm(),
                title=gettext("Mirror %s again") % event.type,
                intro=gettext("The worker feeds the event to dj-stripe again. No credits move."),
                buttons=[("mirror", gettext("Mirror again"))],
                original=event,
            )
        try:
            by_hand.mirror_again(event.pk, actor=actor_of(request), now=timezone.now())
        except by_hand.EventSettled as error:
            return self._refused(request, event, error)
        self.message_user(request, gettext("The worker mirrors it again."))
        return redirect("admin:credits_inboxevent_change", event.pk)

    @admin.action(description=_("Retry now"), permissions=["decide"])
    def retry_all(self, request: HttpRequest, rows: QuerySet[InboxEvent]) -> None:
        self._many(request, rows, lambda pk, **who: by_hand.retry(pk, **who).get_state_display())

    @admin.action(description=_("Mirror again"), permissions=["mirror"])
    def mirror_all(self, request: HttpRequest, rows: QuerySet[InboxEvent]) -> None:
        def again(pk: int, **who: Any) -> str:
            by_hand.mirror_again(pk, **who)
            return gettext("to be mirrored")

        self._many(request, rows, again)

    def _many(
        self, request: HttpRequest, rows: QuerySet[InboxEvent], do: Callable[..., Any]
    ) -> None:
        """Does it to the oldest first, at most AT_ONCE, and says how many ended how."""
        ends: dict[str, int] = {}
        for pk in rows.order_by("created_at", "pk").values_list("pk", flat=True)[:AT_ONCE]:
            try:
                end = str(do(pk, actor=actor_of(request), now=timezone.now()))
            except (by_hand.EventBusy, by_hand.EventSettled, OperationalError) as error:
                end = str(error)
            ends[end] = ends.get(end, 0) + 1
        self.message_user(request, "; ".join(f"{count}: {end}" for end, count in ends.items()))

    def _refused(self, request: HttpRequest, event: InboxEvent, error: Exception) -> HttpResponse:
        busy = isinstance(error, OperationalError)  # a lock was not to be had
        self.message_user(request, str(by_hand.EventBusy() if busy else error), messages.ERROR)
        return redirect("admin:credits_inboxevent_change", event.pk)


def _line(entry: LedgerEntry) -> str:
    """A ledger line in words and numbers."""
    pool = entry.get_pool_display().lower()
    return f"{entry.amount:+d} {pool} ({explain(entry)})"


def _outlook(trial: by_hand.Trial) -> list[str]:
    """What a dry run has shown."""
    lines = [_ending(trial.event)]
    for entry in trial.entries:
        after = gettext("balance %d") % entry.balance_after
        lines.append(f"{_line(entry)}: {after}")
    for token in trial.tokens:
        lines.append(
            f"{gettext('Single generation')} {token.source_key}: {token.get_state_display()}"
        )
    for notice in trial.notices:
        lines.append(gettext("Mail to the customer: %s") % notice.get_kind_display())
    if not (trial.entries or trial.tokens):
        lines.append(gettext("No ledger line is written and no single generation changes."))
    if trial.event.failed_with:
        lines.append(_block(trial.event.failed_with))
    return lines


def _ending(event: InboxEvent) -> str:
    label = str(event.get_state_display())
    return f"{label}: {event.why}" if event.why else f"{label}."


def _block(text: str) -> SafeString | str:
    return (
        format_html(
            '<pre class="text-xs" style="white-space: pre-wrap; overflow-wrap: anywhere">{}</pre>',
            text,
        )
        if text
        else "-"
    )
