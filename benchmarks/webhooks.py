"""A storm of renewals: how fast are they taken in, how fast applied, and do the books agree?

    python -m benchmarks.webhooks [--events 10000] [--duplicates 10] [--workers 2] [--seed 1]

Every subscription has one period already and now renews: one signed `invoice.paid` each, shuffled,
with `--duplicates` per cent sent twice. A tenth of them goes through the view in this process, the
rest to the site (granian, 2 workers x 4 threads) over connections that stay open; then `--workers`
processes apply all. Exits with 1 if a single credit is missing or too many. `--plant` gives one
account a second grant, to see that this would be noticed.
"""

import argparse
import http.client
import json
import multiprocessing
import random
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from benchmarks import scratch
from benchmarks.http import free_port, serve, stop, wait_for

from django.conf import settings  # isort: skip
from django.contrib.auth import get_user_model  # isort: skip
from django.db import connection  # isort: skip
from django.db.models import Count, Sum  # isort: skip
from django.test import RequestFactory  # isort: skip
from django.utils import timezone  # isort: skip

from credits import queries, services  # isort: skip
from credits.models import Account, CreditLot, InboxEvent, LedgerEntry, Offer, Pool  # isort: skip
from credits.payments import inbox, intake  # isort: skip
from credits.payments.tests import events as stripe  # isort: skip

