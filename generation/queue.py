"""Waking workers. The Generation row decides what is to be done; this only says "look now".

On PostgreSQL a Procrastinate job, inserted in the caller's transaction: it exists if and only if
the row does. Elsewhere workers poll the rows (generation/worker.py); nothing needs to be sent.
"""

from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import connection

if TYPE_CHECKING:
    from procrastinate import App

TASK = "generation.run"


def wake(generation_id: UUID, *, at: datetime | None = None) -> None:
    """Has a worker look at the generation, at once or not before `at`."""
    if settings.USES_POSTGRES:
        from procrastinate.exceptions import ConnectorException

        connection.ensure_connection()
        task = _jobs().configure_task(TASK, schedule_at=at, connection=connection.connection)
        with connection.wrap_database_errors:
            try:
                task.defer(generation_id=str(generation_id))
            except ConnectorException as error:  # maybe of a statement that travelled along
                raise (error.__cause__ or error) from None


@cache
def _jobs() -> "App":
    """Only for sending jobs, through the connection that each of them names.

    Procrastinate's Django connector cannot be used while psycopg is in pipeline mode.
    """
    from procrastinate import App, SyncPsycopgConnector

    return App(connector=SyncPsycopgConnector())


def wake_forgotten(generation_ids: list[UUID]) -> None:
    """Wakes workers for those of the generations that no job waits for: theirs was lost."""
    if settings.USES_POSTGRES and generation_ids:
        from procrastinate.contrib.django.models import ProcrastinateJob

        names = [str(generation_id) for generation_id in generation_ids]
        waiting = ProcrastinateJob.objects.filter(
            status="todo", task_name=TASK, args__generation_id__in=names
        )
        remembered = set(waiting.values_list("args__generation_id", flat=True))
        for generation_id in generation_ids:
            if str(generation_id) not in remembered:
                wake(generation_id)
