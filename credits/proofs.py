"""The proofs of the post-mortem: real threads, each with its own connection, on any database.

`manage.py prove_atomicity` runs them against the configured database, and the tests too. They call
credits.services like the site does; nothing in the services knows about them.

Note [Throwaway accounts]
    The ledger is append-only, so the proofs cannot take their lines back. Each run makes accounts
    of its own (`proof-<run>-<n>@proof.invalid`, inactive, without a password: nobody can sign in),
    and ends by adjusting what is left on them to 0. They stay in the books as credits that were
    issued and spent, and check_ledger stays clean. A database made for the run would leave
    nothing behind, but would prove another database than the one that holds the money, and needs
    a right that the site's role should not have.
"""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from threading import Barrier, BrokenBarrierError
from typing import Any

from django.contrib.auth import get_user_model
from django.db import DatabaseError, connection, connections

from credits import queries, services
from credits.models import CreditLot, Pool, RetailToken

CONNECT_SECONDS = 30


class ProofNotPossible(Exception):
    """The proof could not be run, so it shows nothing either way."""


@dataclass
class Outcome:
    """How requests made at once ended: done, refused by a rule, or failed in the database."""

    done: int = 0
    refused: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        text = f"{self.done} of {self.done + self.refused + self.failed.total()} succeed"
        failures = [f"{count} x {error}" for error, count in self.failed.items()]
        return ", ".join([text, *failures])


def at_once(requests: Sequence[Callable[[], object]], refusal: type[Exception]) -> Outcome:
    """Runs every request in a thread of its own, all let go at the same moment.

    `refusal` is the error by which a request may be refused. Raises ProofNotPossible if the
    database does not take as many connections.
    """
    barrier = Barrier(len(requests), timeout=CONNECT_SECONDS)
    outcome = Outcome()
    with ThreadPoolExecutor(max_workers=len(requests)) as pool:
        futures = [pool.submit(_one, request, barrier) for request in requests]
    errors = [future.exception() for future in futures]
    if barrier.broken:
        causes = [error for error in errors if error and not isinstance(error, BrokenBarrierError)]
        raise ProofNotPossible(
            f"The database did not take {len(requests)} connections at once "
            f"({_line(causes[0]) if causes else 'they took too long'}): raise its limit, or run "
            "this when the site has less to do."
        )
    for error in errors:
        if error is None:
            outcome.done += 1
        elif isinstance(error, refusal):
            outcome.refused += 1
        elif isinstance(error, DatabaseError | services.CreditsError):
            outcome.failed[_line(error)] += 1
        else:
            raise error
    return outcome


def _one(request: Callable[[], object], barrier: Barrier) -> None:
    try:
        try:
            connection.ensure_connection()
        except BaseException:
            barrier.abort()  # or the others would wait for this one
            raise
        barrier.wait()
        request()
    finally:
        connections.close_all()


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:90]


