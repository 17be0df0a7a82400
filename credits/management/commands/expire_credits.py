from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from credits import services
from credits.management.base import CreditsCommand


class Command(CreditsCommand):
    help = (
        "Writes off credits whose time has ended and gives back holds past their deadline. Safe to "
        "run at any time and as often as you like; balances are right also before it has run."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        swept = services.expire_due(now=timezone.now())
        if swept.failed:
            raise CommandError(
                f"{swept.failed} accounts or holds could not be swept: the log has the tracebacks."
            )
        self.stdout.write(
            f"{swept.credits} credits of {swept.accounts} accounts expired, "
            f"{swept.holds} overdue holds given back."
        )
