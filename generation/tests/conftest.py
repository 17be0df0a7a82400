"""The cast of the credits tests, and the proof of the books after every test here too."""

from credits.tests.conftest import account, books_balance, new_account

__all__ = ["account", "books_balance", "new_account"]
