"""Time zones by their IANA names, such as Europe/Berlin."""

from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _


@lru_cache(maxsize=1)
def zone_names() -> list[str]:
    """Every zone that is known here, in the order of the alphabet."""
    return sorted(available_timezones())


def validate_zone(name: str) -> None:
    """Raises ValidationError unless the zone exists."""
    if name not in zone_names():
        raise ValidationError(_("There is no such time zone."), code="unknown_zone")


def zone(name: str) -> ZoneInfo | None:
    """The zone, or None if it is not known (any more)."""
    return ZoneInfo(name) if name in zone_names() else None
