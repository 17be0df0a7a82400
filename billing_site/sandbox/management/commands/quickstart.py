from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing_site.sandbox import demo
from billing_site.sandbox.quickstart import Quickstart, QuickstartFailed, stop_on_signals


class Command(BaseCommand):
    help = "From nothing to a running site on 127.0.0.1. Ctrl-C stops all of it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument(
            "--check", action="store_true", help="do the main job once, without a browser, and stop"
        )

    def handle(self, *args: Any, port: int, check: bool, **options: Any) -> None:
        stop = stop_on_signals()
        site = Quickstart(port=port, write=self._line)
        try:
            site.start()
            if check:
                site.check()
            else:
                self._welcome(site.address)
                site.wait(stop)
        except QuickstartFailed as error:
            raise CommandError(str(error)) from error
        finally:
            self._line("stopping…")
            site.stop()
        self._line("quickstart --check: all steps passed" if check else "stopped: all of it")

    def _line(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _welcome(self, address: str) -> None:
        self._line(
            f"\n  {address}          sign in as {demo.CUSTOMER.email}, password {demo.PASSWORD}"
            f"\n  {address}/admin/   sign in as {demo.STAFF.email}, password {demo.PASSWORD}"
            f"\n  Data is kept in {settings.VAR_DIR.name}/. Ctrl-C stops everything.\n"
        )
