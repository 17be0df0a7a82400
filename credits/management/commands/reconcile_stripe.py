import time
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from credits import services
from credits.management import arguments
from credits.management.base import CreditsCommand
from credits.payments import reconcile
from credits.payments.client import SellingUnavailable

MOST_DAYS = 366
MOST_LOGGED = 200  # differences, in the line of the audit log
QUIET_SECONDS = 1
PAUSE_SECONDS = 2  # between two lines of progress


class Command(CreditsCommand):
    help = (
        "Compares what was paid, refunded and disputed at Stripe with the lots and tokens here, "
        "and prints one line per difference. Status 0: none, or all repaired; 1: some are left; "
        "2: it could not look."
    )

    refusal_status = 2

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--days",
            type=_days,
            default=30,
            help="how far to look back; Stripe keeps events for 30 days, objects for ever",
        )
        parser.add_argument(
            "--apply",
            action="store_true",
            help="repairs what rules can repair, as if the missing events arrived now",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        try:
            found = reconcile.compare(days=options["days"], now=now, progress=self._progress())
        except SellingUnavailable as error:
            raise CommandError(
                f"Stripe could not be asked: {error.reason}", returncode=self.refusal_status
            ) from error
        for row in (*found.differences, *found.unsold):
            self.stdout.write(str(row))
        if found.explained:
            self.stdout.write(f"not differences: {_listed(found.explained)}")
        left = len(found.differences)
        if options["apply"]:
            left = self._repair(found.differences)
        read = f"after reading {_listed(found.read) or 'nothing'} of {options['days']} days"
        repaired = len(found.differences) - left
        if left:
            hint = "see the lines above" if options["apply"] else "--apply repairs what it can"
            raise CommandError(f"{left} differences left, {repaired} repaired, {read}: {hint}.")
        self.stdout.write(f"Stripe and the books agree ({repaired} repaired), {read}.")

    def _repair(self, differences: Sequence[reconcile.Difference]) -> int:
        now = timezone.now()
        if differences:
            services.record_action(
                actor=arguments.operator(),
                action="reconcile.apply",
                reason="",
                after={"differences": [str(row) for row in differences][:MOST_LOGGED]},
                now=now,
            )
        left = reconcile.repair(differences, now=now)
        for row in left:
            self.stderr.write(str(row))
        return len(left)

    def _progress(self) -> reconcile.Progress:
        next_line = time.monotonic() + QUIET_SECONDS

        def say(name: str, number: int) -> None:
            nonlocal next_line
            if time.monotonic() >= next_line:
                next_line = time.monotonic() + PAUSE_SECONDS
                self.stderr.write(f"… {number} {name} read")

        return say


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_DAYS):
        raise ArgumentTypeError(f"{text!r} is not a number of days from 1 to {MOST_DAYS}.")
    return int(text)


def _listed(numbers: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in numbers.items())
