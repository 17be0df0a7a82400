"""The worker process: threads that run generations, and the periodic duties.

On PostgreSQL Procrastinate wakes the threads through LISTEN/NOTIFY; elsewhere they poll.
The duties run in one thread of every worker: each is idempotent, so any number of workers may do
them (docs/adr/0004-duties-run-in-every-worker.md).
"""

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

import psycopg
from django.conf import settings
from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    close_old_connections,
    connection,
)
from django.utils import timezone

from credits import services as credits
from generation import runner, services

if TYPE_CHECKING:
    from procrastinate import App

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
DUTY_SECONDS = 10
STALLED_SECONDS = 60
EXPIRED_AT_ONCE = 2_000  # lots a minute and worker: the other duties of the thread have to go on


class Duty(NamedTuple):
    """Something to do now and then: `action(now=)`, every so many seconds. It is idempotent."""

    action: Callable[..., object]
    every_seconds: float = 60


def run_worker(
    *,
    concurrency: int,
    stop: threading.Event,
    streams: Sequence[Callable[..., int]] = (),
    duties: Sequence[Duty] = (),
) -> None:
    """Works until `stop` is set (SIGTERM and SIGINT set it), then finishes what is under way.

    Each of `streams` has a thread of its own: `stream(now=)` works off a batch and says how much
    that was. `duties` are done besides our own, in one thread.
    """
    _stop_on_signals(stop)
    all_duties = [*OUR_DUTIES, *duties]
    threads = [threading.Thread(target=_do_duties, args=(all_duties, stop), name="duties")]
    for stream in streams:
        name = stream.__module__.rpartition(".")[2]
        threads.append(threading.Thread(target=_empty, args=(stream, stop), name=name))
    for thread in threads:
        thread.start()
    try:
        if settings.USES_POSTGRES:
            _work_with_procrastinate(concurrency, stop)
        else:
            _work_by_polling(concurrency, stop)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _stop_on_signals(stop: threading.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())


# PostgreSQL ---------------------------------------------------------------------------------------


def _work_with_procrastinate(concurrency: int, stop: threading.Event) -> None:
    """Procrastinate's worker ends when PostgreSQL goes away; this one then starts another."""
    from procrastinate import exceptions
    from procrastinate.contrib.django import app
    from procrastinate.contrib.django.django_connector import DjangoConnector

    while not stop.is_set():
        try:
            # A copy: what tasks defer must go through the Django connection, in their transaction.
            connector = cast(DjangoConnector, app.connector).get_worker_connector()
            connector.listen_notify = partial(_listen, connector.listen_notify)  # type: ignore[method-assign]
            asyncio.run(_run_until(stop, app.with_connector(connector), concurrency))
        except (exceptions.ConnectorException, psycopg.OperationalError, DatabaseError) as error:
            logger.warning("the database went away, trying again: %s", error)
            stop.wait(1)
        else:
            stop.set()  # it returns normally only then


async def _run_until(stop: threading.Event, app: "App", concurrency: int) -> None:
    """Procrastinate's worker until `stop` is set; it finishes the jobs that it has begun.

    Its own signal handlers are there only after its first queries: until then ours had the signal,
    and the worker would never end.
    """
    async with app.open_async():
        working = asyncio.create_task(
            app.run_worker_async(
                name=worker_name(),
                concurrency=concurrency,
                delete_jobs="always",  # the Generation row keeps the history
                install_signal_handlers=False,
            )
        )
        while not (stop.is_set() or working.done()):
            await asyncio.wait([working], timeout=POLL_SECONDS)
        working.cancel()  # which it takes as: begin no more jobs
        with suppress(asyncio.CancelledError):
            await working


async def _listen(listen: Callable[..., Awaitable[None]], **what: object) -> None:
    """LISTEN, also after the database was away.

    Procrastinate's listener ends with its connection if the next one fails, and nobody notices: the
    worker would only poll from then on, and generations would start seconds late.
    """
    from procrastinate import exceptions

    while True:
        try:
            await listen(**what)
        except (exceptions.ConnectorException, psycopg.OperationalError) as error:
            logger.warning("not listening for new work, trying again: %s", error)
            await asyncio.sleep(1)


# MariaDB and SQLite -------------------------------------------------------------------------------


def _work_by_polling(concurrency: int, stop: threading.Event) -> None:
    threads = [
        threading.Thread(target=_poll, args=(stop,), name=f"generation-{number}")
        for number in range(concurrency)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _poll(stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            found_work = runner.run_one()
        except Exception:
            logger.exception("a generation could not be settled; the sweep will see to it")
            connection.close()
            found_work = False
        if not found_work:
            stop.wait(POLL_SECONDS)
    connection.close()


# Duties -------------------------------------------------------------------------------------------


def _do_duties(duties: Sequence[Duty], stop: threading.Event) -> None:
    next_time = [time.monotonic()] * len(duties)
    while not stop.is_set():
        close_old_connections()
        for number, duty in enumerate(duties):
            if time.monotonic() >= next_time[number]:
                next_time[number] = time.monotonic() + duty.every_seconds
                _do(duty.action)
        stop.wait(DUTY_SECONDS)
    connection.close()


def _empty(stream: Callable[..., int], stop: threading.Event) -> None:
    """Again at once while there is something, so that a storm is worked off without pauses."""
    while not stop.is_set():
        close_old_connections()
        if not _do(stream):
            stop.wait(POLL_SECONDS)
    connection.close()


def _do(action: Callable[..., object]) -> object:
    try:
        return action(now=timezone.now())
    except (OperationalError, InterfaceError) as error:  # away or busy: a line, no traceback
        logger.warning("%s waits for the database: %s", action, error)
        connection.close()
        return None
    except Exception:
        logger.exception("%s failed; the next round tries again", action)
        connection.close()
        return None


def _remove_stalled_jobs(*, now: datetime) -> None:
    """Jobs of workers that died. Their generations are the sweep's to restart."""
    if not settings.USES_POSTGRES:
        return
    from asgiref.sync import async_to_sync
    from procrastinate import exceptions
    from procrastinate.contrib.django import app
    from procrastinate.jobs import Status

    async def remove() -> None:
        for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
            with suppress(exceptions.ConnectorException):  # another worker was faster
                await app.job_manager.finish_job(job, status=Status.FAILED, delete_job=True)

    async_to_sync(remove)()


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


OUR_DUTIES = [
    Duty(partial(services.report_worker, name=worker_name()), every_seconds=DUTY_SECONDS),
    Duty(services.sweep, every_seconds=DUTY_SECONDS),
    Duty(partial(credits.expire_due, limit=EXPIRED_AT_ONCE)),
    Duty(services.forget_keys),
    Duty(_remove_stalled_jobs),
]
