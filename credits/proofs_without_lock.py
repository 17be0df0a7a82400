"""The code of the post-mortem, to show what the proofs find: read, check, think, write back.

`manage.py prove_atomicity --naive` and the tests run it; the site never does. Its numbers live in a
table of its own, made and dropped by `throwaway_table`: lost updates in the real books could not be
taken back, and a switch in the services that turns the lock off could be left on.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import ClassVar

from django.apps.registry import Apps
from django.db import connection, models, transaction

from credits.proofs import LOAD, ONE_EVENT, ONE_RETAIL, TWENTY_SPENDS, Outcome, Proof, at_once

THINKING_SECONDS = 0.05  # the template, the tax, the log line between the check and the write


class Refused(Exception):
    """The check said no."""


class Row(models.Model):
    """An account, a delivered event or a retail token: whatever the naive code keeps."""

    key = models.CharField(max_length=100, db_index=True)
    credits = models.BigIntegerField(default=0)
    objects: ClassVar[models.Manager["Row"]] = models.Manager()

    class Meta:
        apps = Apps()  # not one of the site's models: no migration may ever see it
        app_label = "credits"
        db_table = "credits_proof_without_lock"

    def __str__(self) -> str:
        return self.key


@contextmanager
def throwaway_table() -> Iterator[None]:
    """The table exists inside, empty. One left behind by a killed run is replaced."""
    _drop()
    with connection.schema_editor() as editor:
        editor.create_model(Row)
    try:
        yield
    finally:
        _drop()


def _drop() -> None:
    if Row._meta.db_table in connection.introspection.table_names():
        with connection.schema_editor() as editor:
            editor.delete_model(Row)


def spend(key: str, block: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
    """One credit, as in the post-mortem; `block` may be transaction.atomic, which is no lock."""
    with block():
        account = Row.objects.get(key=key)
        if account.credits < 1:
            raise Refused
        time.sleep(THINKING_SECONDS)
        account.credits -= 1
        account.save()


def receive(event: str, key: str) -> None:
    """An event that adds 50 credits, unless it was seen before."""
    if Row.objects.filter(key=event).exists():
        return
    time.sleep(THINKING_SECONDS)
    Row.objects.create(key=event)
    account = Row.objects.get(key=key)
    account.credits += 50
    account.save()


def twenty_spends(_stage: None) -> str:
    Row.objects.create(key="one", credits=10)
    outcome = at_once([lambda: spend("one")] * 20, Refused)
    return f"{outcome}, {_left('one')} left"


def twenty_spends_atomic(_stage: None) -> str:
    Row.objects.create(key="atomic", credits=10)
    outcome = at_once([lambda: spend("atomic", transaction.atomic)] * 20, Refused)
    return f"{outcome}, {_left('atomic')} left"


def load(_stage: None) -> str:
    keys = [f"load {number}" for number in range(10)]
    Row.objects.bulk_create(Row(key=key, credits=4) for key in keys)
    outcome = at_once([partial(spend, key) for key in keys * 5], Refused)
    left = sorted({_left(key) for key in keys})
    return f"{outcome}, each {' or '.join(map(str, left))} left"


def one_event_eight_times(_stage: None) -> str:
    Row.objects.create(key="paying")
    at_once([lambda: receive("event", "paying")] * 8, Refused)
    booked = Row.objects.filter(key="event").count()
    return f"booked {booked} x, {_left('paying')} left"


def one_token_six_requests(_stage: None) -> str:
    Row.objects.create(key="token", credits=1)
    outcome: Outcome = at_once([lambda: spend("token")] * 6, Refused)
    return f"{outcome}, {_left('token')} left"


def _left(key: str) -> int:
    return Row.objects.get(key=key).credits


PROOFS = [
    Proof(TWENTY_SPENDS, "10 of 20 succeed, 0 left", twenty_spends),
    Proof("the same inside transaction.atomic", "10 of 20 succeed, 0 left", twenty_spends_atomic),
    Proof(LOAD, "40 of 50 succeed, each 0 left", load),
    Proof(ONE_EVENT, "booked 1 x, 50 left", one_event_eight_times),
    Proof(ONE_RETAIL, "1 of 6 succeed, 0 left", one_token_six_requests),
]
