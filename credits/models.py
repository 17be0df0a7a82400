"""The tables of the money core: fields, constraints, no mutators.

Rows are written by credits.services alone. README.md beside this file says what each noun means.

Note [Ids made of account and sequence]
    Lots, holds and ledger entries are only ever made while their account is locked, and each is
    born with a ledger line. Its id is therefore `account_id << 32 | sequence` of that line: unique
    without a database sequence, known before the INSERT on every database (no RETURNING, no extra
    round trip), and in the order in which the account's history happened.
"""

from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import connection, models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

SEQUENCE_BITS = 32


def row_id(account_id: int, sequence: int) -> int:
    """See Note [Ids made of account and sequence]."""
    return account_id << SEQUENCE_BITS | sequence


def account_id_of(row_id: int) -> int:
    """The account that a lot, hold or ledger entry belongs to, from its id."""
    return row_id >> SEQUENCE_BITS


class Pool(models.TextChoices):
    """In burn order: the first declared is spent first."""

    SUBSCRIPTION = "subscription", _("Subscription")
    PROMOTIONAL = "promotional", _("Promotional")
    BULK = "bulk", _("Bulk")


class AccountQuerySet(models.QuerySet["Account"]):
    def locked(self) -> "AccountQuerySet":
        """SELECT ... FOR UPDATE: FOR NO KEY UPDATE where it exists.

        A plain FOR UPDATE would block every insert that refers to the account. On SQLite there is
        no such clause; BEGIN IMMEDIATE (settings) is the lock.
        """
        return self.select_for_update(no_key=connection.features.has_select_for_no_key_update)


class Account(models.Model):
    """One customer's credits. This row is the lock: every write takes it first."""

    class Status(models.TextChoices):
        ACTIVE = "active", _("Active")
        FROZEN = "frozen", _("Frozen")

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="credit_account"
    )
    subscription_credits = models.BigIntegerField(default=0)
    promotional_credits = models.BigIntegerField(default=0)
    bulk_credits = models.BigIntegerField(default=0)
    owed = models.BigIntegerField(
        default=0, help_text=_("Credits clawed back after they had been spent.")
    )
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.ACTIVE)
    stripe_customer_id = models.CharField(max_length=255, null=True, blank=True, unique=True)
    sequence = models.BigIntegerField(default=0)
    chain_head = models.CharField(max_length=64, default="")
    created_at = models.DateTimeField()

    objects = AccountQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="credits_account_never_negative",
                condition=Q(subscription_credits__gte=0)
                & Q(promotional_credits__gte=0)
                & Q(bulk_credits__gte=0)
                & Q(owed__gte=0),
            ),
            models.CheckConstraint(
                name="credits_account_status", condition=Q(status__in=["active", "frozen"])
            ),
        ]

    def __str__(self) -> str:
        return f"account {self.pk}"


class CreditLot(models.Model):
    """Credits that came in together, from one purchase, renewal or gift."""

    id = models.BigIntegerField(primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="lots")
    pool = models.CharField(max_length=12, choices=Pool.choices)
    granted = models.BigIntegerField()
    remaining = models.BigIntegerField()
    frozen = models.BigIntegerField(default=0, help_text=_("Set aside while a dispute is open."))
    frozen_at = models.DateTimeField(null=True, blank=True)
    clawed_back = models.BigIntegerField(
        default=0, help_text=_("Demanded back so far, spent or not.")
    )
    clawed_back_owed = models.BigIntegerField(
        default=0, help_text=_("The part of it that had been spent and is owed.")
    )
    amount_paid = models.BigIntegerField(default=0, help_text=_("Minor units of the currency."))
    currency = models.CharField(max_length=3, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    terms = models.JSONField(default=dict, help_text=_("The offer as it was when bought."))
    source_key = models.CharField(max_length=255)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="credits_lot_source_once", fields=["source_key"]),
            models.CheckConstraint(
                name="credits_lot_within_granted",
                condition=Q(granted__gt=0)
                & Q(remaining__gte=0)
                & Q(frozen__gte=0)
                & Q(remaining__lte=F("granted") - F("frozen"))
                & Q(clawed_back__lte=F("granted"))
                & Q(clawed_back_owed__gte=0)
                & Q(clawed_back_owed__lte=F("clawed_back")),
            ),
            models.CheckConstraint(
                name="credits_lot_frozen_only_in_dispute",
                condition=Q(frozen=0) | Q(frozen_at__isnull=False),
            ),
            models.CheckConstraint(
                name="credits_lot_amount_has_currency",
                condition=Q(amount_paid=0) | (Q(amount_paid__gt=0) & ~Q(currency="")),
            ),
            models.CheckConstraint(name="credits_lot_pool", condition=Q(pool__in=Pool.values)),
        ]
        indexes = [
            models.Index(name="credits_lot_expiry", fields=["expires_at"]),
            models.Index(name="credits_lot_recent", fields=["created_at"]),
        ]

    def __str__(self) -> str:
        return self.source_key


