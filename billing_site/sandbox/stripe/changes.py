"""Changes of a running subscription: plans, quantities, cancellation and its taking back."""

from billing_site.sandbox.stripe import (
    billing,
    cards,
    forms,
    money,
    periods,
    shapes,
    shapes_billing,
)
from billing_site.sandbox.stripe.errors import StripeError, invalid
from billing_site.sandbox.stripe.events import emit
from billing_site.sandbox.stripe.forms import Params
from billing_site.sandbox.stripe.store import Object, Store


def change(store: Store, subscription: Object, params: Params) -> None:
    """Applies the parameters of an update and sends what follows from it. Raises StripeError."""
    if subscription["status"] in ("canceled", "incomplete_expired"):
        raise StripeError("A canceled subscription can only update its cancellation_details.")
    before = {
        "items": {
            **subscription["items"],
            "data": [dict(item) for item in subscription["items"]["data"]],
        },
        **{name: subscription[name] for name in ("cancel_at", "cancel_at_period_end", "metadata")},
    }
    wanted = _wanted(store, subscription, params)
    behavior = forms.choice(
        params, "proration_behavior", "create_prorations", "always_invoice", "none"
    )
    _refuse_what_cannot_be(store, subscription, params, wanted, behavior)
    _settings(store, subscription, params)
    lines = _replace(store, subscription, wanted, behavior, forms.whole(params, "proration_date"))
    changed = {name: old for name, old in before.items() if subscription[name] != old}
    store.private(subscription["id"])["pending"] += lines
    emit(store, "customer.subscription.updated", subscription, **changed)
    if lines and behavior == "always_invoice":
        invoice = billing.draft(store, subscription, "subscription_update", [])
        billing.finalize(store, invoice)
        billing.collect(store, invoice)


def _settings(store: Store, subscription: Object, params: Params) -> None:
    if "metadata" in params:
        subscription["metadata"] = forms.metadata(params, subscription["metadata"])
    if method := forms.text(params, "default_payment_method"):
        store.get("payment_method", method, "default_payment_method")
        subscription["default_payment_method"] = method
    if "cancel_at_period_end" in params:
        flag = forms.flag(params, "cancel_at_period_end")
        _plan_end(store, subscription, billing.period_end(subscription) if flag else None)
        subscription["cancel_at_period_end"] = flag
    elif "cancel_at" in params:
        _plan_end(store, subscription, forms.whole(params, "cancel_at") or None)


def _plan_end(store: Store, subscription: Object, moment: int | None) -> None:
    subscription["cancel_at"] = moment
    subscription["canceled_at"] = store.now() if moment else None
    subscription["cancellation_details"]["reason"] = "cancellation_requested" if moment else None
    if moment is None:
        subscription["cancel_at_period_end"] = False


Wanted = list[tuple[Object | None, Object | None, int]]  # item as it is, its new price, how many


def _wanted(store: Store, subscription: Object, params: Params) -> Wanted:
    found: Wanted = []
    by_id = {item["id"]: item for item in subscription["items"]["data"]}
    for row in forms.tables(params, "items"):
        item_id = forms.text(row, "id")
        if item_id and item_id not in by_id:
            raise invalid("items", f"No such subscription item: '{item_id}'")
        item = by_id.get(item_id)
        if forms.flag(row, "deleted"):
            found.append((item, None, 0))
            continue
        price_id = forms.text(row, "price", item["price"]["id"] if item else "")
        price = store.get("price", price_id, "items[price]")
        quantity = forms.positive(row, "quantity", item["quantity"] if item else 1)
        if item is None or (price["id"], quantity) != (item["price"]["id"], item["quantity"]):
            found.append((item, price, quantity))
    return found


def _refuse_what_cannot_be(
    store: Store, subscription: Object, params: Params, wanted: Wanted, behavior: str
) -> None:
    now = subscription["items"]["data"][0]["price"]
    for _, price, _ in wanted:
        if price is None:
            continue
        if not price["recurring"] or price["currency"] != now["currency"]:
            raise invalid("items", "The price must be recurring and in the same currency.")
        if price["recurring"]["interval"] != now["recurring"]["interval"]:
            raise StripeError("The sandbox cannot change the interval of a subscription.")
    payment = forms.choice(
        params, "payment_behavior", "allow_incomplete", "error_if_incomplete",
        "default_incomplete", "pending_if_incomplete",
    )  # fmt: skip
    if payment in ("default_incomplete", "pending_if_incomplete") and wanted:
        raise StripeError(f"The sandbox does not do {payment}: use error_if_incomplete.")
    if payment == "error_if_incomplete" and wanted and behavior == "always_invoice":
        method = subscription["default_payment_method"]
        if reason := money.refusal(store, method, present=False):
            raise cards.declined(reason)


def _replace(
    store: Store, subscription: Object, wanted: Wanted, behavior: str, moment: int
) -> list[Object]:
    """Puts the new items in place; the prorated lines: for each item the old plan comes first."""
    moment = moment or store.now()
    lines: list[Object] = []
    for item, price, quantity in wanted:
        prorate = behavior != "none" and subscription["status"] != "trialing"
        if item is not None and prorate:
            lines.append(_line(store, item, moment, credit=True))
        item = _put(store, subscription, item, price, quantity)
        if item is not None and prorate:
            lines.append(_line(store, item, moment, credit=False))
    return lines


def _put(
    store: Store, subscription: Object, item: Object | None, price: Object | None, quantity: int
) -> Object | None:
    if price is None:
        if item is not None:
            subscription["items"]["data"].remove(item)
        return None
    if item is None:
        first = subscription["items"]["data"][0]
        item = billing.add_item(store, subscription, price, quantity)
        item["current_period_start"] = first["current_period_start"]
        item["current_period_end"] = first["current_period_end"]
        return item
    item |= {"price": price, "plan": shapes.plan(price), "quantity": quantity}
    return item


def _line(store: Store, item: Object, moment: int, *, credit: bool) -> Object:
    start, end = item["current_period_start"], item["current_period_end"]
    full = item["price"]["unit_amount"] * item["quantity"]
    amount = periods.share(full, max(end - moment, 0), end - start)
    line = shapes_billing.invoice_line(
        store.new_id("il"),
        item,
        amount=-amount if credit else amount,
        start=moment,
        end=end,
        proration=True,
    )
    name = store.get("product", item["price"]["product"])["name"]
    line["description"] = f"{'Unused' if credit else 'Remaining'} time on {name}"
    return line
