"""The database backend and its command, each in a Django process of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from billing_site.embedded_postgres import launcher

from .servers import as_user, only_as_root, ordinary_user, query, run_python

SETUP = """
import json, os, signal, sys, threading
from contextlib import suppress
from pathlib import Path
import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.db import connection
from billing_site.embedded_postgres import launcher

database = {
    "ENGINE": "billing_site.embedded_postgres.backend",
    "NAME": "site",
    "DIRECTORY": sys.argv[1],
    "CONN_MAX_AGE": None,
    "CONN_HEALTH_CHECKS": True,
    "OPTIONS": {"server_side_binding": True},
}
database.update(json.loads(os.environ.get("DATABASE", "{}")))
settings.configure(
    USE_TZ=True,
    DATABASES={"default": database},
    INSTALLED_APPS=["billing_site.embedded_postgres", *os.environ.get("APPS", "").split()],
)
django.setup()

def ask(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]
"""
MANAGE = f"{SETUP}\nexecute_from_command_line(['manage.py', *sys.argv[2:]])"


def django(code: str, directory: Path) -> list[str]:
    """What a Django process prints, line by line."""
    done = run_python(SETUP + code, directory)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def manage(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_python(MANAGE, directory, *arguments)


class TestConnection:
    def test_starts_the_server_when_it_is_needed_and_not_before(self, directory: Path) -> None:
        launcher.stop(directory)

        before, vendor, name = django(
            "connection.ops\n"
            "print(launcher.status(Path(sys.argv[1])).is_running)\n"
            "print(connection.vendor); print(ask('SELECT current_database()'))",
            directory,
        )

        assert (before, vendor, name) == ("False", "postgresql", "site")

    def test_survives_a_killed_server(self, directory: Path) -> None:
        code = """
from django.core.signals import request_started
from billing_site.embedded_postgres.tests.servers import kill
print(ask("SELECT count(*) FROM kept"))
kill(launcher.status(Path(sys.argv[1])).pid)
request_started.send(sender=None)  # as at the start of each request: unusable connections are left
print(ask("SELECT count(*) FROM kept"))
"""
        assert django(code, directory) == ["1000", "1000"]

    def test_waits_while_the_server_recovers_from_a_killed_session(self, directory: Path) -> None:
        code = """
pid = ask("SELECT pg_backend_pid()")
os.kill(pid, signal.SIGKILL)
with suppress(ProcessLookupError):
    while True:  # until the server has noticed: a session that begins before is ended with the rest
        os.kill(pid, 0)
connection.close()
print(ask("SELECT count(*) FROM kept"))
"""
        assert django(code, directory) == ["1000"]

    def test_other_failures_are_not_retried(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE", '{"OPTIONS": {"options": "-c no_such_setting=1"}}')

        done = run_python(SETUP + "ask('SELECT 1')", directory)

        assert 'unrecognized configuration parameter "no_such_setting"' in done.stderr

    def test_threads_share_the_server(self, directory: Path) -> None:
        launcher.stop(directory)
        code = """
pids = []
def work():
    pids.append(connection.get_connection_params() and ask("SELECT 1"))
    connection.close()
threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
print(pids)
"""
        assert django(code, directory) == [str([1] * 8)]

    def test_works_with_djangos_pool(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE", '{"CONN_MAX_AGE": 0, "OPTIONS": {"pool": true}}')

        code = "print(ask('SELECT 1')); connection.close(); connection.close_pool()"

        assert django(code, directory) == ["1"]

    def test_server_side_binding_is_kept(self, directory: Path) -> None:
        code = "print(type(connection.cursor().cursor).__name__)"

        assert django(code, directory) == ["ServerBindingCursor"]


class TestTestDatabases:
    def test_are_made_cloned_and_destroyed_on_the_same_server(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("APPS", "django.contrib.contenttypes")
        code = """
creation = connection.creation
creation.create_test_db(verbosity=0, autoclobber=True)
print(ask("SELECT current_database()"))
creation.clone_test_db("1", verbosity=0)
creation.setup_worker_connection(1)
print(ask("SELECT current_database()"), ask("SELECT count(*) FROM django_migrations") > 0)
connection.close()
settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = "test_site"
creation.destroy_test_db("site", verbosity=0, suffix="1")
settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = "test_site"
creation.destroy_test_db("site", verbosity=0)
print(ask("SELECT current_database()"))
print(ask("SELECT count(*) FROM pg_database WHERE datname LIKE 'test%'"))
"""
        assert django(code, directory) == ["test_site", "test_site_1 True", "site", "0"]


class TestProcrastinate:
    @pytest.fixture(autouse=True)
    def installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("APPS", "procrastinate.contrib.django")

    def test_first_connection_may_be_its_own(self, directory: Path) -> None:
        launcher.stop(directory)
        code = """
