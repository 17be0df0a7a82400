"""Applying what the intake has stored. Whatever a rule raises, the row stays and says so.

Note [Many accounts in one transaction]
    A transaction for each event spends most of its time on BEGIN, COMMIT and on asking the same
    questions again, so a batch of events shares them; an event that fails is rolled back alone, to
    its savepoint. Nobody else locks two accounts at once. We do, all of them in one statement and
    in the order of their ids, before anything else: two workers cannot wait for each other. That
    is why only events go together that name their customer and whose rules lock nothing but the
    account (TOGETHER). The others (refunds and disputes lock the payment first) go alone. A batch
    that cannot be committed, for whatever reason, has moved nothing and is repeated one by one.
"""

import json
import logging
import traceback
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import zip_longest

from django.db import connection, transaction
from django.db.models import QuerySet

from credits.models import Account, InboxEvent
from credits.payments import facts, rules
from credits.payments.outcomes import Event, Ignore, Wait
from credits.payments.readers import text

logger = logging.getLogger(__name__)
State = InboxEvent.State

BATCH = 100
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=5)
# See Note [Many accounts in one transaction].
TOGETHER = {
    "invoice.paid",
    "invoice.payment_failed",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
}


def apply_due(*, now: datetime) -> int:
    """Applies events that are due, oldest first; returns how many it looked at (at most BATCH)."""
    try:
        rows = _apply_together(now)
    except Exception:
        logger.exception("a batch could not be applied; its events are applied one by one")
        rows = list(_due(now)[:BATCH])
        alone = rows
    else:
        alone = [row for row in rows if not _goes_together(row)]
    for row in alone:
        apply_one(row.pk, now=now)
    return len(rows)


def _apply_together(now: datetime) -> list[InboxEvent]:
    """Applies those of a batch that may go together; returns the batch, in Stripe's order."""
    with transaction.atomic():
        rows = sorted(free(_due(now))[:BATCH], key=lambda row: (row.created_at, row.pk))
        together = [row for row in rows if _goes_together(row)]
        for round_ in _rounds([(row, _event(row, now)) for row in together]):
            known = facts.learn([event for _, event in round_])
            for row, event in round_:
                _apply(row, replace(event, facts=known))
        save(together)
    return rows


def apply_one(pk: int, *, now: datetime) -> None:
    """Applies one event in one transaction, unless another worker is at it."""
    with transaction.atomic():
        row = free(_due(now)).filter(pk=pk).first()
        if row is not None:
            apply(row, now)
            save([row])


def _goes_together(row: InboxEvent) -> bool:
    return row.type in TOGETHER or row.type not in rules.RULES


def _due(now: datetime) -> QuerySet[InboxEvent]:
    return InboxEvent.objects.filter(next_attempt_at__lte=now).order_by("next_attempt_at", "id")


def free(rows: QuerySet[InboxEvent]) -> QuerySet[InboxEvent]:
    """Locks rows, except those that another worker has locked."""
    return rows.select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked)


def _rounds(pairs: list[tuple[InboxEvent, Event]]) -> Iterator[list[tuple[InboxEvent, Event]]]:
    """One event of each customer, then the second of each, and so on, in Stripe's order.

    What is known of an account before a round is still true when its one event is applied.
    """
    of_customer: dict[str | int, list[tuple[InboxEvent, Event]]] = defaultdict(list)
    for row, event in pairs:
        of_customer[text(event.object, "customer") or row.pk].append((row, event))
    for round_ in zip_longest(*of_customer.values()):
        yield [pair for pair in round_ if pair]


def apply(row: InboxEvent, now: datetime) -> None:
    """Applies one event, which the caller has locked; what became of it stands on the row, unsaved.

    Whatever the rule raises, the row says so.
    """
    _apply(row, _event(row, now))


def _apply(row: InboxEvent, event: Event) -> None:
    """Applies one event within a savepoint and notes on the row, unsaved, what became of it."""
    row.attempts += 1
    done = None
    try:
        with transaction.atomic():
            done = rules.apply(event)
    except Ignore as outcome:
        settle(row, State.IGNORED, reason=str(outcome))
    except Wait as outcome:
        _postpone(row, State.WAITING, str(outcome), event.now)
    except Exception:  # whatever it is: the event stays, with its traceback
        logger.exception("%s %s could not be applied", row.type, row.event_id)
        _postpone(row, State.FAILED, traceback.format_exc(limit=-12), event.now)
    else:
        row.account_id, row.fact_key, row.applied_at = done.account_id, done.fact_key, event.now
        if done.waiting_for:
            _postpone(row, State.WAITING, f"Waiting for {done.waiting_for}.", event.now)
        elif done.ignored_because:
            settle(row, State.IGNORED, done.ignored_because)
        else:
            settle(row, State.APPLIED)
    if done is None:
        row.account_id = _customer_of(event)


def _customer_of(event: Event) -> int | None:
    """On whose page staff finds an event of which nothing came; of those that have a rule."""
    customer = text(event.object, "customer")
    if event.type not in rules.RULES or not customer:
        return None
    if event.facts is not None:
        account = event.facts.accounts.get(customer)
        return account.pk if account else None
    known = Account.objects.filter(stripe_customer_id=customer)
    return known.values_list("pk", flat=True).first()


def _event(row: InboxEvent, now: datetime) -> Event:
    content = json.loads(row.body)
    return Event(row.type, content["data"]["object"], row.created_at, now)


def settle(row: InboxEvent, state: str, reason: str = "") -> None:
    """Notes on the row, unsaved, that nothing is left to be done, and why."""
    row.state, row.reason, row.next_attempt_at = state, reason, None


def _postpone(row: InboxEvent, state: str, reason: str, now: datetime) -> None:
    pause = min(FIRST_PAUSE * 2 ** min(row.attempts - 1, 10), LONGEST_PAUSE)
    row.state, row.reason, row.next_attempt_at = state, reason, now + pause


def save(rows: list[InboxEvent]) -> None:
    """Writes what became of rows. Plain SQL: on PostgreSQL all of a batch's travels together."""
    moment = connection.ops.adapt_datetimefield_value
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE credits_inboxevent SET state = %s, reason = %s, attempts = %s, "
            "next_attempt_at = %s, account_id = %s, fact_key = %s, applied_at = %s WHERE id = %s",
            [
                (
                    row.state, row.reason, row.attempts, moment(row.next_attempt_at),
                    row.account_id, row.fact_key, moment(row.applied_at), row.pk,
                )
                for row in rows
            ],
        )  # fmt: skip
