"""A customer's life at the sandbox, as the list of its events: what `chaos_webhooks` plays.

A plan, a renewal, an upgrade and a cancellation; packs of which one is refunded in parts, one has a
refund that fails, one is disputed and won, one disputed and lost; a single generation, refunded.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import stripe

from billing_site.sandbox.stripe import checkout, money
from billing_site.sandbox.stripe.sandbox import Sandbox
from billing_site.sandbox.stripe.store import DAY, Object

KEY = "sk_test_" + "0" * 24
CARD = "4242424242424242"
DAYS = 48  # from the first purchase to the cancellation


@dataclass(frozen=True)
class Goods:
    """What is bought: slug, amount in minor units, currency, price id; plans with an interval."""

    slug: str
    amount: int
    currency: str
    price_id: str = ""
    interval: str = ""


def record(plan: Goods, bigger_plan: Goods, pack: Goods, single: Goods) -> list[Object]:
    """The events of such a life, which ends now, with the price ids of the goods."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stripe.json"
        began = time.time() - DAYS * DAY
        with Sandbox(path, 0, KEY, "", "", now=lambda: began) as sandbox:
            customer = _Customer(sandbox)
            customer.lives(plan, bigger_plan, pack, single)
            return customer.events()


class _Customer:
    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        addresses: Any = {"api": sandbox.address}
        self.client = stripe.StripeClient(KEY, base_addresses=addresses, max_network_retries=0)
        self.id = self.client.v1.customers.create({"email": "chaos@example.com"}).id
        self.price_ids: dict[str, str] = {}

    def lives(self, plan: Goods, bigger_plan: Goods, pack: Goods, single: Goods) -> None:
        subscription = str(self.buys(plan).subscription)
        packs = [str(self.buys(pack).payment_intent) for _number in range(4)]
        token = str(self.buys(single).payment_intent)
        self.sandbox.advance(2)
        for amount in (pack.amount // 5, pack.amount // 3):
            self.refunded(packs[0], amount)
            self.sandbox.advance(1)
        failing = self.refunded(packs[1], pack.amount // 2)
        self.refunded(packs[1], pack.amount // 4)
        self.refunded(token, single.amount)
        self.sandbox.advance(3)
        self.refund_fails(failing)
        for payment, won in [(packs[2], True), (packs[3], False)]:
            self.disputes(payment, won=won)
        self.sandbox.advance(24)  # the renewal
        self.sandbox.advance(14)
        self.changes(subscription, bigger_plan)
        self.sandbox.advance(1)
        self.client.v1.subscriptions.cancel(subscription)

    def events(self) -> list[Object]:
        """With the site's price ids in place of the sandbox's."""
        return [self._renamed(event) for event in self.sandbox.events()]

    def _renamed(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._renamed(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._renamed(inner) for inner in value]
        return self.price_ids.get(value, value) if isinstance(value, str) else value

    def price(self, goods: Goods) -> str:
        params: Any = {
            "currency": goods.currency,
            "unit_amount": goods.amount,
            "product_data": {"name": goods.slug},
        }
        if goods.interval:
            params["recurring"] = {"interval": goods.interval}
        price = self.client.v1.prices.create(params)
        self.price_ids[price.id] = goods.price_id or price.id
        return price.id

    def buys(self, goods: Goods) -> stripe.checkout.Session:
        params: Any = {
            "mode": "subscription" if goods.interval else "payment",
            "customer": self.id,
            "line_items": [{"price": self.price(goods), "quantity": 1}],
            "metadata": {"offer": goods.slug, "quantity": "1"},
            "success_url": "http://shop.invalid/",
        }
        session = self.client.v1.checkout.sessions.create(params)
        store = self.sandbox.store
        with store.changing():
            checkout.pay_by_card(store, store.get("checkout.session", session.id), CARD)
        return self.client.v1.checkout.sessions.retrieve(session.id)

    def refunded(self, payment_intent: str, amount: int) -> str:
        made = self.client.v1.refunds.create({"payment_intent": payment_intent, "amount": amount})
        return made.id

    def refund_fails(self, refund_id: str) -> None:
        store = self.sandbox.store
        with store.changing():
            money.fail_refund(store, store.get("refund", refund_id))

    def disputes(self, payment_intent: str, *, won: bool) -> None:
        [charge] = self.client.v1.charges.list({"payment_intent": payment_intent}).data
        dispute = self.sandbox.open_dispute(charge.id)
        self.sandbox.advance(1)
        self.sandbox.close_dispute(dispute, won=won)

    def changes(self, subscription: str, plan: Goods) -> None:
        item = self.client.v1.subscriptions.retrieve(subscription)["items"].data[0]
        self.client.v1.subscriptions.update(
            subscription,
            {
                "items": [{"id": item.id, "price": self.price(plan)}],
                "proration_behavior": "always_invoice",
            },
        )
