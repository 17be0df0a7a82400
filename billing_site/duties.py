"""What every worker does besides generations: streams without a pause, duties now and then."""

from collections.abc import Callable

from credits.payments import inbox
from credits.payments.reconcile import nightly
from generation.worker import Duty

STREAMS: list[Callable[..., int]] = [
    inbox.apply_due,
]
DUTIES: list[Duty] = [
    Duty(nightly.start_when_due, every_seconds=300),
]
