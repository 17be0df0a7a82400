"""What every worker does besides generations: streams without a pause, duties now and then."""

from collections.abc import Callable

from billing_site.accounts import erasure, services
from credits.payments import inbox
from generation.worker import Duty

STREAMS: list[Callable[..., int]] = [
    inbox.apply_due,
]
DUTIES: list[Duty] = [
    Duty(erasure.follow_up, every_seconds=3600),
    Duty(services.forget_sessions, every_seconds=3600),
]
