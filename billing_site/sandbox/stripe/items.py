"""What a subscription consists of: its items, their periods, and what another price for one costs.

`replace` works on the object that it is given: on the subscription to change it, on a copy to say
what a change would cost.
"""

from billing_site.sandbox.stripe import periods, shapes, shapes_billing
from billing_site.sandbox.stripe.store import Object, Store

# Item (or "" for a new one), its new price (or "" for none any more), how many.
Wanted = list[tuple[str, str, int]]


def add(store: Store, subscription: Object, price: Object, quantity: int) -> Object:
    """One more thing that is paid for each period."""
    item = shapes_billing.subscription_item(
        store.new_id("si", 14),
        store.now(),
        subscription=subscription["id"],
        price=price,
        quantity=quantity,
    )
    subscription["items"]["data"].append(item)
    return item


def set_period(subscription: Object, start: int, end: int) -> None:
    for item in subscription["items"]["data"]:
        item |= {"current_period_start": start, "current_period_end": end}


def period_end(subscription: Object) -> int:
    return max(int(item["current_period_end"]) for item in subscription["items"]["data"])


def put(item: Object, price: Object, quantity: int) -> None:
    item |= {"price": price, "plan": shapes.plan(price), "quantity": quantity}


def interval(price: Object) -> tuple[str, int]:
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def begins_anew(store: Store, subscription: Object, wanted: Wanted) -> bool:
    """Whether the new prices are paid in another interval: that begins a new period.

    A trial goes on to its end all the same.
    """
    if subscription["status"] == "trialing":
        return False
    now = interval(subscription["items"]["data"][0]["price"])
    return any(price and interval(store.get("price", price)) != now for _, price, _ in wanted)


def replace(
    store: Store, subscription: Object, wanted: Wanted, moment: int, *, prorate: bool
) -> list[Object]:
    """Puts the new items in place; the lines to pay: for each item the old plan comes first.

    In another interval the new period begins now and is paid whole.
    """
    anew = begins_anew(store, subscription, wanted)
    by_id = {item["id"]: item for item in subscription["items"]["data"]}
    lines: list[Object] = []
    for item_id, price_id, quantity in wanted:
        item = by_id.get(item_id)
        if item is not None and prorate:
            lines.append(_prorated(store, item, moment, credit=True))
        item = _put(store, subscription, item, price_id, quantity)
        if item is None:
            continue
        if anew:
            _begin(subscription, item, moment)
            lines.append(full_line(store, item))
        elif prorate:
            lines.append(_prorated(store, item, moment, credit=False))
    return lines


def _begin(subscription: Object, item: Object, moment: int) -> None:
    subscription["billing_cycle_anchor"] = moment
    set_period(subscription, moment, periods.next_end(moment, moment, item["price"]["recurring"]))


def _put(
    store: Store, subscription: Object, item: Object | None, price_id: str, quantity: int
) -> Object | None:
    if not price_id:
        if item is not None:
            subscription["items"]["data"].remove(item)
        return None
    price = store.get("price", price_id, "items[price]")
    if item is None:
        first = subscription["items"]["data"][0]
        item = add(store, subscription, price, quantity)
        item["current_period_start"] = first["current_period_start"]
        item["current_period_end"] = first["current_period_end"]
    else:
        put(item, price, quantity)
    return item


def full_line(store: Store, item: Object, *, free: bool = False) -> Object:
    """What the item costs for its whole period."""
    return shapes_billing.invoice_line(
        store.new_id("il"),
        item,
        amount=0 if free else item["price"]["unit_amount"] * item["quantity"],
        start=item["current_period_start"],
        end=item["current_period_end"],
        proration=False,
    )


def _prorated(store: Store, item: Object, moment: int, *, credit: bool) -> Object:
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
