"""What the commands share: whatever is expected to go wrong ends in one sentence."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor

from credits.services import CreditsError


class CreditsCommand(BaseCommand):
    """A command whose expected failures are CommandErrors: one sentence and exit status 1.

    That covers a database that is away, not migrated or busy, and every refusal of the services.
    """

    refusal_status = 1

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except CommandError:  # also the embedded PostgreSQL's own sentences, which are both
            raise
        except CreditsError as error:
            raise CommandError(str(error), returncode=self.refusal_status) from error
        except Error as error:
            raise CommandError(database_trouble(error), returncode=self.refusal_status) from error


def database_trouble(error: Error) -> str:
    """What is wrong with the database, as a sentence with a remedy.

    A connection of its own finds out, because the one that failed may be unusable by now.
    """
    probe = connection.copy()
    try:
        probe.ensure_connection()
        executor = MigrationExecutor(probe)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes("credits"))
    except Error as unreachable:
        return f"The database cannot be reached ({_line(unreachable)}): check DATABASE_URL."
    finally:
        probe.close()
    if pending:
        return "The database is not migrated: run `manage.py migrate` first."
    return f"The database refused ({_line(error)}): try again, or look into its log."


def _line(error: Error) -> str:
    """The message without the line breaks, and without the error number that MariaDB puts first."""
    message = str(error.args[-1]) if error.args else type(error).__name__
    return " ".join(message.split()).rstrip(".")
