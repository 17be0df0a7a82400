"""Payments for staff: found by whatever a customer can name, and refunded with a reason."""

from typing import Any, ClassVar
from uuid import uuid4

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import CharField, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Concat
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from credits import services
from credits.models import (
    FIRST_PIECE,
    CreditLot,
    Payment,
    Refund,
    RefundRequest,
    RetailToken,
    purchase_keys,
)
from credits.payments import refunding
from credits.payments.client import SellingUnavailable
from credits.services.errors import MOST_PAID
from credits.staff.base import MinorUnits, StaffForm
from credits.staff.links import link_to_list, link_to_row
from credits.staff.lists import BookList
from credits.staff.refund_words import in_currency, intro, outlook
from credits.staff.search import purchases_named


class RefundForm(StaffForm):
    """`key` makes a form that is sent twice one refund."""

    key = forms.RegexField(r"^[0-9a-f]{32}$", widget=forms.HiddenInput)
    amount = MinorUnits(
        label=_("Amount"),
        min_value=1,
        max_value=MOST_PAID,
        help_text=_("In minor units: 900 usd are $9.00."),
    )
    reason = forms.CharField(
        label=_("Reason"), max_length=255, help_text=_("Kept with your name, here and at Stripe.")
    )


class GoneBack(admin.SimpleListFilter):
    """How much of a payment was refunded, or lost."""

    title = _("money gone back")
    parameter_name = "back"
    CHOICES = {
        "nothing": (_("Nothing"), Q(refunded=0, lost=0)),
        "part": (_("A part"), Q(refunded__gt=0, refunded__lt=F("amount"))),
        "all": (_("All of it"), Q(refunded__gte=F("amount"), amount__gt=0)),
        "dispute": (_("Lost in a dispute"), Q(lost__gt=0)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(name, label) for name, (label, _rows) in self.CHOICES.items()]

    def queryset(self, request: HttpRequest, payments: QuerySet[Payment]) -> QuerySet[Payment]:
        chosen = self.value() or ""
        return payments.filter(self.CHOICES[chosen][1]) if chosen in self.CHOICES else payments


class InMoney(BookList):
    """Amounts with their currency, which is that of what the payment paid for."""

    source_key = "source_key"  # the way from a row to it
    also_in_file: ClassVar[dict[str, str]] = {"amount": "currency"}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset(request)
        priced: QuerySet[Any] = found.annotate(currency=self._of_bought("currency"))
        return priced

    def _of_bought(self, name: str) -> Coalesce:
        lots = CreditLot.objects.filter(source_key=OuterRef(self.source_key))
        first = Concat(OuterRef(self.source_key), Value(FIRST_PIECE))
        tokens = RetailToken.objects.filter(source_key=first)
        return Coalesce(
            Subquery(lots.values(name)[:1]),
            Subquery(tokens.values(name)[:1]),
            Value(""),
            output_field=CharField(),
        )

    @admin.display(description=_("amount"))
    def in_money(self, row: Any) -> str:
        return in_currency(row.amount, row.currency)


@admin.register(Payment)
class PaymentAdmin(InMoney):
    list_display = ("payment_intent", "email", "in_money", "gone_back", "in_dispute", "source_key")
    fields = readonly_fields = list_display
    list_filter: ClassVar[list[type[admin.SimpleListFilter]]] = [GoneBack]
    also_in_file: ClassVar[dict[str, str]] = {"source_key": "customer", "lost": "currency"}
    moment = ""
    search_help_text = _(
        "A whole email address, or a whole id: customer, invoice, Checkout session or payment."
    )
    actions_detail = ("refund",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Payment]:
        """With the customer's email address, through what the payment paid for."""
        found: QuerySet[Payment] = super().get_queryset(request)
        return found.annotate(customer=self._of_bought("account__user__email"))

    @admin.display(description=_("customer"), empty_value="-")
    def email(self, payment: Any) -> SafeString | None:
        """Leads to the customer's page: a search that finds one does."""
        who = payment.customer
        return link_to_list("credits_account", who, q=who) if who else None

    @admin.display(description=_("refunded"))
    def gone_back(self, payment: Any) -> str:
        return in_currency(payment.refunded, payment.currency) if payment.refunded else ""

    @admin.display(description=_("lost in disputes"))
    def in_dispute(self, payment: Any) -> str:
        return in_currency(payment.lost, payment.currency) if payment.lost else ""

    def find_of(self, account_id: int) -> Q:
        lots = CreditLot.objects.filter(account_id=account_id)
        tokens = RetailToken.objects.filter(account_id=account_id)
        return Q(source_key__in=purchase_keys(lots, tokens))

    def find_named(self, word: str) -> Q:
        return Q(payment_intent=word) | Q(source_key__in=purchases_named(word))

    def has_refund_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("credits.refund_payment"))

    # Refunding --------------------------------------------------------------------------------

    @action(description=_("Refund …"), url_path="refund", permissions=["refund"])
    def refund(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """The form, what it would do, and after a second click the refund."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        payment = self.row_or_404(request, object_id)
        form = RefundForm(request.POST or None, initial=self._initial(payment))
        amount, preview = 0, None
        if form.is_valid():
            amount = form.cleaned_data["amount"]
            seen = request.POST.get("agreed") == str(amount)  # else it was edited: look again
            try:
                if seen and request.POST.get("step") == "confirm":
                    return self._confirmed(request, payment, form.cleaned_data)
                preview = refunding.preview(payment, amount, now=timezone.now())
            except refunding.NotRefundable as error:
                form.add_error(None, str(error))
                form.data = {**request.POST.dict(), "key": uuid4().hex}  # this one is refused
            except (SellingUnavailable, services.IdempotencyConflict) as error:
                form.add_error(None, str(error))
        look = ("preview", gettext("Show what it would do"))
        return self.form_page(
            request,
            form,
            title=gettext("Refund a purchase"),
            intro=intro(payment, now=timezone.now()),
            lines=preview and outlook(preview, in_currency(amount, payment.currency)),
            agreed=preview and amount,
            original=payment,
            buttons=[("confirm", gettext("Refund now")), look] if preview else [look],
        )

    def _initial(self, payment: Payment) -> dict[str, Any]:
        return {"key": uuid4().hex, "amount": refunding.left_of(payment, now=timezone.now())}

    def _confirmed(self, request: HttpRequest, payment: Any, said: dict[str, Any]) -> HttpResponse:
        asked = refunding.refund(
            payment_id=payment.pk,
            amount=said["amount"],
            reason=said["reason"],
            key=said["key"],
            actor=request.user.get_username(),
            now=timezone.now(),
        )
        self.message_user(
            request,
            _("Stripe refunds %(amount)s (%(id)s). The credits follow with its event.")
            % {"amount": in_currency(asked.amount, payment.currency), "id": asked.refund_id},
            messages.SUCCESS,
        )
        return redirect("admin:credits_payment_change", payment.pk)


class OfPayments(InMoney):
    """A list about payments, found by the payment or by the refund."""

    source_key = "payment__source_key"
    list_select_related = ("payment",)
    moment = ""
    search_help_text = _("A whole refund or payment.")

    def find(self, word: str) -> Q:
        paid = Payment.objects.filter(payment_intent=word).values_list("pk", flat=True)
        return Q(refund_id=word) | Q(payment_id__in=list(paid))

    @admin.display(description=_("payment"))
    def paid_with(self, row: Any) -> SafeString:
        return link_to_row(row.payment, row.payment.payment_intent)


@admin.register(Refund)
class RefundAdmin(OfPayments):
    list_display = ("refund_id", "paid_with", "in_money", "made_at", "failed_at")
    fields = readonly_fields = list_display


@admin.register(RefundRequest)
class RefundRequestAdmin(OfPayments):
    """Who asked for which refund, and why."""

    list_display = (
        "created_at",
        "paid_with",
        "in_money",
        "actor",
        "reason",
        "refund_id",
        "refusal",
    )
    fields = readonly_fields = (*list_display, "key")
    search_help_text = _("A whole refund, payment, or who asked.")

    def find(self, word: str) -> Q:
        return super().find(word) | Q(actor=word)
