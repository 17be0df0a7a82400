"""Delivery of events: signed, in their order, again after a failure, and as badly as is wished."""

import contextlib
import json
import threading
import time
from typing import Any

import requests
import stripe

from billing_site.sandbox.stripe import events
from billing_site.sandbox.stripe.store import Object, Store

RETRY_DELAYS = (0.0, 1.0, 5.0, 30.0, 300.0, 1800.0, 7200.0, 18000.0)
ANSWER_SECONDS = 20
STOP_SECONDS = 3  # for the post under way; it is repeated after the next start otherwise


class Dispatcher:
    """One thread that posts what is due, oldest first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopping = False
        self._busy = False
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between us and 127.0.0.1
        self._thread = threading.Thread(target=self._run, name="stripe-webhooks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What is still due is kept for the next start."""
        with self._store.news:
            self._stopping = True
            self._store.news.notify_all()
        self._thread.join(STOP_SECONDS)
        self._session.close()

    def wait_until_idle(self, timeout: float) -> bool:
        """Whether everything was delivered (or is lost, or given up) within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._store.news:
            while self._busy or self._pending():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._store.news.wait(left)
        return True

    def _pending(self) -> list[Object]:
        return [row for row in self._store.deliveries if row["state"] == "pending"]

    def _run(self) -> None:
        while True:
            with self._store.news:
                delivery = None if self._stopping else self._next()
                if self._stopping:
                    return
                if delivery is None:
                    continue
                self._busy = True
                event = self._store.objects[delivery["event"]]
                secret = events.targets(self._store, event["type"]).get(delivery["url"])
            answer = self._post(delivery["url"], event, secret) if secret else "no such endpoint"
            with self._store.news:
                self._settle(delivery, event, answer)
                self._busy = False
                if not self._pending():
                    self._store.save()
                self._store.news.notify_all()

    def _next(self) -> Object | None:
        """What is due, if anything; otherwise waits until something may be."""
        now, pending = time.time(), self._pending()
        if not pending:
            self._store.news.wait()
            return None
        first = min(pending, key=lambda row: float(row["due"]))
        if first["due"] > now:
            self._store.news.wait(max(first["due"] - now, 0.001))
            return None
        return first

    def _post(self, url: str, event: Object, secret: str) -> str:
        body = json.dumps(event, indent=2)
        signature: Any = stripe.WebhookSignature.generate_signature_header(body, secret)
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signature}
        try:
            answer = self._session.post(
                url, body.encode(), headers=headers, timeout=ANSWER_SECONDS, allow_redirects=False
            )
        except requests.RequestException as error:
            return type(error).__name__
        return str(answer.status_code)

    def _settle(self, delivery: Object, event: Object, answer: str) -> None:
        delays = self._store.config.retry_delays
        delivery["attempts"] += 1
        delivery["answer"] = answer
        if answer.startswith("2"):
            delivery["state"] = "delivered"
            waiting = {
                row["url"]
                for row in self._store.deliveries
                if row["event"] == event["id"] and row["state"] != "delivered"
            }
            event["pending_webhooks"] = len(waiting)
        elif delivery["attempts"] < len(delays):
            delivery["due"] = time.time() + delays[delivery["attempts"]]
        else:
            delivery["state"] = "given up"


def resend(store: Store, event_id: str) -> None:
    """Delivers an event once more, whatever the switches say."""
    event = store.get("event", event_id)
    for url in events.targets(store, event["type"]):
        with contextlib.suppress(StopIteration):
            old = next(
                row
                for row in store.deliveries
                if (row["event"], row["url"]) == (event_id, url) and row["state"] != "delivered"
            )
            store.deliveries.remove(old)
        store.deliveries.append(
            {
                "event": event_id,
                "url": url,
                "attempts": 0,
                "state": "pending",
                "answer": "",
                "due": time.time(),
            }
        )


def set_switches(
    store: Store, *, duplicated: bool, reordered: bool, lost: bool, delay: float
) -> None:
    """How badly events are delivered from now on."""
    store.switches = {
        "duplicated": duplicated,
        "reordered": reordered,
        "lost": lost,
        "delay": delay,
    }
