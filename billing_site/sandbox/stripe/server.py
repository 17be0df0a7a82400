"""The HTTP server, on 127.0.0.1 only: the API under /v1/, everything else are pages."""

import json
import logging
import secrets
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import stripe

from billing_site.sandbox.stripe import (
    resources,  # noqa: F401 (registers the routes)
    rest,
)
from billing_site.sandbox.stripe.errors import StripeError
from billing_site.sandbox.stripe.pages import answer_page, failure
from billing_site.sandbox.stripe.store import Store

logger = logging.getLogger(__name__)

MOST_BYTES = 1024 * 1024
FAILURE = StripeError("The sandbox failed; see its log.", status=500, kind="api_error")
OWN_NAMES = ("127.0.0.1", "localhost")


class Server(ThreadingHTTPServer):
    """Serves one store."""

    daemon_threads = True

    def __init__(self, port: int, store: Store) -> None:
        self.store = store
        super().__init__(("127.0.0.1", port), Handler)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("A client went away.", exc_info=True)


class Handler(BaseHTTPRequestHandler):
    """One request, under the store's lock."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: two would wait 40 ms for each other
    disable_nagle_algorithm = True
    server_version = "stripe-sandbox"
    server: Server

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        logger.debug(format, *args)

    def _handle(self, method: str) -> None:
        address = urlsplit(self.path)
        body = self._body()
        if body is None:
            return
        if address.path.startswith("/v1/"):
            self._api(method, address.path, address.query if method == "GET" else body)
        else:
            self._page(method, address.path, body)

    def _body(self) -> str | None:
        length = self.headers.get("Content-Length") or "0"
        if not length.isdecimal() or int(length) > MOST_BYTES:
            self.close_connection = True
            self._send(413, b"Too large.\n", "text/plain")
            return None
        return self.rfile.read(int(length)).decode(errors="replace")

    def _api(self, method: str, path: str, encoded: str) -> None:
        headers = {"Request-Id": f"req_{secrets.token_hex(7)}"}
        headers["Stripe-Version"] = stripe.api_version
        key = self.headers.get("Idempotency-Key", "")
        failure = self._trouble()
        if failure == "refused":
            self._send(FAILURE.status, json.dumps(FAILURE.body).encode(), "application/json")
            return
        try:
            rest.authenticate(self.headers.get("Authorization", ""))
            value, replayed = self._answer(method, path, encoded, key)
            status = 200
            headers |= {"Idempotent-Replayed": "true"} if replayed else {}
        except StripeError as error:
            status, value = error.status, error.body
        except Exception:  # whatever it is: the library should see an answer, we the traceback
            logger.exception("%s %s failed", method, path)
            status, value = 500, FAILURE.body
        if failure == "lost":
            self.close_connection = True
            return
        headers |= {"Idempotency-Key": key} if key.isprintable() and key else {}
        self._send(status, json.dumps(value, indent=2).encode(), "application/json", **headers)

    def _trouble(self) -> str:
        """What is to go wrong with this request (`Sandbox.set_api`), after the wished delay."""
        switches = self.server.store.api
        time.sleep(switches.get("latency_seconds", 0))
        return str(switches.get("failure", ""))

    def _answer(
        self, method: str, path: str, encoded: str, key: str
    ) -> tuple[dict[str, Any], bool]:
        store = self.server.store
        with store.lock if method == "GET" else store.changing():
            return rest.answer(store, method, path, encoded, key)

    def _page(self, method: str, path: str, body: str) -> None:
        if not self._is_our_own():
            self._send(403, b"Pages are for this machine and its own forms.\n", "text/plain")
            return
        store = self.server.store
        try:
            with store.lock if method == "GET" else store.changing():
                page = answer_page(store, method, path, body)
        except StripeError as error:
            page = failure(error)
        except Exception:  # as above
            logger.exception("%s %s failed", method, path)
            page = failure(FAILURE)
        headers = {"Location": page.redirect} if page.redirect else {}
        self._send(page.status, page.html.encode(), "text/html; charset=utf-8", **headers)

    def _is_our_own(self) -> bool:
        """No other site's page reaches us under a name of its own, or sends our forms."""
        name = self.headers.get("Host", "").rpartition(":")[0]
        origin = self.headers.get("Origin", "")
        foreign = origin not in ("", "null") and urlsplit(origin).hostname not in OWN_NAMES
        cross_post = self.command == "POST" and (
            foreign or self.headers.get("Sec-Fetch-Site") == "cross-site"
        )
        return name in OWN_NAMES and not cross_post

    def _send(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in headers.items():
            self.send_header(name, value.replace("\r", "").replace("\n", ""))
        self.end_headers()
        self.wfile.write(body)
