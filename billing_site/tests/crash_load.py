"""Load on a site whose processes are being killed.

    python -m billing_site.tests.crash_load prepare | load SECONDS | verify

`load` prints the keys of all calls that were answered; a call that was not is repeated with the
same key, as a client must. `verify` prints what the books say in the end.
"""

import json
import os
import sys
import threading
import time
from datetime import timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_site.tests.settings_elsewhere")
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import DatabaseError, InterfaceError, connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from credits import queries, services  # noqa: E402
from credits.models import Account, Hold, Pool  # noqa: E402
from generation import services as generation_services  # noqa: E402
from generation.models import Generation  # noqa: E402

ACCOUNTS = 3
THREADS = 6
ENOUGH = 100  # calls answered; a busy machine is given the time that it needs for them
GRANTED = 100_000


def prepare() -> None:
    call_command("migrate", verbosity=0)
    for number in range(ACCOUNTS):
        user = get_user_model().objects.create_user(f"{number}@example.com")
        account = services.open_account(user_id=user.pk, now=timezone.now())
        services.grant(
            account_id=account.pk,
            pool=Pool.BULK,
            amount=GRANTED,
            source_key=f"gift:{number}",
            now=timezone.now(),
        )


def load(seconds: float) -> None:
    account_ids = list(Account.objects.values_list("pk", flat=True))
    answered: list[str] = []
    repeated: list[str] = []
    finish = time.monotonic() + seconds
    sys.stdout.write("started\n")
    sys.stdout.flush()

    def work(lane: int) -> None:
        number = 0
        while time.monotonic() < finish or len(answered) <= ENOUGH:
            key = f"{lane}-{number}"
            account_id = account_ids[number % ACCOUNTS]
            while True:
                try:
                    call(account_id, key, generate=number % 10 == 0)
                    break
                except (DatabaseError, InterfaceError):
                    repeated.append(key)
                    connection.close()
                    time.sleep(0.05)
                except generation_services.TooManyOpenGenerations:
                    if time.monotonic() > finish:
                        return
                    time.sleep(0.05)
            answered.append(key)
            number += 1
        connection.close()

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps({"answered": answered, "repeated": len(repeated)}))


def call(account_id: int, key: str, *, generate: bool) -> None:
    now = timezone.now()
    if generate:
        generation_services.request_generation(
            account_id=account_id,
            prompt="A story.",
            funding=Generation.Funding.CREDITS,
            operation="text",
            idempotency_key=key,
            now=now,
        )
    else:
        services.spend(
            account_id=account_id, amount=1, reference="load", idempotency_key=key, now=now
        )


def verify() -> None:
    """Waits until no generation is open, with leases and backoffs cut short, then looks."""
    deadline = time.monotonic() + 60
    while Generation.objects.filter(finished_at=None).exists() and time.monotonic() < deadline:
        Generation.objects.filter(status="running", lease_until__lte=timezone.now()).update(
            lease_until=timezone.now() - timedelta(seconds=1)
        )
        time.sleep(0.5)
    spends = Hold.objects.filter(reference="load").values_list("idempotency_key", flat=True)
    generations = Generation.objects.values_list("idempotency_key", flat=True)
    captured = sum(Hold.objects.values_list("captured", flat=True))
    now = timezone.now()
    ids = Account.objects.values_list("pk", flat=True)
    left = sum(queries.balance(account_id=pk, now=now).available for pk in ids)
    report = {
        "keys": [*spends, *generations],
        "open": Generation.objects.filter(finished_at=None).count(),
        "succeeded": Generation.objects.filter(status="succeeded").count(),
        "captured_generations": Generation.objects.filter(hold__captured=1).count(),
        "missing_credits": ACCOUNTS * GRANTED - captured - left,
        "imbalances": list(queries.find_imbalances()),
    }
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    {"prepare": prepare, "load": lambda: load(float(sys.argv[2])), "verify": verify}[sys.argv[1]]()
