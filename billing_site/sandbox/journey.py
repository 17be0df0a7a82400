"""The main job, done once over HTTP as the demo customer does it: `quickstart --check`."""

import time
from collections.abc import Callable
from typing import Any

from billing_site.sandbox import demo
from billing_site.sandbox.visitor import JourneyFailed, Visitor

GENERATION_SECONDS = 90
PROMPT = "Write three sentences about a lighthouse."


def run(address: str, step: Callable[[str], None], pause: Callable[[], None]) -> None:
    """Signs in, generates, and compares balance and ledger.

    `step` is told what was done; `pause` is called between two looks at the work under way.
    Raises JourneyFailed.
    """
    customer = Visitor(address)
    customer.sign_in(demo.CUSTOMER.email, demo.PASSWORD)
    step(f"signed in as {demo.CUSTOMER.email}")
    before = customer.get("balance")["available"]
    step(f"balance before: {before} credits")
    asked = request(customer)
    step(f"generation requested, costs {asked['cost']}")
    done, grew = watch(customer, asked["id"], pause)
    tokens = done["usage"]["output_tokens"]
    step(f"text arrived: it grew {grew} times, {tokens} tokens, {done['output'].split()[:6]}…")
    after = customer.get("balance")["available"]
    _same("credits left", after, before - asked["cost"])
    step(f"balance after: {after} credits")
    line = customer.get("ledger")["results"][0]
    _same("the ledger's last line", line["amount"], -asked["cost"])
    _same("what it names", line["reference"], f"generation:{asked['id']}")
    step(f"ledger line {line['sequence']}: {line['amount']} for {line['reference']}")


def request(customer: Visitor) -> Any:
    """Asks for a text."""
    body = {"prompt": PROMPT, "funding": "credits"}
    return customer.post("generations", body, expected_status=202)


def watch(customer: Visitor, generation_id: str, pause: Callable[[], None]) -> tuple[Any, int]:
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
