"""The main job, done once over HTTP as the demo customer does it: `quickstart --check`."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import requests

from billing_site.sandbox import demo

GENERATION_SECONDS = 90
PROMPT = "Write three sentences about a lighthouse."


class JourneyFailed(Exception):
    """A step did not do what a customer expects."""


class Customer:
    """A signed-in browser without the browser: cookies, CSRF token, JSON."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.session = requests.Session()

    def sign_in(self) -> None:
        page = self.session.get(f"{self.address}/accounts/login/", timeout=10)
        self._expect(page, 200)
        answer = self.session.post(
            page.url,
            data={
                "login": demo.CUSTOMER.email,
                "password": demo.PASSWORD,
                "csrfmiddlewaretoken": self.session.cookies["csrftoken"],
            },
            headers={"Referer": page.url},
            timeout=10,
        )
        self._expect(answer, 200)
        if "sessionid" not in self.session.cookies:
            raise JourneyFailed(f"{demo.CUSTOMER.email} could not sign in.")

    def get(self, path: str) -> Any:
        answer = self.session.get(f"{self.address}/api/v1/{path}", timeout=10)
        self._expect(answer, 200)
        return answer.json()

    def post(self, path: str, body: dict[str, str], expected_status: int) -> Any:
        answer = self.session.post(
            f"{self.address}/api/v1/{path}",
            json=body,
            headers={
                "Idempotency-Key": str(uuid.uuid4()),
                "X-CSRFToken": self.session.cookies["csrftoken"] or "",
                "Referer": self.address,
            },
            timeout=10,
        )
        self._expect(answer, expected_status)
        return answer.json()

    @staticmethod
    def _expect(answer: requests.Response, status: int) -> None:
        if answer.status_code != status:
            raise JourneyFailed(
                f"{answer.request.method} {answer.url} answered {answer.status_code}, "
                f"expected {status}: {answer.text[:300]}"
            )


def run(address: str, step: Callable[[str], None], pause: Callable[[], None]) -> None:
    """Signs in, generates, and compares balance and ledger.

    `step` is told what was done; `pause` is called between two looks at the work under way.
    Raises JourneyFailed.
    """
    customer = Customer(address)
    customer.sign_in()
    step(f"signed in as {demo.CUSTOMER.email}")
    before = customer.get("balance")["available"]
    step(f"balance before: {before} credits")
    asked = customer.post(
        "generations", {"prompt": PROMPT, "funding": "credits"}, expected_status=202
    )
    step(f"generation requested, costs {asked['cost']}")
    done, grew = _watch(customer, asked["id"], pause)
    tokens = done["usage"]["output_tokens"]
    step(f"text arrived: it grew {grew} times, {tokens} tokens, {done['output'].split()[:6]}…")
    after = customer.get("balance")["available"]
    _same("credits left", after, before - asked["cost"])
    step(f"balance after: {after} credits")
    line = customer.get("ledger")["results"][0]
    _same("the ledger's last line", line["amount"], -asked["cost"])
    _same("what it names", line["reference"], f"generation:{asked['id']}")
    step(f"ledger line {line['sequence']}: {line['amount']} for {line['reference']}")


def _watch(customer: Customer, generation_id: str, pause: Callable[[], None]) -> tuple[Any, int]:
    """Follows the generation to its end; returns it and how often its text grew on the way."""
    deadline, seen, grew = time.monotonic() + GENERATION_SECONDS, "", 0
    while time.monotonic() < deadline:
        generation = customer.get(f"generations/{generation_id}")
        if generation["output"] != seen:
            seen, grew = generation["output"], grew + 1
        if generation["status"] == "succeeded":
            if not seen.strip():
                raise JourneyFailed("The generation succeeded without any text.")
            return generation, grew
        if generation["status"] not in ("queued", "running"):
            raise JourneyFailed(f"The generation ended as {generation['status']}: {generation}")
        pause()
    raise JourneyFailed(f"The generation was not done after {GENERATION_SECONDS} seconds.")


def _same(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise JourneyFailed(f"{what}: {actual!r}, expected {expected!r}.")
