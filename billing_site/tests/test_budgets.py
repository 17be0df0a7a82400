"""What a page costs somebody with a long history: 10,000 lines, 10,000 texts, 2,000 purchases."""

import time
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client

from credits.models import Account, CreditLot
from credits.tests.conftest import account, books_balance, customer, new_account, new_customer
from credits.tests.pages import client_of, html
from credits.tests.test_overview import ten_thousand_lines
from generation.tests.test_list_page import many

__all__ = ["account", "books_balance", "customer", "new_account", "new_customer"]

pytestmark = [pytest.mark.django_db, pytest.mark.breaks_the_books]

MOST_SECONDS = 0.15 if connection.vendor == "postgresql" else 1
MOST_BYTES = 65_000  # with styles and scripts less than the 100 KB of test_accessibility.py
TRIES = 20  # until one is quick enough: the machine may do something else meanwhile


@pytest.fixture
def client(customer, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr("django.utils.timezone.now", lambda: customer.now)
    account = Account.objects.get(pk=customer.account_id)
    long_ago = customer.now - timedelta(days=60)
    ten_thousand_lines(customer, customer.grant(20_000, now=long_ago))
    many(account, customer.now, 10_000)
    CreditLot.objects.bulk_create(
        CreditLot(
            id=(account.pk << 32) | number, account=account, pool="bulk", granted=50, remaining=0,
            source_key=f"checkout:cs_{number}", amount_paid=1500, currency="usd",
            terms={"name": "Pack 50", "credits": 50},
            created_at=customer.now - timedelta(hours=number),
        )
        for number in range(20_000, 22_000)
    )  # fmt: skip
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")  # as autovacuum does; without it plans are for empty tables
    return client_of(account)


ADDRESSES = [
    "/",
    "/ledger/",
    "/ledger/?before=5000",
    "/ledger/?after=1",
    "/ledger/?before=51",
    "/ledger/?pool=bulk&kind=hold",
    "/ledger/?pool=promotional",
    "/ledger/?month=2026-03",
    "/ledger/?month=2026-02&kind=hold",
    "/statement/balance/?day=2026-03-01",
    "/statement/print/?month=2026-03",
    "/generations/",
    "/generations/?text=number+77",
    "/generations/?text=nowhere",
    "/generations/new/",
    "/purchases/",
    "/purchases/?page=100",
    "/subscription/",
    "/notifications/",
    "/account/",
    "/account/delete/",
]


def test_pages_cost_little_time_and_are_light(client: Client) -> None:
    slow, heavy = {}, {}
    for address in ADDRESSES:
        size = len(html(client.get(address)))
        tries = (seconds_of(client, address) for _ in range(TRIES))
        if all((seconds := one) >= MOST_SECONDS for one in tries):
            slow[address] = seconds
        if size >= MOST_BYTES:
            heavy[address] = size
    assert (slow, heavy) == ({}, {})


def seconds_of(client: Client, address: str) -> float:
    start = time.perf_counter()
    client.get(address)
    return time.perf_counter() - start
