from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

from credits import proofs, proofs_without_lock
from credits.management.base import CreditsCommand
from credits.payments.proof import one_event_eight_times

ROW = "{name:<42}{expected:<35}{actual:<35}{verdict:<6}{time:>7}"


class Command(CreditsCommand):
    help = (
        "Proves on the configured database, with real threads, that no credit is lost, doubled or "
        "spent twice. Works on throwaway accounts (proof-…@proof.invalid) that nobody can sign in "
        "to; because the ledger is append-only they stay in the books, with 0 credits."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--naive",
            action="store_true",
            help="run the code of the post-mortem, which takes no lock, on a table of its own "
            "(made and dropped by this run): it has to fail",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(proofs.describe_database())
        titles = {"expected": "expected", "actual": "actual", "verdict": "", "time": "time"}
        self.stdout.write(ROW.format(name="proof", **titles))
        try:
            if options["naive"]:
                self._run_naive()
            else:
                self._run()
        except proofs.ProofNotPossible as error:
            raise CommandError(str(error)) from error

    def _run(self) -> None:
        repeated = [proofs.one_event_proof(one_event_eight_times)]
        results = [*self._show(proofs.run_all(timezone.now(), repeated))]
        missed = sum(not result.holds for result in results)
        if missed:
            raise CommandError(f"{missed} of {len(results)} results are not what they must be.")
        self.stdout.write(f"All {len(results) - 1} proofs hold, and the books balance.")

    def _run_naive(self) -> None:
        with proofs_without_lock.throwaway_table():
            results = [*self._show(proofs.run(proofs_without_lock.PROOFS, None))]
        if getattr(connection, "transaction_mode", None) == "IMMEDIATE":
            self.stdout.write(
                "On SQLite transaction.atomic is the lock: it starts with BEGIN IMMEDIATE "
                "(settings), which lets one writer in. Without it the updates are lost here too."
            )
        missed = sum(not result.holds for result in results)
        if missed:
            raise CommandError(
                f"Without the lock {missed} of {len(results)} proofs fail, as they have to. "
                "The site does not run this code."
            )
        self.stdout.write("No update was lost this time, which proves nothing: run it again.")

    def _show(self, results: Iterator[proofs.Result]) -> Iterator[proofs.Result]:
        for result in results:
            self.stdout.write(
                ROW.format(
                    name=result.name,
                    expected=result.expected,
                    actual=result.actual,
                    verdict=" ok" if result.holds else " FAIL",
                    time=f"{result.seconds:.2f} s",
                )
            )
            yield result
