"""What happens by itself when time passes, in the order in which it falls due."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from billing_site.sandbox.stripe import billing, checkout, items, pending
from billing_site.sandbox.stripe.store import Object, Store


class Due(NamedTuple):
    """Something that happens to `value` at `moment`."""

    moment: int
    action: Callable[[Store, Object], None]
    value: Object


def run(store: Store) -> bool:
    """Does everything that is due, each thing at its own time. Whether there was anything."""
    worked = False
    while (due := _first(store)) and due.moment <= store.now():
        with store.at(due.moment):
            due.action(store, due.value)
        worked = True
    return worked


def advance(store: Store, seconds: int) -> None:
    """Moves the clock, one due thing after another."""
    if store.asleep is None:
        store.offset += seconds
    else:
        store.trip_seconds += seconds
    run(store)


def _first(store: Store) -> Due | None:
    return min(_all(store), key=lambda due: due.moment, default=None)


def _all(store: Store) -> Iterator[Due]:
    for subscription in _awake(store, "subscription"):
        if waits := subscription["pending_update"]:
            yield Due(waits["expires_at"], pending.expire, subscription)
        if subscription["status"] in billing.LIVE:
            yield _of_subscription(subscription)
    for invoice in _awake(store, "invoice"):
        if invoice["status"] == "draft" and invoice["auto_advance"]:
            yield Due(invoice["automatically_finalizes_at"], _finalize_and_pay, invoice)
        elif invoice["status"] == "open" and invoice["next_payment_attempt"]:
            yield Due(invoice["next_payment_attempt"], _retry, invoice)
    for session in _awake(store, "checkout.session"):
        if session["status"] == "open":
            yield Due(session["expires_at"], checkout.expire, session)
        elif arrival := store.private(session["id"]).get("arrives_at"):
            yield Due(arrival, checkout.money_arrives, session)


def _awake(store: Store, object_name: str) -> list[Object]:
    asleep = store.asleep or ()
    return [value for value in store.find(object_name) if value["id"] not in asleep]


def _of_subscription(subscription: Object) -> Due:
    turn, stop = items.period_end(subscription), subscription["cancel_at"]
    if stop and stop <= turn:
        return Due(stop, _cancel, subscription)
    return Due(turn, billing.renew, subscription)


def _cancel(store: Store, subscription: Object) -> None:
    billing.end(store, subscription, "cancellation_requested")


def _finalize_and_pay(store: Store, invoice: Object) -> None:
    billing.finalize(store, invoice)
    billing.collect(store, invoice)


def _retry(store: Store, invoice: Object) -> None:
    billing.collect(store, invoice)
