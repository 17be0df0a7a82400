"""Money that came in for somebody who had left: staff sees it, and gives it back.

Deleting an account ends its open Checkout sessions first, but one that is paid in that very moment,
or a bank debit that takes days, is booked nevertheless: the books say what Stripe has taken.
"""

from typing import Any

from django.contrib import admin
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from credits.models import CreditLot, Payment, RetailToken, purchase_keys
from credits.staff.refunds import PaymentAdmin


def late_payments() -> QuerySet[Payment]:
    """Payments for an account that its owner had deleted, until all of one has gone back."""
    kept = Payment.objects.filter(amount__gt=F("refunded") + F("lost"))
    return kept.filter(source_key__in=_brought_to_the_erased())


def _brought_to_the_erased() -> list[str]:
    """The source keys of what was paid for since its owner had left."""
    late = Q(
        account__user__erased_at__isnull=False,
        created_at__gte=F("account__user__erased_at"),
        amount_paid__gt=0,
    )
    return purchase_keys(CreditLot.objects.filter(late), RetailToken.objects.filter(late))


class TooLate(admin.SimpleListFilter):
    """Only what the front page counts."""

    title = _("account deleted before")
    parameter_name = "late"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Yes, and not all has gone back"))]

    def queryset(self, request: HttpRequest, payments: QuerySet[Payment]) -> QuerySet[Payment]:
        return payments.filter(pk__in=late_payments()) if self.value() == "yes" else payments


PaymentAdmin.list_filter.append(TooLate)
