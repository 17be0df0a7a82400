"""What every test shares: a clean database between tests with real commits, and a cast."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache

import pytest
from django.db import connection, transaction
from django.test import TransactionTestCase, override_settings

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


# The files that take longest go first, so that no process waits for another at the end.
LONGEST = [
    "test_order.py",
    "test_docs.py",
    "test_layout.py",
    "test_life.py",
    "test_crashes.py",
    "test_machine.py",
    "test_quickstart.py",
    "test_accessibility.py",
    "test_worker_process.py",
    "test_admin_access.py",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


@pytest.fixture(autouse=True, scope="session")
def quick_settings() -> Iterator[None]:
    """Without what takes most of many a test's time and is not what it looks at."""
    with override_settings(
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # Argon2 is made slow
        WHITENOISE_AUTOREFRESH=True,  # else every client begins with a list of all static files
    ):
        yield


@pytest.fixture(autouse=True, scope="session")
def quick_emptying() -> Iterator[None]:
    """Tests that commit empty our tables, not all 130: Django's flush takes a second a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda self: empty_tables())
        yield


def empty_tables() -> None:
    """Deletes what there is. Most tests fill a few tables, and seldom those with triggers."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(f'EXISTS (SELECT 1 FROM {name})' for name in tables())}")
        full = [name for name, rows in zip(tables(), cursor.fetchone(), strict=True) if rows]
        guarded = [name for name in full if name in append_only.PREFIXES]
        if guarded:
            append_only.remove(connection, *guarded)  # the one documented way around the triggers
        for name in full:
            cursor.execute(f"DELETE FROM {name}")
        if guarded:
            append_only.install(connection, *guarded)


@cache
def tables() -> list[str]:
    """Those of TABLES that this database has."""
    existing = set(connection.introspection.table_names())
    return [name for name in TABLES if name in existing]


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Runs at the same time do not share a database."""
    connection.settings_dict["TEST"]["NAME"] = f"test_billing_site_{os.getpid()}"
    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = f"/tmp/test_{os.getpid()}.sqlite3"


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