class Hold(models.Model):
    """Credits taken for one piece of work, until it is known whether the work succeeded."""

    class State(models.TextChoices):
        OPEN = "open", _("Open")  # -> captured | released
        CAPTURED = "captured", _("Captured")  # the work is paid
        RELEASED = "released", _("Released")  # the credits went back

    id = models.BigIntegerField(primary_key=True)
    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="holds", db_index=False
    )
    amount = models.BigIntegerField()
    captured = models.BigIntegerField(default=0)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    deadline = models.DateTimeField(null=True, blank=True)
    reference = models.CharField(max_length=255)
    idempotency_key = models.CharField(max_length=255)
    arguments_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="credits_hold_key_once", fields=["account", "idempotency_key"]
            ),
            models.CheckConstraint(
                name="credits_hold_captured_within_amount",
                condition=Q(amount__gt=0) & Q(captured__gte=0) & Q(captured__lte=F("amount")),
            ),
            models.CheckConstraint(
                name="credits_hold_captured_only_when_settled",
                condition=Q(state="captured") | Q(captured=0),
            ),
            models.CheckConstraint(
                name="credits_hold_settled_at_iff_settled",
                condition=Q(state="open", settled_at__isnull=True)
                | Q(state__in=["captured", "released"], settled_at__isnull=False),
            ),
        ]
        indexes = [
            # Few holds are open at a time. MariaDB has no such index and reads the account's holds.
            models.Index(name="credits_hold_open", fields=["account"], condition=Q(state="open")),
            models.Index(name="credits_hold_recent", fields=["created_at"]),
            models.Index(
                name="credits_hold_released", fields=["created_at"], condition=Q(state="released")
            ),
        ]

    def __str__(self) -> str:
        return f"hold {self.pk} ({self.reference})"


