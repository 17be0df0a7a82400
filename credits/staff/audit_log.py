"""The audit log: what staff did."""

from django.contrib import admin
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from credits.models import StaffAction
from credits.staff.deeds import in_words
from credits.staff.lists import BookList, Days
from credits.staff.search import account_named


@admin.register(StaffAction)
class StaffActionAdmin(BookList):
    list_display = ("created_at", "told", "customer", "action")
    readonly_fields = ("told",)
    list_filter = (Days,)
    search_help_text = _("A whole email address, account, actor, action or target.")

    @admin.display(description=_("what"))
    def told(self, action: StaffAction) -> str:
        return in_words(action)

    def find(self, word: str) -> Q:
        account_id = account_named(word)
        named = Q(actor=word) | Q(action=word) | Q(target=word)
        return named | Q(account_id=account_id) if account_id else named
