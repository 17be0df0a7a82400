"""From nothing to a running site, step by step; everything that was started ends with it."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType

import psutil
import requests
from django.conf import settings
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from billing_site.checks import check_settings
from billing_site.embedded_postgres import launcher
from billing_site.embedded_postgres.errors import EmbeddedPostgresError
from billing_site.sandbox import demo, journey, newcomer, shop
from billing_site.sandbox.processes import ChildEnded, Children, manage
from billing_site.sandbox.stripe import Sandbox, UnreadableState
from billing_site.sandbox.visitor import JourneyFailed
from credits import queries, services
from credits.models import Pool
from generation import local_model
from generation.models import Worker

START_SECONDS = 30  # for the worker and the web server, each
WEB_STOP_SECONDS = "3"  # granian waits for ever for a worker that is told to end while it starts
CHECK_CREDITS = 5
SANDBOX_PORT = 12111
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class QuickstartFailed(Exception):
    """A step could not be done; the message says what to do."""


class Quickstart:
    """The steps, in order. `write` takes finished lines."""

    def __init__(self, *, port: int, write: Callable[[str], None]) -> None:
        self.port = port
        self.address = f"http://127.0.0.1:{port}"
        self.write = write
        self.children = Children(self._hear)
        self._undo = ExitStack()
        self.stripe: Sandbox | None = None
        self._heard: deque[str] = deque(maxlen=500)  # of what the children said last
        self._sandbox: dict[str, str] = {}  # environment that leads the site to the Stripe sandbox
        self._began_something = False

    def start(self) -> None:
        """Brings everything up. Raises QuickstartFailed."""
        self._refuse_public_sites()
        self._refuse_wrong_settings()
        with self.step("port"):
            self._require_free_port()
            self.done(f"{self.port} is free")
        self._began_something = True
        with self.step("database"):
            self.done(self._database())
        with self.step("migrations"):
            self.done(self._migrations())
        with self.step("stripe"):
            self.done(self._stripe())
        with self.step("price list"):
            self.done(self._price_list())
        with self.step("demo people"):
            self.account_id = demo.make_people(now=timezone.now())
            self.done(", ".join(person.email for person in (demo.CUSTOMER, *demo.DESK)))
        with self.step("language model"):
            self.done(self._model())
        self._start_children()
        with self.step("worker"):
            self._wait_for(self._worker_reported, "The worker did not report for duty.")
            self.done("ready")
        with self.step("web"):
            self._wait_for(self._web_answers, "The web server did not answer.")
            self.done(self.address)

    def stop(self) -> None:
        """Ends whatever was started, last first. Raises QuickstartFailed."""
        _ignore_signals()
        if self._began_something:
            self.write("stopping…")
        try:
            self._undo.close()
        except EmbeddedPostgresError as error:
            raise QuickstartFailed(f"The database was not stopped: {error}") from error
        finally:
            _end_our_processes()

    def check(self) -> None:
        """The main job and a newcomer's life once, and the proof of the books.

        Raises QuickstartFailed.
        """
        started = time.monotonic()

        def report(what: str) -> None:
            nonlocal started
            self.write(f"  {time.monotonic() - started:5.1f} s  {what}")
            started = time.monotonic()

        self._top_up()
        try:
            journey.run(self.address, report, lambda: self._wait(0.1))
            if self.stripe:
                life = newcomer.Newcomer(self.address, self.stripe, self._heard, self._wait)
                with self.stripe.trip():  # whoever tries the site afterwards finds it today
                    life.live(report)
        except (JourneyFailed, requests.RequestException) as error:
            raise QuickstartFailed(str(error)) from error
        wrong = list(queries.find_imbalances())
        if wrong:
            raise QuickstartFailed(f"The books do not balance: {wrong[0]}")
        report("the books balance")

    def wait(self) -> None:
        """For ever. Raises QuickstartFailed when a child ends by itself."""
        while True:
            self._wait(0.5)

    def _hear(self, line: str) -> None:
        self._heard.append(line)
        self.write(line)

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

    @staticmethod
    def _refuse_wrong_settings() -> None:
        if wrong := check_settings():
            raise QuickstartFailed(f"{wrong[0].msg} {wrong[0].hint}")

    def _require_free_port(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError as error:
                trouble = (
                    "is taken: stop the program that uses it,"
                    if error.errno == errno.EADDRINUSE
                    else f"cannot be used ({error.strerror}): fix that,"
                )
                raise QuickstartFailed(
                    f"Port {self.port} {trouble} or choose another: "
                    f"`manage.py quickstart --port {self.port % 60_000 + 1025}`."
                ) from None

    def _database(self) -> str:
        try:
            if not settings.DATABASE_URL:
                directory: Path = settings.EMBEDDED_POSTGRES["DIRECTORY"]
                if not launcher.status(directory).is_running:
                    self._undo.callback(launcher.stop, directory)
            self._undo.callback(connection.close)
            connection.ensure_connection()
        except (OperationalError, EmbeddedPostgresError) as error:
            raise QuickstartFailed(f"The database cannot be used: {error}") from error
        version = ".".join(str(part) for part in connection.get_database_version())
        return f"{connection.display_name} {version}"

    def _migrations(self) -> str:
        """In a process of its own: the memory that they need is then free again."""
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if not plan:
            return "up to date"
        self._manage("migrate", "--verbosity", "0")
        return f"{len(plan)} applied"

    def _stripe(self) -> str:
        """Without a key of yours the sandbox plays Stripe, in this process. Its data is kept."""
        if settings.STRIPE_SECRET_KEY:
            return "the account of STRIPE_SECRET_KEY"
        state = settings.VAR_DIR / "stripe-sandbox.json"
        events = f"{self.address}/stripe/webhook/"
        try:
            sandbox = Sandbox(state, _free_port(), shop.KEY, events, shop.SECRET)
            sandbox.start()
        except (UnreadableState, OSError) as error:
            raise QuickstartFailed(f"The Stripe sandbox cannot run: {error}") from error
        self._undo.callback(sandbox.stop)
        self.stripe = sandbox
        self._sandbox = {
            "STRIPE_SECRET_KEY": shop.KEY,
            "STRIPE_WEBHOOK_SECRET": shop.SECRET,
            "STRIPE_API_BASE": sandbox.address,
        }
        return f"sandbox at {sandbox.address}/_sandbox/, no real money"

    def _price_list(self) -> str:
        done = self._manage("init_pricing")
        return done.strip().splitlines()[-1]

    def _manage(self, *arguments: str) -> str:
        """The output of a command. Raises QuickstartFailed."""
        done = subprocess.run(
            manage(*arguments),
            env={**os.environ, **self._sandbox},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise QuickstartFailed(f"{arguments[0]} failed: {done.stderr.strip()}")
        return done.stdout

    def _model(self) -> str:
        if settings.GENERATION_BASE_URL:
            return f"{settings.GENERATION_BASE_URL} (GENERATION_BASE_URL)"
        try:
            local_model.weights(lambda line: self.write(f"           {line}"))
            if local_model.status() is None:
                self._undo.callback(local_model.stop)
            return f"SmolLM2-135M-Instruct at {local_model.ensure()}"
        except local_model.LocalModelUnavailable as error:
            raise QuickstartFailed(str(error)) from error

    def _start_children(self) -> None:
        self._undo.callback(self.children.stop)
        self._children_began = timezone.now()
        self.children.start("worker", manage("worker"), SITE_URL=self.address, **self._sandbox)
        self.children.start(
            "web",
            [
                sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1",
                "--port", str(self.port), "--blocking-threads", "4", "--no-ws",
                "--log-level", "warning", "--workers-kill-timeout", WEB_STOP_SECONDS,
                "billing_site.wsgi:application",
            ],
            SITE_URL=self.address,
            **self._sandbox,
        )  # fmt: skip

    def _worker_reported(self) -> bool:
        return Worker.objects.filter(seen_at__gte=self._children_began).exists()

    def _web_answers(self) -> bool:
        try:
            return requests.get(f"{self.address}/healthz", timeout=2).status_code == 200
        except requests.ConnectionError:
            return False

    def _wait_for(self, ready: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if time.monotonic() > deadline:
                raise QuickstartFailed(complaint)
            self._wait(0.1)

    def _wait(self, seconds: float) -> None:
        time.sleep(seconds)
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
                note="For trying out",
            )


def interrupt_on_signals() -> None:
    """Ctrl-C, SIGTERM and a closed terminal raise KeyboardInterrupt, once: tidying up goes on."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        _ignore_signals()
        raise KeyboardInterrupt

    for number in STOP_SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # not nohup
            signal.signal(number, interrupt)


def _ignore_signals() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end_our_processes() -> None:
    """What was interrupted between its start and our noting it."""
    left = psutil.Process().children(recursive=True)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(left, timeout=5)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _free_port() -> int:
    """The sandbox's usual port, or another one if that is taken."""
    for port in (SANDBOX_PORT, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise QuickstartFailed("No port of 127.0.0.1 is free for the Stripe sandbox.")
