"""What leads to hosted pages: Checkout sessions, the customer portal and its configurations."""

from typing import Any
from urllib.parse import urlsplit

from billing_site.sandbox.stripe import billing, checkout, discounts, forms, shapes_billing
from billing_site.sandbox.stripe.errors import StripeError, invalid, missing
from billing_site.sandbox.stripe.events import emit
from billing_site.sandbox.stripe.forms import Params
from billing_site.sandbox.stripe.resources import catalogue
from billing_site.sandbox.stripe.rest import cut, include, listed, page, route
from billing_site.sandbox.stripe.store import Object, Store

SESSION_FILTERS = ("customer", "payment_intent", "subscription", "status")


@route("POST", "/v1/checkout/sessions", "checkout.SessionCreateParams")
def create_session(store: Store, params: Params) -> Object:
    mode = forms.choice(params, "mode", "payment", "subscription")
    _refuse_unsupported(params)
    customer = forms.text(params, "customer")
    session = shapes_billing.checkout_session(
        store.new_id("cs_test", 58),
        store.now(),
        mode=mode,
        success_url=_address(params, "success_url"),
        cancel_url=_address(params, "cancel_url") if params.get("cancel_url") else None,
        customer=store.get("customer", customer, "customer")["id"] if customer else None,
        customer_email=forms.text(params, "customer_email") or None,
        customer_creation=_customer_creation(params, mode),
        client_reference_id=forms.text(params, "client_reference_id") or None,
        metadata=forms.metadata(params),
        allow_promotion_codes=forms.flag(params, "allow_promotion_codes") or None,
    )
    session["automatic_tax"] |= _automatic_tax(params)
    lines = [_line(store, row, mode) for row in forms.tables(params, "line_items")]
    _refuse_wrong_lines(lines, mode)
    session["expires_at"] = _expiry(store, params)
    data = _data(params, mode)
    if not data["trial_days"]:  # during a trial nothing is due
        session["amount_subtotal"] = sum(line["amount_subtotal"] for line in lines)
    session["amount_total"] = session["amount_subtotal"]
    session["currency"] = lines[0]["currency"]
    session["url"] = f"{store.address}/c/pay/{session['id']}"
    store.add(session, lines=lines, **data)
    _apply_discounts(store, session, params)
    return session


def _refuse_unsupported(params: Params) -> None:
    if forms.choice(params, "ui_mode", "hosted_page", "hosted") and forms.flag(
        forms.table(params, "invoice_creation"), "enabled"
    ):
        raise invalid("invoice_creation", "The sandbox makes no invoices for one-time payments.")
    if params.get("discounts") and forms.flag(params, "allow_promotion_codes"):
        raise invalid("discounts", "You may only specify one of these: discounts,"
                      " allow_promotion_codes.")  # fmt: skip
    if params.get("customer") and params.get("customer_email"):
        raise invalid("customer_email", "You may only specify one of these: customer,"
                      " customer_email.")  # fmt: skip


def _address(params: Params, name: str) -> str:
    value = forms.required(params, name)
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StripeError("Not a valid URL", code="url_invalid", param=name)
    return value


def _customer_creation(params: Params, mode: str) -> str | None:
    if mode == "subscription" or params.get("customer"):
        return None
    return forms.choice(params, "customer_creation", "if_required", "always")


def _automatic_tax(params: Params) -> Object:
    enabled = forms.flag(forms.table(params, "automatic_tax"), "enabled")
    return {"enabled": enabled, "status": "complete" if enabled else None}


def _data(params: Params, mode: str) -> Object:
    """What the session hands on to the payment or the subscription that it makes."""
    intent = forms.table(params, "payment_intent_data")
    subscription = forms.table(params, "subscription_data")
    if subscription and mode != "subscription":
        raise invalid(
            "subscription_data", f"You can not pass `subscription_data` in `{mode}` mode."
        )
    return {
        "intent_data": {
            "metadata": forms.metadata(intent),
            "description": forms.text(intent, "description") or None,
        },
        "subscription_metadata": forms.metadata(subscription),
        "trial_days": billing.trial_days(subscription),
    }


def _expiry(store: Store, params: Params) -> int:
    now = store.now()
    wanted = forms.whole(params, "expires_at", now + 86_400)
    if not now + 1800 - 60 <= wanted <= now + 86_400 + 60:
        raise invalid("expires_at", "The session must expire in 30 minutes to 24 hours.")
    return wanted


def _line(store: Store, row: Params, mode: str) -> Object:
    if "price_data" in row:
        price = _priced_here(store, forms.table(row, "price_data"))
    else:
        price = store.get("price", forms.required(row, "price"), "line_items[0][price]")
    if not price["active"]:
        raise invalid("line_items", f"The price specified is inactive: {price['id']}")
    name = store.get("product", price["product"])["name"]
    quantity = forms.positive(row, "quantity", 0 if mode == "payment" else 1)
    return shapes_billing.checkout_line(
        store.new_id("li"), price=price, quantity=quantity, name=name
    )


def _priced_here(store: Store, data: Params) -> Object:
    if "product_data" in data:
        product = catalogue.create_product(store, forms.table(data, "product_data"))
    else:
        product = store.get("product", forms.required(data, "product"), "product")
    return store.add(catalogue.make_price(store, data, product["id"]))


def _refuse_wrong_lines(lines: list[Object], mode: str) -> None:
    if not lines:
        raise missing("line_items")
    if len({line["currency"] for line in lines}) > 1:
        raise invalid("line_items", "All prices must be in the same currency.")
    recurring = [bool(line["price"]["recurring"]) for line in lines]
    if mode == "payment" and any(recurring):
        raise invalid("line_items", "You specified `payment` mode but passed a recurring price.")
    if mode == "subscription" and not all(recurring):
        raise invalid("line_items", "The sandbox wants recurring prices only in `subscription`.")


