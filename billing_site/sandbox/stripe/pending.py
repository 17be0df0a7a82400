"""Changes that wait for their payment: `payment_behavior=pending_if_incomplete`.

https://docs.stripe.com/billing/subscriptions/pending-updates
"""

from billing_site.sandbox.stripe import items
from billing_site.sandbox.stripe.events import emit
from billing_site.sandbox.stripe.store import Object, Store

HOURS = 23
SECONDS = HOURS * 3600


def keep(store: Store, subscription: Object, invoice: Object) -> None:
    """The payment did not come about: the change waits, the old plan goes on."""
    wanted = store.private(invoice["id"])["update"]["wanted"]
    ends = min(store.now() + SECONDS, items.period_end(subscription))
    subscription["pending_update"] = {
        "billing_cycle_anchor": None,
        "expires_at": ends,
        "subscription_items": [
            {**_item(subscription, item_id), "price": store.get("price", price), "quantity": many}
            for item_id, price, many in wanted
            if price
        ],
        "trial_end": None,
        "trial_from_plan": None,
    }
    emit(store, "customer.subscription.updated", subscription, pending_update=None)


def _item(subscription: Object, item_id: str) -> Object:
    return next(item for item in subscription["items"]["data"] if item["id"] == item_id)


def apply(store: Store, subscription: Object, update: Object) -> None:
    """The change has been paid."""
    waited, subscription["pending_update"] = subscription["pending_update"], None
    items.replace(store, subscription, update["wanted"], update["moment"], prorate=False)
    emit(store, "customer.subscription.updated", subscription, pending_update=waited)
    if waited:
        emit(store, "customer.subscription.pending_update_applied", subscription)


def void(store: Store, subscription: Object, invoice: Object) -> None:
    """The invoice is no longer to be paid; a change that waited for it is given up."""
    customer = store.get("customer", invoice["customer"])
    customer["balance"] += invoice["starting_balance"] - (invoice["ending_balance"] or 0)
    invoice |= {"status": "void", "auto_advance": False, "next_payment_attempt": None}
    invoice["status_transitions"]["voided_at"] = store.now()
    emit(store, "invoice.voided", invoice, status="open")
    if "update" in store.private(invoice["id"]) and subscription["pending_update"]:
        waited, subscription["pending_update"] = subscription["pending_update"], None
        emit(store, "customer.subscription.updated", subscription, pending_update=waited)


def expire(store: Store, subscription: Object) -> None:
    """Nobody has paid in time."""
    void(store, subscription, store.get("invoice", subscription["latest_invoice"]))
    emit(store, "customer.subscription.pending_update_expired", subscription)
