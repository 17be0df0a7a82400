import argparse
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing_site.sandbox import demo
from billing_site.sandbox.quickstart import Quickstart, QuickstartFailed, interrupt_on_signals


def port_number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: use 1024 to 65535.")
    return int(text)


class Command(BaseCommand):
    help = "From nothing to a running site on 127.0.0.1. Ctrl-C stops all of it."
    requires_system_checks: list[str] = []  # the web server runs them, and we ours

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=port_number, default=8000)
        parser.add_argument(
            "--check",
            action="store_true",
            help="do the main job and live a customer's life once, without a browser, and stop",
        )

    def handle(self, *args: Any, port: int, check: bool, **options: Any) -> None:
        interrupt_on_signals()
        try:
            self._run(Quickstart(port=port, write=self._line), check)
        except QuickstartFailed as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            if check:
                raise CommandError("Interrupted before the check was done.") from None
        self._line("quickstart --check: all steps passed" if check else "stopped: all of it")

    def _run(self, site: Quickstart, check: bool) -> None:
        try:
            site.start()
            if check:
                site.check()
            else:
                self._welcome(site)
                site.wait()
        finally:
            site.stop()

    def _line(self, text: str) -> None:
        with suppress(OSError):  # nobody reads any more: a closed terminal, `| head`
            self.stdout.write(text)
            self.stdout.flush()

    def _welcome(self, site: Quickstart) -> None:
        address = site.address
        if site.stripe:
            self._line(
                f"\n  {site.stripe.address}/_sandbox/   the Stripe sandbox: let months pass, refund"
                "\n  Pay with card 4242 4242 4242 4242, any date and code. No money moves."
            )
        self._line(
            f"\n  {address}          sign in as {demo.CUSTOMER.email}, password {demo.PASSWORD}"
            f"\n  {address}/admin/   sign in as {demo.STAFF.email}, password {demo.PASSWORD}"
            f"\n  or as {demo.SUPPORT.email} or {demo.BILLING.email}, with the same password"
            f"\n  Data is kept in {settings.VAR_DIR.name}/. Ctrl-C stops everything.\n"
        )
