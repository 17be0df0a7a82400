from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction
from django.utils import timezone

from credits import pricing, services
from credits.management import arguments
from credits.management.base import CreditsCommand
from credits.payments import client, prices

DONE = ("added", "changed", "deactivated")


class Command(CreditsCommand):
    help = (
        "Brings the price list in the database in line with a TOML file. Run it as often as you "
        "like. Offers that are no longer in the file are no longer for sale; what staff makes, "
        "publishes, retires or renames in the admin is left alone. An offer that somebody has "
        "bought keeps its terms: new terms need a new slug. With STRIPE_SECRET_KEY set, offers "
        "without a Stripe price get one."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--file",
            type=Path,
            default=pricing.DEFAULT_FILE,
            metavar="F.toml",
            help="default: credits/pricing.toml, which also explains the keys",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            changes = _bring_in_line(pricing.read(options["file"]))
        except pricing.PricingError as error:
            for sentence in error.problems[:-1]:
                self.stderr.write(sentence)
            raise CommandError(f"{error.problems[-1]} Nothing was changed.") from error
        except client.SellingUnavailable as error:
            raise CommandError(
                f"Stripe cannot be asked for the prices ({error.reason}): check STRIPE_SECRET_KEY "
                "and the connection. Nothing was changed."
            ) from error
        for what in DONE:
            for slug in getattr(changes, what):
                self.stdout.write(f"{what:<12}{slug}")
        for slug in changes.left:
            self.stdout.write(f"{'left alone':<12}{slug}: it is kept in the admin")
        self.stdout.write(
            f"Price list: {len(changes.added)} offers added, {len(changes.changed)} changed, "
            f"{len(changes.unchanged)} unchanged, {len(changes.deactivated)} taken off sale."
        )


def _bring_in_line(listed: list[pricing.Listed]) -> pricing.Changes:
    """Writes the offers, with their Stripe prices where there is Stripe.

    Raises PricingError, and SellingUnavailable; then nothing was written.
    """
    if client.is_configured():
        with services.rehearsal():  # no price is made for terms that are refused
            pricing.write(listed)
        of_staff = pricing.slugs_of_staff()
        ours = prices.with_prices([entry for entry in listed if entry.slug not in of_staff])
        priced = {entry.slug: entry for entry in ours}
        listed = [priced.get(entry.slug, entry) for entry in listed]
    with transaction.atomic():
        changes = pricing.write(listed)
        done = {name: getattr(changes, name) for name in DONE}
        if any(done.values()):
            services.record_action(
                actor=arguments.operator(),
                action="offer.init",
                reason="",
                after=done,
                now=timezone.now(),
            )
    return changes
