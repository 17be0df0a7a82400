"""Calls that start at the same moment, each in a thread with its own connection."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from threading import Barrier, BrokenBarrierError, Thread
from typing import Any

import pytest
from django.db import DatabaseError, connection


def race(*calls: Callable[[], Any]) -> list[Any]:
    """What each call returned, or the exception that it raised, in the order of the calls."""
    outcomes: list[Any] = [None] * len(calls)
    start = Barrier(len(calls))

    def run(number: int, call: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            start.wait(timeout=30)
            outcomes[number] = call()
        except Exception as error:
            outcomes[number] = error
        finally:
            connection.close()

    threads = [Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def meet_before(patch: pytest.MonkeyPatch, parties: int, where: Any, name: str) -> None:
    """Lets `parties` calls wait for each other before they call `where.name`."""
    everybody = Barrier(parties)
    original = getattr(where, name)

    def meet(*args: Any, **kwargs: Any) -> Any:
        with suppress(BrokenBarrierError):
            everybody.wait(timeout=5)
        return original(*args, **kwargs)

    patch.setattr(where, name, meet)


def kinds(outcomes: list[Any]) -> Counter[str]:
    return Counter(type(outcome).__name__ for outcome in outcomes)


def a_constraint_refused(outcomes: list[Any]) -> bool:
    return any(isinstance(outcome, DatabaseError) for outcome in outcomes)
