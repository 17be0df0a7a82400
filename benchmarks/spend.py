"""How fast is services.spend, against pgbench writing exactly the same rows?

    python -m benchmarks.spend [--seconds 4] [--rounds 5]

One throwaway database on the embedded PostgreSQL; the two take turns, so that a machine which
slows down slows down both. Prints spends per second and the ratio, as medians over the rounds.
"""

import argparse
import multiprocessing
import re
import statistics
import subprocess
import threading
import time
from pathlib import Path

from benchmarks import round_trips, scratch

from billing_site.embedded_postgres import binaries  # isort: skip
from credits import queries, services  # isort: skip
from django.db import connection  # isort: skip

SCRIPT = Path(__file__).with_name("spend.sql")
CLIENTS = {1: (1, 1), 8: (2, 4), 32: (2, 16)}  # clients: processes, threads in each
SPREAD = 200


def pgbench(database: str, clients: int, accounts: list[int], seconds: float) -> float:
    """Spends per second of pgbench, prepared statements."""
    params = connection.get_connection_params()
    result = subprocess.run(
        [
            binaries.find() / "pgbench", "--no-vacuum", "--protocol=prepared",
            f"--file={SCRIPT}", f"--client={clients}", f"--jobs={min(clients, 2)}",
            f"--time={seconds:.0f}", f"--define=first={accounts[0]}",
            f"--define=accounts={len(accounts)}",
            "--host", params["host"], "--port", params["port"], "--username", params["user"],
            database,
        ],
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    found = re.search(r"tps = ([\d.]+)", result.stdout)
    assert found, result.stdout
    return float(found[1])


def ours(database: str, clients: int, accounts: list[int], seconds: float) -> float:
    """Spends per second of services.spend over the same number of connections."""
    processes, threads = CLIENTS[clients]
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    counts = context.Queue()
    workers = [
        context.Process(
            target=spend_for, args=(database, number, threads, accounts, seconds, barrier, counts)
        )
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    total = sum(counts.get(timeout=seconds + 60) for _ in workers)
    for worker in workers:
        worker.join()
    return total


def spend_for(database, number, threads, accounts, seconds, barrier, counts):  # type: ignore[no-untyped-def]
    """One process: spends from `threads` threads for `seconds`, then reports its rate."""
    connection.settings_dict["NAME"] = database
    start, done = threading.Barrier(threads + 1), []

    def work(thread: int) -> None:
        lane = number * threads + thread
        services.spend(**one(accounts[lane % len(accounts)], f"warm-{lane}-{time.time_ns()}"))
        start.wait()
        finish, spent = time.perf_counter() + seconds, 0
        while time.perf_counter() < finish:
            account = accounts[(lane + spent * 7) % len(accounts)]
            services.spend(**one(account, f"{lane}-{spent}-{time.time_ns()}"))
            spent += 1
        done.append(spent)
        connection.close()

    running = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    for thread in running:
        thread.start()
    barrier.wait()
    start.wait()
    for thread in running:
        thread.join()
    counts.put(sum(done) / seconds)


def one(account_id: int, key: str) -> dict[str, object]:
    return {
        "account_id": account_id,
        "amount": 1,
        "reference": "benchmark",
        "idempotency_key": key,
        "now": scratch.NOW,
    }


def trips_of_one_spend(account_id: int) -> int:
    """Network round trips, BEGIN and COMMIT included, once the statements are prepared."""
    with round_trips.counted() as counter:
        for number in range(10):
            before = counter.count
            services.spend(**one(account_id, f"counted-{number}"))
        return counter.count - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with scratch.scratch_database() as database:
        accounts = scratch.rich_accounts(SPREAD)
        print(f"round trips of one spend: {trips_of_one_spend(accounts[0])}")
        print(f"{'clients':>7} {'accounts':>8} {'pgbench/s':>10} {'spend/s':>8} {'ratio':>6}")
        for clients in CLIENTS:
            for chosen in (accounts, accounts[:1]):
                rates = [
                    (
                        pgbench(database, clients, chosen, options.seconds),
                        ours(database, clients, chosen, options.seconds),
                    )
                    for _ in range(options.rounds)
                ]
                raw, own = (statistics.median(side) for side in zip(*rates, strict=True))
                ratio = statistics.median(b / a for a, b in rates)
                label = "hot" if len(chosen) == 1 else "spread"
                print(f"{clients:>7} {label:>8} {raw:>10.0f} {own:>8.0f} {ratio:>6.2f}", flush=True)
        # pgbench's chain hashes other content, so only what is not the chain can be proved here.
        wrong = [line for line in queries.find_imbalances() if "hash chain" not in line]
        print(f"books: {wrong or 'balance'}")


if __name__ == "__main__":
    main()
