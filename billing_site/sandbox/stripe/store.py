"""What the sandbox knows: objects in Stripe's form, what is private to them, and its clock.

Everything is in memory and, after each change, in one file that is replaced as a whole: there is no
moment at which a kill leaves half of it.
"""

import json
import os
import secrets
import string
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from billing_site.sandbox.stripe.errors import not_found

Object = dict[str, Any]

ALPHABET = string.ascii_letters + string.digits
DAY = 86_400
MOST_EVENTS = 2000  # the oldest are forgotten: Stripe keeps them 30 days
MOST_ANSWERS = 1000  # of requests with an idempotency key


class UnreadableState(Exception):
    """The state file is not ours or is damaged; the message says what to do."""


@dataclass(frozen=True)
class Config:
    """Where events go and how they are signed."""

    webhook_url: str
    webhook_secret: str
    retry_delays: tuple[float, ...]  # seconds before each attempt


class Store:
    """One request at a time works on it, inside `changing` or `reading`."""

    def __init__(self, path: Path, config: Config, clock: Callable[[], float]) -> None:
        self.path = path
        self.config = config
        self.address = ""
        self.clock = clock
        self.lock = threading.RLock()
        self.news = threading.Condition(self.lock)
        self._moment: int | None = None
        # Of `Sandbox.trip`. Not kept, so that a kill ends the trip.
        self.trip_seconds = 0
        self.asleep: set[str] | None = None  # what time does not act on meanwhile
        state = self._load()
        self.offset: int = state.get("offset", 0)
        self.objects: dict[str, Object] = state.get("objects", {})
        self.privates: dict[str, Object] = state.get("privates", {})
        self.deliveries: list[Object] = state.get("deliveries", [])
        self.answers: dict[str, Object] = state.get("answers", {})
        self.switches: Object = state.get("switches", {})
        self.api: Object = state.get("api", {})

    def _load(self) -> Object:
        if not self.path.exists():
            return {}
        try:
            state = json.loads(self.path.read_text(encoding="utf-8"))
            assert isinstance(state["objects"], dict)
        except (ValueError, KeyError, TypeError, AssertionError):
            raise UnreadableState(
                f"{self.path} is not the sandbox's state: move it away to start anew."
            ) from None
        return dict(state)

    def save(self) -> None:
        """Replaces the file."""
        names = ("offset", "objects", "privates", "deliveries", "answers", "switches", "api")
        with self.lock:
            self._forget()
            content = json.dumps({name: getattr(self, name) for name in names})
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
            new.write_text(content, encoding="utf-8")
            new.replace(self.path)

    def _forget(self) -> None:
        events = [key for key in self.objects if key.startswith("evt_")]
        for key in events[:-MOST_EVENTS]:
            del self.objects[key]
        for key in list(self.answers)[:-MOST_ANSWERS]:
            del self.answers[key]
        self.deliveries = [row for row in self.deliveries if row["event"] in self.objects]

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Alone with the state; afterwards it is saved, and new events are delivered."""
        with self.lock:
            try:
                yield
            finally:
                self.save()
                self.news.notify_all()

    def now(self) -> int:
        """The sandbox's time: the real one plus what it has been advanced by."""
        if self._moment is not None:
            return self._moment
        return int(self.clock()) + self.offset + self.trip_seconds

    @contextmanager
    def at(self, moment: int) -> Iterator[None]:
        """What happens inside happens at `moment`."""
        before, self._moment = self._moment, moment
        try:
            yield
        finally:
            self._moment = before

    def new_id(self, prefix: str, length: int = 24) -> str:
        """Nobody guesses it: the hosted pages have no other protection."""
        return f"{prefix}_{''.join(secrets.choice(ALPHABET) for _ in range(length))}"

    def add(self, value: Object, **private: Any) -> Object:
        """Keeps a new object, and what is to be known about it but not shown."""
        self.objects[value["id"]] = value
        if private:
            self.privates[value["id"]] = private
        return value

    def private(self, object_id: str) -> Object:
        """What is known about an object but not shown."""
        return self.privates.setdefault(object_id, {})

    def get(self, object_name: str, object_id: str, param: str = "id") -> Object:
        """Raises StripeError `resource_missing`."""
        found = self.objects.get(object_id)
        if found is None or found["object"] != object_name:
            raise not_found(object_name.split(".")[-1], object_id, param)
        return found

    def find(self, object_name: str, **equal: Any) -> list[Object]:
        """Objects of one kind whose fields have these values, newest first."""
        return [
            value
            for value in reversed(self.objects.values())
            if value["object"] == object_name
            and all(value.get(name) == wanted for name, wanted in equal.items())
        ]
