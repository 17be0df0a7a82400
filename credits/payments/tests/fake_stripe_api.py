"""Stripe's API, as far as selling calls it: an HTTP server that remembers what it was asked.

Like Stripe it answers a repeated Idempotency-Key with the first answer, refuses one that comes with
other parameters, and keeps lookup keys unique.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit

import requests
from django.db import connection
from django.test import override_settings

Params = dict[str, str]


class Refused(Exception):
    def __init__(self, status: int, kind: str, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"type": kind, "code": code, "message": message}}


def missing(what: str) -> Refused:
    return Refused(404, "invalid_request_error", "resource_missing", f"No such {what}")


@dataclass
class FakeStripe:
    """What there is at Stripe, and the requests that came: ("POST /v1/customers", parameters)."""

    address: str = ""
    out_of_order: bool = False
    requests: list[tuple[str, Params]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    refundable: dict[str, int] = field(default_factory=dict)  # payment intent -> what is left
    answers: dict[str, tuple[Params, dict[str, Any]]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def asked(self, what: str) -> list[Params]:
        return [params for name, params in self.requests if name == what]

    def made(self, kind: str) -> list[dict[str, Any]]:
        return [found for found in self.objects.values() if found["object"] == kind]

    def answer(self, name: str, params: Params, key: str) -> dict[str, Any]:
        with self.lock:
            self.requests.append((name, params))
            if self.out_of_order:
                raise Refused(403, "api_error", "broken", "Stripe is out of order")
            if not key:
                return self._do(name, params)
            self.keys.append(key)
            if key not in self.answers:
                self.answers[key] = (params, self._do(name, params))
            earlier, answer = self.answers[key]
            if earlier != params:
                raise Refused(400, "idempotency_error", "idempotency", f"Key {key} was used")
            return answer

    def _do(self, name: str, params: Params) -> dict[str, Any]:
        method, _, path = name.partition(" /v1/")
        kind, _, rest = path.partition("/")
        if path == "customers":
            return self._keep("cus", "customer", params)
        if path == "prices":
            return self._make_price(params) if method == "POST" else self._list_prices(params)
        if kind == "prices":
            return self._find(rest)
        if path == "billing_portal/configurations":
            return {"object": "list", "data": [], "has_more": False, "url": f"/v1/{path}"}
        if path == "billing_portal/sessions":
            return self._keep("bps", "billing_portal.session", params, url="/portal")
        if path == "refunds":
            return self._refund(params)
        if path == "checkout/sessions":
            return self._keep("cs", "checkout.session", params, url="/pay", status="open")
        if path.startswith("checkout/sessions/"):
            return self._session(*path.split("/")[2:])
        raise missing("address")

    def _keep(
        self, prefix: str, kind: str, params: Params, *, url: str = "", **more: Any
    ) -> dict[str, Any]:
        kept = {"id": f"{prefix}_{len(self.objects) + 1}", "object": kind, **more}
        if url:
            kept["url"] = f"{self.address}{url}/{kept['id']}"
        if "customer" in params and params["customer"] not in self.objects:
            raise missing("customer")
        self.objects[kept["id"]] = kept
        return kept

    def _find(self, object_id: str) -> dict[str, Any]:
        if object_id not in self.objects:
            raise missing("object")
        return self.objects[object_id]

    def _make_price(self, params: Params) -> dict[str, Any]:
        if self._list_prices({"lookup_keys[0]": params["lookup_key"]})["data"]:
            raise Refused(400, "invalid_request_error", "", "A price has this lookup key already.")
        interval = params.get("recurring[interval]")
        return self._keep(
            "price",
            "price",
            params,
            active=True,
            unit_amount=int(params["unit_amount"]),
            currency=params["currency"],
            lookup_key=params["lookup_key"],
            product_name=params["product_data[name]"],
            recurring={"interval": interval, "interval_count": 1} if interval else None,
        )

    def _list_prices(self, params: Params) -> dict[str, Any]:
        wanted = params["lookup_keys[0]"]
        found = [price for price in self.made("price") if price["lookup_key"] == wanted]
        return {"object": "list", "data": found, "has_more": False, "url": "/v1/prices"}

    def _refund(self, params: Params) -> dict[str, Any]:
        payment, amount = params["payment_intent"], int(params["amount"])
        if amount > self.refundable.get(payment, 0):
            message = f"Refund amount ({amount}) is greater than unrefunded amount"
            raise Refused(400, "invalid_request_error", "", message)
        self.refundable[payment] -= amount
        more = {"amount": amount, "status": "succeeded", "created": int(time.time())}
        return self._keep("re", "refund", params, payment_intent=payment, **more)

    def _session(self, session_id: str, verb: str = "") -> dict[str, Any]:
        session = self._find(session_id)
        if verb == "expire":
            if session["status"] != "open":
                raise Refused(400, "invalid_request_error", "", "Only open sessions expire.")
            session["status"] = "expired"
        return session


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one packet: the client does not wait for a second one
    stripe: FakeStripe

    def do_GET(self) -> None:
        self._serve(urlsplit(self.path).query)

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())

    def _serve(self, encoded: str) -> None:
        name = f"{self.command} {urlsplit(self.path).path}"
        key = self.headers.get("Idempotency-Key", "") if self.command == "POST" else ""
        status = 200
        try:
            content = self.stripe.answer(name, dict(parse_qsl(encoded)), key)
        except Refused as refused:
            status, content = refused.status, refused.body
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def fake_stripe() -> Iterator[FakeStripe]:
    """Serves on 127.0.0.1 until the end of the block."""
    stripe = FakeStripe()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"stripe": stripe}))
    stripe.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stripe
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def selling() -> Iterator[FakeStripe]:
    """The site with this as its Stripe. Fails at the end if a lock may have been held meanwhile."""
    send = requests.Session.request
    inside_a_transaction: list[tuple[Any, ...]] = []

    def noted(*args: Any, **kwargs: Any) -> requests.Response:
        if connection.in_atomic_block:
            inside_a_transaction.append(args)
        return send(*args, **kwargs)

    with (
        fake_stripe() as stripe,
        patch.object(requests.Session, "request", noted),
        override_settings(STRIPE_SECRET_KEY="sk_test_" + "1" * 24, STRIPE_API_BASE=stripe.address),
    ):
        yield stripe
    assert not inside_a_transaction, inside_a_transaction
