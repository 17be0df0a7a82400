"""Random lives of an account: after every step the services agree with a plain model of the rules.

Each sequence is one transaction that is rolled back. After every step the lots, holds, tokens and
the debt are compared with the model, and the account's books are proved by credits.audit from the
same rows; at the end of a sequence once more from everything that the database has.

    CI=1 pytest credits/tests/test_machine.py       1,000 sequences of 50 steps
    MACHINE_SEED=7 pytest ...                       the sequences of that seed
"""

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from credits import audit, queries, services
from credits.models import Account, CreditLot, Hold, LedgerEntry, RetailToken, row_id
from credits.tests.model import NEVER, Lot, Model

SEQUENCES = 1_000 if os.environ.get("CI") else 40
STEPS = 50
SEED = int(os.environ.get("MACHINE_SEED", random.randrange(10**6)))

amounts = st.integers(1, 30)
bought = st.integers(1, 60)
pools = st.sampled_from(["subscription", "promotional", "bulk"])
days = st.none() | st.sampled_from([1, 2, 10, 40])
which = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 5, 8, 13, 40])  # mostly one of the newest
has_lots = precondition(lambda self: self.model.lots)
has_holds = precondition(lambda self: self.model.holds)
numbers = count(1)


@cache
def compiled(model: Any, column: str) -> tuple[Any, str, dict[Any, Any], list[str]]:
    query = model.objects.filter(**{column: 0, "id__gt": 0}).order_by("id").query
    compiler = query.get_compiler(connection=connection)
    sql, _params = compiler.as_sql()
    names = [field.attname for field in model._meta.concrete_fields]
    return compiler, sql, compiler.get_converters([each[0] for each in compiler.select]), names


def rows(model: Any, column: str, value: int, newer_than: int = 0) -> list[Any]:
    """The ORM's own query, compiled once: compiling took half of the machine's time."""
    compiler, sql, converters, names = compiled(model, column)
    with connection.cursor() as cursor:
        cursor.execute(sql, [value, newer_than])
        found = compiler.apply_converters(cursor.fetchall(), converters)
        return [model.from_db("default", names, row) for row in found]