class Cast:
    """The throwaway accounts of one run: see Note [Throwaway accounts]."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.run = uuid.uuid4().hex[:12]
        self.account_ids: list[int] = []

    def account(self, *, subscription: int = 0, bulk: int = 0) -> int:
        """A new account with these credits; returns its id."""
        number = len(self.account_ids) + 1
        email = f"proof-{self.run}-{number}@proof.invalid"
        user = get_user_model().objects.create_user(email=email, is_active=False)
        account_id = services.open_account(user_id=user.pk, now=self.now).pk
        self.account_ids.append(account_id)
        if subscription:
            end = self.now + timedelta(days=30)
            self.grant(account_id, Pool.SUBSCRIPTION, subscription, self.key("start"), end)
        if bulk:
            self.grant(account_id, Pool.BULK, bulk, self.key("start"))
        return account_id

    def grant(
        self, account_id: int, pool: Pool, amount: int, key: str, end: datetime | None = None
    ) -> CreditLot:
        return services.grant(
            account_id=account_id,
            pool=pool,
            amount=amount,
            source_key=key,
            expires_at=end,
            actor="proof",
            now=self.now,
        )

    def spend(self, account_id: int) -> None:
        """Spends one credit for a request that is made once."""
        key = self.key("request")
        services.spend(
            account_id=account_id,
            amount=1,
            reference=key,
            idempotency_key=key,
            actor="proof",
            now=self.now,
        )

    def key(self, what: str) -> str:
        """A key that nothing else has."""
        return f"proof:{self.run}:{what}:{uuid.uuid4().hex}"

    def balance(self, account_id: int) -> queries.Balance:
        return queries.balance(account_id=account_id, now=self.now)

    def left(self, account_id: int) -> str:
        """What is left, as `subscription + bulk`."""
        pools = self.balance(account_id).pools
        return f"{pools[Pool.SUBSCRIPTION]} + {pools[Pool.BULK]} left"

    def retire(self) -> None:
        """Takes whatever is left from the accounts: the run leaves nothing that could be spent."""
        for account_id in self.account_ids:
            for pool, amount in self.balance(account_id).pools.items():
                if amount:
                    services.adjust(
                        account_id=account_id,
                        pool=Pool(pool),
                        amount=amount,
                        direction=services.Direction.REMOVE,
                        idempotency_key=self.key("retire"),
                        actor="proof",
                        note="end of the proof",
                        now=self.now,
                    )
            for key in RetailToken.objects.filter(
                account_id=account_id, state=RetailToken.State.AVAILABLE
            ).values_list("source_key", flat=True):
                services.revoke_retail_token(source_key=key, now=self.now)


# The proofs ---------------------------------------------------------------------------------------


def twenty_spends(cast: Cast) -> str:
    account_id = cast.account(subscription=5, bulk=5)
    requests = [lambda: cast.spend(account_id)] * 20
    outcome = at_once(requests, services.InsufficientCredits)
    return f"{outcome}, {cast.left(account_id)}"


def renewal(cast: Cast) -> str:
    account_id = cast.account(subscription=5, bulk=50)
    services.reset_subscription(
        account_id=account_id,
        amount=20,
        period_end=cast.now + timedelta(days=30),
        source_key=cast.key("renewal"),
        actor="proof",
        now=cast.now,
    )
    return cast.left(account_id)


def burn_order(cast: Cast) -> str:
    account_id = cast.account(subscription=3, bulk=10)
    for _request in range(5):
        cast.spend(account_id)
    return cast.left(account_id)


def packs_add_up(cast: Cast) -> str:
    account_id = cast.account()
    for amount in (50, 100, 250):
        cast.grant(account_id, Pool.BULK, amount, cast.key("pack"))
    return cast.left(account_id)


def load(cast: Cast) -> str:
    account_ids = [cast.account(subscription=2, bulk=2) for _account in range(10)]
    requests = [partial(cast.spend, account_id) for account_id in account_ids * 5]
    outcome = at_once(requests, services.InsufficientCredits)
    left = sorted({cast.left(account_id) for account_id in account_ids})
    return f"{outcome}, each {' or '.join(left)}"


def one_token_six_requests(cast: Cast) -> str:
    account_id = cast.account()
    services.issue_retail_token(account_id=account_id, source_key=cast.key("token"), now=cast.now)

    def generate() -> None:
        reference = cast.key("generation")
        services.reserve_retail_token(account_id=account_id, reference=reference, now=cast.now)
        services.use_retail_token(account_id=account_id, reference=reference, now=cast.now)

    outcome = at_once([generate] * 6, services.RetailTokenUnavailable)
    return f"{outcome}, {cast.balance(account_id).retail_tokens} left"


@dataclass(frozen=True)
class Proof:
    """What is done, what must come out, and the function that does it and says what came out."""

    name: str
    expected: str
    run: Callable[[Any], str]


@dataclass(frozen=True)
class Result:
    """What came out of a proof, and how many seconds it took."""

    name: str
    expected: str
    actual: str
    seconds: float

    @property
    def holds(self) -> bool:
        return self.actual == self.expected


TWENTY_SPENDS = "5 + 5 credits, 20 spends at once"
LOAD = "10 accounts of 2 + 2, 50 spends at once"
ONE_EVENT = "an event of 50 credits, 8 times at once"
ONE_RETAIL = "1 retail token, 6 requests at once"
PROOFS = [
    Proof(TWENTY_SPENDS, "10 of 20 succeed, 0 + 0 left", twenty_spends),
    Proof("renewal: 5 + 50, the plan gives 20", "20 + 50 left", renewal),
    Proof("order: 3 + 10, five spends", "0 + 8 left", burn_order),
    Proof("packs of 50, 100 and 250 add up", "0 + 400 left", packs_add_up),
    Proof(LOAD, "40 of 50 succeed, each 0 + 0 left", load),
    Proof(ONE_RETAIL, "1 of 6 succeed, 0 left", one_token_six_requests),
]


def run(proofs: Sequence[Proof], stage: Any) -> Iterator[Result]:
    """Runs the proofs one after the other on `stage`. Raises ProofNotPossible."""
    for proof in proofs:
        yield _timed(proof, stage)


def one_event_proof(deliver: Callable[[Cast], str]) -> Proof:
    """The proof about a repeated event, which this module cannot send: it knows no webhook."""
    return Proof(ONE_EVENT, "8 of 8 succeed, 0 + 50 left", deliver)


def run_all(now: datetime, more: Sequence[Proof] = ()) -> Iterator[Result]:
    """Every proof on throwaway accounts, and check_ledger over these as the last result."""
    cast = Cast(now)
    try:
        yield from run([*PROOFS, *more], cast)
    finally:
        cast.retire()
    name = f"check_ledger of these {len(cast.account_ids)} accounts"
    yield _timed(Proof(name, "balanced, 0 credits left", books), cast)


def books(cast: Cast) -> str:
    """Whether the books of the throwaway accounts balance, and what is left on them."""
    imbalances = list(queries.find_imbalances(cast.account_ids))
    left = sum(cast.balance(account_id).available for account_id in cast.account_ids)
    verdict = "; ".join(imbalances) if imbalances else "balanced"
    return f"{verdict}, {left} credits left"


def describe_database() -> str:
    """The database's name, its version, and the isolation level that transactions run at."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT current_setting('server_version')")
            name = f"PostgreSQL {cursor.fetchone()[0]}"
            cursor.execute("SELECT current_setting('transaction_isolation')")
            isolation = cursor.fetchone()[0]
        elif connection.vendor == "mysql":
            cursor.execute("SELECT version()")
            name = f"MariaDB/MySQL {cursor.fetchone()[0]}"
            cursor.execute(
                "SHOW VARIABLES WHERE Variable_name IN ('tx_isolation', 'transaction_isolation')"
            )
            isolation = cursor.fetchone()[1].replace("-", " ").lower()
        else:
            cursor.execute("SELECT sqlite_version()")
            name = f"SQLite {cursor.fetchone()[0]}"
            cursor.execute("PRAGMA journal_mode")
            begin = getattr(connection, "transaction_mode", None) or "DEFERRED"
            isolation = f"serializable (BEGIN {begin}, journal {cursor.fetchone()[0]})"
    return f"{name}, isolation level {isolation}"


def _timed(proof: Proof, stage: Any) -> Result:
    began = time.perf_counter()
    actual = proof.run(stage)
    return Result(proof.name, proof.expected, actual, time.perf_counter() - began)
