import json
import random
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from billing_site.sandbox.stripe import life as sandbox_life
from billing_site.sandbox.stripe.life import Goods
from credits.management.base import CreditsCommand
from credits.models import Offer
from credits.payments import chaos

MOST_RUNS = 100_000


class Command(CreditsCommand):
    help = (
        "Delivers one customer's events again and again in disorder, through the signed webhook "
        "and the inbox, and checks that every run ends in the same ledger. Every run is rolled "
        "back: nothing stays, no account is touched."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--runs", type=int, default=20)
        parser.add_argument("--seed", type=int, help="of the first run; the next have the next")
        parser.add_argument("--file", type=Path, help="events to play, one JSON object a line")
        parser.add_argument("--save", type=Path, help="writes the events that were played")

    def handle(self, *args: Any, **options: Any) -> None:
        self._refuse(options["runs"])
        seed = random.randrange(10**6) if options["seed"] is None else options["seed"]  # noqa: S311
        try:
            life = chaos.read_life(options["file"]) if options["file"] else self._sandbox_life()
            if options["save"]:
                self._save(life, options["save"])
            found = self._play(life, options["runs"], seed)
        except chaos.BadLife as error:
            raise CommandError(str(error)) from error
        runs = f"{options['runs']} runs of {len(life)} events, from seed {seed}"
        if found:
            raise CommandError(f"{found} of {runs} ended otherwise; --runs 1 --seed N repeats one.")
        self.stdout.write(f"All {runs}, ended the same.")

    def _play(self, life: chaos.Life, runs: int, seed: int) -> int:
        found = 0
        for each in chaos.deviations(life, runs=runs, seed=seed):
            found += 1
            self.stdout.write(f"seed {each.seed}: {each.sentence}")
        return found

    def _refuse(self, runs: int) -> None:
        if not 1 <= runs <= MOST_RUNS:
            raise CommandError(f"--runs has to be from 1 to {MOST_RUNS}.")
        if settings.STRIPE_LIVE_MODE:
            raise CommandError(
                "This site has a live key. Run this where it has a test key, on a copy."
            )

    def _sandbox_life(self) -> chaos.Life:
        return sandbox_life.record(*map(_goods, chaos.price_list()))

    def _save(self, life: chaos.Life, path: Path) -> None:
        try:
            with path.open("x", encoding="utf-8") as file:
                file.writelines(json.dumps(event) + "\n" for event in life)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error}") from error


def _goods(offer: Offer) -> Goods:
    return Goods(offer.slug, offer.amount, offer.currency, offer.stripe_price_id, offer.interval)