class Machine(RuleBasedStateMachine):
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.model = Model(datetime(2026, 3, 10, 12, 0, tzinfo=UTC))
        user = get_user_model().objects.create_user(email=f"machine{next(numbers)}@example.com")
        self.id = services.open_account(user_id=user.pk, now=self.now).pk
        self.keys = map("key:{}".format, numbers)
        self.done: list[tuple[Callable[..., Any], dict[str, Any], int]] = []
        self.called = True
        self.entries: list[LedgerEntry] = []
        self.holds: list[Hold] = []
        self.said: dict[datetime, tuple[Any, ...]] = {}

    def teardown(self) -> None:
        try:
            assert list(queries.find_imbalances([self.id])) == []
        finally:
            self.roll_back()

    def roll_back(self) -> None:
        transaction.set_rollback(True)
        self.transaction.__exit__(None, None, None)

    @property
    def now(self) -> datetime:
        return self.model.now

    def same(self, model: Callable[[], Any], service: Callable[..., Any], **arguments: Any) -> Any:
        """Both do it, or both refuse it with the same error."""
        self.called = True
        try:
            model()
        except services.CreditsError as refusal:
            with pytest.raises(type(refusal)) as refused:
                service(now=self.now, **arguments)
            if isinstance(refusal, services.InsufficientCredits):
                assert str(refused.value) == str(refusal)
            return None
        return service(now=self.now, **arguments)

    def once(self, model: Callable[[], Any], service: Callable[..., Any], **arguments: Any) -> None:
        result = self.same(model, service, account_id=self.id, **arguments)
        if result is not None:
            self.done.append((service, arguments, result.pk))

    def lot(self, number: int) -> Lot:
        lots = [lot for lot in self.model.lots if lot.key != "return"]
        return lots[-1 - number % len(lots)]

    def hold(self, number: int) -> tuple[Any, int]:
        index = -1 - number % len(self.model.holds)
        return self.model.holds[index], self.holds[index].pk

    # The clock

    @rule(hours=st.sampled_from([1, 1, 24, 24, 72, 24 * 31]))
    def time_passes(self, hours: int) -> None:
        self.model.move_clock(self.now + timedelta(hours=hours))

    @has_lots
    @rule(microseconds=st.sampled_from([-1, 0]))
    def time_passes_to_the_next_end(self, microseconds: int) -> None:
        ends = [lot.ends for lot in self.model.lots if self.now < lot.ends < NEVER]
        if ends:
            self.model.move_clock(min(ends) + timedelta(microseconds=microseconds))

    # Credits in

    @rule(pool=pools, amount=bought, days=days)
    def grant(self, pool: str, amount: int, days: int | None) -> None:
        key, ends = next(self.keys), self.in_days(days)
        self.once(
            lambda: self.model.grant(key, pool, amount, ends or NEVER),
            services.grant, source_key=key, pool=pool, amount=amount, expires_at=ends,
        )  # fmt: skip

    @rule(amount=bought, days=st.sampled_from([1, 30]), cap=st.sampled_from([0, 5, 100]))
    def renew(self, amount: int, days: int, cap: int) -> None:
        key, end = next(self.keys), self.now + timedelta(days=days)
        self.once(
            lambda: self.model.renew(key, amount, end, cap),
            services.reset_subscription,
            source_key=key, amount=amount, period_end=end, rollover_cap=cap,
        )  # fmt: skip

    def in_days(self, days: int | None) -> datetime | None:
        return None if days is None else self.now + timedelta(days=days)

    # Credits out

    @rule(amount=amounts, days=days)
    def take(self, amount: int, days: int | None) -> None:
        deadline = self.in_days(days)
        self.once(
            lambda: self.model.hold(amount, deadline or NEVER),
            services.hold, idempotency_key=next(self.keys), amount=amount, reference="work",
            deadline=deadline,
        )  # fmt: skip

    @rule(amount=amounts)
    def spend(self, amount: int) -> None:
        self.once(
            lambda: self.model.spend(amount),
            services.spend, idempotency_key=next(self.keys), amount=amount, reference="work",
        )  # fmt: skip

    @has_holds
    @rule(number=which, amount=st.none() | amounts)
    def capture(self, number: int, amount: int | None) -> None:
        hold, pk = self.hold(number)
        if amount is not None and amount < 25:  # else perhaps more than there is
            amount = 1 + amount % hold.amount
        wanted = hold.amount if amount is None else amount
        self.same(
            lambda: self.model.capture(hold, wanted), services.capture, hold_id=pk, amount=amount
        )

    @has_holds
    @rule(number=which, by_customer=st.booleans())
    def release(self, number: int, by_customer: bool) -> None:
        hold, pk = self.hold(number)
        self.same(
            lambda: self.model.release(hold, by_customer=by_customer),
            services.release, hold_id=pk, by_customer=by_customer,
        )  # fmt: skip

    @has_holds
    @rule(number=which)
    def refund(self, number: int) -> None:
        hold, pk = self.hold(number)
        self.same(
            lambda: self.model.refund(hold),
            services.refund_spend, hold_id=pk, actor="staff", note="goodwill",
        )  # fmt: skip

    @rule()
    def sweep(self) -> None:
        self.same(self.model.sweep, services.expire_due)

    # Corrections

    @has_lots
    @rule(number=which, total=amounts)
    def claw_back(self, number: int, total: int) -> None:
        lot = self.lot(number)
        total = 1 + total % lot.granted
        self.same(
            lambda: self.model.claw_back(lot, total),
            services.claw_back, source_key=lot.key, total=total, reference="refund",
        )  # fmt: skip

    @has_lots
    @rule(number=which, total=st.integers(0, 60))
    def reverse_claw_back(self, number: int, total: int) -> None:
        """A refund has failed; mostly of a purchase that has been clawed back."""
        refunded = [lot for lot in self.model.lots if lot.demanded and lot.key != "return"]
        lot = refunded[number % len(refunded)] if refunded else self.lot(number)
        total %= lot.demanded + 1
        self.same(
            lambda: self.model.reverse(lot, total),
            services.reverse_claw_back, source_key=lot.key, total=total, reference="refund",
        )  # fmt: skip

    @has_lots
    @rule(number=which)
    def dispute(self, number: int) -> None:
        """Opened, or over if there was one."""
        lot = self.lot(number)
        self.same(
            lambda: (self.model.unfreeze if lot.disputed else self.model.freeze)(lot),
            services.unfreeze_lot if lot.disputed else services.freeze_lot,
            source_key=lot.key, reference="dispute",
        )  # fmt: skip

    @rule(pool=pools, amount=amounts, direction=st.sampled_from(services.Direction))
    def adjust(self, pool: str, amount: int, direction: services.Direction) -> None:
        key = next(self.keys)
        self.once(
            lambda: self.model.grant(f"adjustment:{key}", pool, amount, NEVER)
            if direction is services.Direction.ADD
            else self.model.remove(pool, amount),
            services.adjust, idempotency_key=key, pool=pool, amount=amount, direction=direction,
            actor="staff", note="because",
        )  # fmt: skip

    @rule(active=st.sampled_from([True] * 5 + [False]))
    def freeze_account(self, active: bool) -> None:
        self.model.active = active
        change = services.unfreeze_account if active else services.freeze_account
        change(account_id=self.id, now=self.now)

    # Retail tokens

    @rule(
        number=which,
        action=st.sampled_from(["buy", "reserve", "use", "return", "revoke", "restore"]),
    )
    def retail(self, number: int, action: str) -> None:
        if action == "buy":
            self.buy_token()
        elif action == "reserve":
            self.reserve_token()
        elif self.model.tokens:
            token = self.model.tokens[number % len(self.model.tokens)]
            if action in ("revoke", "restore"):
                self.refunded(token, action)
            else:
                self.end(token[1], action)

    def buy_token(self) -> None:
        key = next(self.keys)
        self.once(
            lambda: self.model.tokens.append(["available", "", key]),
            services.issue_retail_token, source_key=key,
        )  # fmt: skip

    def reserve_token(self) -> None:
        reference = next(self.keys)
        self.same(
            lambda: self.model.reserve(reference),
            services.reserve_retail_token, account_id=self.id, reference=reference,
        )  # fmt: skip

    def end(self, reference: str, action: str) -> None:
        if reference and action == "use":
            model, service = self.model.use, services.use_retail_token
        elif reference:
            model, service = self.model.give_token_back, services.return_retail_token
        else:
            return  # it is free: there is no generation to end
        self.same(lambda: model(reference), service, account_id=self.id, reference=reference)

    def refunded(self, token: list[str], action: str) -> None:
        model = self.model.revoke if action == "revoke" else self.model.restore
        service = getattr(services, f"{action}_retail_token")
        self.same(lambda: model(token), service, source_key=token[2])

    # Again, and asked about afterwards

    @precondition(lambda self: self.done)
    @rule(number=which, more=st.booleans())
    def again(self, number: int, more: bool) -> None:
        self.called = True
        service, arguments, first = self.done[number % len(self.done)]
        if more and "amount" in arguments:
            arguments = {**arguments, "amount": arguments["amount"] + 1}
            with pytest.raises(services.IdempotencyConflict):
                service(account_id=self.id, now=self.now, **arguments)
        else:
            assert service(account_id=self.id, now=self.now, **arguments).pk == first

    @precondition(lambda self: self.said)
    @rule(number=which, now=st.booleans())
    def ask(self, number: int, now: bool) -> None:
        moment = self.now if now else list(self.said)[number % len(self.said)]
        if now:
            balance = queries.balance(account_id=self.id, now=moment)
        else:
            balance = queries.balance_at(account_id=self.id, moment=moment)
        assert (balance.pools, balance.owed, balance.held) == self.said[moment]

    # What holds after every step

    @invariant()
    def services_agree_with_the_model(self) -> None:
        Machine.steps += 1
        model = self.model
        self.said[self.now] = (model.pools, model.owed, model.held)
        if not self.called:
            return  # a step that only read, or moved the clock: the tables are what they were
        self.called = False
        [account] = rows(Account, "id", self.id)
        lots = rows(CreditLot, "account_id", self.id)
        self.holds = holds = rows(Hold, "account_id", self.id)
        assert account.owed == model.owed
        assert [self.facts(lot) for lot in lots] == [
            (lot.pool, lot.granted, lot.remaining, lot.frozen, lot.demanded, lot.owed, lot.ends)
            for lot in model.lots
        ]
        assert [(hold.amount, hold.captured, hold.state) for hold in holds] == [
            (hold.amount, hold.captured, hold.state) for hold in model.holds
        ]
        if model.tokens:
            tokens = rows(RetailToken, "account_id", self.id)
            assert [token.state for token in tokens] == [token[0] for token in model.tokens]
        if account.sequence > len(self.entries):  # older lines are read again at the end only
            newest = row_id(self.id, len(self.entries))
            self.entries += rows(LedgerEntry, "account_id", self.id, newer_than=newest)
        _totals, wrong = audit.prove(account, self.entries, lots, holds)
        assert wrong == []

    def facts(self, lot: CreditLot) -> tuple[Any, ...]:
        ends = lot.expires_at or NEVER
        left = 0 if ends <= self.now else lot.remaining  # perhaps not written off yet
        return lot.pool, lot.granted, left, lot.frozen, lot.clawed_back, lot.clawed_back_owed, ends


@pytest.mark.django_db(transaction=True)
def test_services_agree_with_the_model_in_every_life(request):
    profile = settings(
        max_examples=SEQUENCES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(SEED)(Machine), settings=profile)
    request.config.get_terminal_writer().line(
        f"\n{SEQUENCES} sequences, {Machine.steps} steps, seed {SEED}"
    )
