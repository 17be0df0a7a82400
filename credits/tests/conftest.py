"""The cast of the credits tests: a customer at a moment, and the proof of the books at the end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from credits import append_only, books, queries, services
from credits.models import Account, CreditLot, Hold, Pool
from credits.tests.race import meet_before


@pytest.fixture(autouse=True)
def books_balance(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test that touches the database ends by proving the books."""
    if request.node.get_closest_marker("django_db") is None:
        yield
        return
    request.getfixturevalue("db")
    yield
    if "breaks_the_books" not in request.keywords:
        assert list(queries.find_imbalances()) == []


@pytest.fixture
def new_account(db: None, now: datetime) -> Callable[[], Account]:
    def make() -> Account:
        number = Account.objects.count() + 1
        user = get_user_model().objects.create_user(email=f"customer{number}@example.com")
        return services.open_account(user_id=user.pk, now=now)

    return make


@pytest.fixture
def account(new_account: Callable[[], Account]) -> Account:
    return new_account()


@pytest.fixture
def new_customer(new_account: Callable[[], Account], now: datetime) -> Callable[[], "Customer"]:
    return lambda: Customer(new_account().pk, now)


@pytest.fixture
def customer(new_customer: Callable[[], "Customer"]) -> "Customer":
    return new_customer()


@pytest.fixture
def without_triggers(db: None) -> Iterator[None]:
    """The ledger as somebody finds it who owns the database."""
    append_only.remove(connection)
    yield
    append_only.install(connection)


@pytest.fixture
def without_lock(monkeypatch) -> Callable[..., None]:
    """Takes the lock away; `parties` calls meet before they write, so all have read by then."""
    if connection.vendor == "sqlite":
        pytest.skip("BEGIN IMMEDIATE is the lock on SQLite: there is no clause to take away")

    def take_away(parties: int, where: Any = books.Books, name: str = "write") -> None:
        locking = books._lock_sql(connection.vendor)
        plain, clause, _rest = locking.partition(" FOR ")
        assert clause
        monkeypatch.setattr(books, "_lock_sql", lambda vendor: plain)
        meet_before(monkeypatch, parties, where, name)

    return take_away


@dataclass
class Customer:
    """The services for one account at one moment, without the arguments that do not matter."""

    account_id: int
    now: datetime
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def wait(self, **time: float) -> None:
        self.now += timedelta(**time)

    def in_days(self, days: float) -> datetime:
        return self.now + timedelta(days=days)

    def key(self, kind: str) -> str:
        return f"{kind}:{self.account_id}:{next(self.numbers)}"

    # Credits in

    def grant(self, amount: int, pool: Pool = Pool.BULK, **more: Any) -> CreditLot:
        more.setdefault("source_key", self.key("pack"))
        return services.grant(
            account_id=self.account_id, pool=pool, amount=amount, **{"now": self.now, **more}
        )

    def gift(self, amount: int, days: float, **more: Any) -> CreditLot:
        return self.grant(amount, Pool.PROMOTIONAL, expires_at=self.in_days(days), **more)

    def renew(self, amount: int, days: float = 30, **more: Any) -> CreditLot:
        more.setdefault("source_key", self.key("invoice"))
        more.setdefault("period_end", self.in_days(days))
        return services.reset_subscription(
            account_id=self.account_id, amount=amount, now=self.now, **more
        )

    # Credits out

    def hold(self, amount: int, **more: Any) -> Hold:
        more.setdefault("idempotency_key", self.key("request"))
        more.setdefault("reference", "generation:1")
        return services.hold(account_id=self.account_id, amount=amount, now=self.now, **more)

    def spend(self, amount: int, **more: Any) -> Hold:
        more.setdefault("idempotency_key", self.key("request"))
        more.setdefault("reference", "generation:1")
        return services.spend(account_id=self.account_id, amount=amount, now=self.now, **more)

    def capture(self, hold: Hold, amount: int | None = None) -> Hold:
        return services.capture(hold_id=hold.pk, amount=amount, now=self.now)

    def release(self, hold: Hold, *, by_customer: bool = False) -> Hold:
        return services.release(hold_id=hold.pk, by_customer=by_customer, now=self.now)

    def refund(self, hold: Hold) -> Hold:
        return services.refund_spend(hold_id=hold.pk, now=self.now, actor="staff", note="goodwill")

    # Corrections

    def claw_back(self, lot: CreditLot, total: int) -> CreditLot:
        return services.claw_back(
            source_key=lot.source_key, total=total, reference="refund:ch_1", now=self.now
        )

    def reverse_claw_back(self, lot: CreditLot, total: int) -> CreditLot:
        return services.reverse_claw_back(
            source_key=lot.source_key, total=total, reference="refund:ch_1", now=self.now
        )

    def freeze(self, lot: CreditLot) -> CreditLot:
        return services.freeze_lot(
            source_key=lot.source_key, reference="dispute:du_1", now=self.now
        )

    def unfreeze(self, lot: CreditLot) -> CreditLot:
        return services.unfreeze_lot(
            source_key=lot.source_key, reference="dispute:du_1", now=self.now
        )

    def adjust(
        self, amount: int, direction: services.Direction, pool: Pool = Pool.BULK, **more: Any
    ) -> CreditLot | Hold:
        more.setdefault("idempotency_key", self.key("form"))
        return services.adjust(
            account_id=self.account_id, pool=pool, amount=amount, direction=direction,
            actor="staff", note="because", now=self.now, **more,
        )  # fmt: skip

    # Retail tokens

    def buy_token(self, **more: Any) -> Any:
        more.setdefault("source_key", self.key("checkout"))
        return services.issue_retail_token(account_id=self.account_id, now=self.now, **more)

    def reserve(self, reference: str) -> Any:
        return services.reserve_retail_token(
            account_id=self.account_id, reference=reference, now=self.now
        )

    def use(self, reference: str) -> Any:
        return services.use_retail_token(
            account_id=self.account_id, reference=reference, now=self.now
        )

    def give_token_back(self, reference: str) -> None:
        services.return_retail_token(account_id=self.account_id, reference=reference, now=self.now)

    # What there is

    @property
    def balance(self) -> queries.Balance:
        return queries.balance(account_id=self.account_id, now=self.now)

    @property
    def pools(self) -> tuple[int, int, int]:
        """Subscription, promotional and bulk credits."""
        return tuple(self.balance.pools.values())  # type: ignore[return-value]

    @property
    def available(self) -> int:
        return self.balance.available

    @property
    def owed(self) -> int:
        return self.balance.owed

    def lines(self) -> list[str]:
        """The ledger, oldest first: `grant 10`, `hold -3` ..."""
        newest_first = queries.history(account_id=self.account_id)
        return [f"{line.kind} {line.amount}" for line in reversed(newest_first)]


def left(lot: CreditLot) -> int:
    """What is left in the lot, as the database says."""
    return CreditLot.objects.get(pk=lot.pk).remaining
