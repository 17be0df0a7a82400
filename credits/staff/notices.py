"""Mails that were owed: sent, waiting, given up."""

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from credits import notices
from credits.models import Notice
from credits.staff.base import actor_of, number
from credits.staff.lists import BookList, Days


@admin.register(Notice)
class NoticeAdmin(BookList):
    """Mails to customers and staff: what was told, and what could not be sent."""

    list_display = (
        "kind",
        "customer",
        "state",
        number("attempts"),
        "short_error",
        "created_at",
        "sent_at",
    )
    list_filter = ("state", "kind", Days)
    search_help_text = _("A whole email, account, customer, or a fact such as invoice:in_123.")
    actions = ("send_again",)

    def find_named(self, word: str) -> Q:
        """With the kind there is an index."""
        return Q(kind__in=Notice.Kind.values, fact_key=word)

    @admin.display(description=_("error"))
    def short_error(self, notice: Notice) -> str:
        return notice.error[:120]

    def has_send_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("credits.change_notice")

    @admin.action(description=_("Send again what was given up"), permissions=["send"])
    def send_again(self, request: HttpRequest, rows: QuerySet[Notice]) -> None:
        now = timezone.now()
        again = sum(
            notices.send_again(notice_id=row.pk, now=now, actor=actor_of(request)) for row in rows
        )
        done = ngettext("%d mail will be sent again.", "%d mails will be sent again.", again)
        self.message_user(request, done % again)
