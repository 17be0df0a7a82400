"""One form for each kind of adjustment: what exactly, and why."""

from typing import Any
from uuid import uuid4

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from credits.explanations import lot_words
from credits.models import Account, Adjustment, CreditLot, Hold, Pool, RetailToken
from credits.money import credits_words, money
from credits.services.errors import MOST_CREDITS
from credits.staff.base import LastDayField, StaffForm, end_of

CHOICES_SHOWN = 100
REASON_CODES = {
    "goodwill": _("Goodwill"),
    "our_fault": _("A fault of ours"),
    "wrong_purchase": _("Bought by mistake"),
    "abuse": _("Abuse"),
    "migration": _("Moved from another system"),
    "correction": _("Correction of an earlier adjustment"),
    "other": _("Other"),
}


class StartForm(StaffForm):
    """Whose account, and what kind of adjustment."""

    email = forms.EmailField(label=_("Customer"), help_text=_("The whole email address."))
    kind = forms.ChoiceField(choices=Adjustment.Kind.choices)

    def clean_email(self) -> Account:
        email = self.cleaned_data["email"]
        account = Account.objects.filter(user__email__iexact=email).first()
        if account is None:
            raise forms.ValidationError(_("Nobody with this address has an account."))
        return account


class AdjustmentForm(StaffForm):
    """What every kind asks for. `terms` are what the services take."""

    field_order = ("pool", "to_pool", "amount", "lot", "hold", "token", "last_day", "reason_code")
    reason_code = forms.ChoiceField(label=_("Why"), choices=list(REASON_CODES.items()))
    reason = forms.CharField(
        label=_("In words"), max_length=200, help_text=_("The customer may see it.")
    )
    form_id = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, account: Account, **kwargs: Any) -> None:
        kwargs.setdefault("initial", {"form_id": uuid4()})
        super().__init__(*args, **kwargs)
        self.account = account
        self.fill_choices()

    def fill_choices(self) -> None:
        """Kinds that choose among what the account has."""

    @property
    def terms(self) -> dict[str, Any]:
        """The fields of this kind as plain values; a last day counts to its end (UTC)."""
        given = self.cleaned_data
        terms: dict[str, Any] = {
            name: given[name] for name in ("pool", "to_pool", "amount") if name in given
        }
        terms |= {name: int(given[name]) for name in ("lot", "hold", "token") if name in given}
        if given.get("last_day"):
            terms["expires_at"] = end_of(given["last_day"]).isoformat()
        return terms

    def _choose(self, name: str, found: list[tuple[int, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = found
        if not found:
            field.help_text = _("The account has none.")


def _pool(label: Any) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=Pool.choices)


def _amount() -> forms.IntegerField:
    return forms.IntegerField(label=_("Credits"), min_value=1, max_value=MOST_CREDITS)


def _last_day(*, required: bool) -> LastDayField:
    return LastDayField(
        label=_("Last day"),
        required=required,
        help_text=_("On which they can be spent (UTC). Bulk credits have none."),
    )


class GrantForm(AdjustmentForm):
    pool = _pool(_("Pool"))
    amount = _amount()
    last_day = _last_day(required=False)


class RemoveForm(AdjustmentForm):
    pool = _pool(_("Pool"))
    amount = _amount()


class MoveForm(AdjustmentForm):
    pool = _pool(_("From pool"))
    to_pool = _pool(_("To pool"))
    amount = _amount()
    last_day = _last_day(required=False)


class ExtendForm(AdjustmentForm):
    lot = forms.ChoiceField(label=_("Which credits"))
    last_day = _last_day(required=True)

    def fill_choices(self) -> None:
        lots = CreditLot.objects.filter(
            account=self.account, remaining__gt=0, expires_at__isnull=False
        ).order_by("expires_at")[:CHOICES_SHOWN]
        self._choose("lot", [(lot.pk, _described(lot)) for lot in lots])


class GiveBackForm(AdjustmentForm):
    hold = forms.ChoiceField(label=_("Which generation"))

    def fill_choices(self) -> None:
        paid = Hold.objects.filter(account=self.account, captured__gt=0)
        work = paid.exclude(reference__startswith="adjustment:").order_by("-id")[:CHOICES_SHOWN]
        self._choose("hold", [(hold.pk, _work(hold)) for hold in work])


class RevokeTokenForm(AdjustmentForm):
    token = forms.ChoiceField(label=_("Which single generation"))

    def fill_choices(self) -> None:
        free = RetailToken.objects.filter(
            account=self.account, state=RetailToken.State.AVAILABLE
        ).order_by("pk")[:CHOICES_SHOWN]
        self._choose("token", [(token.pk, _single(token)) for token in free])


def _described(lot: CreditLot) -> str:
    words = gettext("%(left)d left of: %(lot)s. End: %(end)s UTC")
    end = f"{lot.expires_at:%Y-%m-%d %H:%M}" if lot.expires_at else "-"
    return words % {"left": lot.remaining, "lot": lot_words(lot), "end": end}


def _work(hold: Hold) -> str:
    """A generation by its id, which the customer knows, with its price."""
    what = hold.reference.replace(":", " ", 1)
    return f"{hold.created_at:%Y-%m-%d %H:%M} UTC, {credits_words(hold.amount)}: {what}"


def _single(token: RetailToken) -> str:
    source, _colon, identity = token.source_key.partition(":")
    what = gettext("given by staff") if source == "adjustment" else identity
    price = money(token.amount_paid, token.currency) if token.amount_paid else ""
    return ", ".join(part for part in (f"{token.created_at:%Y-%m-%d}", price, what) if part)


Kind = Adjustment.Kind
FORMS: dict[str, type[AdjustmentForm]] = {
    Kind.GRANT: GrantForm,
    Kind.REMOVE: RemoveForm,
    Kind.MOVE: MoveForm,
    Kind.EXTEND: ExtendForm,
    Kind.GIVE_BACK: GiveBackForm,
    Kind.ISSUE_TOKEN: AdjustmentForm,
    Kind.REVOKE_TOKEN: RevokeTokenForm,
}
