"""Sweeps are many short transactions, of which one that fails must not hold up the others."""

import logging
from collections.abc import Callable
from typing import TypeVar

from django.db import connection

logger = logging.getLogger(__name__)

T = TypeVar("T")


def attempt(action: Callable[[], T]) -> T | None:
    """What `action` returns; None, and a traceback in the log, if it fails.

    Raises what `action` raised if the database is gone: everything after it would fail too.
    """
    try:
        return action()
    except Exception:
        if connection.connection is None or not connection.is_usable():
            raise
        logger.exception("one of many could not be swept; the next sweep tries again")
        return None
