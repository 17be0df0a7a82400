"""Customers and their payment methods."""

from billing_site.sandbox.stripe import cards, forms, money
from billing_site.sandbox.stripe.errors import StripeError, invalid
from billing_site.sandbox.stripe.events import emit
from billing_site.sandbox.stripe.forms import Params
from billing_site.sandbox.stripe.rest import cut, include, listed, page, route
from billing_site.sandbox.stripe.store import Object, Store

TEXTS = ("description", "email", "name", "phone")


@route("POST", "/v1/customers", "CustomerCreateParams")
def create_customer(store: Store, params: Params) -> Object:
    given = {name: forms.text(params, name) or None for name in TEXTS}
    if clock := forms.text(params, "test_clock"):
        given["test_clock"] = store.get("test_helpers.test_clock", clock, "test_clock")["id"]
    customer = money.new_customer(store, **given, metadata=forms.metadata(params))
    if method := forms.text(params, "payment_method"):
        attach(store, {"customer": customer["id"]}, method)
    _set_default_card(store, customer, params)
    return customer


@route("GET", "/v1/customers", "CustomerListParams")
def list_customers(store: Store, params: Params) -> Object:
    return page(store, "/v1/customers", "customer", params, "email")


@route("GET", "/v1/customers/*")
def retrieve_customer(store: Store, params: Params, customer_id: str) -> Object:
    return store.privates.get(customer_id, {}).get("deleted") or store.get("customer", customer_id)


@route("POST", "/v1/customers/*", "CustomerUpdateParams")
def update_customer(store: Store, params: Params, customer_id: str) -> Object:
    customer = store.get("customer", customer_id)
    customer |= {name: forms.text(params, name) or None for name in TEXTS if name in params}
    customer["metadata"] = forms.metadata(params, customer["metadata"])
    if "balance" in params:
        customer["balance"] = forms.whole(params, "balance")
    _set_default_card(store, customer, params)
    emit(store, "customer.updated", customer)
    return customer


def _set_default_card(store: Store, customer: Object, params: Params) -> None:
    method = forms.text(forms.table(params, "invoice_settings"), "default_payment_method")
    if method:
        store.get("payment_method", method, "invoice_settings[default_payment_method]")
        customer["invoice_settings"]["default_payment_method"] = method


@route("DELETE", "/v1/customers/*")
def delete_customer(store: Store, params: Params, customer_id: str) -> Object:
    customer = store.get("customer", customer_id)
    if any(row["status"] != "canceled" for row in store.find("subscription", customer=customer_id)):
        raise StripeError("The sandbox deletes no customer with a live subscription.")
    emit(store, "customer.deleted", customer)
    del store.objects[customer_id]
    gone = {"id": customer_id, "object": "customer", "deleted": True}
    store.private(customer_id)["deleted"] = gone
    return gone


@include("customer", "subscriptions")
def subscriptions_of(store: Store, customer: Object) -> Object:
    found = [
        row
        for row in store.find("subscription", customer=customer["id"])
        if row["status"] != "canceled"
    ]
    return listed(f"/v1/customers/{customer['id']}/subscriptions", found)


@route("POST", "/v1/payment_methods", "PaymentMethodCreateParams")
def create_payment_method(store: Store, params: Params) -> Object:
    forms.choice(params, "type", "card")
    card = forms.table(params, "card")
    if token := forms.text(card, "token"):
        number = _by_token(token.replace("tok_", "pm_card_")).number
    else:
        number = forms.required(card, "number")
    return money.keep_card(store, number, None)


def _by_token(token: str) -> cards.Card:
    found = cards.BY_TOKEN.get(token)
    if found is None:
        raise invalid("payment_method", f"No such PaymentMethod: '{token}'")
    return found


@route("GET", "/v1/payment_methods", "PaymentMethodListParams")
def list_payment_methods(store: Store, params: Params) -> Object:
    return page(store, "/v1/payment_methods", "payment_method", params, "customer", "type")


@route("GET", "/v1/customers/*/payment_methods", "CustomerListPaymentMethodsParams")
def list_methods_of_customer(store: Store, params: Params, customer_id: str) -> Object:
    found = store.find("payment_method", customer=customer_id)
    return cut(f"/v1/customers/{customer_id}/payment_methods", found, params)


@route("GET", "/v1/payment_methods/*")
def retrieve_payment_method(store: Store, params: Params, method_id: str) -> Object:
    return store.get("payment_method", method_id)


@route("POST", "/v1/payment_methods/*/attach", "PaymentMethodAttachParams")
def attach(store: Store, params: Params, method_id: str) -> Object:
    customer_id = forms.required(params, "customer")
    if method_id.startswith("pm_card_"):
        return money.keep_card(store, _by_token(method_id).number, customer_id)
    method = store.get("payment_method", method_id)
    if method["customer"] not in (None, customer_id):
        raise StripeError("This PaymentMethod is already attached to another customer.")
    money.attach(store, method, customer_id)
    return method


@route("POST", "/v1/payment_methods/*/detach")
def detach(store: Store, params: Params, method_id: str) -> Object:
    method = store.get("payment_method", method_id)
    method["customer"] = None
    emit(store, "payment_method.detached", method)
    return method
