"""The audit log: who of the staff did what, when, why, and what it was before and after."""

from datetime import datetime
from typing import Any

from credits.models import StaffAction


def record_action(
    *,
    actor: str,
    action: str,
    reason: str,
    now: datetime,
    account_id: int | None = None,
    target: str = "",
    reason_code: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> StaffAction:
    """One line in the log, for ever: belongs into the transaction of what it tells about.

    `action` is a stable name such as `account.freeze`; `before` and `after` are plain values.
    """
    return StaffAction.objects.create(
        actor=actor,
        action=action,
        reason=reason,
        reason_code=reason_code,
        account_id=account_id,
        target=target,
        before=before or {},
        after=after or {},
        created_at=now,
    )
