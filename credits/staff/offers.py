"""The price list: drafts are written, looked at and published here; published terms are fixed."""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from itertools import count
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.signing import Signer
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from credits import drafts
from credits.figures import PAYING
from credits.models import Offer, Subscription
from credits.money import grouped, money
from credits.payments import client, publishing
from credits.payments.client import SellingUnavailable
from credits.pricing import PricingError
from credits.staff.base import ReadOnlyAdmin, StaffForm, actor_of, number
from credits.staff.links import link_to_list
from credits.staff.offer_forms import DraftForm, PlaceForm

ALL = ("draft", "published", "retired")
LABELS = {"draft": _("a draft"), "published": _("published"), "retired": _("retired")}
STATES = {  # of an offer, in which it can be done
    "preview": ("draft",),
    "edit": ALL,
    "publish": ("draft",),
    "discard": ("draft",),
    "succeed": ("published", "retired"),
    "retire": ("published",),
    "sell": ("retired",),
}
View = Callable[["OfferAdmin", HttpRequest, Offer], HttpResponse]


def of_an_offer(view: View) -> Callable[["OfferAdmin", HttpRequest, str], HttpResponse]:
    """The view of an action, for offers in its STATES. A second click is led back to the offer."""

    @wraps(view)
    def checked(page: "OfferAdmin", request: HttpRequest, object_id: str) -> HttpResponse:
        offer = page.get_object(request, object_id)
        if offer is not None and offer.state in STATES[view.__name__]:
            return view(page, request, offer)
        return _nothing_done(request, offer)

    return checked


class State(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(state, capfirst(LABELS[state])) for state in ALL]

    def queryset(self, request: HttpRequest, offers: QuerySet[Offer]) -> QuerySet[Offer]:
        return {
            "draft": offers.filter(draft=True),
            "published": offers.filter(draft=False, active=True),
            "retired": offers.filter(draft=False, active=False),
        }.get(self.value() or "", offers)


