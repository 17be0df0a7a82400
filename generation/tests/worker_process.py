"""Real worker processes on the test's database, which can be killed at a chosen point.

    python -m generation.tests.worker_process POINT

POINT is a key of `faults`. The process kills itself with SIGKILL when it gets there, or asks itself
to stop with SIGTERM.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

from procrastinate.manager import JobManager

SECONDS = 40
REGISTER = JobManager.register_worker


def database_url() -> str:
    """The test's database, for a process that reads DATABASE_URL."""
    from django.db import connection

    params = connection.get_connection_params()
    if connection.vendor == "postgresql":
        port = params.get("port") or ""
        return (
            f"postgres://{params['user']}@/{params['dbname']}"
            f"?host={quote(str(params['host']), safe='')}&port={port}"
        )
    if connection.vendor == "sqlite":
        return f"sqlite:///{connection.settings_dict['NAME']}"
    configured = urlsplit(os.environ["DATABASE_URL"])
    return configured._replace(path=f"/{connection.settings_dict['NAME']}").geturl()


@contextmanager
def worker(backend_url: str, *, point: str = "none") -> Iterator["subprocess.Popen[str]"]:
    """A worker process; killed at the end if it still lives."""
    process = subprocess.Popen(
        [sys.executable, "-m", "generation.tests.worker_process", point],
        env={**os.environ, "DATABASE_URL": database_url(), "GENERATION_BASE_URL": backend_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(condition: Callable[[], Any], what: str) -> Any:
    """Waits for a true value and returns it."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {SECONDS} s in vain: {what}")


def die(*args: Any, **kwargs: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def stop_while_registering(jobs: Any) -> Any:
    """In place of JobManager.register_worker, after which Procrastinate listens to signals."""
    os.kill(os.getpid(), signal.SIGTERM)
    return await REGISTER(jobs)


def main(point: str) -> None:
    import contextlib

    import django

    django.setup()
    from unittest import mock

    from django.core.management import call_command

    from credits import services as credits
    from generation import backends, services

    faults = {
        "none": contextlib.nullcontext,
        "before_the_call": lambda: mock.patch.object(backends, "complete", die),
        "during_the_call": lambda: mock.patch.object(services, "keep", die),
        "before_the_result_is_stored": lambda: mock.patch.object(services, "succeed", die),
        "before_the_capture": lambda: mock.patch.object(credits, "capture", die),
        "sigterm_while_starting": lambda: mock.patch.object(
            JobManager, "register_worker", stop_while_registering
        ),
    }
    with faults[point]():
        call_command("worker", concurrency=2)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_site.settings")
    main(sys.argv[1])
