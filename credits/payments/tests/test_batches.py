"""Events of many customers in one transaction: fewer of them, the same promises."""

import json
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from credits import queries
from credits.models import Account, InboxEvent
from credits.payments import facts, inbox, intake
from credits.payments.tests import events as stripe
from credits.payments.tests.events import MONTH, NEW
from credits.tests.race import race

pytestmark = pytest.mark.django_db
State = InboxEvent.State
CUSTOMERS = 6


@pytest.fixture
def accounts(new_account, offers):
    made = [new_account() for _ in range(CUSTOMERS)]
    for number, account in enumerate(made):
        account.stripe_customer_id = f"cus_{number}"
        account.save(update_fields=["stripe_customer_id"])
    return made


@pytest.fixture
def store(now):
    def store(kind, obj, created=now):
        row = intake.parse(json.dumps(stripe.event(kind, obj, created=created)))
        row.next_attempt_at = now
        intake.store(row)
        return row.event_id

    return store


@pytest.fixture
def renew(store, now):
    """A paid invoice of customer `number` is stored."""

    def renew(number, *, period=0, **changes):
        start = now + period * MONTH
        invoice = stripe.invoice(
            f"{number}_{period}", version=NEW, customer=f"cus_{number}",
            subscription=f"sub_{number}",
            lines=[stripe.line("price_starter", start, start + MONTH, version=NEW)], **changes,
        )  # fmt: skip
        return store("invoice.paid", invoice, now + timedelta(seconds=period))

    return renew


def balances(accounts, now):
    return [queries.balance(account_id=account.pk, now=now).available for account in accounts]


def states():
    return list(InboxEvent.objects.order_by("pk").values_list("state", flat=True))


def test_renewals_of_many_customers_share_their_queries(accounts, renew, now):
    with CaptureQueriesContext(connection) as alone:
        renew(0)
        inbox.apply_due(now=now)
    for number in range(1, CUSTOMERS):
        renew(number)
    with CaptureQueriesContext(connection) as together:
        assert inbox.apply_due(now=now) == CUSTOMERS - 1
    assert balances(accounts, now) == [20] * CUSTOMERS
    shared = [query for query in together if "credits_offer" in query["sql"]]
    assert len(shared) == 1
    assert len(together) < (CUSTOMERS - 1) * len(alone) * 0.75


def test_one_that_fails_takes_nobody_with_it(accounts, renew, now, monkeypatch):
    begin = inbox.rules.invoices._begin_period

    def begin_badly(account, *rest):
        begin(account, *rest)
        if account == accounts[2]:
            raise RuntimeError("after the grant")

    monkeypatch.setattr(inbox.rules.invoices, "_begin_period", begin_badly)
    for number in range(CUSTOMERS):
        renew(number)
    inbox.apply_due(now=now)
    assert balances(accounts, now) == [20, 20, 0, 20, 20, 20]
    assert states()[2] == State.FAILED


def test_one_whose_invoice_cannot_be_read_takes_nobody_with_it(accounts, renew, store, now):
    store("invoice.paid", {"id": "in_x", "object": "invoice", "customer": "cus_0"})
    renew(1)
    inbox.apply_due(now=now)
    assert states() == [State.FAILED, State.APPLIED]


def test_a_batch_that_cannot_be_committed_is_repeated_one_by_one(accounts, renew, now, monkeypatch):
    learn = facts.learn

    def learn_few(events):
        if len(list(events)) > 1:
            raise DatabaseError("deadlock detected")
        return learn(events)

    monkeypatch.setattr(inbox.facts, "learn", learn_few)
    for number in range(CUSTOMERS):
        renew(number)
    inbox.apply_due(now=now)
    assert balances(accounts, now) == [20] * CUSTOMERS


def test_events_of_one_customer_are_applied_in_stripes_order(accounts, renew, now):
    """Else the first period would be refused because the second is there already."""
    second, first = renew(0, period=1), renew(0)
    renew(1)
    inbox.apply_due(now=now)
    assert InboxEvent.objects.get(event_id=first).reason == ""
    assert InboxEvent.objects.get(event_id=second).state == State.APPLIED
    assert balances(accounts, now)[:2] == [20, 20]


def test_the_end_of_a_subscription_in_the_same_batch_counts(accounts, renew, store, now):
    over = stripe.subscription(version=NEW, status="canceled", end=now + MONTH, customer="cus_0")
    store("customer.subscription.deleted", {**over, "id": "sub_0"}, now - timedelta(seconds=1))
    late = renew(0)
    inbox.apply_due(now=now)
    assert "has ended" in InboxEvent.objects.get(event_id=late).reason


def test_events_without_a_rule_are_settled_at_once(store, now):
    for number in range(5):
        store("customer.updated", {"id": f"cus_{number}", "object": "customer"})
    with CaptureQueriesContext(connection) as asked:
        inbox.apply_due(now=now)
    assert states() == [State.IGNORED] * 5
    assert not [query for query in asked if "credits_account" in query["sql"].split("WHERE")[0]]


@pytest.mark.django_db(transaction=True)
class TestSeveralWorkers:
    def test_share_the_work_and_do_not_wait_for_each_other(self, accounts, renew, now, monkeypatch):
        monkeypatch.setattr(inbox, "BATCH", 3)
        for period in range(2):
            for number in range(CUSTOMERS):
                renew(number, period=period)
        done = race(*[lambda: [inbox.apply_due(now=now) for _ in range(6)]] * 3)
        assert not [outcome for outcome in done if isinstance(outcome, Exception)]
        while InboxEvent.objects.exclude(next_attempt_at=None).exists():
            assert inbox.apply_due(now=now)
        assert balances(accounts, now) == [20] * CUSTOMERS
        assert State.FAILED not in states()

    @pytest.mark.skipif(connection.vendor == "sqlite", reason="one writer at a time")
    def test_would_wait_for_each_other_if_they_locked_in_any_order(self, accounts):
        """The danger is real: two transactions, two accounts, each the other's first."""

        def lock(first, second):
            with transaction.atomic():
                Account.objects.locked().get(pk=accounts[first].pk)
                meet()
                Account.objects.locked().get(pk=accounts[second].pk)

        meet = Barrier(2).wait
        outcomes = race(lambda: lock(0, 1), lambda: lock(1, 0))
        assert [one for one in outcomes if isinstance(one, DatabaseError)]

    def test_a_worker_that_dies_in_a_batch_has_moved_nothing(
        self, accounts, renew, now, monkeypatch
    ):
        class Killed(BaseException):
            pass

        def die(rows):
            raise Killed

        for number in range(CUSTOMERS):
            renew(number)
        with monkeypatch.context() as patch:
            patch.setattr(inbox, "save", die)
            with pytest.raises(Killed):
                inbox.apply_due(now=now)
        assert balances(accounts, now) == [0] * CUSTOMERS
        inbox.apply_due(now=now)
        assert balances(accounts, now) == [20] * CUSTOMERS