def _apply_discounts(store: Store, session: Object, params: Params) -> None:
    for row in forms.tables(params, "discounts")[:1]:
        if code := forms.text(row, "promotion_code"):
            promotion = store.get("promotion_code", code, "discounts[0][promotion_code]")
            if not discounts.is_valid(store, promotion):
                raise invalid("discounts", "This promotion code cannot be used any more.")
            checkout.apply_coupon(store, session, promotion["promotion"]["coupon"], code)
        else:
            checkout.apply_coupon(store, session, forms.required(row, "coupon"))


@route("GET", "/v1/checkout/sessions", "checkout.SessionListParams")
def list_sessions(store: Store, params: Params) -> Object:
    return page(store, "/v1/checkout/sessions", "checkout.session", params, *SESSION_FILTERS)


@route("GET", "/v1/checkout/sessions/*")
def retrieve_session(store: Store, params: Params, session_id: str) -> Object:
    return store.get("checkout.session", session_id)


@route("GET", "/v1/checkout/sessions/*/line_items", "checkout.SessionListLineItemsParams")
def list_line_items(store: Store, params: Params, session_id: str) -> Object:
    session = store.get("checkout.session", session_id)
    lines = store.private(session["id"])["lines"]
    return cut(f"/v1/checkout/sessions/{session_id}/line_items", lines, params)


@include("checkout.session", "line_items")
def line_items_of(store: Store, session: Object) -> Object:
    lines = store.private(session["id"])["lines"]
    return listed(f"/v1/checkout/sessions/{session['id']}/line_items", lines)


@route("POST", "/v1/checkout/sessions/*/expire", "checkout.SessionExpireParams")
def expire_session(store: Store, params: Params, session_id: str) -> Object:
    session = store.get("checkout.session", session_id)
    if session["status"] != "open":
        raise StripeError(
            f'Only Checkout Sessions with a status in ["open"] can be expired.'
            f" This Checkout Session has a status of {session['status']}."
        )
    checkout.expire(store, session)
    return session


@route("POST", "/v1/billing_portal/sessions", "billing_portal.SessionCreateParams")
def create_portal_session(store: Store, params: Params) -> Object:
    customer = store.get("customer", forms.required(params, "customer"), "customer")
    wanted = forms.text(params, "configuration")
    if wanted:
        configuration = store.get("billing_portal.configuration", wanted, "configuration")
    else:
        configuration = _default_configuration(store)
    session_id = store.new_id("bps")
    session = shapes_billing.portal_session(
        session_id,
        store.now(),
        configuration=configuration["id"],
        customer=customer["id"],
        return_url=_address(params, "return_url") if params.get("return_url") else None,
        url=f"{store.address}/p/session/{session_id}",
    )
    return store.add(session)


def _default_configuration(store: Store) -> Object:
    found = store.find("billing_portal.configuration", is_default=True)
    if found:
        return found[0]
    made = shapes_billing.portal_configuration(store.new_id("bpc"), store.now(), is_default=True)
    switched_on = (
        "invoice_history", "payment_method_update", "subscription_cancel", "subscription_update",
    )  # fmt: skip
    for name in switched_on:
        made["features"][name]["enabled"] = True
    made["features"]["subscription_update"] |= {
        "default_allowed_updates": ["price"],
        "proration_behavior": "always_invoice",
    }
    return store.add(made)


@route("POST", "/v1/billing_portal/configurations", "billing_portal.ConfigurationCreateParams")
def create_configuration(store: Store, params: Params) -> Object:
    if "features" not in params:
        raise missing("features")
    configuration = store.add(shapes_billing.portal_configuration(store.new_id("bpc"), store.now()))
    return _configure(store, configuration, params, "created")


@route("POST", "/v1/billing_portal/configurations/*", "billing_portal.ConfigurationUpdateParams")
def update_configuration(store: Store, params: Params, configuration_id: str) -> Object:
    configuration = store.get("billing_portal.configuration", configuration_id)
    return _configure(store, configuration, params, "updated")


def _configure(store: Store, configuration: Object, params: Params, verb: str) -> Object:
    _merge(configuration["features"], forms.table(params, "features"))
    _merge(configuration["business_profile"], forms.table(params, "business_profile"))
    if "default_return_url" in params:
        configuration["default_return_url"] = forms.text(params, "default_return_url") or None
    if "active" in params:
        configuration["active"] = forms.flag(params, "active")
    configuration["metadata"] = forms.metadata(params, configuration["metadata"])
    configuration["updated"] = store.now()
    emit(store, f"billing_portal.configuration.{verb}", configuration)
    return configuration


def _merge(old: Object, given: Params) -> None:
    for name, value in given.items():
        if name not in old:
            raise StripeError(
                f"Received unknown parameter: {name}", code="parameter_unknown", param=name
            )
        if isinstance(old[name], dict) and isinstance(value, dict):
            _merge(old[name], value)
        else:
            old[name] = _typed(value)


def _typed(value: Any) -> Any:
    if isinstance(value, str):
        return {"true": True, "false": False, "": None}.get(value, value)
    return value


@route("GET", "/v1/billing_portal/configurations", "billing_portal.ConfigurationListParams")
def list_configurations(store: Store, params: Params) -> Object:
    url = "/v1/billing_portal/configurations"
    return page(store, url, "billing_portal.configuration", params, "active", "is_default")


@route("GET", "/v1/billing_portal/configurations/*")
def retrieve_configuration(store: Store, params: Params, configuration_id: str) -> Object:
    return store.get("billing_portal.configuration", configuration_id)