class LedgerEntry(models.Model):
    """One line of the books. Append-only: triggers refuse every change (credits/append_only.py)."""

    class Kind(models.TextChoices):
        GRANT = "grant", _("Credits added")
        HOLD = "hold", _("Taken for work")
        RELEASE = "release", _("Given back, work not done")
        REFUND = "refund", _("Given back after the work")
        EXPIRE = "expire", _("Expired")
        ROLLOVER = "rollover", _("Carried over")
        CLAW_BACK = "claw_back", _("Taken back after a refund")
        RESTORE = "restore", _("Given back, the refund failed")
        REPAY = "repay", _("Paid off what was owed")
        FREEZE = "freeze", _("Set aside for a dispute")
        UNFREEZE = "unfreeze", _("Dispute over")
        ADJUST = "adjust", _("Adjusted by staff")

    id = models.BigIntegerField(primary_key=True)
    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="entries", db_index=False
    )
    sequence = models.BigIntegerField()
    kind = models.CharField(max_length=9, choices=Kind.choices)
    pool = models.CharField(max_length=12, choices=Pool.choices)
    lot = models.ForeignKey(
        CreditLot, on_delete=models.PROTECT, related_name="entries", db_index=False
    )
    hold = models.ForeignKey(Hold, on_delete=models.PROTECT, related_name="entries", null=True)
    amount = models.BigIntegerField()
    balance_after = models.BigIntegerField(help_text=_("Of the pool, after this line."))
    owed_after = models.BigIntegerField()
    reference = models.CharField(max_length=255)
    actor = models.CharField(max_length=255)
    note = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField()
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        verbose_name_plural = _("ledger entries")
        constraints = [
            models.UniqueConstraint(
                name="credits_entry_sequence_once", fields=["account", "sequence"]
            ),
            models.CheckConstraint(
                name="credits_entry_balance_never_negative",
                condition=Q(balance_after__gte=0) & Q(owed_after__gte=0) & Q(sequence__gt=0),
            ),
            models.CheckConstraint(
                # A claw-back of credits that are all spent moves nothing but what is owed.
                name="credits_entry_moves_something",
                condition=~Q(amount=0) | Q(kind="claw_back"),
            ),
        ]
        indexes = [
            # A day is added up from the index alone (credits/figures.py).
            models.Index(name="credits_entry_by_day", fields=["created_at", "kind", "amount"]),
            # For the staff's list, of what is rare. No spend writes into it.
            models.Index(
                name="credits_entry_rare_kind",
                fields=["kind", "created_at"],
                condition=~Q(kind="hold"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account_id}/{self.sequence} {self.kind} {self.amount:+d}"


class RetailToken(models.Model):
    """One payment, one successful generation, never again."""

    class State(models.TextChoices):
        AVAILABLE = "available", _("Available")  # -> reserved | revoked
        RESERVED = "reserved", _("Reserved")  # -> used | available (the generation failed)
        USED = "used", _("Used")  # final
        REVOKED = "revoked", _("Revoked")  # refunded -> available (the refund failed)

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="retail_tokens")
    state = models.CharField(max_length=9, choices=State.choices, default=State.AVAILABLE)
    source_key = models.CharField(max_length=255)
    generation_reference = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001
    amount_paid = models.BigIntegerField(default=0, help_text=_("Minor units of the currency."))
    currency = models.CharField(max_length=3, blank=True)
    terms = models.JSONField(default=dict, help_text=_("The offer as it was when bought."))
    created_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="credits_token_source_once", fields=["source_key"]),
            models.UniqueConstraint(
                name="credits_token_one_generation", fields=["generation_reference"]
            ),
            models.CheckConstraint(
                name="credits_token_reference_iff_taken",
                condition=Q(state__in=["reserved", "used"], generation_reference__isnull=False)
                | Q(state__in=["available", "revoked"], generation_reference__isnull=True),
            ),
            models.CheckConstraint(
                name="credits_token_settled_at_iff_final",
                condition=Q(state__in=["used", "revoked"], settled_at__isnull=False)
                | Q(state__in=["available", "reserved"], settled_at__isnull=True),
            ),
        ]
        indexes = [models.Index(name="credits_token_by_day", fields=["created_at"])]

    def __str__(self) -> str:
        return self.source_key


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
    TERMS = ("kind", "credits", "rollover_cap", "amount", "currency", "interval")

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


class Subscription(models.Model):
    """What Stripe last said about a subscription. Credits follow paid invoices, never this row."""

    subscription_id = models.CharField(max_length=255, unique=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="subscriptions")
    status = models.CharField(max_length=40)
    price_id = models.CharField(max_length=255, blank=True)
    period_end = models.DateTimeField(null=True)
    cancel_at_period_end = models.BooleanField(default=False)
    pending_price_id = models.CharField(
        max_length=255, blank=True, help_text=_("Of a change that waits for its payment.")
    )
    pending_until = models.DateTimeField(null=True, help_text=_("When it is given up."))
    as_of = models.DateTimeField(help_text=_("When Stripe said so; older news are ignored."))

    def __str__(self) -> str:
        return f"{self.subscription_id} ({self.status})"


