import signal
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing_site.sandbox.stripe import NotATestKey, Sandbox, UnreadableState

OWN_NAMES = ("127.0.0.1", "localhost")


class Command(BaseCommand):
    help = "Plays Stripe on 127.0.0.1, for development. Ctrl-C stops it; the data is kept."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=12111)
        parser.add_argument("--webhook-url", default=f"{settings.SITE_URL}/stripe/webhook/")
        parser.add_argument(
            "--state-file", type=Path, default=settings.VAR_DIR / "stripe-sandbox.json"
        )

    def handle(
        self, *args: Any, port: int, webhook_url: str, state_file: Path, **options: Any
    ) -> None:
        sandbox = self._sandbox(port, webhook_url, state_file)
        try:
            sandbox.start()
        except OSError as error:
            raise CommandError(f"Port {port} of 127.0.0.1 cannot be used: {error}") from error
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write(f"Stripe sandbox: {sandbox.address}, events go to {webhook_url}")
        self.stdout.write(f"Control page:   {sandbox.address}/_sandbox/")
        self.stdout.flush()
        stop.wait()
        sandbox.stop()
        self.stdout.write(f"stopped; the sandbox's data is in {state_file}")

    def _sandbox(self, port: int, webhook_url: str, state_file: Path) -> Sandbox:
        base = urlsplit(settings.STRIPE_API_BASE)
        if settings.STRIPE_API_BASE and (base.hostname, base.port) not in [
            (name, port) for name in OWN_NAMES
        ]:
            raise CommandError(
                f"STRIPE_API_BASE is {settings.STRIPE_API_BASE}: the site would not ask this"
                f" sandbox. Set it to http://127.0.0.1:{port}."
            )
        if not settings.STRIPE_WEBHOOK_SECRET:
            raise CommandError("STRIPE_WEBHOOK_SECRET is not set: nothing could sign the events.")
        try:
            return Sandbox(
                state_file,
                port,
                settings.STRIPE_SECRET_KEY,
                webhook_url,
                settings.STRIPE_WEBHOOK_SECRET[0],
            )
        except (NotATestKey, UnreadableState, ValueError, OSError) as error:
            raise CommandError(str(error)) from error
