"""The Procrastinate task (PostgreSQL): a job says that a generation wants to be looked at."""

from uuid import UUID

from procrastinate.contrib.django import app

from generation import queue, runner


@app.task(name=queue.TASK)
def run(*, generation_id: str) -> None:
    runner.run_one(UUID(generation_id))