from procrastinate import SyncPsycopgConnector
from procrastinate.contrib.django.utils import connector_params
connector = SyncPsycopgConnector(kwargs=connector_params())
connector.open()
print(connector.execute_query_one("SELECT current_database() AS name")["name"])
connector.close()
"""
        assert django(code, directory) == ["site"]

    def test_its_pool_restarts_the_server_when_it_asks_for_parameters_each_time(
        self, directory: Path
    ) -> None:
        code = """
import logging
from procrastinate import SyncPsycopgConnector
from procrastinate.contrib.django.utils import connector_params
from billing_site.embedded_postgres.tests.servers import kill
logging.getLogger("psycopg.pool").setLevel("CRITICAL")
connector = SyncPsycopgConnector(kwargs=connector_params)
connector.open()
connector.execute_query_one("SELECT 1 AS one")
kill(launcher.ensure(Path(sys.argv[1])).pid)
while True:
    try:
        print(connector.execute_query_one("SELECT current_database() AS name")["name"])
    except Exception:
        continue
    break
connector.close()
"""
        assert django(code, directory) == ["site"]

    def test_job_deferred_in_django_is_run_by_a_worker(self, directory: Path) -> None:
        code = """
from django.core.management import call_command
from procrastinate.contrib.django import app
call_command("migrate", verbosity=0)

@app.task(name="greet")
def greet(name):
    print("hello", name, flush=True)

greet.defer(name="world")
worker = app.with_connector(app.connector.get_worker_connector())
worker.run_worker(wait=False, listen_notify=False, install_signal_handlers=False)
"""
        assert django(code, directory) == ["hello world"]


class TestCommand:
    def test_start_stop_and_status_each_say_one_line(self, directory: Path) -> None:
        code = """
from django.core.management import call_command
for action in ("stop", "stop", "status", "start", "status"):
    call_command("embedded_postgres", action)
"""
        stopped, again, off, started, on = django(code, directory)

        pid = launcher.status(directory).pid
        socket = directory / ".s.PGSQL.5432"
        assert (stopped, again) == ("stopped", "stopped already")
        assert off.startswith("stopped, PostgreSQL 18, ")
        assert started == f"running: pid {pid}, socket directory {directory}"
        assert on.startswith(
            f"running: pid {pid}, PostgreSQL 18.4, data {directory / 'data'}, socket {socket}, "
        )
        assert on.endswith("MB")

    def test_psql_is_the_servers_own(self, directory: Path) -> None:
        statement = "SELECT version() || current_database()"
        ours = manage(directory, "embedded_postgres", "psql", "--", "-Atc", statement)

        assert ours.stdout.startswith("PostgreSQL 18.")
        assert ours.stdout.endswith("site\n")

    def test_dbshell_uses_it_too(self, directory: Path) -> None:
        shell = manage(directory, "dbshell", "--", "-Atc", r"\echo :VERSION_NAME")

        assert shell.stdout.startswith("18.")

    def test_psql_hands_on_its_exit_status(self, directory: Path) -> None:
        failed = manage(directory, "embedded_postgres", "psql", "--", "-c", "SELECT nonsense")

        assert failed.returncode == 1
        assert "Traceback" not in failed.stderr

    def test_other_databases_are_not_its_business(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE", '{"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {}}')

        refused = manage(directory, "embedded_postgres", "stop")

        assert refused.returncode == 1
        assert refused.stderr.startswith("CommandError: The configured database is SQLite, not")
        assert "Traceback" not in refused.stderr

    def test_any_command_says_in_one_line_why_the_database_is_away(self, place: Path) -> None:
        directory = place / "postgres"
        directory.mkdir()
        (directory / "notes.txt").touch()

        refused = manage(directory, "migrate")

        assert refused.returncode == 1
        assert "holds other files" in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert "DATABASE_URL" in refused.stderr

    def test_missing_directory_setting_is_named(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE", '{"DIRECTORY": null}')

        assert "needs a DIRECTORY" in manage(directory, "embedded_postgres", "status").stderr


@only_as_root
def test_database_made_by_root_is_closed_to_other_users(directory: Path) -> None:
    server = launcher.ensure(directory, "site")

    with pytest.raises(AssertionError, match="Permission denied"):
        as_user(ordinary_user(), query, server, "SELECT 1")
