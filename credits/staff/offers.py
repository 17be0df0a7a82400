"""The price list: drafts are written, looked at and published here; published terms are fixed."""

from dataclasses import asdict
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from credits import drafts
from credits.models import Offer
from credits.money import money
from credits.payments import client, publishing
from credits.payments.client import SellingUnavailable
from credits.pricing import Listed, PricingError
from credits.staff.base import ReadOnlyAdmin, StaffForm, actor_of, number


class DraftForm(StaffForm):
    name = forms.CharField(max_length=80)
    slug = forms.CharField(
        max_length=50, help_text=_("Names it for ever, also at Stripe: a-z, 0-9, - and _.")
    )
    kind = forms.ChoiceField(choices=Offer.Kind.choices)
    credits_ = forms.IntegerField(
        label=_("Credits"), min_value=0, initial=0, help_text=_("None for a single generation.")
    )
    rollover_cap = forms.IntegerField(
        min_value=0, initial=0, help_text=_("Unused credits that a plan's renewal carries over.")
    )
    amount = forms.IntegerField(
        min_value=0, label=_("Price"), help_text=_("In minor units: 900 usd are $9.00.")
    )
    currency = forms.CharField(min_length=3, max_length=3, initial="usd")
    interval = forms.ChoiceField(choices=Offer.Interval.choices, required=False)
    trial_days = forms.IntegerField(
        min_value=0, initial=0, help_text=_("Days for nothing, for who never had a plan; 0: none.")
    )
    trial_credits = forms.IntegerField(
        min_value=0, initial=0, help_text=_("What these days bring, once per account.")
    )

    @property
    def entry(self) -> Listed:
        given = dict(self.cleaned_data)
        given["credits"], given["currency"] = given.pop("credits_"), given["currency"].lower()
        return Listed(**given)

    @staticmethod
    def filled(offer: Offer) -> dict[str, Any]:
        """What the form shows for an offer."""
        shown = asdict(drafts.listed(offer))
        return {**shown, "credits_": shown.pop("credits")}


class PlaceForm(StaffForm):
    name = forms.CharField(max_length=80)
    order = forms.IntegerField(min_value=0, max_value=10_000, help_text=_("1 comes first."))


