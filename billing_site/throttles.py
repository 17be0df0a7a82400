"""The limit on requests per user, over all web processes.

Note [Permits in blocks]
    The framework's own throttles keep their counts in a cache. Per process that would multiply the
    limit by the number of processes; in the database it would cost several statements for every
    request, and it loses counts, because it reads and writes in two steps.

    Here a process takes a block of permits from the user's row, under that row's lock, and then
    lets requests through without asking again until the block is used up. The limit is never
    exceeded, whatever the number of processes; a request costs a twentieth of one short
    transaction; and what a process has left of its block when the minute turns is lost, so with
    many processes a user may be stopped a few blocks early.
"""

import threading
import time

from django.db import transaction
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from billing_site.models import RequestCount

PER_MINUTE = 600
BLOCK = 20
USED_UP = -1


class _Permits:
    """This process's unused permits of the current minute, by user."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute = 0
        self._left: dict[int, int] = {}

    def take(self, user_id: int, minute: int) -> bool:
        """One permit, from this process's block if there is one left."""
        with self._lock:
            if minute != self._minute:
                self._minute, self._left = minute, {}
            left = self._left.get(user_id, 0)
            if left == USED_UP:
                return False
            if left > 0:
                self._left[user_id] = left - 1
                return True
        granted = _reserve(user_id, minute)  # outside the lock: other users do not wait for it
        with self._lock:
            if minute == self._minute:
                left = max(self._left.get(user_id, 0), 0) + granted
                self._left[user_id] = left - 1  # without a grant and with nothing left: USED_UP
        return granted > 0

    def forget(self) -> None:
        """As a process that has just started."""
        with self._lock:
            self._left = {}


permits = _Permits()


class UserRate(BaseThrottle):
    """At most PER_MINUTE requests a minute of one user. See Note [Permits in blocks]."""

    def allow_request(self, request: Request, view: object) -> bool:
        user_id = getattr(request.user, "pk", None)
        if user_id is None:  # the price list, which is as public as any page
            return True
        return permits.take(user_id, int(time.time()) // 60)

    def wait(self) -> float:
        return 60 - time.time() % 60


def _reserve(user_id: int, minute: int) -> int:
    """Sets aside up to BLOCK of the user's permits of this minute; returns how many."""
    # Not in the transaction below: to insert a row while others wait for its lock is a deadlock
    # on MariaDB.
    RequestCount.objects.get_or_create(user_id=user_id, defaults={"minute": minute, "reserved": 0})
    with transaction.atomic():
        row = RequestCount.objects.select_for_update().get(user_id=user_id)
        if row.minute < minute:
            row.minute, row.reserved = minute, 0
        granted = min(BLOCK, PER_MINUTE - row.reserved)
        if granted:
            row.reserved += granted
            row.save(update_fields=["minute", "reserved"])
        return granted
