from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from credits import imports
from credits.management import arguments
from credits.management.base import CreditsCommand

DEFAULT_DAYS = 30


class Command(CreditsCommand):
    help = (
        "Takes over the balances of a legacy system from a CSV file with the columns "
        "email,subscription_credits,bulk_credits (UTF-8, commas). The whole file is checked before "
        "anything is written. Missing people are made, without a password: they sign in by "
        "resetting it. Running it again changes nothing; a row that was imported with other "
        "numbers is refused."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE.csv", type=Path)
        parser.add_argument(
            "--dry-run", action="store_true", help="check and count, but write nothing"
        )
        parser.add_argument(
            "--subscription-ends",
            metavar="DATE",
            type=arguments.day,
            help=(
                "last day (YYYY-MM-DD, UTC) on which imported subscription credits can be spent; "
                f"default: {DEFAULT_DAYS} days from now plus the grace of a renewal. The first "
                "renewal ends them as well. Bulk credits never end."
            ),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        ends = subscription_end(options["subscription_ends"], now)
        try:
            plan = imports.plan(imports.read(options["file"]))
        except imports.ImportRefused as error:
            for sentence in error.problems[:-1]:
                self.stderr.write(sentence)
            count = len(error.problems)
            outcome = f"{count} problems; nothing" if count > 1 else "Nothing"
            raise CommandError(f"{error.problems[-1]} {outcome} was imported.") from error
        if plan.rows and not options["dry_run"]:
            self._import(plan, ends, now)
        for line in totals(plan, options["dry_run"]):
            self.stdout.write(line)

    def _import(self, plan: imports.Plan, ends: datetime, now: datetime) -> None:
        total, done = len(plan.rows), 0

        def progress(rows: int) -> None:
            nonlocal done
            done = rows
            if rows < total:
                self.stdout.write(f"{rows:,} of {total:,} rows imported")

        try:
            written = imports.write(
                plan.rows,
                subscription_ends=ends,
                actor=arguments.operator(),
                now=now,
                progress=progress,
            )
        except KeyboardInterrupt:
            raise CommandError(
                f"Stopped after at least {done:,} of {total:,} rows: run it again to go on."
            ) from None
        assert written == plan.new, "what was booked is what was planned"


def subscription_end(last_day: date | None, now: datetime) -> datetime:
    """When imported subscription credits end. Raises CommandError for a day that is over."""
    if last_day is not None:
        return arguments.end_of(last_day, now)
    return now + timedelta(days=DEFAULT_DAYS) + settings.SUBSCRIPTION_GRACE


def totals(plan: imports.Plan, dry_run: bool) -> Iterator[str]:
    """The file = what was imported before + what is new, as a table, and the summary line."""
    yield f"{'':<18}{'rows':>10}{'subscription':>16}{'bulk':>16}"
    parts = {
        "to import" if dry_run else "imported now": plan.new,
        "imported before": plan.before,
        "in the file": plan.file,
    }
    for name, part in parts.items():
        yield f"{name:<18}{part.rows:>10,}{part.subscription:>16,}{part.bulk:>16,}"
    amount = f"{plan.new.subscription + plan.new.bulk:,} credits"
    if not plan.rows:
        yield "Nothing to import: every row was imported before."
    elif dry_run:
        yield (
            f"Dry run, nothing was written: {plan.new.rows:,} rows with {amount} would be "
            f"imported, {plan.new_people:,} people made."
        )
    else:
        yield f"{plan.new.rows:,} rows with {amount} imported, {plan.new_people:,} people made."
