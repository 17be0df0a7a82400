"""How fast are the admin's front page and a customer's page over a large ledger?

    python -m benchmarks.console [--lines 1000000] [--rounds 15]

One throwaway database on the embedded PostgreSQL with that many ledger lines over 35 days, 50 an
account and 10,000 on one. The rows are made in the database and are no proved books: their hashes
are empty. Prints the median and the slowest of so many requests, in ms, and their SQL statements.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks import scratch

from credits import services  # isort: skip
from credits.models import Account  # isort: skip
from django.contrib.auth import get_user_model  # isort: skip
from django.db import connection  # isort: skip
from django.test import Client  # isort: skip
from django.urls import reverse  # isort: skip
from django.utils import timezone  # isort: skip

LINES_EACH = 50
LINES_OF_ONE = 10_000
ROWS = """
    INSERT INTO accounts_user (id, password, is_superuser, email, is_staff, is_active, date_joined,
                               timezone)
    SELECT n, '', false, 'many' || n || '@example.com', false, true, now(), ''
    FROM generate_series(1000, 999 + %(accounts)s) n;
    INSERT INTO credits_account (id, user_id, subscription_credits, promotional_credits,
                                 bulk_credits, owed, status, stripe_customer_id, sequence,
                                 chain_head, created_at)
    SELECT n, n, 0, 0, 100, 0, 'active', 'cus_' || n, %(each)s, '', now() - interval '35 days'
    FROM generate_series(1000, 999 + %(accounts)s) n;
    INSERT INTO credits_creditlot (id, account_id, pool, granted, remaining, frozen, clawed_back,
                                   clawed_back_owed, amount_paid, currency, terms, source_key,
                                   created_at)
    SELECT (a::bigint << 32) + l, a, 'bulk', 100, CASE WHEN l = 1 THEN 50 ELSE 0 END, 0, 0, 0,
           900, 'usd', '{}', 'bench:' || a || ':' || l, now() - random() * interval '35 days'
    FROM generate_series(1000, 999 + %(accounts)s) a, generate_series(1, 3) l;
    INSERT INTO credits_ledgerentry (id, account_id, sequence, kind, pool, lot_id, amount,
                                     balance_after, owed_after, reference, actor, note, created_at,
                                     previous_hash, hash)
    SELECT (a::bigint << 32) + s, a, s,
           CASE WHEN s <= 3 THEN 'grant' WHEN s %% 20 = 0 THEN 'expire' ELSE 'hold' END, 'bulk',
           (a::bigint << 32) + CASE WHEN s <= 3 THEN s ELSE 1 END,
           CASE WHEN s <= 3 THEN 100 ELSE -1 END, 100, 0, 'bench', 'system', '',
           now() - interval '35 days' * (1 - (s - random()) / c.lines), '', ''
    FROM generate_series(1000, 999 + %(accounts)s) a,
         LATERAL (SELECT CASE WHEN a = 1000 THEN %(one)s ELSE %(each)s END AS lines) c,
         LATERAL generate_series(1, c.lines) s
    ORDER BY 13;
    INSERT INTO generation_generation (id, account_id, status, prompt, output, operation,
                                       price_version, cost, funding, request_hash, attempts, run_at,
                                       model, error_code, created_at, finished_at)
    SELECT gen_random_uuid(), 1000 + n %% %(accounts)s,
           CASE WHEN n %% 50 = 0 THEN 'failed' ELSE 'succeeded' END, '', '', 'text', 1, 0, 'retail',
           '', 1, now(), '', CASE WHEN n %% 50 = 0 THEN 'backend_down' ELSE '' END,
           m.at, m.at + random() * interval '9 seconds'
    FROM generate_series(1, %(accounts)s * 40) n,
         LATERAL (SELECT now() - (n %% 35 + random()) * interval '1 day' AS at) m
    ORDER BY m.at;
    """


def fill(lines: int) -> None:
    """A large site, as rows that look like one."""
    accounts = max(1, (lines - LINES_OF_ONE) // LINES_EACH)
    with connection.cursor() as cursor:
        for statement in filter(str.strip, ROWS.split(";")):
            cursor.execute(
                statement % {"accounts": accounts, "each": LINES_EACH, "one": LINES_OF_ONE}
            )
        cursor.execute("VACUUM ANALYZE")


def measure(name: str, ask: Callable[[], object], rounds: int) -> None:
    ask()
    statements = 0

    def count(execute: Any, *arguments: Any) -> Any:
        nonlocal statements
        statements += 1
        return execute(*arguments)

    with connection.execute_wrapper(count):
        ask()
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        ask()
        took.append((time.perf_counter() - start) * 1000)
    print(
        f"{name:<28} {statistics.median(took):>6.0f} {max(took):>6.0f} {statements:>5}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with scratch.scratch_database():
        fill(options.lines)
        client = Client(SERVER_NAME="localhost")
        client.force_login(get_user_model().objects.create_superuser("bench@example.com", "pw"))

        def get(address: str, **query: str) -> None:
            answer = client.get(address, query)
            assert answer.status_code in (200, 302), answer.status_code

        front, accounts = reverse("admin:index"), reverse("admin:credits_account_changelist")
        customer = reverse("admin:credits_account_change", args=[1000])
        print(f"{'page':<28} {'median':>6} {'max':>6} {'SQL':>5}")
        measure("front page, days not kept", lambda: get(front), 2)
        start = time.perf_counter()
        while services.add_up_days(now=timezone.now()):
            pass
        kept = time.perf_counter() - start
        measure("front page", lambda: get(front), options.rounds)
        measure("customer, 10,000 lines", lambda: get(customer), options.rounds)
        measure("search: email", lambda: get(accounts, q="many2000@example.com"), options.rounds)
        measure("search: lot", lambda: get(accounts, q="bench:2000:1"), options.rounds)
        print(f"adding up 28 days once: {kept:.1f} s, of {Account.objects.count()} accounts")


if __name__ == "__main__":
    main()
