"""What every worker does besides generations: streams without a pause, duties now and then."""

from collections.abc import Callable

from billing_site.accounts import erasure
from billing_site.accounts import services as accounts
from credits import nightly_audit
from credits import services as credits
from credits.notices import outbox, staff, watches
from credits.payments import inbox, mirror
from credits.payments.reconcile import nightly
from generation.worker import Duty

STREAMS: list[Callable[..., int]] = [
    inbox.apply_due,
    mirror.mirror_due,
    outbox.send_due,
]
DUTIES: list[Duty] = [
    Duty(watches.watch_balances),
    Duty(watches.watch_expiry, every_seconds=600),
    Duty(staff.alert_staff),
    Duty(nightly.start_when_due, every_seconds=300),
    Duty(nightly_audit.audit_tonight, every_seconds=10),
    Duty(credits.add_up_days),
    Duty(credits.lapse_adjustments, every_seconds=3600),
    Duty(erasure.follow_up, every_seconds=3600),
    Duty(accounts.forget_sessions, every_seconds=3600),
]
