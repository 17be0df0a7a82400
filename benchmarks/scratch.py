"""A throwaway database with accounts full of credits, for the benchmarks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_site.settings")
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402 (needs django.setup)
from django.db import connection  # noqa: E402

from credits import services  # noqa: E402
from credits.models import Pool  # noqa: E402

CREDITS = 100_000_000
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@contextmanager
def scratch_database() -> Iterator[str]:
    """Makes, migrates and afterwards drops a database; yields its name. Needs PostgreSQL."""
    if connection.vendor != "postgresql":
        raise SystemExit("The benchmarks compare with pgbench and need PostgreSQL.")
    connection.settings_dict["TEST"]["NAME"] = f"bench_billing_site_{os.getpid()}"
    configured = connection.settings_dict["NAME"]
    name = connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        yield name
    finally:
        connection.creation.destroy_test_db(configured, verbosity=0)


def rich_accounts(count: int) -> list[int]:
    """`count` accounts with CREDITS bulk credits each."""
    user = get_user_model()
    ids = []
    for number in range(count):
        account = services.open_account(
            user_id=user.objects.create(email=f"bench{number}@example.com").pk, now=NOW
        )
        services.grant(
            account_id=account.pk,
            pool=Pool.BULK,
            amount=CREDITS,
            source_key=f"bench:{number}",
            now=NOW,
        )
        ids.append(account.pk)
    return ids
