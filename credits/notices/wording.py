"""A letter, and what many of them say in the same words."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy

Context = dict[str, Any]  # what a notice keeps for its text

STAYS = gettext_lazy("Packs, gifts and single generations stay.")


@dataclass(frozen=True)
class Letter:
    """A mail in words: paragraphs, then facts (name and value), then one button."""

    subject: str
    paragraphs: list[str]
    button: str
    button_path: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    link: tuple[str, str] | None = None  # to a page of Stripe's


def date_words(iso: str) -> str:
    """In the current time zone: the reader's."""
    return date_format(timezone.localtime(datetime.fromisoformat(iso)), "j F Y, H:i T")
