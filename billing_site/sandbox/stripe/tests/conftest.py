"""A running sandbox, a server that takes its events, and a browser without JavaScript."""

import json
import threading
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urljoin

import pytest
import requests
import stripe

from billing_site.sandbox.stripe import Sandbox

KEY = "sk_test_" + "0" * 24
SECRET = "whsec_sandbox_secret"
ADDRESS = "http://shop.example"
GOOD, DECLINED, CHALLENGED = "4242 4242 4242 4242", "4000 0000 0000 0002", "4000 0025 0000 3155"
FAILS_LATER = "4000 0000 0000 0341"


class Receiver(ThreadingHTTPServer):
    """Takes events whose signature is right, 500 for the first `failures`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Taking)
        self.events, self.failures, self.forged = [], 0, 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook/"

    @property
    def types(self):
        return [event["type"] for event in self.events]

    def last(self, kind):
        return [event for event in self.events if event["type"] == kind][-1]["data"]["object"]

    def clear(self):
        self.events.clear()


class Taking(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        status = 200
        try:
            stripe.WebhookSignature.verify_header(
                body, self.headers["Stripe-Signature"], SECRET, 300
            )
        except stripe.SignatureVerificationError:
            self.server.forged += 1
            status = 400
        if self.server.failures:
            self.server.failures -= 1
            status = 500
        if status == 200:
            self.server.events.append(json.loads(body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def receiver():
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    assert not server.forged


@pytest.fixture
def state_file(tmp_path):
    return tmp_path / "stripe.json"


@pytest.fixture
def new_sandbox(state_file, receiver):
    def make(**changes):
        changes.setdefault("retry_delays", (0, 0.05, 0.1))
        return Sandbox(state_file, 0, KEY, receiver.url, SECRET, **changes)

    return make


@pytest.fixture
def sandbox(new_sandbox):
    with new_sandbox() as running:
        yield running


def client_of(sandbox):
    return stripe.StripeClient(KEY, base_addresses={"api": sandbox.address}, max_network_retries=0)


@pytest.fixture
def client(sandbox):
    return client_of(sandbox)


class Forms(HTMLParser):
    """The forms of a page: where they go, their fields and their buttons."""

    def __init__(self, text):
        super().__init__()
        self.forms = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "form":
            self.forms.append((found.get("action", ""), {}, []))
        elif tag == "input" and found.get("name") and found.get("type") != "checkbox":
            self.forms[-1][1][found["name"]] = found.get("value", "")
        elif tag == "button" and found.get("name"):
            self.forms[-1][2].append((found["name"], found["value"]))

    def with_button(self, button):
        return next(form for form in self.forms if button in form[2])


class Browser:
    """Opens pages and presses their buttons; stops at the shop's own addresses."""

    def __init__(self):
        self.session = requests.Session()
        self.session.trust_env = False
        self.address, self.status, self.text = "", 0, ""

    def open(self, address):
        self._follow(self.session.get(address, allow_redirects=False, timeout=5), address)
        return self

    def press(self, name, value, **fields):
        action, own, _ = Forms(self.text).with_button((name, value))
        return self.post(urljoin(self.address, action), **{**own, **fields, name: value})

    def post(self, address, **fields):
        self._follow(self.session.post(address, fields, allow_redirects=False, timeout=5), address)
        return self

    def _follow(self, answer, address):
        while answer.is_redirect:
            address = urljoin(address, answer.headers["Location"])
            if address.startswith(ADDRESS):
                break
            answer = self.session.get(address, allow_redirects=False, timeout=5)
        self.address, self.status, self.text = address, answer.status_code, answer.text


@pytest.fixture
def visitor():
    return Browser()


class Shop:
    """A customer, a plan and a pack, and what the shop does with them."""

    def __init__(self, sandbox, client, visitor, receiver):
        self.sandbox, self.client = sandbox, client
        self.visitor, self.receiver = visitor, receiver
        self.customer = client.v1.customers.create({"email": "ann@example.com"})
        self.plan = self.price("Starter", 900, "month")
        self.pro = self.price("Pro", 2900, "month")
        self.pack = self.price("Pack", 500)

    def price(self, name, amount, interval=None):
        params = {"currency": "usd", "unit_amount": amount, "product_data": {"name": name}}
        if interval:
            params["recurring"] = {"interval": interval}
        return self.client.v1.prices.create(params)

    def session(self, price, *, quantity=1, **changes):
        mode = "subscription" if price.recurring else "payment"
        return self.client.v1.checkout.sessions.create(
            {
                "mode": mode,
                "customer": self.customer.id,
                "line_items": [{"price": price.id, "quantity": quantity}],
                "success_url": f"{ADDRESS}/thanks?session={{CHECKOUT_SESSION_ID}}",
                "cancel_url": f"{ADDRESS}/pricing",
                **changes,
            }
        )

    def buy(self, price, card=GOOD, **changes):
        session = self.session(price, **changes)
        self.visitor.open(session.url).press("action", "pay", card=card)
        return self.client.v1.checkout.sessions.retrieve(session.id)

    def delivered(self):
        assert self.sandbox.wait_until_delivered(10)
        return self.receiver.types

    def fresh(self):
        """Forgets what has been delivered so far."""
        self.delivered()
        self.receiver.clear()


@pytest.fixture
def shop(sandbox, client, visitor, receiver):
    return Shop(sandbox, client, visitor, receiver)
