"""Real worker processes: woken, drained, killed at the worst moments."""

import signal
import time
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from credits.models import Hold
from generation import queries
from generation.models import Generation
from generation.tests.cast import available, give, request
from generation.tests.misbehaving_server import TEXT, MisbehavingServer
from generation.tests.worker_process import until, worker

pytestmark = pytest.mark.django_db(transaction=True)
Status = Generation.Status


@pytest.fixture
def backend():
    with MisbehavingServer() as server:
        yield server


@pytest.fixture
def generation(account):
    give(account, timezone.now())
    return request(account, timezone.now())


def status_is(generation: Generation, status: Status) -> bool:
    generation.refresh_from_db()
    return generation.status == status


def let_the_lease_run_out(generation: Generation) -> None:
    Generation.objects.filter(pk=generation.pk).update(lease_until=timezone.now())


def test_a_worker_runs_what_is_queued_and_stops_on_sigterm(generation, backend, account):
    with worker(backend.base_url) as process:
        until(lambda: status_is(generation, Status.SUCCEEDED), "the generation succeeds")
        assert queries.workers_alive(now=timezone.now()) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert generation.output == TEXT
    assert available(account, timezone.now()) == 9


@pytest.mark.skipif(connection.vendor != "postgresql", reason="Procrastinate's start")
def test_sigterm_while_the_worker_starts_is_not_lost(backend):
    with worker(backend.base_url, point="sigterm_while_starting") as process:
        assert process.wait(30) == 0


def test_sigterm_lets_the_worker_finish_what_is_under_way(generation, backend, account):
    backend.chunk_delay = 0.2
    with worker(backend.base_url) as process:
        until(lambda: status_is(generation, Status.RUNNING), "the generation runs")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert status_is(generation, Status.SUCCEEDED)
    assert available(account, timezone.now()) == 9


@pytest.mark.parametrize(
    "point",
    ["before_the_call", "during_the_call", "before_the_result_is_stored", "before_the_capture"],
)
def test_a_worker_killed_at_any_point_is_succeeded_by_another(generation, backend, account, point):
    with worker(backend.base_url, point=point) as process:
        assert process.wait(40) == -signal.SIGKILL
    assert status_is(generation, Status.RUNNING)
    assert Hold.objects.get(pk=generation.hold_id).state == Hold.State.OPEN
    let_the_lease_run_out(generation)
    with worker(backend.base_url):
        until(lambda: status_is(generation, Status.SUCCEEDED), "the next worker finishes")
    assert generation.attempts == 2
    assert Hold.objects.get(pk=generation.hold_id).captured == 1
    assert available(account, timezone.now()) == 9


def test_a_generation_whose_job_was_lost_is_found_by_the_sweep(generation, backend, account):
    """The process that asked died, or the queue was restored from an older backup."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM procrastinate_jobs")
    Generation.objects.update(run_at=timezone.now() - timedelta(seconds=31))
    with worker(backend.base_url):
        until(lambda: status_is(generation, Status.SUCCEEDED), "the generation succeeds")
    assert available(account, timezone.now()) == 9


@contextmanager
def database_away():
    """Nobody gets a connection to the test's database, and those who have one lose it."""
    params = connection.get_connection_params()
    name = params["dbname"]
    connection.close()
    elsewhere = {key: params[key] for key in ("host", "port", "user", "password") if key in params}
    with psycopg.connect(**elsewhere, dbname="postgres", autocommit=True) as server:
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        yield
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def somebody_listens():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
        return cursor.fetchone()[0]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="elsewhere workers poll")
def test_a_worker_listens_again_after_the_database_was_away(backend):
    with worker(backend.base_url):
        until(somebody_listens, "the worker listens")
        with database_away():
            time.sleep(3)  # its first attempts to come back fail
        assert not somebody_listens()
        until(somebody_listens, "the worker listens again")
