"""Every write to generations. Each function is one short transaction; none calls the network.

Status changes are conditional updates that must move exactly one row. A worker shows the `attempts`
number it started with (the fencing token): when another has taken over, its writes move no row and
it gets LeaseLost.

Lock order: the generation's row, then (inside credits.services) its account. A new generation takes
its account first, which cannot collide: nobody else sees the new row, and its key is looked up
before the INSERT. (With a key that is there already, the INSERT would wait for whoever is settling
that generation, and they for the account.)
"""

import hashlib
import json
import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial

from django.db import connection, transaction

from credits import services as credits
from generation import plain_sql, queue
from generation.models import Generation, Worker

Status = Generation.Status
Funding = Generation.Funding

OPERATION = "text"  # the one that pages sell
LEASE = timedelta(seconds=30)  # a worker that stays silent longer has lost the work
MAX_STARTS = 3
DEADLINE = timedelta(seconds=120)  # from the first start to the last byte, over all attempts
MAX_QUEUED = timedelta(hours=1)
MAX_OPEN = 20  # queued or running, per account
MAX_PROMPT_CHARS = 8_000
KEY_LIFE = timedelta(days=30)  # how long an idempotency key is remembered
SWEPT_AT_ONCE = 500


class GenerationError(Exception):
    """The request cannot be carried out; nothing moved."""


class InvalidPrompt(GenerationError, ValueError):
    """The prompt is empty, too long, or holds characters that cannot be stored."""


class UnknownOperation(GenerationError, LookupError):
    """There is no price for this operation."""


class TooManyOpenGenerations(GenerationError):
    """The account has MAX_OPEN generations under way."""

    retry_after_seconds = 5


class RetailAlreadyGenerated(GenerationError):
    """A single generation cannot be generated again."""


class NotCancelable(GenerationError):
    """The generation has already ended."""


class NotFinished(GenerationError):
    """The generation has not ended yet."""


class _Repeated(Exception):
    """The key has made a generation before: nothing may be taken again."""


class LeaseLost(Exception):
    """The generation is no longer this worker's: canceled, or taken over after a silence."""


def request_generation(
    *,
    account_id: int,
    prompt: str,
    funding: Funding,
    operation: str,
    now: datetime,
    idempotency_key: str | None = None,
    regenerates: Generation | None = None,
) -> tuple[Generation, bool]:
    """Takes the credits or the retail token, stores the request and wakes a worker, all or nothing.

    Returns the generation and whether it is the answer to an earlier call with the same key.

    Raises InvalidPrompt, UnknownOperation, TooManyOpenGenerations, and from credits.services
    InsufficientCredits, RetailTokenUnavailable, AccountFrozen, IdempotencyConflict.
    """
    _check_prompt(prompt)
    price = plain_sql.price(operation)
    if price is None:
        raise UnknownOperation(f"There is no operation {operation!r}.")
    version, cost = price
    new = Generation(
        id=uuid.uuid4(),
        account_id=account_id,
        prompt=prompt,
        operation=operation,
        price_version=version,
        cost=cost if funding == Funding.CREDITS else 0,
        funding=funding,
        idempotency_key=idempotency_key,
        request_hash=_request_hash(prompt, funding, operation, regenerates),
        regenerates=regenerates,
        run_at=now,
        created_at=now,
    )
    try:
        with _paid(new, now):
            _check_before(new)
            plain_sql.insert(new)
            queue.wake(new.pk)
        return new, False
    except (_Repeated, credits.CreditsError, TooManyOpenGenerations):
        first = _requested_before(account_id, idempotency_key)
        if first is None:
            raise
    if first.request_hash != new.request_hash:
        raise credits.IdempotencyConflict(str(idempotency_key))
    return first, True


def regenerate(
    *, generation: Generation, now: datetime, idempotency_key: str | None = None
) -> tuple[Generation, bool]:
    """A new generation of the same prompt, which costs again. The old one stays as it is.

    Raises RetailAlreadyGenerated, NotFinished and what request_generation raises.
    """
    if generation.funding == Funding.RETAIL:
        raise RetailAlreadyGenerated(
            "A single generation is final and cannot be generated again. "
            "Buy credits to generate this prompt once more."
        )
    if generation.finished_at is None:
        raise NotFinished("This generation has not ended yet.")
    return request_generation(
        account_id=generation.account_id,
        prompt=generation.prompt,
        funding=Funding.CREDITS,
        operation=generation.operation,
        now=now,
        idempotency_key=idempotency_key,
        regenerates=generation,
    )


