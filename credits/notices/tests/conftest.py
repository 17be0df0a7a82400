"""A customer, something to tell, and mail servers that behave or do not."""

import pytest

from credits import notices
from credits.models import Notice
from credits.notices.tests.mail_server import MailServer
from credits.tests.conftest import account, books_balance, customer, new_account, new_customer

__all__ = ["account", "books_balance", "customer", "new_account", "new_customer"]


@pytest.fixture
def owe(account, now):
    """Owes the account a mail; `owe()` about the same fact each time."""

    def owe(fact_key="fact:1", kind=Notice.Kind.WELCOME, **context):
        notices.queue(account_id=account.pk, kind=kind, fact_key=fact_key, now=now, **context)

    return owe


@pytest.fixture
def mail_server(settings):
    """A real SMTP server on this machine, which the site sends through."""
    with MailServer() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.server_address
        settings.EMAIL_TIMEOUT = 5
        yield server
