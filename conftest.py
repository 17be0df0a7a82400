"""What every test shares: a clean database between tests with real commits, and a cast."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.db import connection, transaction
from django.test import TransactionTestCase

from credits import append_only

os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright runs an event loop in this thread

# Emptied between tests, in the order that foreign keys need. Tables that migrations fill stay.
TABLES = [
    "procrastinate_events",
    "procrastinate_periodic_defers",
    "procrastinate_jobs",
    "procrastinate_workers",
    "generation_worker",
    "generation_generation",
    "credits_retailtoken",
    "credits_ledgerentry",
    "credits_hold",
    "credits_planschedule",
    "credits_planclick",
    "credits_refund",
    "credits_refundedtotal",
    "credits_refundrequest",
    "credits_notice",
    "credits_noticepreferences",
    "credits_reconciliation",
    "credits_dailytotal",
    "credits_ledgeraudit",
    "credits_staffaction",
    "credits_adjustment",
    "credits_redemption",
    "credits_promotionalcode",
    "credits_failedredemption",
    "credits_creditlot",
    "credits_inboxevent",
    "credits_payment",
    "credits_subscription",
    "credits_checkoutstart",
    "credits_account",
    "credits_offer",
    "billing_site_cache",
    "axes_accessattemptexpiration",
    "axes_accessattempt",
    "djstripe_customer",
    "mfa_authenticator",
    "djstripe_event",
    "accounts_apikey",
    "billing_site_requestcount",
    "account_emailconfirmation",
    "account_emailaddress",
    "django_admin_log",
    "django_session",
    "accounts_user_groups",
    "accounts_user_user_permissions",
    "accounts_user",
]


@pytest.fixture(autouse=True, scope="session")
def quick_emptying() -> Iterator[None]:
    """Tests that commit empty our tables, not all 130: Django's flush takes a second a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda self: empty_tables())
        yield


def empty_tables() -> None:
    existing = set(connection.introspection.table_names())
    with transaction.atomic():
        append_only.remove(connection)  # the one documented way around the triggers
        with connection.cursor() as cursor:
            for table in TABLES:
                if table in existing:
                    cursor.execute(f"DELETE FROM {table}")
        append_only.install(connection)


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Runs at the same time do not share a database."""
    connection.settings_dict["TEST"]["NAME"] = f"test_billing_site_{os.getpid()}"
    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = f"/tmp/test_{os.getpid()}.sqlite3"


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