@admin.register(Offer)
class OfferAdmin(ReadOnlyAdmin):
    list_display = (
        "name", "slug", "state", "kind", number("credits"), "price", number("rollover_cap"),
        number("order"),
    )  # fmt: skip
    fields = (
        "name", "slug", "state", "kind", "credits", "rollover_cap", "price", "amount", "currency",
        "interval", "trial_days", "trial_credits", "stripe_price_id", "replaces", "order",
    )  # fmt: skip
    readonly_fields = ("state", "price")
    list_filter = ("draft", "active", "kind")
    ordering = ("order", "slug")
    search_fields = ("slug__istartswith", "name__istartswith", "stripe_price_id__exact")
    actions_detail = ("preview", "edit", "publish", "discard", "succeed", "retire", "sell")

    @admin.display(description=_("price"), ordering="amount")
    def price(self, offer: Offer) -> str:
        return _price(offer)

    def has_add_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return request.user.has_perm("credits.change_offer")

    def has_preview_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        """For who may look, of drafts."""
        offer = self.get_object(request, object_id) if object_id else None
        is_draft = offer is not None and offer.draft
        return self.has_view_permission(request) and (is_draft or not object_id)

    def has_draft_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return self._may(request, object_id, draft=True)

    def has_published_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return self._may(request, object_id, draft=False)

    def has_sold_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return self._may(request, object_id, draft=False, active=True)

    def has_retired_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return self._may(request, object_id, draft=False, active=False)

    def _may(self, request: HttpRequest, object_id: str, **state: bool) -> bool:
        """Whether this person may change offers, and this one is in such a state."""
        if not object_id:
            return self.has_add_permission(request)
        offer = self.get_object(request, object_id)
        fits = offer is not None and all(
            getattr(offer, name) == is_so for name, is_so in state.items()
        )
        return fits and self.has_add_permission(request)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._draft_page(request, DraftForm(request.POST or None), gettext("New draft"))

    @action(description=_("Preview"), url_path="preview", permissions=["preview"])
    def preview(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The page of prices as customers will see it, on which nothing can be clicked."""
        draft = self.row_or_404(request, object_id)
        offers = drafts.price_list_with(draft)
        prices = [(offer, money(offer.amount, offer.currency)) for offer in offers]
        context = {"draft": draft, "prices": prices, "sells": client.is_configured()}
        return render(request, "admin/credits/offer/preview.html", context)

    @action(description=_("Edit"), url_path="edit", permissions=["add"])
    def edit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A draft wholly; of a published offer its name and place."""
        offer = self.row_or_404(request, object_id)
        if not offer.draft:
            return self._place_page(request, offer)
        form = DraftForm(request.POST or None, initial=DraftForm.filled(offer))
        return self._draft_page(request, form, f"{offer.name}: {_price(offer)}", offer_id=offer.pk)

    @action(description=_("Make a successor"), url_path="succeed", permissions=["published"])
    def succeed(self, request: HttpRequest, object_id: str) -> HttpResponse:
        offer = self.row_or_404(request, object_id)
        initial = DraftForm.filled(offer) | {"slug": f"{offer.slug[:45]}-2"}
        form = DraftForm(request.POST or None, initial=initial)
        title = gettext("Successor of %s") % offer.name
        return self._draft_page(request, form, title, replaces_id=offer.pk)

    @action(description=_("Publish"), url_path="publish", permissions=["draft"])
    def publish(self, request: HttpRequest, object_id: str) -> HttpResponse:
        offer = self.row_or_404(request, object_id)
        lines = [
            gettext("It costs %s.") % _price(offer),
            *_trial(offer),
            gettext("Its terms cannot be changed any more after this."),
        ]
        if offer.replaces:
            lines.append(gettext("%s is retired; who has it keeps it.") % offer.replaces)
        return self._confirm(
            request, offer, publishing.publish_offer, gettext("Publish"), gettext("On sale."), lines
        )

    @action(description=_("Discard"), url_path="discard", permissions=["draft"])
    def discard(self, request: HttpRequest, object_id: str) -> HttpResponse:
        offer = self.row_or_404(request, object_id)
        return self._confirm(
            request, offer, drafts.discard, gettext("Discard"), gettext("Discarded."), []
        )

    @action(description=_("Retire"), url_path="retire", permissions=["sold"])
    def retire(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._set_for_sale(request, object_id, False)

    @action(description=_("Put back on sale"), url_path="sell", permissions=["retired"])
    def sell(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._set_for_sale(request, object_id, True)

    def _set_for_sale(self, request: HttpRequest, object_id: str, for_sale: bool) -> HttpResponse:
        def change(**more: Any) -> None:
            drafts.set_for_sale(for_sale=for_sale, **more)

        button = gettext("Put back on sale") if for_sale else gettext("Retire")
        lines = [gettext("Who has it keeps it, as it is.")]
        offer = self.row_or_404(request, object_id)
        return self._confirm(request, offer, change, button, gettext("Done."), lines)

    def _draft_page(
        self, request: HttpRequest, form: DraftForm, title: str, **ids: int
    ) -> HttpResponse:
        if form.is_valid():
            try:
                draft = drafts.save_draft(
                    form.entry, actor=actor_of(request), now=timezone.now(), **ids
                )
            except PricingError as error:
                form.add_error(None, list(error.problems))
            else:
                messages.success(request, gettext("Saved as a draft: nobody sees it yet."))
                return redirect("admin:credits_offer_change", draft.pk)
        return self._page(request, form, title, gettext("Save draft"))

    def _place_page(self, request: HttpRequest, offer: Offer) -> HttpResponse:
        form = PlaceForm(request.POST or None, initial={"name": offer.name, "order": offer.order})
        if form.is_valid():
            drafts.rename(
                offer_id=offer.pk, actor=actor_of(request), now=timezone.now(), **form.cleaned_data
            )
            return redirect("admin:credits_offer_change", offer.pk)
        return self._page(request, form, offer.name, gettext("Save"))

    def _confirm(
        self,
        request: HttpRequest,
        offer: Offer,
        change: Any,
        button: str,
        done: str,
        lines: list[str],
    ) -> HttpResponse:
        form = StaffForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            try:
                change(offer_id=offer.pk, actor=actor_of(request), now=timezone.now())
            except PricingError as error:
                form.add_error(None, list(error.problems))
            except SellingUnavailable as error:
                form.add_error(None, f"{error} {error.reason}")
            else:
                messages.success(request, done)
                return redirect("admin:credits_offer_changelist")
        title = gettext("%(do)s: %(offer)s") % {"do": button, "offer": offer.name}
        return self._page(request, form, title, button, lines)

    def _page(
        self,
        request: HttpRequest,
        form: forms.Form,
        title: str,
        button: str,
        lines: list[str] | None = None,
    ) -> HttpResponse:
        return self.form_page(
            request,
            form,
            title=title,
            buttons=[("confirm", button)],
            lines=lines or [],
        )


def _price(offer: Offer) -> str:
    """As people write it: $9.00 per month."""
    price = money(offer.amount, offer.currency)
    if not offer.interval:
        return price
    return gettext("%(price)s per %(interval)s") % {
        "price": price,
        "interval": offer.get_interval_display(),
    }


def _trial(offer: Offer) -> list[str]:
    """The sentence about its trial, if it has one."""
    if not offer.trial_days:
        return []
    sentence = gettext(
        "Before that, who never had a plan gets %(credits)s credits for %(days)s days."
    )
    return [sentence % {"credits": offer.trial_credits, "days": offer.trial_days}]