@admin.register(Offer)
class OfferAdmin(ReadOnlyAdmin):
    list_display = (
        "name", "slug", "is_now", "kind", number("credits"), "price", number("rollover_cap"),
        number("order"),
    )  # fmt: skip
    sortable_by = ()
    fields = (
        "name", "slug", "is_now", "kind", "credits", "rollover_cap", "price", "amount", "currency",
        "interval", "trial_days", "trial_credits", "stripe_price_id", "replaces", "order",
        "subscribers",
    )  # fmt: skip
    readonly_fields = ("is_now", "price", "subscribers")
    list_filter = (State, "kind")
    ordering = ("order", "slug")
    search_fields = ("slug__istartswith", "name__istartswith", "stripe_price_id__exact")
    actions_detail = tuple(STATES)

    @admin.display(description=_("state"))
    def is_now(self, offer: Offer) -> str:
        return capfirst(str(LABELS[offer.state]))

    @admin.display(description=_("price"))
    def price(self, offer: Offer) -> str:
        return _price(offer)

    @admin.display(description=_("subscribers"), empty_value="-")
    def subscribers(self, offer: Offer) -> SafeString | None:
        """Who has the plan, and pays or should."""
        if not offer.stripe_price_id or offer.kind != Offer.Kind.PLAN:
            return None
        having_it = Subscription.objects.filter(price_id=offer.stripe_price_id, status__in=PAYING)
        return link_to_list(
            "credits_subscription",
            grouped(having_it.count()),
            price_id=offer.stripe_price_id,
            status__in=",".join(PAYING),
        )

    def has_add_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return request.user.has_perm("credits.change_offer")

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """What can be done to an offer in this state."""
        offer = self.get_object(request, str(object_id))
        found: list[Any] = super().get_actions_detail(request, object_id)
        return [
            action
            for action in found
            if offer and offer.state in STATES[action.action_name.rpartition("_")[2]]
        ]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._draft_page(request, DraftForm(request.POST or None), gettext("New draft"))

    @action(description=_("Preview"), url_path="preview", permissions=["view"])
    @of_an_offer
    def preview(self, request: HttpRequest, draft: Offer) -> HttpResponse:
        """The page of prices as customers will see it, on which nothing can be clicked."""
        if client.is_configured():
            draft.stripe_price_id = "made when it is published"  # so that it looks for sale
        offers = drafts.price_list_with(draft)
        prices = [(offer, money(offer.amount, offer.currency)) for offer in offers]
        context = {"draft": draft, "prices": prices, "sells": client.is_configured()}
        return render(request, "admin/credits/offer/preview.html", context)

    @action(description=_("Edit"), url_path="edit", permissions=["add"])
    @of_an_offer
    def edit(self, request: HttpRequest, offer: Offer) -> HttpResponse:
        """A draft wholly; of a published offer its name and place."""
        if not offer.draft:
            return self._place_page(request, offer)
        form = DraftForm(request.POST or None, initial=DraftForm.filled(offer))
        if form.is_valid() and request.POST.get("agreed") != _signature(offer):
            form.add_error(None, gettext("Somebody changed it meanwhile: %s.") % _price(offer))
        title = f"{offer.name}: {_price(offer)}"
        return self._draft_page(request, form, title, agreed=_signature(offer), offer_id=offer.pk)

    @action(description=_("Make a successor"), url_path="succeed", permissions=["add"])
    @of_an_offer
    def succeed(self, request: HttpRequest, offer: Offer) -> HttpResponse:
        initial = DraftForm.filled(offer) | {"slug": _next_slug(offer)}
        form = DraftForm(request.POST or None, initial=initial)
        title = gettext("Successor of %s") % offer.name
        return self._draft_page(request, form, title, replaces_id=offer.pk)

    @action(description=_("Publish"), url_path="publish", permissions=["add"])
    @of_an_offer
    def publish(self, request: HttpRequest, offer: Offer) -> HttpResponse:
        lines = [
            gettext("It costs %s.") % _price(offer),
            *_brings(offer),
            gettext("Its terms cannot be changed any more after this."),
            *_retires(offer),
        ]

        def do(**who: Any) -> None:
            publishing.publish_offer(offer_id=offer.pk, seen=drafts.listed(offer), **who)

        done = gettext("%s is on sale: customers see it on the page of prices.") % offer
        return self._confirm(
            request, offer, do, gettext("Publish"), done, lines, agreed=_signature(offer)
        )

    @action(description=_("Discard"), url_path="discard", permissions=["add"])
    @of_an_offer
    def discard(self, request: HttpRequest, offer: Offer) -> HttpResponse:
        def do(**who: Any) -> None:
            drafts.discard(offer_id=offer.pk, **who)

        lines = [gettext("The draft is gone after this. Nobody but staff has seen it.")]
        done = gettext("%s is discarded.") % offer
        return self._confirm(request, offer, do, gettext("Discard"), done, lines)

    @action(description=_("Retire"), url_path="retire", permissions=["add"])
    @of_an_offer
    def retire(self, request: HttpRequest, offer: Offer) -> HttpResponse:
        lines = [gettext("Customers cannot buy it any more. Who has it keeps it, as it is.")]
        button, done = gettext("Retire"), gettext("%s is not sold any more.") % offer
        return self._set_for_sale(request, offer, False, button, done, lines)

    @action(description=_("Put back on sale"), url_path="sell", permissions=["add"])
    @of_an_offer
    def sell(self, request: HttpRequest, offer: Offer) -> HttpResponse:
        button, done = gettext("Put back on sale"), gettext("%s is on sale again.") % offer
        lines = [gettext("Customers see it on the page of prices, and can buy it.")]
        return self._set_for_sale(request, offer, True, button, done, lines)

    def _set_for_sale(
        self,
        request: HttpRequest,
        offer: Offer,
        for_sale: bool,
        button: str,
        done: str,
        lines: list[str],
    ) -> HttpResponse:
        def do(**who: Any) -> None:
            drafts.set_for_sale(offer_id=offer.pk, for_sale=for_sale, **who)

        return self._confirm(request, offer, do, button, done, lines)

    def _draft_page(
        self, request: HttpRequest, form: DraftForm, title: str, agreed: str = "", **ids: int
    ) -> HttpResponse:
        if form.is_valid():
            try:
                draft = drafts.save_draft(
                    form.entry, actor=actor_of(request), now=timezone.now(), **ids
                )
            except PricingError as error:
                form.refuse(error)
            else:
                messages.success(request, gettext("Saved as a draft: nobody sees it yet."))
                return redirect("admin:credits_offer_change", draft.pk)
        return self._page(request, form, title, gettext("Save draft"), agreed=agreed)

    def _place_page(self, request: HttpRequest, offer: Offer) -> HttpResponse:
        form = PlaceForm(request.POST or None, initial={"name": offer.name, "order": offer.order})
        if form.is_valid():
            try:
                drafts.rename(
                    offer_id=offer.pk,
                    actor=actor_of(request),
                    now=timezone.now(),
                    **form.cleaned_data,
                )
            except PricingError as error:
                form.refuse(error)
            else:
                messages.success(request, gettext("Saved: customers see it at once."))
                return redirect("admin:credits_offer_change", offer.pk)
        intro = gettext(
            "Its terms are fixed, because it was published: make a successor for others."
        )
        return self._page(request, form, offer.name, gettext("Save"), intro=intro)

    def _confirm(
        self,
        request: HttpRequest,
        offer: Offer,
        do: Callable[..., None],
        button: str,
        done: str,
        lines: list[str],
        agreed: str = "",
    ) -> HttpResponse:
        """A page with one button. `agreed` says what of the offer the person has seen."""
        form = StaffForm(request.POST if request.method == "POST" else None)
        if form.is_bound and request.POST.get("agreed", "") != agreed:
            form.add_error(
                None, gettext("Somebody changed the draft meanwhile: please look again.")
            )
        if form.is_valid():
            try:
                do(actor=actor_of(request), now=timezone.now())
            except PricingError as error:
                now = Offer.objects.filter(pk=offer.pk).first()
                if now is None or now.state != offer.state:
                    return _nothing_done(request, now)
                form.add_error(None, list(error.problems))
            except SellingUnavailable as error:
                form.add_error(
                    None,
                    gettext("Stripe made no price, so it stays a draft: please try again. (%s)")
                    % error.reason,
                )
            else:
                messages.success(request, done)
                return _back_to(offer.pk)
        title = gettext("%(do)s: %(offer)s") % {"do": button, "offer": offer.name}
        return self._page(request, form, title, button, lines=lines, agreed=agreed)

    def _page(
        self, request: HttpRequest, form: StaffForm, title: str, button: str, **context: Any
    ) -> HttpResponse:
        return self.form_page(request, form, title=title, buttons=[("confirm", button)], **context)


