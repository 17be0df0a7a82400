"""What is sold, and what is given away: the price list and promotional codes."""

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from credits.models.core import Account, CreditLot


class TermsAreFixed(Exception):
    """What a published offer costs and gives does not change: new terms are another offer."""


class OfferQuerySet(models.QuerySet["Offer"]):
    def update(self, **values: Any) -> int:
        """Not of terms, which save() has to see."""
        if values.keys() & {"draft", *Offer.TERMS}:
            raise TermsAreFixed("Terms are changed by save(), one offer after the other.")
        return super().update(**values)


class Offer(models.Model):
    """The price list. What was published is replaced by a successor, never edited."""

    # What a customer pays and gets for it. The rest (the name, the place in the list) may change.
    TERMS = (
        "kind", "credits", "rollover_cap", "amount", "currency", "interval",
        "trial_days", "trial_credits",
    )  # fmt: skip

    class Kind(models.TextChoices):
        PLAN = "plan", _("Plan")
        PACK = "pack", _("Credit pack")
        RETAIL = "retail", _("Single generation")

    class Interval(models.TextChoices):
        NONE = "", _("once")
        MONTH = "month", _("month")
        YEAR = "year", _("year")

    slug = models.SlugField(max_length=50, unique=True)
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=6, choices=Kind.choices)
    credits = models.BigIntegerField(default=0)
    rollover_cap = models.BigIntegerField(default=0)
    amount = models.BigIntegerField(help_text=_("Minor units of the currency."))
    currency = models.CharField(max_length=3)
    interval = models.CharField(max_length=5, choices=Interval.choices, blank=True)
    trial_days = models.PositiveIntegerField(
        default=0, help_text=_("Days that a first plan costs nothing. 0: no trial.")
    )
    trial_credits = models.BigIntegerField(
        default=0, help_text=_("What these days bring, once per account.")
    )
    stripe_price_id = models.CharField(max_length=255, blank=True)
    draft = models.BooleanField(default=False, help_text=_("Not published yet."))
    active = models.BooleanField(default=True, help_text=_("For sale."))
    replaces = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="successors"
    )
    order = models.IntegerField(default=0)

    objects = OfferQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="credits_offer_amounts",
                condition=Q(amount__gte=0) & Q(credits__gte=0) & Q(rollover_cap__gte=0),
            ),
            models.CheckConstraint(
                name="credits_offer_draft_is_not_sold", condition=Q(draft=False) | Q(active=False)
            ),
            models.CheckConstraint(
                name="credits_offer_retail_has_no_credits",
                condition=Q(kind="retail", credits=0) | (~Q(kind="retail") & Q(credits__gt=0)),
            ),
            models.CheckConstraint(
                name="credits_offer_interval_iff_plan",
                condition=(Q(kind="plan") & ~Q(interval="")) | (~Q(kind="plan") & Q(interval="")),
            ),
            models.CheckConstraint(
                name="credits_offer_trial_of_a_plan",
                condition=Q(trial_days=0, trial_credits=0)
                | Q(kind="plan", amount__gt=0, trial_days__gt=0, trial_credits__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, never_bought: bool = False, **kwargs: Any) -> None:
        """Raises TermsAreFixed if it was published with others, and is not `never_bought`."""
        if not (self._state.adding or never_bought):
            published = Offer.objects.filter(pk=self.pk, draft=False).first()
            if published and (self.draft or self.terms != published.terms):
                raise TermsAreFixed(f"{self.slug} was published: make a successor.")
        super().save(*args, **kwargs)

    @property
    def terms(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.TERMS}

    @property
    def state(self) -> str:
        if self.draft:
            return "draft"
        return "published" if self.active else "retired"


class PromotionalCode(models.Model):
    """A word that is good for promotional credits, once per account."""

    code = models.CharField(max_length=40, unique=True, help_text=_("In capitals."))
    credits = models.BigIntegerField()
    days = models.PositiveIntegerField(help_text=_("How long the credits live once redeemed."))
    most_uses = models.PositiveIntegerField(null=True, blank=True, help_text=_("Empty: no limit."))
    uses = models.PositiveIntegerField(default=0)
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField(null=True, blank=True)
    new_customers_only = models.BooleanField(
        default=False, help_text=_("Only for accounts that have never paid for anything.")
    )
    active = models.BooleanField(default=True)
    campaign = models.CharField(max_length=80, help_text=_("What it is for; staff sees it."))
    created_by = models.CharField(max_length=255)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="credits_code_amounts", condition=Q(credits__gt=0) & Q(days__gt=0)
            ),
            models.CheckConstraint(
                name="credits_code_not_overused",
                condition=Q(most_uses__isnull=True) | Q(uses__lte=F("most_uses")),
            ),
        ]
        indexes = [models.Index(name="credits_code_campaign", fields=["campaign"])]

    def __str__(self) -> str:
        return self.code


class Redemption(models.Model):
    """One account has redeemed one code."""

    code = models.ForeignKey(PromotionalCode, on_delete=models.PROTECT, related_name="redemptions")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="redemptions")
    lot = models.OneToOneField(CreditLot, on_delete=models.PROTECT)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="credits_redemption_once_per_account", fields=["code", "account"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code_id} by account {self.account_id}"


class FailedRedemption(models.Model):
    """A code that was not good; a few an hour are allowed, so that codes cannot be guessed."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"account {self.account_id} at {self.created_at}"
