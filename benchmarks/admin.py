"""How fast are the staff's lists when the books are long?

    python -m benchmarks.admin [--rows 1000000] [--times 3]

Fills a throwaway database with so many ledger lines (100 for each account; valid enough to be
listed, not proved) and asks for every list through Django's test client: its first and last page,
each of its filters, days, and whatever can be searched for. Prints the slowest of each kind: the
best of some calls in milliseconds, how much of it was Python's and the database's, and the number
of queries; above LIMIT it is marked.
"""

import argparse
import re
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import scratch

from django.contrib import admin  # isort: skip
from django.contrib.auth import get_user_model  # isort: skip
from django.db import connection  # isort: skip
from django.test import Client, RequestFactory  # isort: skip
from django.test.utils import CaptureQueriesContext  # isort: skip
from django.urls import reverse  # isort: skip

from credits.models import Hold, LedgerEntry, RetailToken  # isort: skip
from credits.staff.lists import BookList, Days  # isort: skip
from generation.models import Generation  # isort: skip

SCRIPT = Path(__file__).with_name("admin.sql")
LINES_EACH = 100
LIMIT = 200  # milliseconds
LAST_PAGE = "p=last"


def fill(rows: int) -> None:
    """The rows, without triggers and foreign keys; indexes are made afterwards, in one go."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("SET maintenance_work_mem = '512MB'")
        cursor.execute(
            "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
            "WHERE indrelid::regclass::text ~ '^(credits|generation)_' AND NOT EXISTS "
            "(SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)"
        )
        indexes = cursor.fetchall()
        for name, _definition in indexes:
            cursor.execute(f"DROP INDEX {name}")
        script = SCRIPT.read_text().replace(":accounts", str(rows // LINES_EACH))
        for statement in script.split(";\n"):
            if statement.strip():
                cursor.execute(statement)
        for _name, definition in indexes:
            cursor.execute(definition)
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("SET session_replication_role = DEFAULT")


def addresses(page: BookList) -> dict[str, dict[str, str]]:
    """What a list is asked for: by kind, what exactly and the address."""
    url = reverse(f"admin:{page.opts.app_label}_{page.opts.model_name}_changelist")
    asked = {
        "first page": {"": ""},
        "last page": {"": LAST_PAGE},
        "filters": choices(page),
        "search": {kind: f"q={word}" for kind, word in words().items()},
    }
    if Days in page.get_list_filter(RequestFactory().get("/")):
        month = "since=2026-02-01&until=2026-02-28"
        asked["days"] = {
            "one": "since=2026-02-10&until=2026-02-10",
            "a month": month,
            "a month, last page": f"{month}&{LAST_PAGE}",
        }
    found = {
        kind: {what: f"{url}?{query}" for what, query in queries.items()}
        for kind, queries in asked.items()
        if queries
    }
    return {**found, "CSV, first lines": {"": f"{url}export/"}}


def choices(page: BookList) -> dict[str, str]:
    """Each value that a list can be filtered by."""
    found = {}
    for name in page.get_list_filter(RequestFactory().get("/")):
        if isinstance(name, str):
            values = [value for value, _label in page.opts.get_field(name).flatchoices]
            found |= {f"{name} = {value}": f"{name}__exact={value}" for value in values}
        elif name is not Days:
            offered = name(None, {}, page.model, page).lookup_choices
            asked = [f"{name.parameter_name}={value}" for value, _label in offered]
            found |= {query.replace("=", " = "): query for query in asked}
    return found


def words() -> dict[str, str]:
    """Something of each kind that staff searches for."""
    paid = Generation.objects.exclude(idempotency_key=None).first()
    return {
        "email": "bench77@example.com",
        "account": str(LedgerEntry.objects.values_list("account_id", flat=True)[0]),
        "customer": "cus_77",
        "invoice": "in_77",
        "session": RetailToken.objects.values_list("source_key", flat=True)[0].split(":")[1],
        "payment": "pi_77",
        "event": "evt_77",
        "generation": str(paid.pk),
        "key": paid.idempotency_key,
        "hold": str(Hold.objects.values_list("pk", flat=True)[0]),
        "nonsense": "nothing-is-called-this",
    }


@dataclass
class Took:
    """Milliseconds: all in all, of this thread's processor, in the database; number of queries."""

    all: float
    python: float
    database: float
    queries: int


def measure(client: Client, url: str, times: int) -> Took:
    """The best of some calls, each number for itself, after one call that warms up."""
    if url.endswith(LAST_PAGE):
        first = client.get(url.removesuffix(LAST_PAGE)).content.decode()
        pages = [int(number) for number in re.findall(r"[?&;]p=(\d+)", first)]
        url = url.replace(LAST_PAGE, f"p={max(pages, default=1)}")
    ask(client, url)
    calls = [one_call(client, url) for _ in range(times)]
    return Took(
        min(call.all for call in calls),
        min(call.python for call in calls),
        min(call.database for call in calls),
        calls[0].queries,
    )


def one_call(client: Client, url: str) -> Took:
    with CaptureQueriesContext(connection) as captured:
        began, busy = time.perf_counter(), time.thread_time()
        ask(client, url)
        took, busy = time.perf_counter() - began, time.thread_time() - busy
        queries = list(captured)
    database = sum(float(query["time"]) for query in queries)
    return Took(took * 1000, busy * 1000, database * 1000, len(queries))


def ask(client: Client, url: str) -> None:
    answer = client.get(url)
    if answer.status_code != 200:
        raise SystemExit(f"{url} answered {answer.status_code}")
    if answer.streaming:
        for _line, _ in zip(answer.streaming_content, range(100), strict=False):
            pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    with scratch.scratch_database():
        began = time.perf_counter()
        fill(options.rows)
        print(f"{LedgerEntry.objects.count():,} lines in {time.perf_counter() - began:.0f} s")
        client = Client(headers={"host": "127.0.0.1"})
        client.force_login(get_user_model().objects.create_superuser("owner@example.com", "pw"))
        print(f"{'list':<14} {'asked for':<16}    ms python database queries  slowest")
        for model, page in admin.site._registry.items():
            if isinstance(page, BookList):
                for kind, urls in addresses(page).items():
                    line = row(client, model._meta.model_name, kind, urls, options.times)
                    print(line, flush=True)


def row(client: Client, name: str, kind: str, urls: dict[str, str], times: int) -> str:
    """The slowest of a kind, and how many there are."""
    measured = {what: measure(client, url, times) for what, url in urls.items()}
    slowest = max(measured, key=lambda what: measured[what].all)
    took = measured[slowest]
    of_many = f"{slowest} (of {len(urls)})" if len(urls) > 1 else ""
    mark = " SLOW" if took.all > LIMIT else ""
    numbers = f"{took.all:>5.0f} {took.python:>6.0f} {took.database:>8.0f} {took.queries:>7}"
    return f"{name:<14} {kind:<16} {numbers}  {of_many}{mark}"


if __name__ == "__main__":
    main()