CREDITS, CLIENTS, PATH = 100, 8, "/stripe/webhook/"
PADDING = "x" * 1800  # an event of Stripe has about 2.8 kB
NOW = timezone.now()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--duplicates", type=int, default=10, help="per cent")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plant", action="store_true", help="a grant too many, to be found")
    options = parser.parse_args()
    settings.STRIPE_WEBHOOK_SECRET = [stripe.SECRET]
    with scratch.scratch_database() as database:
        subscribe(options.events, options.workers, database)
        bodies = [renewal(number, "renewal", NOW) for number in range(options.events)]
        dice = random.Random(options.seed)
        bodies += dice.sample(bodies, options.events * options.duplicates // 100)
        dice.shuffle(bodies)
        here, there = bodies[: len(bodies) // 10], bodies[len(bodies) // 10 :]
        report("taken in by the view", len(here), take_in(here))
        report("taken in over HTTP", len(there), send(there, database))
        seconds, busy = apply_all(database, options.workers)
        rate, cost = options.events / seconds, busy / options.events * 1000
        print(f"{'applied':<22} {rate:>8.0f} a second, {cost:.2f} ms of a worker's CPU each")
        if options.plant:
            services.grant(
                account_id=Account.objects.all()[:1].get().pk, pool=Pool.SUBSCRIPTION,
                amount=CREDITS, source_key="invoice:once more", now=NOW,
            )  # fmt: skip
        wrong = list(wrong_books(options.events))
    print("\n".join(wrong[:20]) or f"the books agree: {options.events} renewals, each once")
    sys.exit(1 if wrong else 0)


# The customers ------------------------------------------------------------------------------------


def subscribe(count: int, workers: int, database: str) -> None:
    """Accounts with a first period, applied from the inbox like any other."""
    Offer.objects.create(
        slug="plan", name="Plan", kind="plan", credits=CREDITS, amount=900, currency="usd",
        interval="month", stripe_price_id="price_plan",
    )  # fmt: skip
    user = get_user_model()
    for numbers in chunks(range(count)):
        users = user.objects.bulk_create(user(email=f"bench{n}@example.com") for n in numbers)
        Account.objects.bulk_create(
            Account(user=one, stripe_customer_id=f"cus_{number}", created_at=NOW)
            for number, one in zip(numbers, users, strict=True)
        )
        first = [renewal(number, "first", NOW - stripe.MONTH) for number in numbers]
        InboxEvent.objects.bulk_create(intake.parse(body) for body in first)
    apply_all(database, workers)


def renewal(number: int, name: str, start: datetime) -> str:
    line = stripe.line("price_plan", start, start + stripe.MONTH, version=stripe.NEW)
    invoice = stripe.invoice(
        f"{name}_{number}", version=stripe.NEW, lines=[{**line, "description": PADDING}],
        customer=f"cus_{number}", subscription=f"sub_{number}",
    )  # fmt: skip
    content = stripe.event("invoice.paid", invoice, created=start)
    return json.dumps({**content, "id": f"evt_{name}_{number}"})


def chunks(numbers: range) -> Iterator[tuple[int, ...]]:
    for begin in range(0, len(numbers), 1000):
        yield tuple(numbers[begin : begin + 1000])


# Taking in ----------------------------------------------------------------------------------------


def take_in(bodies: list[str]) -> tuple[float, list[float]]:
    """Through the view, one after the other."""
    factory, durations = RequestFactory(), []
    requests = [
        factory.post(
            PATH, body, "application/json", headers={"Stripe-Signature": stripe.signed(body)}
        )
        for body in bodies
    ]
    began = time.perf_counter()
    for request in requests:
        before = time.perf_counter()
        assert intake.stripe_webhook(request).status_code == 200
        durations.append(time.perf_counter() - before)
    return time.perf_counter() - began, durations


def send(bodies: list[str], database: str) -> tuple[float, list[float]]:
    """To the site over CLIENTS connections; they are signed just before, in time."""
    port = free_port()
    server = serve(database, port, STRIPE_WEBHOOK_SECRET=stripe.SECRET)
    try:
        wait_for(port)
        post(port, [renewal(0, "first", NOW)] * 50, [])  # warm
        began, durations = time.perf_counter(), list[float]()
        shares = [bodies[lane::CLIENTS] for lane in range(CLIENTS)]
        threads = [threading.Thread(target=post, args=(port, share, durations)) for share in shares]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(durations) == len(bodies), "an event was refused"
        return time.perf_counter() - began, durations
    finally:
        stop(server)


def post(port: int, bodies: list[str], durations: list[float]) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port)
    for body in bodies:
        headers = {"Content-Type": "application/json", "Stripe-Signature": stripe.signed(body)}
        before = time.perf_counter()
        client.request("POST", PATH, body, headers)
        answer = client.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{PATH} answered {answer.status}: {text[:300]!r}")
        durations.append(time.perf_counter() - before)
    client.close()


# Applying and checking ----------------------------------------------------------------------------


def apply_all(database: str, workers: int) -> tuple[float, float]:
    """In processes of their own, as on a real site. Seconds that it took, and seconds of CPU."""
    connection.close()
    fresh = multiprocessing.get_context("spawn")
    ready, busy = fresh.Barrier(workers + 1), fresh.Value("d", 0.0)
    processes = [fresh.Process(target=work, args=(database, ready, busy)) for _ in range(workers)]
    for process in processes:
        process.start()
    ready.wait()
    began = time.perf_counter()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return time.perf_counter() - began, busy.value


def work(database: str, ready: Any, busy: Any) -> None:
    connection.settings_dict["NAME"] = database
    connection.ensure_connection()
    ready.wait()
    began = time.process_time()
    while inbox.apply_due(now=timezone.now() + timedelta(seconds=1)):
        pass
    with busy.get_lock():
        busy.value += time.process_time() - began


def wrong_books(events: int) -> Iterator[str]:
    """Each account has had two periods and holds the second, once. Then every line is audited."""
    states = dict(InboxEvent.objects.values_list("state").annotate(Count("pk")))
    if states != {"applied": 2 * events}:
        yield f"events: {states}"
    held = Account.objects.aggregate(Sum("subscription_credits"))["subscription_credits__sum"]
    if held != events * CREDITS:
        yield f"{held} credits are held instead of {events * CREDITS}"
    granted = LedgerEntry.objects.filter(kind="grant").aggregate(Sum("amount"))["amount__sum"]
    if granted != 2 * events * CREDITS:
        yield f"{granted} credits were granted instead of {2 * events * CREDITS}"
    for row in CreditLot.objects.values("account").annotate(n=Count("pk")).exclude(n=2)[:10]:
        yield f"account {row['account']} has {row['n']} lots instead of 2"
    yield from queries.find_imbalances()


def report(what: str, count: int, measured: tuple[float, list[float]]) -> None:
    seconds, durations = measured
    p99 = sorted(durations)[int(len(durations) * 0.99)] * 1000
    print(f"{what:<22} {count / seconds:>8.0f} a second, p99 {p99:.1f} ms", flush=True)


if __name__ == "__main__":
    main()
