"""What staff can do with an event of Stripe: dry run, retry, ignore, mirror again (by_hand.py)."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import OperationalError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from credits.models import InboxEvent
from credits.payments import by_hand
from credits.staff.base import StaffForm, actor_of
from credits.staff.event_words import ending, outlook
from credits.staff.lists import BookList

State = InboxEvent.State
AT_ONCE = 200  # events of one click; each takes milliseconds
CHANGE = "credits.change_inboxevent"
# The last one means that a lock was not to be had: somebody has the event or its account in hands.
REFUSALS = (by_hand.EventBusy, by_hand.EventSettled, OperationalError)

Deed = Callable[..., tuple[int, str]]  # to an event's pk; how well it went, and what to say


class IgnoreForm(StaffForm):
    reason = forms.CharField(
        max_length=200, help_text=_("Why nothing is to come of it. Kept in the audit log.")
    )


class EventActions(BookList):
    """The buttons on the page of an event, those of the list, and for which events they are."""

    actions = ("retry_all", "mirror_all")
    actions_detail = ("try_out", "retry", "ignore", "mirror_again")

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
        if not request.user.has_perm(CHANGE):
            return False
        event = self.get_object(request, object_id) if object_id else None
        return event is None or event.state != State.APPLIED

    def has_ignore_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        """What is ignored already need not be."""
        event = self.get_object(request, object_id) if object_id else None
        ignored = event is not None and event.state == State.IGNORED
        return not ignored and self.has_decide_permission(request, object_id)

    def has_mirror_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        """For what was given up."""
        if not request.user.has_perm(CHANGE):
            return False
        event = self.get_object(request, object_id) if object_id else None
        return event is None or (event.mirrored_at is None and event.next_mirror_at is None)

    # Of one event -----------------------------------------------------------------------------

    @action(description=_("Dry run"), url_path="dry-run", permissions=["decide"])
    def try_out(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What would come of it, and the button that makes it so."""
        event = self.row_or_404(request, object_id)
        if request.method == "POST":
            return self._do(request, event, _retry)
        try:
            lines = outlook(by_hand.try_out(event.pk, now=timezone.now()))
        except REFUSALS as error:
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
        return self._ask(
            request,
            object_id,
            _retry,
            title=gettext("Retry %s now"),
            intro=gettext("The event is applied at once, like a worker would."),
            button=("retry", gettext("Retry now")),
        )

    @action(description=_("Ignore …"), url_path="ignore", permissions=["ignore"])
    def ignore(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(
            request,
            object_id,
            _ignore,
            IgnoreForm,
            title=gettext("Ignore %s"),
            intro=gettext("Nothing comes of the event. “Retry now” takes this back."),
            button=("ignore", gettext("Ignore")),
        )

    @action(description=_("Mirror again"), url_path="mirror-again", permissions=["mirror"])
    def mirror_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask(
            request,
            object_id,
            _mirror,
            title=gettext("Mirror %s again"),
            intro=gettext("The worker feeds the event to dj-stripe again. No credits move."),
            button=("mirror", gettext("Mirror again")),
        )

    def _ask(
        self,
        request: HttpRequest,
        object_id: str,
        do: Deed,
        form_class: type[StaffForm] = StaffForm,
        *,
        title: str,
        intro: str,
        button: tuple[str, str],
    ) -> HttpResponse:
        """A page that says what a click does, and then does it with what the form says."""
        event = self.row_or_404(request, object_id)
        form = form_class(request.POST if request.method == "POST" else None)
        if form.is_valid():
            return self._do(request, event, do, **form.cleaned_data)
        return self.form_page(
            request,
            form,
            title=title % event.type,
            intro=intro,
            buttons=[button],
            original=event,
        )

    def _do(self, request: HttpRequest, event: InboxEvent, do: Deed, **said: str) -> HttpResponse:
        """Does it, and back to the event's page, which says what came of it or why it cannot be."""
        try:
            level, words = do(event.pk, actor=actor_of(request), now=timezone.now(), **said)
        except REFUSALS as error:
            return self._refused(request, event, error)
        self.message_user(request, words, level)
        return _to_page_of(event)

    def _refused(self, request: HttpRequest, event: InboxEvent, error: Exception) -> HttpResponse:
        self.message_user(request, _why(error), messages.ERROR)
        return _to_page_of(event)

    # Of many ----------------------------------------------------------------------------------

    @admin.action(description=_("Retry now"), permissions=["decide"])
    def retry_all(self, request: HttpRequest, rows: QuerySet[InboxEvent]) -> None:
        self._do_all(request, rows, lambda pk, **who: by_hand.retry(pk, **who).get_state_display())

    @admin.action(description=_("Mirror again"), permissions=["mirror"])
    def mirror_all(self, request: HttpRequest, rows: QuerySet[InboxEvent]) -> None:
        def again(pk: int, **who: Any) -> str:
            by_hand.mirror_again(pk, **who)
            return gettext("to be mirrored")

        self._do_all(request, rows, again)

    def _do_all(
        self, request: HttpRequest, rows: QuerySet[InboxEvent], do: Callable[..., Any]
    ) -> None:
        """Does it to the oldest first, at most AT_ONCE, and says how many ended how."""
        ends: dict[str, int] = {}
        for pk in rows.order_by("created_at", "pk").values_list("pk", flat=True)[:AT_ONCE]:
            try:
                end = str(do(pk, actor=actor_of(request), now=timezone.now()))
            except REFUSALS as error:
                end = _why(error)
            ends[end] = ends.get(end, 0) + 1
        self.message_user(request, "; ".join(f"{count}: {end}" for end, count in ends.items()))


def _retry(pk: int, **who: Any) -> tuple[int, str]:
    after = by_hand.retry(pk, **who)
    level = messages.SUCCESS if after.state == State.APPLIED else messages.WARNING
    return level, ending(after)


def _ignore(pk: int, **who: Any) -> tuple[int, str]:
    by_hand.ignore(pk, **who)
    return messages.INFO, gettext("Ignored, and noted in the audit log.")


def _mirror(pk: int, **who: Any) -> tuple[int, str]:
    by_hand.mirror_again(pk, **who)
    return messages.INFO, gettext("The worker mirrors it again.")


def _why(error: Exception) -> str:
    return str(by_hand.EventBusy() if isinstance(error, OperationalError) else error)


def _to_page_of(event: InboxEvent) -> HttpResponse:
    return redirect("admin:credits_inboxevent_change", event.pk)
