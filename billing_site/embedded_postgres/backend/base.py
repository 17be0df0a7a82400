"""Django's PostgreSQL backend on a server that is started when it is first needed.

`DIRECTORY` in the DATABASES entry says where the cluster lives; HOST, PORT, USER and PASSWORD are
not used. Asking for the connection parameters starts the server, so code that opens connections of
its own with them (Procrastinate, Django's pool) works as well. `check` or `makemigrations` without
a database start nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db.backends.postgresql import base, client
from django.db.utils import OperationalError

from .. import binaries, launcher
from ..errors import EmbeddedPostgresError

RETRY_SECONDS = 15
RETRY_PAUSE_SECONDS = 0.05


class EmbeddedPostgresUnavailable(OperationalError, CommandError):
    """The embedded server cannot be used.

    An OperationalError for code that handles a database being away, and a CommandError so that
    `manage.py` prints the sentence and exits with 1 instead of showing a traceback.
    """


def ensure_server(settings_dict: dict[str, Any], database: str | None = None) -> launcher.Server:
    """Have the configured server running. Raises EmbeddedPostgresUnavailable."""
    try:
        return launcher.ensure(configured_directory(settings_dict), database)
    except EmbeddedPostgresError as error:
        raise EmbeddedPostgresUnavailable(str(error)) from error


def configured_directory(settings_dict: dict[str, Any]) -> Path:
    """The DIRECTORY of a DATABASES entry. Raises ImproperlyConfigured when there is none."""
    if not settings_dict.get("DIRECTORY"):
        raise ImproperlyConfigured(
            "DATABASES: the embedded PostgreSQL needs a DIRECTORY to keep its data in."
        )
    return Path(settings_dict["DIRECTORY"])


class DatabaseClient(client.DatabaseClient):
    """`manage.py dbshell` with the psql that belongs to the server."""

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        server = ensure_server(settings_dict, settings_dict.get("NAME"))
        address = {"HOST": server.host, "PORT": server.port, "USER": server.user, "PASSWORD": ""}
        arguments, environment = super().settings_to_cmd_args_env(
            {**settings_dict, **address}, list(parameters)
        )
        return [str(binaries.find() / "psql"), *arguments[1:]], environment


class DatabaseWrapper(base.DatabaseWrapper):
    display_name = "Embedded PostgreSQL"
    client_class = DatabaseClient

    def get_connection_params(self) -> dict[str, Any]:
        params = super().get_connection_params()
        server = ensure_server(self.settings_dict, params.get("dbname"))
        params.pop("password", None)
        return {**params, "host": server.host, "port": server.port, "user": server.user}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect, waiting out the moments in which the server restarts or recovers."""
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                return super().get_new_connection(conn_params)
            except psycopg.OperationalError as error:
                if not launcher.is_transient(error) or time.monotonic() > deadline:
                    raise
            time.sleep(RETRY_PAUSE_SECONDS)
            ensure_server(self.settings_dict, conn_params.get("dbname"))
