"""Everything the money core knows of one account, as plain rows, for its owner to take along."""

from collections.abc import Iterator
from typing import Any

from django.db import models

from credits.models import (
    Account,
    Adjustment,
    CheckoutStart,
    CreditLot,
    Hold,
    LedgerEntry,
    Notice,
    NoticePreferences,
    Payment,
    PlanClick,
    PlanSchedule,
    Redemption,
    RetailToken,
    Subscription,
    purchase_keys,
)

Row = dict[str, Any]
AT_ONCE = 500
STAFF = ("requested_by_id", "decided_by_id")
OUTBOX = ("attempts", "next_attempt_at", "error")


def sections(*, account_id: int) -> Iterator[tuple[str, Iterator[Row]]]:
    """Each kind of row by its name; rows are read as they are asked for."""
    lots = CreditLot.objects.filter(account_id=account_id)
    tokens = RetailToken.objects.filter(account_id=account_id)
    sources = purchase_keys(lots, tokens)
    account = Account.objects.filter(pk=account_id)
    yield "account", rows(account, "user_id")
    yield "ledger", rows(LedgerEntry.objects.filter(account_id=account_id), "account_id")
    yield "lots", rows(lots, "account_id")
    yield "tokens", rows(tokens, "account_id")
    yield "holds", rows(_of(Hold, account_id), "account_id", "idempotency_key", "arguments_hash")
    yield "purchases", rows(_of(CheckoutStart, account_id), "account_id", "click_key", "url")
    yield "payments", rows(Payment.objects.filter(source_key__in=sources))
    yield "subscriptions", rows(_of(Subscription, account_id), "account_id")
    yield "plan_schedules", rows(_of(PlanSchedule, account_id), "account_id")
    yield "plan_changes", rows(_of(PlanClick, account_id), "account_id", "click_key")
    yield "redemptions", rows(_of(Redemption, account_id), "account_id")
    yield "adjustments", rows(_of(Adjustment, account_id), "account_id", *STAFF)
    yield "mails", rows(_of(Notice, account_id), "account_id", *OUTBOX)
    yield "mail_preferences", rows(_of(NoticePreferences, account_id), "account_id")


def rows(found: models.QuerySet[Any], *without: str) -> Iterator[Row]:
    """The rows as dictionaries, all columns but those named, oldest first."""
    columns = [field.attname for field in found.model._meta.concrete_fields]
    wanted = [name for name in columns if name not in without]
    return found.order_by("pk").values(*wanted).iterator(chunk_size=AT_ONCE)


def _of(model: type[models.Model], account_id: int) -> models.QuerySet[Any]:
    return model._default_manager.filter(account_id=account_id)
