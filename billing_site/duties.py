"""What every worker does besides generations: streams without a pause, duties now and then."""

from collections.abc import Callable

from credits.notices import outbox, staff, watches
from credits.payments import inbox
from generation.worker import Duty

STREAMS: list[Callable[..., int]] = [
    inbox.apply_due,
    outbox.send_due,
]
DUTIES: list[Duty] = [
    Duty(watches.watch_balances),
    Duty(watches.watch_expiry, every_seconds=600),
    Duty(staff.alert_staff),
]
