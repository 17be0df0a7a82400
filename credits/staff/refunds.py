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
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from credits import services
from credits.models import CheckoutStart, CreditLot, Payment, Refund, RefundRequest, RetailToken
from credits.payments import refunding
from credits.payments.client import SellingUnavailable
from credits.services.errors import MOST_PAID
from credits.staff.lists import BookList, Days
from credits.staff.purchases import described
from credits.staff.search import account_named, purchases_named


class RefundForm(forms.Form):
    """`key` makes a form that is sent twice one refund."""

    key = forms.RegexField(r"^[0-9a-f]{32}$", widget=forms.HiddenInput)
    amount = forms.IntegerField(
        label=_("Amount, in the currency's smallest unit (cents)"),
        min_value=1,
        max_value=MOST_PAID,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=255,
        help_text=_("Kept with your name, here and at Stripe."),
        widget=UnfoldAdminTextInputWidget,
    )


class GoneBack(admin.SimpleListFilter):
    title = _("money gone back")
    parameter_name = "back"
    CHOICES = {
        "nothing": Q(refunded=0, lost=0),
        "part": Q(refunded__gt=0, refunded__lt=F("amount")),
        "all": Q(refunded__gte=F("amount"), amount__gt=0),
        "dispute": Q(lost__gt=0),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("nothing", _("Nothing")),
            ("part", _("A part")),
            ("all", _("All of it")),
            ("dispute", _("Lost in a dispute")),
        ]

    def queryset(
        self, request: HttpRequest, payments: QuerySet[Payment]
    ) -> QuerySet[Payment] | None:
        chosen = self.CHOICES.get(self.value() or "")
        return payments if chosen is None else payments.filter(chosen)


@admin.register(Payment)
class PaymentAdmin(BookList):
    list_display = ("payment_intent", "email", "amount", "refunded", "lost", "source_key")
    list_filter: ClassVar[list[type[admin.SimpleListFilter]]] = [GoneBack]
    moment = ""
    search_help_text = _(
        "A whole email address, or a whole id: customer, invoice, Checkout session or payment."
    )
    actions_detail = ("refund",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Payment]:
        """With the customer's email address, through what the payment paid for."""
        email = "account__user__email"
        lots = CreditLot.objects.filter(source_key=OuterRef("source_key"))
        first = Concat(OuterRef("source_key"), Value(":1"))
        tokens = RetailToken.objects.filter(source_key=first)
        found: QuerySet[Payment] = super().get_queryset(request)
        return found.annotate(
            customer=Coalesce(
                Subquery(lots.values(email)[:1]),
                Subquery(tokens.values(email)[:1]),
                output_field=CharField(),
            )
        )

    @admin.display(description=_("customer"))
    def email(self, payment: Any) -> str:
        return payment.customer or ""

    def find(self, word: str) -> Q:
        if (account_id := account_named(word)) is not None:
            return Q(source_key__in=_bought_by(account_id))
        return Q(payment_intent=word) | Q(source_key__in=purchases_named(word))

    def has_refund_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("credits.refund_payment"))

    @action(description=_("Refund …"), url_path="refund", permissions=["refund"])
    def refund(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """The form, what it would do, and after a second click the refund."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        payment: Payment = self.row_or_404(request, object_id)
        form = RefundForm(request.POST or None, initial=self._initial(payment))
        preview = problem = None
        if request.method == "POST" and form.is_valid():
            try:
                amount = form.cleaned_data["amount"]
                if request.POST.get("confirm") == str(amount):  # else it was edited: look again
                    return self._confirmed(request, payment, form.cleaned_data)
                preview = refunding.preview(payment, amount, now=timezone.now())
            except refunding.NotRefundable as error:
                problem = str(error)
                form.data = {**request.POST.dict(), "key": uuid4().hex}  # this one is refused
            except (SellingUnavailable, services.IdempotencyConflict) as error:
                problem = str(error)
        return self._page(request, payment, form, preview=preview, problem=problem)

    def _initial(self, payment: Payment) -> dict[str, Any]:
        return {"key": uuid4().hex, "amount": refunding.left_of(payment, now=timezone.now())}

    def _confirmed(
        self, request: HttpRequest, payment: Payment, said: dict[str, Any]
    ) -> HttpResponse:
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
            _("Stripe refunds %(amount)d (%(id)s). The credits follow with its event.")
            % {"amount": asked.amount, "id": asked.refund_id},
            messages.SUCCESS,
        )
        return redirect("admin:credits_payment_change", payment.pk)

    def _page(
        self, request: HttpRequest, payment: Payment, form: RefundForm, **more: Any
    ) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _("Refund"),
            "opts": self.opts,
            "original": payment,
            "purchase": next(iter(described([payment])), None),
            "left": refunding.left_of(payment, now=timezone.now()),
            "form": form,
            **more,
        }
        return TemplateResponse(request, "admin/credits/payment/refund.html", context)


def _bought_by(account_id: int) -> list[str]:
    """The source keys of what the account has bought."""
    lots = CreditLot.objects.filter(account_id=account_id).values_list("source_key", flat=True)
    tokens = RetailToken.objects.filter(account_id=account_id).values_list("source_key", flat=True)
    return [*lots, *{key.rpartition(":")[0] for key in tokens}]


@admin.register(Refund)
class RefundAdmin(BookList):
    list_display = ("refund_id", "payment", "amount", "made_at", "failed_at")
    list_select_related = ("payment",)
    moment = ""
    search_help_text = _("A whole refund or payment.")

    def find(self, word: str) -> Q:
        return Q(refund_id=word) | Q(payment_id__in=_payments_named(word))


@admin.register(RefundRequest)
class RefundRequestAdmin(BookList):
    """Who asked for which refund, and why."""

    list_display = ("created_at", "payment", "amount", "actor", "reason", "refund_id", "refusal")
    list_select_related = ("payment",)
    moment = ""
    search_help_text = _("A whole refund, payment, or who asked.")

    def find(self, word: str) -> Q:
        asked = Q(refund_id=word) | Q(actor=word)
        return asked | Q(payment_id__in=_payments_named(word))


def _payments_named(word: str) -> list[int]:
    return list(Payment.objects.filter(payment_intent=word).values_list("pk", flat=True))


@admin.register(CheckoutStart)
class CheckoutStartAdmin(BookList):
    """Clicks on "buy", and the sessions that they led to."""

    list_display = ("created_at", "customer", "offer", "quantity", "session_id")
    list_filter = (Days,)
    search_help_text = _("A whole email address, account, customer or session.")

    def find(self, word: str) -> Q:
        account_id = account_named(word)
        return Q(session_id=word) if account_id is None else Q(account_id=account_id)
