"""What every worker does besides generations: streams without a pause, duties now and then."""

from collections.abc import Callable

from credits.payments import inbox, mirror
from generation.worker import Duty

STREAMS: list[Callable[..., int]] = [
    inbox.apply_due,
    mirror.mirror_due,
]
DUTIES: list[Duty] = []
