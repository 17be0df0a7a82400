"""A database as the first release left it, with every kind of row in it, is brought up to date.

The rows are written with the models of that time; what they come to is proved with today's.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from credits import books, queries, services
from credits.models import CreditLot, LedgerEntry, RefundedTotal, StaffAction, row_id
from generation.models import Generation

FIRST = [
    ("credits", "0004_checkout_start"),
    ("generation", "0003_open_generations"),
    ("accounts", "0001_initial"),
]
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=9)


class Customer:
    """An account of that time. Its lines are chained, as services did it then and do it now."""

    def __init__(self, models, name, **fields):
        self.models = models
        user = models.get_model("accounts", "User").objects.create(email=f"{name}@example.com")
        self.account = self.new("Account", user=user, created_at=NOW, **fields)

    def new(self, model, **fields):
        return self.models.get_model("credits", model).objects.create(**fields)

    def lot(self, granted, pool="bulk", **fields):
        account = self.account
        lot = self.new(
            "CreditLot", id=row_id(account.pk, account.sequence + 1), account=account, pool=pool,
            granted=granted, remaining=0, source_key=f"invoice:{account.pk}:{account.sequence}",
            created_at=NOW, terms={}, **fields,
        )  # fmt: skip
        self.line("grant", lot, granted)
        return lot

    def hold(self, lot, amount, state="open", captured=0):
        account = self.account
        hold = self.new(
            "Hold", id=row_id(account.pk, account.sequence + 1), account=account, amount=amount,
            captured=captured, state=state, settled_at=None if state == "open" else NOW,
            reference="work", idempotency_key=f"key {account.sequence}", arguments_hash="",
            created_at=NOW,
        )  # fmt: skip
        self.line("hold", lot, -amount, hold)
        if back := amount - captured if state != "open" else 0:
            self.line("release", lot, back, hold)
        return hold

    def line(self, kind, lot, amount, hold=None):
        account, column = self.account, f"{lot.pool}_credits"
        lot.remaining += amount
        lot.save()
        setattr(account, column, getattr(account, column) + amount)
        account.sequence += 1
        content = (
            account.pk, account.sequence, kind, lot.pool, lot.pk, hold and hold.pk, amount,
            getattr(account, column), account.owed, "work", "system", "",
        )  # fmt: skip
        previous, account.chain_head = (
            account.chain_head,
            books.chain_hash(account.chain_head, content, NOW),
        )
        self.new(
            "LedgerEntry", id=row_id(account.pk, account.sequence), account_id=account.pk,
            sequence=account.sequence, kind=kind, pool=lot.pool, lot=lot, hold=hold, amount=amount,
            balance_after=getattr(account, column), owed_after=account.owed, reference="work",
            actor="system", note="", created_at=NOW, previous_hash=previous,
            hash=account.chain_head,
        )  # fmt: skip
        account.save()


def fill(models):
    """Accounts in every state, and a row of every kind."""
    customer = Customer(models, "busy", stripe_customer_id="cus_1")
    paid = customer.lot(50, amount_paid=500, currency="usd")
    customer.lot(20, "promotional", expires_at=LATER)
    customer.lot(100, "subscription", expires_at=LATER, amount_paid=900, currency="usd")
    generations(customer, paid)
    stripes(customer, paid)
    ended = customer.lot(10, "promotional", expires_at=NOW)
    customer.line("expire", ended, -10)

    disputed = Customer(models, "disputed", status="frozen")
    lot = disputed.lot(50, amount_paid=500, currency="usd")
    lot.frozen, lot.frozen_at = 50, NOW
    disputed.line("freeze", lot, -50)

    owing = Customer(models, "owing")
    lot = owing.lot(50, amount_paid=500, currency="usd")
    owing.hold(lot, 30, "captured", 30)
    lot.clawed_back, lot.clawed_back_owed, owing.account.owed = 50, 30, 30
    owing.line("claw_back", lot, -20)

    new = Customer(models, "new")
    models.get_model("accounts", "ApiKey").objects.create(
        user=new.account.user, name="laptop", prefix="sk_", digest="0" * 64, created_at=NOW
    )
    models.get_model("generation", "Worker").objects.create(name="w", seen_at=NOW)


def generations(customer, lot):
    """In every state; a single generation of every state."""
    generation = customer.models.get_model("generation", "Generation")
    states = [
        ("queued", "open", 0), ("running", "open", 0), ("succeeded", "captured", 2),
        ("failed", "released", 0), ("canceled", "released", 0),
    ]  # fmt: skip
    for number, (status, state, captured) in enumerate(states):
        generation.objects.create(
            id=UUID(int=number), account_id=customer.account.pk, status=status, prompt="A prompt",
            operation="text", price_version=1, cost=2, funding="credits", request_hash="",
            hold_id=customer.hold(lot, 2, state, captured).pk, run_at=NOW, created_at=NOW,
            lease_until=NOW if status == "running" else None,
            finished_at=None if status in ("queued", "running") else NOW,
        )  # fmt: skip
    for state in ("available", "reserved", "used", "revoked"):
        customer.new(
            "RetailToken", account=customer.account, state=state, source_key=f"checkout:{state}",
            generation_reference=f"generation:{state}" if state in ("reserved", "used") else None,
            settled_at=NOW if state in ("used", "revoked") else None, created_at=NOW, terms={},
        )  # fmt: skip


def stripes(customer, lot):
    """What Stripe has told, and what was bought."""
    for state in ("received", "applied", "ignored", "waiting", "failed"):
        settled = state in ("applied", "ignored")
        customer.new(
            "InboxEvent", event_id=f"evt_{state}", type="x.y", body='{"data": {"object": {}}}',
            created_at=NOW, received_at=NOW, state=state, account=customer.account,
            next_attempt_at=None if settled else LATER,
        )  # fmt: skip
    customer.new(
        "Payment", payment_intent="pi_1", source_key=lot.source_key, amount=500, refunded=100
    )
    customer.new(
        "Subscription",
        subscription_id="sub_1",
        account=customer.account,
        status="active",
        as_of=NOW,
    )
    customer.new(
        "CheckoutStart", account=customer.account, click_key="x", offer="starter", quantity=1,
        created_at=NOW,
    )  # fmt: skip
    customer.new(
        "Offer", slug="starter", name="Starter", kind="plan", credits=100, amount=900,
        currency="usd", interval="month",
    )  # fmt: skip


def rows_of(models):
    """Every table of that time that has rows, with what was in it."""
    found = {}
    for app, _migration in FIRST:
        for model in models.get_app_config(app).get_models():
            columns = [field.attname for field in model._meta.concrete_fields]
            found[model._meta.label] = sorted(model.objects.values_list(*columns), key=str)
    return found


@pytest.fixture
def upgraded(transactional_db):
    """Back to the first release, filled, and forward again; the rows as they were before."""
    executor = MigrationExecutor(connection)
    newest = executor.loader.graph.leaf_nodes()
    try:
        executor.migrate(FIRST)
        models = MigrationExecutor(connection).loader.project_state(FIRST).apps
        fill(models)
        before = rows_of(models)
    finally:
        MigrationExecutor(connection).migrate(newest)
    return before, rows_of(models)


def test_a_database_of_the_first_release_is_brought_up_to_date(upgraded):
    before, after = upgraded
    assert [name for name, rows in before.items() if not rows] == []
    assert after == before
    assert list(queries.find_imbalances()) == []
    assert RefundedTotal.objects.get().amount == 100
    _nobody_can_change(LedgerEntry)
    busy = CreditLot.objects.filter(pool="subscription").get().account_id
    services.record_action(actor="system", action="upgrade", reason="", now=NOW)
    _nobody_can_change(StaffAction)
    services.spend(account_id=busy, amount=150, reference="work", idempotency_key="after", now=NOW)
    services.release(hold_id=Generation.objects.get(status="running").hold_id, now=NOW)
    assert list(queries.find_imbalances()) == []


def _nobody_can_change(model):
    for change in (model.objects.all().delete, lambda: model.objects.update(actor="x")):
        with pytest.raises(DatabaseError, match="append-only"):
            change()
