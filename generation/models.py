"""Work that is sold for credits. Rows are written by generation.services alone."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class OperationPrice(models.Model):
    """What one operation costs. A new price is a new version; a generation keeps its quote."""

    operation = models.CharField(max_length=40)
    version = models.PositiveIntegerField()
    cost = models.PositiveIntegerField(help_text=_("Credits."))
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="generation_price_version_once", fields=["operation", "version"]
            ),
            models.CheckConstraint(name="generation_price_positive", condition=Q(cost__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.operation} v{self.version}: {self.cost}"


class Generation(models.Model):
    """One piece of work: what was asked, what came of it, and how it was paid.

    The row is the truth. A job queue only wakes workers; `status`, `attempts` and `lease_until`
    decide who may do what (README.md, "Who may write").
    """

    class Status(models.TextChoices):
        QUEUED = "queued", _("Queued")  # -> running | canceled | failed
        RUNNING = "running", _("Running")  # -> succeeded | failed | canceled | queued (retry)
        SUCCEEDED = "succeeded", _("Done")
        FAILED = "failed", _("Failed")
        CANCELED = "canceled", _("Canceled")

    class Funding(models.TextChoices):
        CREDITS = "credits", _("Credits")
        RETAIL = "retail", _("Single generation")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    account = models.ForeignKey(
        "credits.Account", on_delete=models.PROTECT, related_name="generations", db_index=False
    )
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.QUEUED)
    prompt = models.TextField()
    output = models.TextField(blank=True)
    operation = models.CharField(max_length=40)
    price_version = models.PositiveIntegerField()
    cost = models.PositiveIntegerField(help_text=_("Credits; 0 when a retail token pays."))
    funding = models.CharField(max_length=7, choices=Funding.choices)
    hold = models.OneToOneField(
        "credits.Hold", on_delete=models.PROTECT, related_name="generation", null=True
    )
    idempotency_key = models.CharField(max_length=255, null=True)  # noqa: DJ001
    request_hash = models.CharField(max_length=64)
    regenerates = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, related_name="regenerations"
    )
    attempts = models.PositiveIntegerField(default=0, help_text=_("Starts; the fencing token."))
    run_at = models.DateTimeField(help_text=_("Not to be started before."))
    lease_until = models.DateTimeField(null=True)
    model = models.CharField(max_length=120, blank=True)
    input_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    error_code = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="generation_key_once", fields=["account", "idempotency_key"]
            ),
            models.CheckConstraint(
                name="generation_funded",
                condition=Q(funding="credits", hold__isnull=False, cost__gt=0)
                | Q(funding="retail", hold__isnull=True, cost=0),
            ),
            models.CheckConstraint(
                name="generation_lease_iff_running",
                condition=Q(status="running", lease_until__isnull=False)
                | (~Q(status="running") & Q(lease_until__isnull=True)),
            ),
            models.CheckConstraint(
                name="generation_finished_at_iff_final",
                condition=Q(status__in=["queued", "running"], finished_at__isnull=True)
                | Q(status__in=["succeeded", "failed", "canceled"], finished_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(name="generation_of_account", fields=["account", "-created_at"]),
            models.Index(name="generation_to_do", fields=["status", "run_at"]),
            models.Index(name="generation_recent", fields=["created_at"]),
            models.Index(
                name="generation_retail", fields=["created_at"], condition=Q(funding="retail")
            ),
            # Forgotten after KEY_LIFE (services.py); staff searches for it.
            models.Index(
                name="generation_by_key",
                fields=["idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
            ),
            # For the limit of open ones: else every request reads the account's whole history.
            models.Index(
                name="generation_open", fields=["account"], condition=Q(finished_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class Worker(models.Model):
    """A worker process that has reported for duty; /readyz asks whether one is alive."""

    name = models.CharField(max_length=120, unique=True)
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
