"""The tables of the money core: fields, constraints, no mutators.

Rows are written by credits.services alone. credits/README.md says what each noun means.

Note [Ids made of account and sequence]
    Lots, holds and ledger entries are only ever made while their account is locked, and each is
    born with a ledger line. Its id is therefore `account_id << 32 | sequence` of that line: unique
    without a database sequence, known before the INSERT on every database (no RETURNING, no extra
    round trip), and in the order in which the account's history happened.
"""

from django.conf import settings
from django.db import connection, models
from django.db.models import F, Q
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
            # Also of lots that are used up: an index with `remaining` in its condition would cost
            # every spend its HOT update (PostgreSQL), to save a sweep 40 ms of 300,000 such lots.
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


FIRST_PIECE = ":1"  # behind the source key of the purchase: of several tokens the first


def purchase_keys(
    lots: models.QuerySet[CreditLot], tokens: "models.QuerySet[RetailToken]"
) -> list[str]:
    """The source keys of the purchases that brought these; a token's ends with its piece."""
    pieces = tokens.values_list("source_key", flat=True)
    return [
        *lots.values_list("source_key", flat=True),
        *{key.rpartition(":")[0] for key in pieces},
    ]


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
