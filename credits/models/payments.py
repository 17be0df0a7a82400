"""What Stripe has told, and what it was asked: plans, payments, refunds, clicks, the inbox."""

import re
from uuid import uuid4

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from credits.models.core import Account

# Before what an exception says. Python's own, such as KeyError, say nothing without their name.
CLASS_OF_ERROR = re.compile(r"^\w+(\.\w+)+: ")


class Subscription(models.Model):
    """What Stripe last said about a subscription. Credits follow paid invoices, never this row."""

    subscription_id = models.CharField(max_length=255, unique=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="subscriptions")
    status = models.CharField(max_length=40)
    price_id = models.CharField(max_length=255, blank=True, db_index=True)
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
        return self.payment_intent


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
            models.Index(name="credits_inbox_state", fields=["state", "received_at"]),
            models.Index(name="credits_inbox_type", fields=["type", "received_at"]),
            models.Index(
                name="credits_inbox_not_mirrored",
                fields=["received_at"],
                condition=Q(mirrored_at__isnull=True, next_mirror_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"

    @property
    def failed_with(self) -> str:
        """The traceback of the last attempt, if it was an error of ours."""
        return self.reason if self.reason.startswith("Traceback") else ""

    @property
    def why(self) -> str:
        """The reason in a sentence; of a traceback what the exception says."""
        last = self.reason.strip().rpartition("\n")[2]
        return CLASS_OF_ERROR.sub("", last) if self.failed_with else last


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
