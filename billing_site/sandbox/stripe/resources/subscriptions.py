"""Subscriptions, their items, invoices and what has paid them."""

from billing_site.sandbox.stripe import billing, changes, forms, pending
from billing_site.sandbox.stripe.errors import StripeError, invalid, missing
from billing_site.sandbox.stripe.forms import Params
from billing_site.sandbox.stripe.rest import cut, include, listed, page, route
from billing_site.sandbox.stripe.store import Object, Store


@route("POST", "/v1/subscriptions", "SubscriptionCreateParams")
def create_subscription(store: Store, params: Params) -> Object:
    customer = store.get("customer", forms.required(params, "customer"), "customer")
    rows = forms.tables(params, "items")
    if not rows:
        raise missing("items")
    items = [
        (
            store.get("price", forms.required(row, "price"), "items[price]"),
            forms.positive(row, "quantity", 1),
        )
        for row in rows
    ]
    if not all(price["recurring"] for price, _ in items):
        raise invalid("items", "Prices of a subscription must be recurring.")
    subscription = billing.subscribe(
        store,
        customer,
        items,
        trial_days=billing.trial_days(params),
        metadata=forms.metadata(params),
        default_payment_method=forms.text(params, "default_payment_method") or None,
    )
    lines = billing.period_lines(store, subscription)
    invoice = billing.draft(store, subscription, "subscription_create", lines)
    billing.finalize(store, invoice)
    billing.collect(store, invoice, present=True)
    return subscription


@route("GET", "/v1/subscriptions", "SubscriptionListParams")
def list_subscriptions(store: Store, params: Params) -> Object:
    """Without a status those that have not ended, like Stripe."""
    params = dict(params)
    status = str(params.pop("status", ""))
    found = store.find("subscription")
    for name in ("customer", "price"):
        if wanted := forms.text(params, name):
            found = [row for row in found if wanted in _names(row, name)]
    if status in ("", "ended"):
        found = [row for row in found if (row["status"] == "canceled") == (status == "ended")]
    elif status != "all":
        found = [row for row in found if row["status"] == status]
    return cut("/v1/subscriptions", found, params)


def _names(subscription: Object, name: str) -> list[str]:
    if name == "customer":
        return [subscription["customer"]]
    return [item["price"]["id"] for item in subscription["items"]["data"]]


@route("GET", "/v1/subscriptions/*")
def retrieve_subscription(store: Store, params: Params, subscription_id: str) -> Object:
    return store.get("subscription", subscription_id)


@route("POST", "/v1/subscriptions/*", "SubscriptionUpdateParams")
def update_subscription(store: Store, params: Params, subscription_id: str) -> Object:
    subscription = store.get("subscription", subscription_id)
    changes.change(store, subscription, params)
    return subscription


@route("DELETE", "/v1/subscriptions/*", "SubscriptionCancelParams")
def cancel_subscription(store: Store, params: Params, subscription_id: str) -> Object:
    subscription = store.get("subscription", subscription_id)
    if subscription["status"] == "canceled":
        raise StripeError(
            f"No such subscription: {subscription_id}", status=404, code="resource_missing"
        )
    billing.end(store, subscription, "cancellation_requested")
    return subscription


@route("GET", "/v1/subscription_items", "SubscriptionItemListParams")
def list_subscription_items(store: Store, params: Params) -> Object:
    subscription = store.get("subscription", forms.required(params, "subscription"))
    return cut("/v1/subscription_items", subscription["items"]["data"], params)


@route("GET", "/v1/subscription_items/*")
def retrieve_subscription_item(store: Store, params: Params, item_id: str) -> Object:
    for subscription in store.find("subscription"):
        for item in subscription["items"]["data"]:
            if item["id"] == item_id:
                return dict(item)
    return store.get("subscription_item", item_id)


@route("GET", "/v1/invoices", "InvoiceListParams")
def list_invoices(store: Store, params: Params) -> Object:
    params = dict(params)
    subscription_id = forms.text(params, "subscription")
    if not subscription_id:
        fields = ("customer", "status", "collection_method")
        return page(store, "/v1/invoices", "invoice", params, *fields)
    subscription = store.get("subscription", subscription_id, "subscription")
    found = [
        row
        for row in store.find("invoice", customer=subscription["customer"])
        if billing.subscription_of(store, row) is subscription
        and row["status"] == params.get("status", row["status"])
    ]
    return cut("/v1/invoices", found, params)


@route("GET", "/v1/invoices/*")
def retrieve_invoice(store: Store, params: Params, invoice_id: str) -> Object:
    return store.get("invoice", invoice_id)


@route("GET", "/v1/invoices/*/lines", "InvoiceListLinesParams")
def list_invoice_lines(store: Store, params: Params, invoice_id: str) -> Object:
    lines = store.get("invoice", invoice_id)["lines"]
    return cut(lines["url"], lines["data"], params)


@route("POST", "/v1/invoices/*/pay", "InvoicePayParams")
def pay_invoice(store: Store, params: Params, invoice_id: str) -> Object:
    invoice = store.get("invoice", invoice_id)
    if invoice["status"] == "draft":
        billing.finalize(store, invoice)
    if invoice["status"] != "open":
        raise StripeError("Invoice is already paid.", code="invoice_already_paid")
    if forms.flag(params, "paid_out_of_band"):  # by bank transfer, say: no payment intent
        billing.settle(store, invoice, None)
    elif not billing.collect(store, invoice):
        raise StripeError(
            "Your card was declined.", status=402, kind="card_error", code="card_declined"
        )
    return invoice


@route("POST", "/v1/invoices/*/void", "InvoiceVoidInvoiceParams")
def void_invoice(store: Store, params: Params, invoice_id: str) -> Object:
    invoice = store.get("invoice", invoice_id)
    if invoice["status"] != "open":
        raise StripeError("You can only pass in open invoices. This invoice isn't open.")
    pending.void(store, billing.subscription_of(store, invoice), invoice)
    return invoice


@include("invoice", "payments")
def payments_of(store: Store, invoice: Object) -> Object:
    found = store.find("invoice_payment", invoice=invoice["id"])
    return listed(f"/v1/invoice_payments?invoice={invoice['id']}", found)


@route("GET", "/v1/invoice_payments", "InvoicePaymentListParams")
def list_invoice_payments(store: Store, params: Params) -> Object:
    params = dict(params)
    payment = forms.table(params, "payment")
    params.pop("payment", None)
    found = page(store, "/v1/invoice_payments", "invoice_payment", params, "invoice", "status")
    if not payment:
        return found
    wanted = forms.required(payment, "payment_intent")
    rows = [
        row for row in store.find("invoice_payment") if row["payment"]["payment_intent"] == wanted
    ]
    return cut("/v1/invoice_payments", rows, params)


@route("GET", "/v1/invoice_payments/*")
def retrieve_invoice_payment(store: Store, params: Params, payment_id: str) -> Object:
    return store.get("invoice_payment", payment_id)
