"""The books for staff: lots, holds, ledger lines, single generations. Nobody can edit them."""

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from credits.explanations import explain
from credits.models import CreditLot, Hold, LedgerEntry, RetailToken
from credits.money import signed
from credits.staff import search
from credits.staff.base import number
from credits.staff.links import link_to_list
from credits.staff.lists import BookList, Days


class WithLines(BookList):
    """A list of what ledger lines are about."""

    @admin.display(description=_("ledger"))
    def lines(self, row: Any) -> SafeString:
        return link_to_list("credits_ledgerentry", _("Its lines"), q=row.pk)


@admin.register(CreditLot)
class CreditLotAdmin(WithLines):
    list_display = (
        "created_at", "customer", "pool", *map(number, ("granted", "remaining", "frozen")),
        number("clawed_back"), "expires_at", "source_key",
    )  # fmt: skip
    list_filter = ("pool", Days)
    readonly_fields = ("customer", "lines")
    search_help_text = _("A whole email, account, customer, invoice, session, payment or source.")

    def find_named(self, word: str) -> Q:
        if row_id := search.row_named(word):
            return Q(pk=row_id)
        return Q(source_key__in=search.purchases_named(word))


@admin.register(Hold)
class HoldAdmin(WithLines):
    list_display = (
        "id", "customer", number("amount"), number("captured"), "state", "reference", "created_at",
    )  # fmt: skip
    list_filter = ("state", Days)
    readonly_fields = ("customer", "lines")
    search_help_text = _("A whole email, account, customer, generation, or “account key”.")

    def find(self, word: str) -> Q:
        account, _space, key = word.partition(" ")
        if key and (account_id := search.account_named(account)) is not None:
            return Q(account_id=account_id, idempotency_key=key)
        return super().find(word)

    def find_named(self, word: str) -> Q:
        return Q(pk=search.row_named(word) or search.hold_named(word) or 0)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(BookList):
    list_display = (
        "created_at", "customer", number("sequence", _("line")), "kind", "pool",
        number("amount", write=signed), number("balance_after"), "reference", "actor",
    )  # fmt: skip
    readonly_fields = ("customer", "why")
    search_help_text = _(
        "A whole email, account, customer, invoice, session, payment, event, generation or key."
    )

    def find(self, word: str) -> Q:
        return search.lines_named(word)

    def get_list_filter(self, request: HttpRequest) -> tuple[Any, ...]:
        """By pool only what a search has left: all lines have no index for it, and need none."""
        return ("kind", "pool", Days) if request.GET.get("q") else ("kind", Days)

    @admin.display(description=_("why"))
    def why(self, entry: LedgerEntry) -> str:
        return str(explain(entry))


@admin.register(RetailToken)
class RetailTokenAdmin(BookList):
    list_display = ("created_at", "customer", "state", "source_key", "generation_reference")
    list_filter = ("state", Days)
    readonly_fields = ("customer",)
    search_help_text = _("A whole email, account, customer, session, payment or generation.")

    def find_named(self, word: str) -> Q:
        if generation := search.uuid_in(word):
            return Q(generation_reference=f"generation:{generation}")
        return Q(source_key__in=search.tokens_of(search.purchases_named(word)))
