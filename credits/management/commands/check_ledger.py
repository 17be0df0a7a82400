from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from credits.audit import Totals, audit
from credits.management.base import CreditsCommand
from credits.nightly_audit import record


class Command(CreditsCommand):
    help = (
        "Proves the books: recomputes every balance, lot and hold from the ledger lines and checks "
        "the hash chain. Prints one line per thing that is wrong and ends with status 1 if any is. "
        "The result is kept for the front page of the admin."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        started_at = timezone.now()
        totals, broken = Totals(), 0
        wrong: list[str] = []
        for account_totals, imbalances in audit():
            totals += account_totals
            broken += bool(imbalances)
            wrong.extend(imbalances)
            for sentence in imbalances:
                self.stderr.write(sentence)
        record(totals, wrong, started_at=started_at)
        for line in explained(totals):
            self.stdout.write(line)
        if broken:
            raise CommandError(
                f"{broken} of {totals.accounts} accounts do not balance: see the lines above."
            )
        self.stdout.write(
            f"The books balance: {totals.accounts} accounts, {totals.entries} ledger lines."
        )


def explained(totals: Totals) -> Iterator[str]:
    """Where all issued credits are, line by line."""
    yield f"{'issued':<14}{totals.issued:>14,} credits"
    for name in ("spent", "held", "available", "expired", "clawed_back", "frozen"):
        yield f"  {name.replace('_', ' '):<12}{getattr(totals, name):>14,}"
