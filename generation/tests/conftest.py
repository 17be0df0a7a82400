"""The cast of the credits tests, and the proof of the books after every test here too."""

from datetime import datetime

import pytest
from django.test import Client

from credits.models import Account
from credits.tests.conftest import account, books_balance, new_account
from credits.tests.pages import client_of

__all__ = ["account", "books_balance", "new_account"]


@pytest.fixture
def client(account: Account) -> Client:
    """The account's owner, signed in."""
    return client_of(account)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    """It stands still at `now`, for the pages too."""
    monkeypatch.setattr("django.utils.timezone.now", lambda: now)
