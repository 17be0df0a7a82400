"""The forms of the price list: a draft's terms, and what may change of a published offer."""

from dataclasses import asdict
from typing import Any

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from credits import drafts
from credits.models import Offer
from credits.pricing import Listed, PricingError
from credits.staff.base import MinorUnits, StaffForm


class OfferForm(StaffForm):
    def refuse(self, error: PricingError) -> None:
        """Each sentence beside the field that it begins with, in the words of the form."""
        for sentence in error.problems:
            first = sentence.partition(" ")[0]
            field = next((name for name in (first, f"{first}_") if name in self.fields), None)
            words = sentence
            for name in self.fields:
                words = words.replace(name, name.replace("_", " ").replace("amount", "price"))
            self.add_error(field, capfirst(words))


class DraftForm(OfferForm):
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
    amount = MinorUnits(
        min_value=0, label=_("Price"), help_text=_("In minor units: 900 usd are $9.00.")
    )
    currency = forms.CharField(min_length=3, max_length=3, initial="usd")
    interval = forms.ChoiceField(
        choices=Offer.Interval.choices,
        required=False,
        help_text=_("Plans renew, all else is once."),
    )
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


class PlaceForm(OfferForm):
    name = forms.CharField(max_length=80)
    order = forms.IntegerField(min_value=0, max_value=10_000, help_text=_("1 comes first."))
