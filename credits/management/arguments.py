"""Argument types that the commands share. Each refuses with a sentence, through argparse."""

import getpass
import os
from argparse import ArgumentTypeError
from datetime import UTC, date, datetime, time, timedelta

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.core.validators import validate_email

from credits import services
from credits.models import Account
from credits.services.errors import MOST_CREDITS

MOST_TEXT = 255  # what the books' columns hold
FURTHEST_EXPIRY = timedelta(days=3653)  # ten years: anything later is a typing error


def credit_amount(text: str) -> int:
    """A positive whole number of credits, written in plain digits."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise ArgumentTypeError(f"{text!r} is not a positive whole number of credits.")
    if not 1 <= int(text) <= MOST_CREDITS:
        raise ArgumentTypeError(f"Credits must be from 1 to {MOST_CREDITS}, not {text}.")
    return int(text)


def short_text(text: str) -> str:
    """One line of text that can be kept in the books: 1 to 255 printable characters."""
    text = text.strip()
    if not text:
        raise ArgumentTypeError("This may not be empty.")
    if len(text) > MOST_TEXT:
        raise ArgumentTypeError(f"This has {len(text)} characters, at most {MOST_TEXT} are kept.")
    if not text.isprintable():
        raise ArgumentTypeError("This has characters that are not text (a line break, a bad byte).")
    return text


def email_address(text: str) -> str:
    """An email address, in the small letters that accounts are kept in."""
    try:
        validate_email(text)
    except ValidationError:
        raise ArgumentTypeError(f"{text!r} is not an email address.") from None
    return text.lower()


def day(text: str) -> date:
    """A day as YYYY-MM-DD."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day: write YYYY-MM-DD.") from None


def end_of(last_day: date, now: datetime) -> datetime:
    """The moment when credits end that are good through `last_day`, in UTC.

    Raises CommandError if that is over or more than ten years ahead.
    """
    today = now.astimezone(UTC).date()
    if last_day < today:
        raise CommandError(f"{last_day} is over: give a day from {today} on.")
    if last_day > today + FURTHEST_EXPIRY:
        raise CommandError(f"{last_day} is more than ten years ahead: is the year right?")
    return datetime.combine(last_day + timedelta(days=1), time(), UTC)


def account_of(email: str, now: datetime) -> Account:
    """The account of the person with this address. Raises CommandError if nobody has it."""
    user = get_user_model().objects.filter(email=email).first()
    if user is None:
        raise CommandError(f"Nobody has signed up as {email}: check the address.")
    return services.open_account(user_id=user.pk, now=now)


def operator() -> str:
    """Who runs this command, as the books name it: `cli:<user of the operating system>`."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a container may run as a number that has no name
        return f"cli:{os.getuid()}"