class PlanSchedule(models.Model):
    """What Stripe last said about a schedule: the plan that a subscription is to have next."""

    schedule_id = models.CharField(max_length=255, unique=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="plan_schedules")
    subscription_id = models.CharField(max_length=255)
    active = models.BooleanField(help_text=_("It decides what the subscription becomes."))
    price_id = models.CharField(max_length=255, blank=True, help_text=_("Of the next phase."))
    begins_at = models.DateTimeField(null=True, help_text=_("When the next phase begins."))
    as_of = models.DateTimeField(help_text=_("When Stripe said so; older news are ignored."))

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="credits_schedule_price_has_its_time",
                condition=Q(price_id="") | Q(begins_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.schedule_id


class PlanClick(models.Model):
    """One click that changes a plan: repeats find it, and two of them do not run at a time."""

    class Action(models.TextChoices):
        CHANGE = "change", _("Change")
        CANCEL = "cancel", _("End")
        RESUME = "resume", _("Resume")

    class Outcome(models.TextChoices):
        UNKNOWN = "", _("Not known")
        CHANGED = "changed", _("Changed")
        PAYMENT_REQUIRED = "payment_required", _("Waits for its payment")
        SCHEDULED = "scheduled", _("Changes with the next period")
        KEPT = "kept", _("The present plan goes on")
        ENDS = "ends", _("Ends with the period")
        ENDED = "ended", _("Ended")
        RESUMED = "resumed", _("Goes on")

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="plan_clicks", db_index=False
    )
    click_key = models.CharField(max_length=255)
    action = models.CharField(max_length=6, choices=Action.choices)
    offer = models.CharField(max_length=50, blank=True, help_text=_("The slug of the plan."))
    outcome = models.CharField(max_length=16, choices=Outcome.choices, blank=True)
    pay_url = models.TextField(blank=True)
    created_at = models.DateTimeField()
    under_way_until = models.DateTimeField(null=True, help_text=_("Empty while nobody is at it."))

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="credits_plan_click_key_once", fields=["account", "click_key"]
            ),
        ]
        indexes = [
            models.Index(name="credits_plan_click_recent", fields=["account", "created_at"]),
            models.Index(name="credits_plan_all_recent", fields=["created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.offer}".strip()


class Payment(models.Model):
    """Which purchase a payment paid for, and how much of it has gone back, in minor units.

    `refunded` is what Refund and RefundedTotal add up to: payments/money_back.py.
    """

    payment_intent = models.CharField(max_length=255, unique=True)
    source_key = models.CharField(max_length=255, help_text=_("Of the lot, or of its tokens."))
    amount = models.BigIntegerField()
    refunded = models.BigIntegerField(default=0)
    lost = models.BigIntegerField(default=0, help_text=_("In disputes."))

    class Meta:
        permissions = [("refund_payment", _("Can refund payments"))]
        constraints = [
            models.CheckConstraint(
                name="credits_payment_amounts",
                condition=Q(amount__gte=0) & Q(refunded__gte=0) & Q(lost__gte=0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.payment_intent} for {self.source_key}"


class Refund(models.Model):
    """One refund as Stripe last described it. It fails at most once, and for good."""

    refund_id = models.CharField(max_length=255, unique=True)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    amount = models.BigIntegerField(help_text=_("Minor units."))
    made_at = models.DateTimeField(help_text=_("By Stripe."))
    failed_at = models.DateTimeField(
        null=True, help_text=_("When Stripe first said that it failed or was canceled.")
    )

    class Meta:
        constraints = [
            models.CheckConstraint(name="credits_refund_amount", condition=Q(amount__gt=0)),
        ]

    def __str__(self) -> str:
        return self.refund_id


class RefundedTotal(models.Model):
    """What a charge said, at one moment, of how much of it had gone back in all."""

    payment = models.ForeignKey(
        Payment, on_delete=models.PROTECT, related_name="refunded_totals", db_index=False
    )
    amount = models.BigIntegerField(help_text=_("Minor units."))
    as_of = models.DateTimeField(help_text=_("By Stripe."))

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="credits_refunded_total_once", fields=["payment", "amount", "as_of"]
            ),
            models.CheckConstraint(
                name="credits_refunded_total_amount", condition=Q(amount__gte=0)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} of {self.payment_id}"


class RefundRequest(models.Model):
    """Who on our side asked Stripe for a refund, and why. Written once; the id when it is known."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refund_requests")
    amount = models.BigIntegerField(help_text=_("Minor units."))
    reason = models.CharField(max_length=255)
    actor = models.CharField(max_length=255)
    key = models.CharField(max_length=64, unique=True, help_text=_("One for each form."))
    refund_id = models.CharField(
        max_length=255, blank=True, help_text=_("Empty unless Stripe took it.")
    )
    refusal = models.TextField(blank=True, help_text=_("Why Stripe refused it."))
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(name="credits_refund_request_amount", condition=Q(amount__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.amount} of {self.payment_id} by {self.actor}"


class CheckoutStart(models.Model):
    """One click on "buy": repeats find it, the limit counts it, and it says whose session it is."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="checkout_starts", db_index=False
    )
    click_key = models.CharField(max_length=255)
    offer = models.CharField(max_length=50, help_text=_("The slug."))
    quantity = models.PositiveSmallIntegerField()
    session_id = models.CharField(
        max_length=255, blank=True, help_text=_("Empty until it is known.")
    )
    url = models.TextField(blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="credits_checkout_key_once", fields=["account", "click_key"]
            ),
        ]
        indexes = [
            models.Index(name="credits_checkout_recent", fields=["account", "created_at"]),
            models.Index(name="credits_checkout_session", fields=["session_id"]),
            models.Index(name="credits_checkout_all_recent", fields=["created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.offer}"


class InboxEvent(models.Model):
    """One event from Stripe as it arrived, and what became of it."""

    class State(models.TextChoices):
        RECEIVED = "received", _("Received")  # -> any of the others
        APPLIED = "applied", _("Applied")
        IGNORED = "ignored", _("Ignored")
        WAITING = "waiting", _("Waiting")  # for something that another event brings
        FAILED = "failed", _("Failed")  # an error of ours; tried again

    event_id = models.CharField(max_length=255, unique=True)
    type = models.CharField(max_length=100)
    object_id = models.CharField(max_length=255, blank=True)
    api_version = models.CharField(max_length=60, blank=True)
    body = models.TextField()
    created_at = models.DateTimeField(help_text=_("By Stripe."))
    received_at = models.DateTimeField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.RECEIVED)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, help_text=_("Empty when it is settled."))
    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, null=True, related_name="inbox_events"
    )
    fact_key = models.CharField(max_length=255, blank=True)
    reason = models.TextField(blank=True, help_text=_("Why it is ignored, waiting or failed."))
    applied_at = models.DateTimeField(null=True)
    mirrored_at = models.DateTimeField(null=True, help_text=_("When dj-stripe had taken it."))
    mirror_attempts = models.PositiveIntegerField(default=0)
    next_mirror_at = models.DateTimeField(
        null=True,
        default=timezone.now,
        help_text=_("Empty when dj-stripe has it, or when it is given up."),
    )
    mirror_error = models.TextField(blank=True, help_text=_("Why dj-stripe could not take it."))

    class Meta:
        permissions = [("view_event_body", _("Can view the raw body of events"))]
        constraints = [
            models.CheckConstraint(
                name="credits_inbox_mirrored_due_or_given_up",
                condition=Q(mirrored_at__isnull=False, next_mirror_at__isnull=True, mirror_error="")
                | Q(mirrored_at__isnull=True, next_mirror_at__isnull=False)
                | (Q(mirrored_at__isnull=True, next_mirror_at__isnull=True) & ~Q(mirror_error="")),
            ),
            models.CheckConstraint(
                name="credits_inbox_due_iff_unsettled",
                condition=Q(
                    state__in=["received", "waiting", "failed"], next_attempt_at__isnull=False
                )
                | Q(state__in=["applied", "ignored"], next_attempt_at__isnull=True),
            ),
        ]
        indexes = [
            models.Index(name="credits_inbox_due", fields=["next_attempt_at"]),
            models.Index(name="credits_inbox_mirror_due", fields=["next_mirror_at"]),
            models.Index(name="credits_inbox_object", fields=["object_id"]),
            models.Index(name="credits_inbox_recent", fields=["received_at"]),
            models.Index(name="credits_inbox_type", fields=["type", "received_at"]),
            models.Index(
                name="credits_inbox_not_mirrored",
                fields=["received_at"],
                condition=Q(mirrored_at__isnull=True, next_mirror_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


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


class StaffAction(models.Model):
    """Something that staff did. Append-only like the books (credits/append_only.py)."""

    actor = models.CharField(max_length=255)
    action = models.CharField(max_length=60)
    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, null=True, related_name="staff_actions"
    )
    target = models.CharField(max_length=255, blank=True)
    reason_code = models.CharField(max_length=40, blank=True)
    reason = models.TextField()
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(name="credits_action_by_actor", fields=["actor"]),
            models.Index(name="credits_action_recent", fields=["created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor}"


class Adjustment(models.Model):
    """What staff wants to change on an account: posted at once, or after a second person agreed."""

    class Kind(models.TextChoices):
        GRANT = "grant", _("Add credits")
        REMOVE = "remove", _("Remove credits")
        MOVE = "move", _("Move credits to another pool")
        EXTEND = "extend", _("Let credits live longer")
        GIVE_BACK = "give_back", _("Give back what a generation cost")
        ISSUE_TOKEN = "issue_token", _("Give a single generation")
        REVOKE_TOKEN = "revoke_token", _("Take a single generation away")

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting for a second person")  # -> any of the others
        POSTED = "posted", _("Posted")
        REFUSED = "refused", _("Refused")
        LAPSED = "lapsed", _("Lapsed")

    id = models.UUIDField(primary_key=True, editable=False)  # made with the form: sent once
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="adjustments")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    terms = models.JSONField(help_text=_("What exactly, in plain values."))
    weight = models.BigIntegerField(help_text=_("Credits that it counts for against the limit."))
    reason_code = models.CharField(max_length=40)
    reason = models.CharField(max_length=200)
    state = models.CharField(max_length=7, choices=State.choices)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    requested_at = models.DateTimeField()
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)

    class Meta:
        permissions = [("approve_adjustment", _("Can approve adjustments of other people"))]
        constraints = [
            models.CheckConstraint(
                name="credits_adjustment_two_people",
                condition=Q(decided_by__isnull=True)
                | Q(state="refused")
                | ~Q(decided_by=F("requested_by")),
            ),
            models.CheckConstraint(
                name="credits_adjustment_decided_iff_settled",
                condition=Q(state="waiting", decided_at__isnull=True)
                | (~Q(state="waiting") & Q(decided_at__isnull=False)),
            ),
        ]
        indexes = [models.Index(name="credits_adjustment_recent", fields=["requested_at"])]

    def __str__(self) -> str:
        return f"{self.kind} of account {self.account_id}"


class Reconciliation(models.Model):
    """One night's comparison with Stripe. The day is unique: of all workers, one does it."""

    day = models.DateField(unique=True)
    started_at = models.DateTimeField(help_text=_("Later if it had to be started again."))
    finished_at = models.DateTimeField(null=True)
    days = models.PositiveSmallIntegerField(help_text=_("How far it looks back."))
    found = models.PositiveIntegerField(default=0, help_text=_("Differences."))
    differences = models.JSONField(default=list, help_text=_("One sentence each, the first ones."))
    error = models.TextField(blank=True, help_text=_("Why it could not look, the last time."))

    def __str__(self) -> str:
        return f"reconciliation of {self.day}"


class Notice(models.Model):
    """A mail to a customer, or to staff, that is owed: written in the transaction of its fact."""

    class Kind(models.TextChoices):
        WELCOME = "welcome", _("Welcome")
        PURCHASE = "purchase", _("Purchase")
        RENEWAL = "renewal", _("Renewal")
        PLAN_CHANGED = "plan_changed", _("Plan changed")
        PAYMENT_FAILED = "payment_failed", _("Payment failed")
        SUBSCRIPTION_ENDED = "subscription_ended", _("Subscription ended")
        LOW_BALANCE = "low_balance", _("Low balance")
        EXPIRING = "expiring", _("Credits about to end")
        REFUND = "refund", _("Refund")
        DISPUTE_OPENED = "dispute_opened", _("Dispute opened")
        DISPUTE_CLOSED = "dispute_closed", _("Dispute closed")
        STAFF = "staff", _("For staff")

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")  # -> any of the others
        SENT = "sent", _("Sent")  # the mail server took it
        SKIPPED = "skipped", _("Skipped")  # not wanted, or nobody to send it to
        FAILED = "failed", _("Given up")  # -> pending, by staff

    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, null=True, related_name="notices"
    )
    kind = models.CharField(max_length=20, choices=Kind.choices)
    fact_key = models.CharField(max_length=255, help_text=_("What it tells; told once."))
    context = models.JSONField(default=dict, help_text=_("Plain values for the text."))
    state = models.CharField(max_length=7, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, help_text=_("Empty when it is settled."))
    error = models.TextField(blank=True, help_text=_("Why it was skipped, or the last failure."))
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="credits_notice_once", fields=["kind", "fact_key"]),
            models.CheckConstraint(
                name="credits_notice_due_iff_pending",
                condition=Q(state="pending", next_attempt_at__isnull=False)
                | Q(state__in=["sent", "skipped", "failed"], next_attempt_at__isnull=True),
            ),
            models.CheckConstraint(
                name="credits_notice_sent_at_iff_sent",
                condition=Q(state="sent", sent_at__isnull=False)
                | (~Q(state="sent") & Q(sent_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="credits_notice_account_unless_staff",
                condition=Q(kind="staff", account__isnull=True)
                | (~Q(kind="staff") & Q(account__isnull=False)),
            ),
        ]
        indexes = [
            models.Index(name="credits_notice_due", fields=["next_attempt_at"]),
            models.Index(name="credits_notice_recent", fields=["created_at"]),
            models.Index(
                name="credits_notice_given_up", fields=["state"], condition=Q(state="failed")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.fact_key}"


class NoticePreferences(models.Model):
    """Which of the mails that are not a must an account wants. No row: the defaults."""

    account = models.OneToOneField(
        Account, on_delete=models.PROTECT, related_name="notice_preferences"
    )
    renewals = models.BooleanField(default=True)
    expiring = models.BooleanField(default=True)
    low_balance = models.PositiveIntegerField(
        null=True, blank=True, help_text=_("Tell when fewer credits than this are left.")
    )
    low_since = models.DateTimeField(
        null=True, blank=True, help_text=_("Set while the balance is below it: told already.")
    )

    class Meta:
        verbose_name_plural = _("notice preferences")

    def __str__(self) -> str:
        return f"preferences of account {self.account_id}"


class DailyTotal(models.Model):
    """What one day (UTC) added up to: a copy of the ledger, made anew every day (figures.py)."""

    day = models.DateField(unique=True)
    sold = models.BigIntegerField(default=0)
    granted = models.BigIntegerField(default=0, help_text=_("For no money."))
    spent = models.BigIntegerField(default=0, help_text=_("Taken, without what was given back."))
    expired = models.BigIntegerField(default=0)
    expired_paid = models.BigIntegerField(default=0, help_text=_("Of these, what was paid for."))
    clawed_back = models.BigIntegerField(default=0)
    money = models.JSONField(default=dict, help_text=_("Taken, in minor units, by currency."))
    expired_money = models.JSONField(
        default=dict, help_text=_("What was paid for credits that expired, by currency.")
    )
    lines = models.BigIntegerField(default=0)
    added_up_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"totals of {self.day}"


class LedgerAudit(models.Model):
    """One proof of the books over all accounts: what was looked at, and what does not balance."""

    night = models.DateField(null=True, unique=True, help_text=_("Empty if somebody ran it."))
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    next_account = models.BigIntegerField(default=0, help_text=_("Accounts below it are done."))
    accounts = models.BigIntegerField(default=0)
    entries = models.BigIntegerField(default=0)
    found = models.PositiveIntegerField(default=0, help_text=_("Things that are wrong."))
    problems = models.TextField(blank=True, help_text=_("One sentence a line, the first ones."))

    def __str__(self) -> str:
        return f"audit of {self.started_at:%Y-%m-%d %H:%M}"
