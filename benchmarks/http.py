"""How fast is POST /api/v1/generations, against an endpoint that only authenticates?

    python -m benchmarks.http [--seconds 4] [--rounds 5] [--clients 8]

Both on the same server (granian, 2 workers x 4 threads), in turns. Prints requests per second,
p50 and p99 in milliseconds, and the ratio.
"""

import argparse
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import uuid

from benchmarks import scratch

from billing_site.accounts.services import create_api_key  # isort: skip
from billing_site.accounts.models import User  # isort: skip

ACCOUNTS = 50
CALLS = {"noop": ("/api/v1/noop", 200), "generations": ("/api/v1/generations", 202)}
BODY = json.dumps({"prompt": "A haiku about ledgers.", "funding": "credits"})


def measure(port: int, call: str, keys: list[str], clients: int, seconds: float) -> list[float]:
    """Seconds that each request took, from `clients` connections kept open."""
    path, expected = CALLS[call]
    durations: list[float] = []

    def work(lane: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        finish, number, mine = time.perf_counter() + seconds, 0, []
        while (began := time.perf_counter()) < finish:
            headers = {
                "Authorization": f"Bearer {keys[(lane + number * 7) % len(keys)]}",
                "Content-Type": "application/json",
                "Idempotency-Key": str(uuid.uuid4()),
            }
            connection.request("POST", path, BODY, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != expected:
                raise SystemExit(f"{path} answered {answer.status}: {text[:300]!r}")
            mine.append(time.perf_counter() - began)
            number += 1
        durations.extend(mine)

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(durations)


def serve(database: str, port: int, **environment: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [
            sys.executable, "-m", "granian", "--interface", "wsgi", "--no-ws", "--workers", "2",
            "--blocking-threads", "4", "--port", str(port), "billing_site.wsgi:application",
        ],
        env={
            **os.environ,
            **environment,
            "BENCHMARK_DATABASE": database,
            "DJANGO_SETTINGS_MODULE": "benchmarks.http_site",
        },
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip


def stop(server: "subprocess.Popen[bytes]") -> None:
    """On a busy machine granian may miss that it is to stop."""
    server.terminate()
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def wait_for(port: int) -> None:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("The server did not start.")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    with scratch.scratch_database() as database:
        scratch.rich_accounts(ACCOUNTS)
        keys = [
            create_api_key(user=user, name="benchmark", now=scratch.NOW)[1]
            for user in User.objects.all()
        ]
        port = free_port()
        server = serve(database, port)
        try:
            wait_for(port)
            measure(port, "generations", keys, options.clients, 1)  # warm
            rounds = [
                {
                    call: measure(port, call, keys, options.clients, options.seconds)
                    for call in CALLS
                }
                for _ in range(options.rounds)
            ]
        finally:
            stop(server)
    print(f"{'call':<12} {'requests/s':>10} {'p50 ms':>7} {'p99 ms':>7}")
    for call in CALLS:
        times = sorted(seconds for one in rounds for seconds in one[call])
        rate = statistics.median(len(one[call]) / options.seconds for one in rounds)
        p50, p99 = (times[int(len(times) * share)] * 1000 for share in (0.5, 0.99))
        print(f"{call:<12} {rate:>10.0f} {p50:>7.1f} {p99:>7.1f}")
    ratio = statistics.median(len(one["generations"]) / len(one["noop"]) for one in rounds)
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
