"""Mails that were owed: sent, waiting, given up."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from credits import notices
from credits.models import Notice
from credits.staff.base import ReadOnlyAdmin, actor_of


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    """Mails to customers and staff: what was told, and what could not be sent."""

    list_display = (
        "kind",
        "account_id",
        "state",
        "attempts",
        "short_error",
        "created_at",
        "sent_at",
    )
    list_filter = ("state", "kind")
    ordering = ("-id",)
    search_fields = ("=account__id", "fact_key__exact")
    search_help_text = _("An account number, or a whole fact such as invoice:in_123.")
    actions = ("send_again",)

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
        self.message_user(request, _("%d mails will be sent again.") % again)
