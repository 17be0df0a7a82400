from argparse import ArgumentParser
from typing import Any

import stripe
from django.core.management.base import CommandError

from credits.management.base import CreditsCommand
from credits.payments import endpoint, portal_settings
from credits.payments.client import SellingUnavailable, asking, connect

ROLLING = """\
Until the site knows this secret it refuses what the new endpoint sends, and Stripe tries again for
up to three days, so nothing is lost:
1. Set STRIPE_WEBHOOK_SECRET to the old and the new secret, separated by a comma, and restart.
2. Once events arrive from the new endpoint: manage.py setup_stripe --delete {old}
3. Take the old secret out of STRIPE_WEBHOOK_SECRET and restart."""


class Command(CreditsCommand):
    help = (
        "Makes or updates at Stripe what this site needs: the webhook endpoint for SITE_URL and "
        "the customer portal's configuration. Run it as often as you like. The signing secret is "
        "shown once, when the endpoint is made."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--check",
            action="store_true",
            help="changes nothing: one line for everything that deviates, and status 1 if any does",
        )
        what.add_argument(
            "--replace",
            action="store_true",
            help="makes a new endpoint beside one whose API version is wrong",
        )
        what.add_argument("--delete", metavar="we_…", help="deletes a second endpoint")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            client = connect()
            with asking():
                self._do(client, options)
        except endpoint.NotPossible as error:
            raise CommandError(str(error)) from error
        except SellingUnavailable as error:
            raise CommandError(f"Stripe cannot be set up: {error.reason}") from error

    def _do(self, client: stripe.StripeClient, options: dict[str, Any]) -> None:
        if options["check"]:
            self._check(client)
        elif options["delete"]:
            endpoint.delete(client, options["delete"])
            self.stdout.write(f"{options['delete']} is deleted.")
        else:
            changes = self._endpoint(client, replace=options["replace"]) + self._portal(client)
            self.stdout.write("Stripe is set up." if changes else "Nothing to change.")

    def _check(self, client: stripe.StripeClient) -> None:
        wrong = [
            *endpoint.deviations(endpoint.find(client)),
            *portal_settings.deviations(portal_settings.find(client)),
        ]
        for sentence in wrong:
            self.stdout.write(sentence)
        if wrong:
            raise CommandError(f"{len(wrong)} deviations: setup_stripe mends what it can.")
        self.stdout.write(f"Stripe is set up: events go to {endpoint.address()}.")

    def _endpoint(self, client: stripe.StripeClient, *, replace: bool) -> int:
        found = endpoint.find(client)
        kept = found.kept
        if kept is None or (replace and kept.api_version != stripe.api_version):
            self._tell_secret(endpoint.create(client), old=kept)
            return 1
        changed = endpoint.bring_in_line(client, kept)
        if changed:
            self.stdout.write(f"{kept.id}: events for {kept.url} brought in line.")
        for sentence in endpoint.deviations(endpoint.find(client)):
            self.stderr.write(f"Warning: {sentence}")
        return int(changed)

    def _tell_secret(
        self, made: stripe.WebhookEndpoint, old: stripe.WebhookEndpoint | None
    ) -> None:
        self.stdout.write(
            f"{made.id}: made for {made.url}, version {made.api_version}, "
            f"{len(made.enabled_events)} kinds of events. Its secret is shown this once:\n"
            f"STRIPE_WEBHOOK_SECRET={made.secret}"
        )
        if old:
            self.stdout.write(ROLLING.format(old=old.id))

    def _portal(self, client: stripe.StripeClient) -> int:
        found = portal_settings.find(client)
        if found is None:
            made = portal_settings.create(client)
            self.stdout.write(f"{made.id}: customer portal, with cards, invoices and the end.")
            return 1
        changed = portal_settings.bring_in_line(client, found)
        if changed:
            self.stdout.write(f"{found.id}: customer portal brought in line.")
        return int(changed)