def cancel(*, generation: Generation, now: datetime) -> Generation:
    """The customer gives up the work: what it took goes back, its output so far is dropped.

    Repeating changes nothing. Raises NotCancelable if it has succeeded or failed.
    """
    open_row = Generation.objects.filter(pk=generation.pk, finished_at=None)
    with transaction.atomic(durable=True):
        moved = open_row.update(
            status=Status.CANCELED, lease_until=None, output="", finished_at=now
        )
        if moved:
            _give_back(generation, now, by_customer=True)
    generation.refresh_from_db()
    if generation.status != Status.CANCELED:
        raise NotCancelable("This generation has already ended.")
    return generation


def erase_texts(*, account_id: int, now: datetime) -> int:
    """Cancels what is open and empties every prompt and output; returns how many generations.

    For an account that is frozen: else a new one could follow. A worker that is still writing finds
    its lease lost. Costs, times and holds stay: the books refer to them.
    """
    for generation in Generation.objects.filter(account_id=account_id, finished_at=None):
        with suppress(NotCancelable):  # it has ended meanwhile
            cancel(generation=generation, now=now)
    return Generation.objects.filter(account_id=account_id, finished_at__isnull=False).update(
        prompt="", output="", request_hash="", idempotency_key=None
    )


# The worker's side --------------------------------------------------------------------------------


def claim(*, now: datetime, generation_id: uuid.UUID | None = None) -> Generation | None:
    """Starts the given generation, or the one that has waited longest; None if none is due.

    One that has waited too long is left to the sweep: what pays for it may be given back already.
    """
    queued = Generation.objects.filter(status=Status.QUEUED, created_at__gt=now - MAX_QUEUED)
    due = queued.filter(run_at__lte=now).order_by("run_at")
    if generation_id is not None:
        due = due.filter(pk=generation_id)
    if not due.exists():  # without a lock: on SQLite every transaction is a write
        return None
    skip_locked = connection.features.has_select_for_update_skip_locked
    with transaction.atomic(durable=True):
        found = due.select_for_update(skip_locked=skip_locked).first()
        if found is None:
            return None
        found.status = Status.RUNNING
        found.attempts += 1
        found.started_at = found.started_at or now
        found.lease_until = now + LEASE
        found.save(update_fields=["status", "attempts", "started_at", "lease_until"])
    return found


def keep(*, claimed: Generation, now: datetime, output: str | None = None) -> None:
    """Renews the lease and stores the output so far. Raises LeaseLost."""
    changes = {} if output is None else {"output": output}
    _move(claimed, lease_until=now + LEASE, **changes)


def succeed(
    *,
    claimed: Generation,
    output: str,
    model: str,
    input_tokens: int,
    output_tokens: int,
    now: datetime,
) -> None:
    """The work is done and is paid: captures the hold or uses the token. Raises LeaseLost."""
    with transaction.atomic(durable=True):
        _move(
            claimed,
            status=Status.SUCCEEDED,
            lease_until=None,
            output=output,
            model=model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            finished_at=now,
        )
        if claimed.funding == Funding.RETAIL:
            credits.use_retail_token(
                account_id=claimed.account_id, reference=_reference(claimed), now=now
            )
        else:
            credits.capture(hold_id=_hold_id(claimed), now=now)


def fail(
    *,
    claimed: Generation,
    code: str,
    now: datetime,
    permanent: bool = False,
    retry_after_seconds: float | None = None,
) -> None:
    """The attempt failed: tries again later, or ends the generation and gives back what it took.

    Raises LeaseLost.
    """
    started_at = claimed.started_at or now
    retry_at = now + _backoff(claimed.attempts, retry_after_seconds)
    if permanent or claimed.attempts >= MAX_STARTS or retry_at >= started_at + DEADLINE:
        _end_failed(claimed, code, now)
        return
    with transaction.atomic(durable=True):
        _move(
            claimed,
            status=Status.QUEUED,
            lease_until=None,
            output="",
            error_code=code,
            run_at=retry_at,
        )
        queue.wake(claimed.pk, at=retry_at)


def sweep(*, now: datetime) -> int:
    """Ends or restarts what a dead worker left behind; returns how many generations it moved.

    At most SWEPT_AT_ONCE of each kind, so that the worker gets to its other duties in between. What
    cannot be ended is logged and holds up nothing.
    """
    rows = Generation.objects.defer("prompt", "output")
    lost = rows.filter(status=Status.RUNNING, lease_until__lte=now).order_by("lease_until")
    stale = rows.filter(status=Status.QUEUED, created_at__lte=now - MAX_QUEUED)
    ends = [partial(fail, claimed=row, code="worker_lost", now=now) for row in lost[:SWEPT_AT_ONCE]]
    for row in stale.order_by("created_at")[:SWEPT_AT_ONCE]:
        ends.append(partial(_end_failed, row, "queue_timeout", now))
    moved = sum(credits.attempt(partial(_unless_lost, end)) or False for end in ends)
    overdue = rows.filter(status=Status.QUEUED, run_at__lte=now - LEASE).order_by("run_at")
    queue.wake_forgotten(list(overdue.values_list("pk", flat=True)[:SWEPT_AT_ONCE]))
    return moved