def _nothing_done(request: HttpRequest, offer: Offer | None) -> HttpResponse:
    """For who comes too late: by a second click, or from a tab that was open for long."""
    if offer is None:
        messages.warning(request, gettext("There is no such offer: perhaps it was discarded."))
        return redirect("admin:credits_offer_changelist")
    words = gettext("%(offer)s is %(state)s: nothing more was done.")
    messages.warning(request, words % {"offer": offer, "state": LABELS[offer.state]})
    return _back_to(offer.pk)


def _back_to(offer_id: int) -> HttpResponse:
    """The page of the offer, or the list once it is discarded."""
    if Offer.objects.filter(pk=offer_id).exists():
        return redirect("admin:credits_offer_change", offer_id)
    return redirect("admin:credits_offer_changelist")


def _signature(offer: Offer) -> str:
    """Says that just these terms were looked at."""
    return Signer(salt="offer").signature(json.dumps(asdict(drafts.listed(offer))))


def _next_slug(offer: Offer) -> str:
    """starter-2 after starter, then starter-3: the first that is free."""
    first = offer
    while first.replaces is not None:
        first = first.replaces
    slugs = (f"{first.slug[:45]}-{number}" for number in count(2))
    return next(slug for slug in slugs if not Offer.objects.filter(slug=slug).exists())


def _price(offer: Offer) -> str:
    """As people write it: $9.00 per month."""
    price = money(offer.amount, offer.currency)
    if not offer.interval:
        return price
    return gettext("%(price)s per %(interval)s") % {
        "price": price,
        "interval": offer.get_interval_display(),
    }


def _brings(offer: Offer) -> list[str]:
    """What who buys it gets, a sentence each."""
    lines = []
    if offer.credits:
        lines.append(gettext("It brings %s credits.") % grouped(offer.credits))
    if offer.rollover_cap:
        cap = grouped(offer.rollover_cap)
        lines.append(gettext("Up to %s unused ones are carried over.") % cap)
    if offer.trial_days:
        sentence = gettext(
            "Before that, who never had a plan gets %(credits)s credits for %(days)s days."
        )
        lines.append(sentence % {"credits": offer.trial_credits, "days": offer.trial_days})
    return lines


def _retires(draft: Offer) -> list[str]:
    """What becomes of the offer that it replaces."""
    old = draft.replaces
    if old is None:
        return []
    if old.active:
        return [gettext("%s is retired; who has it keeps it.") % old]
    return [gettext("%s, which it replaces, is retired already: who has it keeps it.") % old]
