"""Carrying out one generation: claim, call the backend, settle."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import Error, close_old_connections, connection
from django.utils import timezone

from generation import backends, services
from generation.models import Generation

logger = logging.getLogger(__name__)

MAX_OUTPUT_TOKENS = 400
MAX_OUTPUT_CHARS = 20_000


def run_one(generation_id: UUID | None = None) -> bool:
    """Runs the given generation or the next one due, from claim to settlement.

    False: none was due.
    """
    close_old_connections()  # a database that went away costs one failed query, not every later one
    claimed = services.claim(now=timezone.now(), generation_id=generation_id)
    if claimed is None:
        return False
    try:
        _run(claimed)
    except services.LeaseLost:
        logger.info("generation %s: no longer ours, attempt %s", claimed.pk, claimed.attempts)
    return True


def _run(claimed: Generation) -> None:
    try:
        with _heartbeat(claimed):
            completion = backends.complete(
                prompt=claimed.prompt,
                on_text=lambda text: services.keep(
                    claimed=claimed, output=text, now=timezone.now()
                ),
                deadline_seconds=_seconds_left(claimed),
                max_output_tokens=MAX_OUTPUT_TOKENS,
                max_output_chars=MAX_OUTPUT_CHARS,
            )
    except backends.BackendError as error:
        logger.warning("generation %s: %s (%s)", claimed.pk, error.code, error)
        services.fail(
            claimed=claimed,
            code=error.code,
            permanent=error.permanent,
            retry_after_seconds=error.retry_after,
            now=timezone.now(),
        )
        return
    services.succeed(
        claimed=claimed,
        output=completion.text,
        model=completion.model,
        input_tokens=completion.input_tokens,
        output_tokens=completion.output_tokens,
        now=timezone.now(),
    )
    logger.info("generation %s: done, attempt %s", claimed.pk, claimed.attempts)


def _seconds_left(claimed: Generation) -> float:
    assert claimed.started_at is not None, "claim sets it"
    left = claimed.started_at + services.DEADLINE - timezone.now()
    return max(left.total_seconds(), 1.0)


@contextmanager
def _heartbeat(claimed: Generation) -> Iterator[None]:
    """Renews the lease while the backend thinks without sending anything."""
    done = threading.Event()
    thread = threading.Thread(target=_beat, args=(claimed, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _beat(claimed: Generation, done: threading.Event) -> None:
    while not done.wait(services.LEASE.total_seconds() / 3):
        try:
            services.keep(claimed=claimed, now=timezone.now())
        except services.LeaseLost:
            break  # the worker finds out at its next write
        except Error:  # InterfaceError too: the thread has to outlive a lost connection
            logger.warning("generation %s: heartbeat failed", claimed.pk)
            connection.close()
    connection.close()