def forget_keys(*, now: datetime) -> int:
    """Forgets idempotency keys older than KEY_LIFE; returns how many."""
    old = Generation.objects.filter(created_at__lte=now - KEY_LIFE, idempotency_key__isnull=False)
    return old.update(idempotency_key=None)


def report_worker(*, name: str, now: datetime) -> None:
    """Notes that the worker is alive, and forgets those not seen for a day."""
    Worker.objects.update_or_create(name=name, defaults={"seen_at": now})
    Worker.objects.filter(seen_at__lte=now - timedelta(days=1)).delete()


# Inside -------------------------------------------------------------------------------------------


def _check_prompt(prompt: object) -> None:
    if not isinstance(prompt, str) or not prompt.strip():
        raise InvalidPrompt("The prompt is empty.")
    if len(prompt) > MAX_PROMPT_CHARS:
        raise InvalidPrompt(f"The prompt is longer than {MAX_PROMPT_CHARS} characters.")
    if "\0" in prompt or any("\ud800" <= char <= "\udfff" for char in prompt):
        raise InvalidPrompt("The prompt holds characters that are not text.")


def _request_hash(prompt: str, funding: str, operation: str, regenerates: Generation | None) -> str:
    again = str(regenerates.pk) if regenerates else None
    content = json.dumps([prompt, funding, operation, again])
    return hashlib.sha256(content.encode()).hexdigest()


def _reference(generation: Generation) -> str:
    return f"generation:{generation.pk}"


def _hold_id(generation: Generation) -> int:
    assert generation.hold_id is not None, "constraint generation_funded"
    return generation.hold_id


@contextmanager
def _paid(new: Generation, now: datetime) -> Iterator[None]:
    """A transaction that takes what pays for it, with its account locked."""
    reference = _reference(new)
    if new.funding == Funding.RETAIL:
        with transaction.atomic(durable=True):
            credits.reserve_retail_token(account_id=new.account_id, reference=reference, now=now)
            yield
        return
    with credits.holding(
        account_id=new.account_id,
        amount=new.cost,
        reference=reference,
        now=now,
        # The sweep ends the generation long before; this is the net under it.
        deadline=now + 2 * MAX_QUEUED,
        actor="customer",
    ) as hold:
        new.hold_id = hold.pk
        yield


def _give_back(generation: Generation, now: datetime, *, by_customer: bool) -> None:
    if generation.funding == Funding.RETAIL:
        credits.return_retail_token(
            account_id=generation.account_id, reference=_reference(generation), now=now
        )
        return
    credits.release(
        hold_id=_hold_id(generation),
        now=now,
        by_customer=by_customer,
        actor="customer" if by_customer else "system",
    )


def _check_before(new: Generation) -> None:
    """Exact, because the account is locked by now."""
    repeated, open_ones = plain_sql.before(new.account_id, new.idempotency_key)
    if repeated:
        raise _Repeated
    if open_ones >= MAX_OPEN:
        raise TooManyOpenGenerations(
            f"You have {MAX_OPEN} generations under way: wait for one to finish."
        )


def _requested_before(account_id: int, key: str | None) -> Generation | None:
    if key is None:
        return None
    return Generation.objects.filter(account_id=account_id, idempotency_key=key).first()


def _move(claimed: Generation, **changes: object) -> None:
    """Writes to the row if it is still what the caller knows: same status, same attempt."""
    row = Generation.objects.filter(pk=claimed.pk, status=claimed.status, attempts=claimed.attempts)
    if row.update(**changes) != 1:
        raise LeaseLost(f"generation {claimed.pk}, attempt {claimed.attempts}")


def _end_failed(generation: Generation, code: str, now: datetime) -> None:
    with transaction.atomic(durable=True):
        _move(
            generation,
            status=Status.FAILED,
            lease_until=None,
            output="",
            error_code=code,
            finished_at=now,
        )
        _give_back(generation, now, by_customer=False)


def _backoff(attempts: int, retry_after_seconds: float | None) -> timedelta:
    """2, 8, 32 ... seconds and up to half as much again, or what the backend asked for."""
    seconds = 2 * 4 ** (attempts - 1) * random.uniform(1, 1.5)  # noqa: S311
    return timedelta(seconds=max(seconds, retry_after_seconds or 0))


def _unless_lost(end: Callable[[], None]) -> bool:
    try:
        end()
    except LeaseLost:  # finished, canceled or taken over since it was listed
        return False
    return True
