"""GET healthz and readyz."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from billing_site import health
from generation import services


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_found_migrated", False)


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*args: object) -> None:
        raise OperationalError("connection to server at SECRET failed")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "cursor", refuse)
        yield


class TestHealthz:
    def test_says_that_the_process_is_up_without_the_database(self, client):
        answer = client.get("/healthz")  # without django_db: a query would fail the test
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert "no-store" in answer["Cache-Control"]

    def test_is_only_read(self, client):
        assert client.post("/healthz").status_code == 405


@pytest.mark.django_db
class TestReadyz:
    def test_is_ready_with_a_worker_that_has_just_reported(self, client):
        services.report_worker(name="w", now=timezone.now())
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ready"})

    def test_misses_a_worker_that_fell_silent(self, client):
        services.report_worker(name="w", now=timezone.now() - timedelta(seconds=61))
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json() == {"status": "unavailable", "missing": {"worker": health.WORKER}}

    def test_misses_a_migration(self, client):
        services.report_worker(name="w", now=timezone.now())
        [latest] = MigrationLoader(connection).graph.leaf_nodes("credits")
        MigrationRecorder(connection).record_unapplied(*latest)
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert list(answer.json()["missing"]) == ["migrations"]

    def test_misses_the_database_and_does_not_say_where_it_is(self, client, no_database):
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert list(answer.json()["missing"]) == ["database"]
        assert b"SECRET" not in answer.content

    def test_looks_at_the_migrations_once(self, client, django_assert_num_queries):
        services.report_worker(name="w", now=timezone.now())
        client.get("/readyz")
        with django_assert_num_queries(1):
            assert client.get("/readyz").status_code == 200
