"""The sandbox as a whole: a server, a clock that ticks, and the delivery of events."""

import copy
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from billing_site.sandbox.stripe import clock, money, rest, webhooks
from billing_site.sandbox.stripe.rest import TEST_KEYS
from billing_site.sandbox.stripe.server import Server
from billing_site.sandbox.stripe.store import DAY, Config, Object, Store

TICK_SECONDS = 1.0


class NotATestKey(Exception):
    """The sandbox is for test keys only."""


class Sandbox:
    """Plays Stripe on 127.0.0.1; port 0 takes a free one. Also a context manager."""

    def __init__(
        self,
        state_file: Path,
        port: int,
        secret_key: str,
        webhook_url: str,
        webhook_secret: str,
        *,
        retry_delays: tuple[float, ...] = webhooks.RETRY_DELAYS,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not secret_key.startswith(TEST_KEYS):
            raise NotATestKey("The sandbox takes test keys only: sk_test_… or rk_test_….")
        self.store = Store(state_file, Config(webhook_url, webhook_secret, retry_delays), now)
        self._port = port
        self._stopping = threading.Event()

    @property
    def address(self) -> str:
        """Where it is: what STRIPE_API_BASE is set to."""
        return self.store.address

    def start(self) -> None:
        """Serves in the background. Raises OSError when the port is taken."""
        self._server = Server(self._port, self.store)
        self.store.address = self._server.address
        self._dispatcher = webhooks.Dispatcher(self.store)
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True),
            threading.Thread(target=self._tick, name="stripe-clock", daemon=True),
        ]
        self._dispatcher.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends everything and keeps the state."""
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._dispatcher.stop()
        for thread in self._threads:
            thread.join(5)
        self.store.save()

    def advance(self, days: int) -> None:
        """Moves the clock; renewals, retries and expiries happen on the way, in their order."""
        with self.store.changing():
            clock.advance(self.store, days * DAY)

    @contextmanager
    def trip(self) -> Iterator[None]:
        """What is advanced inside is taken back at the end, and acts only on what is made inside.

        No plan that was here before is renewed. What was made stays, with its later dates.
        """
        store = self.store
        with store.changing():
            store.asleep = set(store.objects)
        try:
            yield
        finally:
            with store.changing():
                store.trip_seconds, store.asleep = 0, None

    def wait_until_delivered(self, timeout: float = 10) -> bool:
        """Whether no event is waiting for its delivery any more; lost ones do not count."""
        return self._dispatcher.wait_until_idle(timeout)

    def set_delivery(
        self,
        *,
        duplicated: bool = False,
        reordered: bool = False,
        lost: bool = False,
        delay: float = 0,
    ) -> None:
        """How badly events are delivered from now on; without arguments: well."""
        with self.store.changing():
            webhooks.set_switches(
                self.store, duplicated=duplicated, reordered=reordered, lost=lost, delay=delay
            )

    def set_api(self, *, failure: str = "", latency_seconds: float = 0) -> None:
        """How badly requests are answered from now on; without arguments: well.

        `failure` is "refused" (500, nothing is done) or "lost" (done, but the answer gets lost).
        """
        with self.store.changing():
            rest.set_switches(self.store, failure, latency_seconds)

    def charges(self, email: str, *, amount: int) -> list[str]:
        """The charges of this amount that the customer has paid, oldest first."""
        with self.store.lock:
            customers = {row["id"] for row in self.store.find("customer", email=email)}
            paid = self.store.find("charge", amount=amount, paid=True)[::-1]
            return [charge["id"] for charge in paid if charge["customer"] in customers]

    def refund(self, charge_id: str) -> None:
        """All that is left of a charge."""
        with self.store.changing():
            money.refund(self.store, self.store.get("charge", charge_id), 0)

    def open_dispute(self, charge_id: str, *, inquiry: bool = False) -> str:
        """The cardholder's bank disputes a charge, or only asks; returns the dispute's id."""
        with self.store.changing():
            charge = self.store.get("charge", charge_id)
            return str(money.open_dispute(self.store, charge, inquiry=inquiry)["id"])

    def close_dispute(self, dispute_id: str, *, won: bool) -> None:
        """The bank decides."""
        with self.store.changing():
            money.close_dispute(self.store, self.store.get("dispute", dispute_id), won=won)

    def events(self) -> list[Object]:
        """Everything that has been sent or should have been, oldest first."""
        with self.store.lock:
            return copy.deepcopy(self.store.find("event")[::-1])

    def _tick(self) -> None:
        while not self._stopping.wait(TICK_SECONDS):
            with self.store.news:
                if clock.run(self.store):
                    self.store.save()
                    self.store.news.notify_all()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
