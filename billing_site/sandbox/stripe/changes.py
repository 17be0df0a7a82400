"""Changes of a running subscription: plans, quantities, cancellation and its taking back."""

import copy

from billing_site.sandbox.stripe import billing, cards, forms, items, money, pending
from billing_site.sandbox.stripe.errors import StripeError, invalid
from billing_site.sandbox.stripe.events import emit
from billing_site.sandbox.stripe.forms import Params
from billing_site.sandbox.stripe.items import Wanted
from billing_site.sandbox.stripe.store import Object, Store

PAYMENT = (
    "allow_incomplete",
    "error_if_incomplete",
    "default_incomplete",
    "pending_if_incomplete",
)
# https://docs.stripe.com/billing/subscriptions/pending-updates-reference
MAY_WAIT = {"items", "payment_behavior", "proration_behavior", "proration_date", "expand"}


def change(store: Store, subscription: Object, params: Params) -> None:
    """Applies the parameters of an update and sends what follows from it. Raises StripeError."""
    if subscription["status"] in ("canceled", "incomplete_expired"):
        raise StripeError("A canceled subscription can only update its cancellation_details.")
    wanted, behavior, moment = read(store, subscription, params)
    payment = forms.choice(params, "payment_behavior", *PAYMENT)
    _refuse_what_cannot_be(store, subscription, params, wanted, payment)
    if wanted and payment == "pending_if_incomplete":
        _change_when_paid(store, subscription, wanted, behavior, moment)
        return
    before = {
        "items": {
            **subscription["items"],
            "data": [dict(item) for item in subscription["items"]["data"]],
        },
        **{name: subscription[name] for name in ("cancel_at", "cancel_at_period_end", "metadata")},
    }
    anew = items.begins_anew(store, subscription, wanted)
    _settings(store, subscription, params)
    lines = lines_of(store, subscription, wanted, behavior, moment)
    changed = {name: old for name, old in before.items() if subscription[name] != old}
    store.private(subscription["id"])["pending"] += lines
    emit(store, "customer.subscription.updated", subscription, **changed)
    if lines and (behavior == "always_invoice" or anew):
        invoice = billing.draft(store, subscription, "subscription_update", [])
        billing.finalize(store, invoice)
        billing.collect(store, invoice)


def read(store: Store, subscription: Object, params: Params) -> tuple[Wanted, str, int]:
    """What is to be changed, how it is prorated and from when. Raises StripeError."""
    behavior = forms.choice(
        params, "proration_behavior", "create_prorations", "always_invoice", "none"
    )
    moment = forms.whole(params, "proration_date") or store.now()
    first = subscription["items"]["data"][0]
    if not first["current_period_start"] <= moment <= first["current_period_end"]:
        raise invalid("proration_date", "The proration date is outside of the current period.")
    wanted = _wanted(store, subscription, params)
    _refuse_prices(store, subscription, wanted)
    return wanted, behavior, moment


def lines_of(
    store: Store, subscription: Object, wanted: Wanted, behavior: str, moment: int
) -> list[Object]:
    """Puts the new items into `subscription`, perhaps a copy; what is to be paid for them."""
    prorate = behavior != "none" and subscription["status"] != "trialing"
    return items.replace(store, subscription, wanted, moment, prorate=prorate)


def _change_when_paid(
    store: Store, subscription: Object, wanted: Wanted, behavior: str, moment: int
) -> None:
    """The change is applied with its payment (billing.settle), and waits until then."""
    if subscription["pending_update"]:
        pending.void(store, subscription, store.get("invoice", subscription["latest_invoice"]))
    lines = lines_of(store, copy.deepcopy(subscription), wanted, behavior, moment)
    invoice = billing.draft(store, subscription, "subscription_update", lines)
    store.private(invoice["id"])["update"] = {"wanted": wanted, "moment": moment}
    billing.finalize(store, invoice)
    if not billing.collect(store, invoice):
        pending.keep(store, subscription, invoice)


def _settings(store: Store, subscription: Object, params: Params) -> None:
    if "metadata" in params:
        subscription["metadata"] = forms.metadata(params, subscription["metadata"])
    if method := forms.text(params, "default_payment_method"):
        store.get("payment_method", method, "default_payment_method")
        subscription["default_payment_method"] = method
    if "cancel_at_period_end" in params:
        flag = forms.flag(params, "cancel_at_period_end")
        _plan_end(store, subscription, items.period_end(subscription) if flag else None)
        subscription["cancel_at_period_end"] = flag
    elif "cancel_at" in params:
        _plan_end(store, subscription, forms.whole(params, "cancel_at") or None)


def _plan_end(store: Store, subscription: Object, moment: int | None) -> None:
    subscription["cancel_at"] = moment
    subscription["canceled_at"] = store.now() if moment else None
    subscription["cancellation_details"]["reason"] = "cancellation_requested" if moment else None
    if moment is None:
        subscription["cancel_at_period_end"] = False


def _wanted(store: Store, subscription: Object, params: Params) -> Wanted:
    found: Wanted = []
    by_id = {item["id"]: item for item in subscription["items"]["data"]}
    for row in forms.tables(params, "items"):
        item_id = forms.text(row, "id")
        if item_id and item_id not in by_id:
            raise invalid("items", f"No such subscription item: '{item_id}'")
        item = by_id.get(item_id)
        if forms.flag(row, "deleted"):
            found.append((item_id, "", 0))
            continue
        price_id = forms.text(row, "price", item["price"]["id"] if item else "")
        price = store.get("price", price_id, "items[price]")
        quantity = forms.positive(row, "quantity", item["quantity"] if item else 1)
        if item is None or (price["id"], quantity) != (item["price"]["id"], item["quantity"]):
            found.append((item_id, price_id, quantity))
    return found


def _refuse_prices(store: Store, subscription: Object, wanted: Wanted) -> None:
    currency = subscription["items"]["data"][0]["price"]["currency"]
    for _, price_id, _ in wanted:
        price = store.get("price", price_id) if price_id else None
        if price and (not price["recurring"] or price["currency"] != currency):
            raise invalid("items", "The price must be recurring and in the same currency.")
    if items.begins_anew(store, subscription, wanted) and len(subscription["items"]["data"]) > 1:
        raise StripeError("The sandbox changes the interval of single items only.")


def _refuse_what_cannot_be(
    store: Store, subscription: Object, params: Params, wanted: Wanted, payment: str
) -> None:
    if subscription["schedule"] and {"items", "cancel_at", "cancel_at_period_end"} & set(params):
        raise StripeError(
            f"The subscription is managed by the subscription schedule `{subscription['schedule']}`"
            ", and updating it directly is not allowed. Please update the schedule instead."
        )
    if payment == "pending_if_incomplete" and (more := set(params) - MAY_WAIT):
        raise StripeError(f"pending_if_incomplete does not go with {', '.join(sorted(more))}.")
    if payment == "default_incomplete" and wanted:
        raise StripeError("The sandbox does not do default_incomplete.")
    behavior = params.get("proration_behavior")
    if payment == "error_if_incomplete" and wanted and behavior == "always_invoice":
        method = subscription["default_payment_method"]
        if reason := money.refusal(store, method, present=False):
            raise cards.declined(reason)
