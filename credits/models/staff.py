"""What staff did and is about to do, and the figures that it looks at."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from credits.models.core import Account


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
        return f"{self.get_kind_display()}: account {self.account_id}"


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
