"""Events: a copy of the object as it was, kept and due for delivery."""

import copy
import secrets
import time
from typing import Any

import stripe

from billing_site.sandbox.stripe.store import Object, Store

MIXED_MS = 500  # events out of order are spread over this time


def emit(store: Store, kind: str, value: Object, **previous: Any) -> Object:
    """Something has happened to `value`; `previous` are the old values of its changed fields."""
    event: Object = {
        "id": store.new_id("evt"),
        "object": "event",
        "api_version": stripe.api_version,
        "created": store.now(),
        "data": {"object": copy.deepcopy(value)},
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    }
    if previous:
        event["data"]["previous_attributes"] = previous
    store.add(event)
    for url in targets(store, kind):
        event["pending_webhooks"] += 1
        schedule(store, event, url)
    return event


def targets(store: Store, kind: str) -> dict[str, str]:
    """Addresses that are told of events of this kind, with their secrets.

    The address that the sandbox was started for hears of everything, until an endpoint of the API
    with the same address says what it wants to hear.
    """
    found = {}
    if store.config.webhook_url:
        found[store.config.webhook_url] = store.config.webhook_secret
    for endpoint in reversed(store.find("webhook_endpoint")):
        wanted = {"*", kind} & set(endpoint["enabled_events"])
        if endpoint["status"] == "enabled" and wanted:
            found[endpoint["url"]] = store.private(endpoint["id"])["secret"]
        else:
            found.pop(endpoint["url"], None)
    return found


def schedule(store: Store, event: Object, url: str) -> None:
    """Due now, unless a switch says otherwise."""
    switches = store.switches
    delivery = {"event": event["id"], "url": url, "attempts": 0, "state": "pending", "answer": ""}
    if switches.get("lost"):
        delivery["state"] = "lost"
    for _ in range(2 if switches.get("duplicated") else 1):
        due = time.time() + switches.get("delay", 0)
        if switches.get("reordered"):
            due += secrets.randbelow(MIXED_MS) / 1000
        store.deliveries.append({**delivery, "due": due})
