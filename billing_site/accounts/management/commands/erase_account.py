from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from billing_site.accounts import erasure
from billing_site.accounts.models import User
from credits.management import arguments
from credits.management.base import CreditsCommand
from credits.payments.client import SellingUnavailable


class Command(CreditsCommand):
    help = "Deletes a person's account for good, as they could themselves (docs/privacy.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", metavar="EMAIL", type=arguments.email_address)
        parser.add_argument(
            "--reason",
            type=arguments.short_text,
            help="kept in the audit log for ever: a ticket, no names",
        )
        parser.add_argument("--yes", action="store_true", help="do it; without, say what is lost")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        user = User.objects.filter(email=options["email"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['email']}: check the address.")
        lost = erasure.losses(user=user, now=now)
        plan = "a plan" if lost.has_plan else "no plan"
        what = f"{lost.credits} credits, {lost.tokens} single generations and {plan}"
        if not options["yes"]:
            self.stdout.write(f"{user.email} would lose {what}. Add --yes to delete the account.")
            return
        try:
            erasure.erase(
                user=user, now=now, actor=arguments.operator(), reason=options["reason"] or ""
            )
        except SellingUnavailable as error:
            raise CommandError(f"Nothing was deleted: {error.reason}") from error
        self.stdout.write(f"Deleted. Lost: {what}. The account is {user.email} now.")
