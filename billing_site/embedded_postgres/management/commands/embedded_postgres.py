"""Look at, start and stop the embedded database by hand."""

from __future__ import annotations

import subprocess
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, connections
from django.template.defaultfilters import filesizeformat

from billing_site.embedded_postgres import launcher
from billing_site.embedded_postgres.backend.base import (
    DatabaseWrapper,
    configured_directory,
    ensure_server,
)
from billing_site.embedded_postgres.errors import EmbeddedPostgresError


class Command(BaseCommand):
    help = "Show, start or stop the embedded PostgreSQL, or open psql on it."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["start", "stop", "status", "psql"])
        parser.add_argument("parameters", nargs="*", help="for psql, after --")

    def handle(self, *args: Any, **options: Any) -> None:
        self.connection = connections[DEFAULT_DB_ALIAS]
        if not isinstance(self.connection, DatabaseWrapper):
            raise CommandError(
                f"The configured database is {self.connection.display_name}, not the embedded "
                "PostgreSQL that runs when DATABASE_URL is unset: there is nothing to manage here."
            )
        if options["parameters"] and options["action"] != "psql":
            raise CommandError(f"{options['action']} takes no parameters.")
        self.directory = configured_directory(self.connection.settings_dict)
        try:
            getattr(self, options["action"])(options["parameters"])
        except EmbeddedPostgresError as error:
            raise CommandError(str(error)) from error

    def start(self, parameters: list[str]) -> None:
        settings = self.connection.settings_dict
        server = ensure_server(settings, settings["NAME"])
        self.stdout.write(f"running: pid {server.pid}, socket directory {server.host}")

    def stop(self, parameters: list[str]) -> None:
        was_running = launcher.stop(self.directory)
        self.stdout.write("stopped" if was_running else "stopped already")

    def status(self, parameters: list[str]) -> None:
        found = launcher.status(self.directory)
        state = f"running: pid {found.pid}" if found.is_running else "stopped"
        version = f"PostgreSQL {found.version}" if found.version else "no cluster yet"
        self.stdout.write(
            f"{state}, {version}, data {found.data_directory}, socket {found.socket}, "
            f"{filesizeformat(found.size)}"
        )

    def psql(self, parameters: list[str]) -> None:
        try:
            self.connection.client.runshell(parameters)
        except subprocess.CalledProcessError as error:
            raise CommandError(
                f"psql ended with status {error.returncode}.", returncode=error.returncode
            ) from error
