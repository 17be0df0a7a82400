"""Keeping what finished days added up to: the ledger says it, this only remembers."""

from datetime import UTC, datetime, timedelta

from django.db import transaction

from credits import figures
from credits.models import DailyTotal

AGAIN_AFTER = timedelta(days=1)  # so that a line which came later is counted too
AT_ONCE = 5  # days


def add_up_days(*, now: datetime) -> int:
    """Adds up finished days of the front page that are not kept yet, or not anew for a day.

    Returns how many; a few at a time, the newest first. Several workers at once write the same.
    """
    last = (now - figures.SETTLED).astimezone(UTC).date() - timedelta(days=1)
    days = {last - timedelta(days=back) for back in range(figures.DAYS - 1)}
    new = DailyTotal.objects.filter(day__in=days, added_up_at__gt=now - AGAIN_AFTER)
    days -= set(new.values_list("day", flat=True))
    chosen = sorted(days, reverse=True)[:AT_ONCE]
    for day in chosen:
        _keep(figures.add_up(day, day, now=now)[day])
    return len(chosen)


def _keep(total: DailyTotal) -> None:
    names = [field.name for field in DailyTotal._meta.fields if field.name not in ("id", "day")]
    with transaction.atomic():
        DailyTotal.objects.update_or_create(
            day=total.day, defaults={name: getattr(total, name) for name in names}
        )
