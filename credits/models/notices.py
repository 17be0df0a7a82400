"""Mails that are owed, and who wants which."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from credits.models.core import Account


class Notice(models.Model):
    """A mail to a customer, or to staff, that is owed: written in the transaction of its fact."""

    class Kind(models.TextChoices):
        WELCOME = "welcome", _("Welcome")
        PURCHASE = "purchase", _("Purchase")
        TRIAL = "trial", _("Trial begun")
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
