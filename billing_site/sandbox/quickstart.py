"""From nothing to a running site, step by step; everything that was started ends with it."""

import io
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import requests
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection
from django.utils import timezone

from billing_site.embedded_postgres import launcher
from billing_site.sandbox import demo, journey
from billing_site.sandbox.processes import ChildEnded, Children, manage
from credits import queries, services
from credits.models import Pool
from generation import local_model
from generation import queries as generation_queries

WEB_SECONDS = 30
CHECK_CREDITS = 5


class QuickstartFailed(Exception):
    """A step could not be done; the message says what to do."""


class Quickstart:
    """The steps, in order. `write` takes finished lines."""

    def __init__(self, *, port: int, write: Callable[[str], None]) -> None:
        self.port = port
        self.address = f"http://127.0.0.1:{port}"
        self.write = write
        self.children = Children(write)
        self._undo: list[Callable[[], Any]] = [self.children.stop]

    def start(self) -> None:
        """Brings everything up. Raises QuickstartFailed."""
        self._refuse_public_sites()
        with self.step("port"):
            self._require_free_port()
            self.done(f"{self.port} is free")
        with self.step("database"):
            self.done(self._database())
        with self.step("migrations"):
            self.done(self._migrations())
        with self.step("price list"):
            self.done(_last_line("init_pricing"))
        with self.step("demo people"):
            self.account_id = demo.make_people(now=timezone.now())
            self.done(f"{demo.CUSTOMER.email}, {demo.STAFF.email}")
        with self.step("language model"):
            self.done(self._model())
        with self.step("worker"):
            self.children.start("worker", manage("worker"))
            self._wait_for(self._worker_is_seen, "The worker did not report for duty.")
            self.done("ready")
        with self.step("web"):
            self._start_web()
            self.done(self.address)

    def stop(self) -> None:
        """Ends whatever was started, last first."""
        while self._undo:
            self._undo.pop()()

    def check(self) -> None:
        """The main job once, and the proof of the books. Raises QuickstartFailed."""
        started = time.monotonic()

        def report(what: str) -> None:
            nonlocal started
            self.write(f"  {time.monotonic() - started:5.1f} s  {what}")
            started = time.monotonic()

        self._top_up()
        try:
            journey.run(self.address, report)
        except (journey.JourneyFailed, requests.RequestException) as error:
            raise QuickstartFailed(str(error)) from error
        wrong = list(queries.find_imbalances())
        if wrong:
            raise QuickstartFailed(f"The books do not balance: {wrong[0]}")
        report("the books balance")

    def wait(self, stop: threading.Event) -> None:
        """Until `stop` is set. Raises QuickstartFailed when a child ends by itself."""
        while not stop.wait(0.5):
            self._require_children()

    # Steps -----------------------------------------------------------------------------------

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self._step, self._began = name, time.monotonic()
        yield

    def done(self, result: str) -> None:
        self.write(f"  {time.monotonic() - self._began:5.1f} s  {self._step:<15} {result}")

    @staticmethod
    def _refuse_public_sites() -> None:
        if settings.IS_PUBLIC or settings.STRIPE_LIVE_MODE:
            raise QuickstartFailed(
                "quickstart is for trying out: it makes logins with a known password. "
                "Unset SITE_URL (https) and live Stripe keys, or deploy as docs/operations.md says."
            )

    def _require_free_port(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError:
                raise QuickstartFailed(
                    f"Port {self.port} is taken: stop the program that uses it, "
                    f"or choose another with `manage.py quickstart --port {self.port + 1}`."
                ) from None

    def _database(self) -> str:
        if not settings.DATABASE_URL:
            directory: Path = settings.EMBEDDED_POSTGRES["DIRECTORY"]
            if launcher.status(directory).pid is None:
                self._undo.insert(0, connection.close)
                self._undo.insert(0, lambda: launcher.stop(directory))
        try:
            connection.ensure_connection()
        except OperationalError as error:
            raise QuickstartFailed(f"The database cannot be reached: {error}") from error
        version = ".".join(str(part) for part in connection.get_database_version())
        return f"{connection.display_name} {version}"

    @staticmethod
    def _migrations() -> str:
        output = io.StringIO()
        call_command("migrate", stdout=output, no_color=True)
        applied = output.getvalue().count("... OK")
        return f"{applied} applied" if applied else "up to date"

    def _model(self) -> str:
        if settings.GENERATION_BASE_URL:
            return f"{settings.GENERATION_BASE_URL} (GENERATION_BASE_URL)"
        try:
            local_model.weights(lambda line: self.write(f"           {line}"))
            if local_model.status() is None:
                self._undo.insert(0, local_model.stop)
            return f"SmolLM2-135M-Instruct at {local_model.ensure()}"
        except local_model.LocalModelUnavailable as error:
            raise QuickstartFailed(str(error)) from error

    @staticmethod
    def _worker_is_seen() -> bool:
        return generation_queries.workers_alive(now=timezone.now()) > 0

    def _start_web(self) -> None:
        self.children.start(
            "web",
            [
                sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1",
                "--port", str(self.port), "--blocking-threads", "4", "--no-ws",
                "billing_site.wsgi:application",
            ],
            SITE_URL=self.address,
        )  # fmt: skip
        self._wait_for(self._web_answers, "The web server did not answer.")

    def _web_answers(self) -> bool:
        try:
            return requests.get(f"{self.address}/healthz", timeout=2).status_code == 200
        except requests.ConnectionError:
            return False

    def _wait_for(self, ready: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + WEB_SECONDS
        while not ready():
            self._require_children()
            if time.monotonic() > deadline:
                raise QuickstartFailed(complaint)
            time.sleep(0.1)

    def _require_children(self) -> None:
        try:
            self.children.check()
        except ChildEnded as error:
            raise QuickstartFailed(f"{error} Its last lines are above.") from error

    def _top_up(self) -> None:
        """The demo customer must not run out of credits because --check ran often."""
        now = timezone.now()
        if queries.balance(account_id=self.account_id, now=now).available < CHECK_CREDITS:
            services.grant(
                account_id=self.account_id,
                pool=Pool.PROMOTIONAL,
                amount=CHECK_CREDITS,
                source_key=f"demo:check:{now.isoformat()}",
                expires_at=now + timedelta(days=1),
                now=now,
                actor="quickstart",
            )


def stop_on_signals() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
    return stop


def _last_line(command: str) -> str:
    output = io.StringIO()
    call_command(command, stdout=output, no_color=True)
    return output.getvalue().strip().splitlines()[-1]
