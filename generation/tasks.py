"""The Procrastinate task (PostgreSQL): a job says that a generation wants to be looked at."""

from uuid import UUID

from procrastinate.contrib.django import app

from generation import queue


@app.task(name=queue.TASK)
def run(*, generation_id: str) -> None:
    from generation import runner  # the model's library needs 30 MB: only of a process that works

    runner.run_one(UUID(generation_id))
