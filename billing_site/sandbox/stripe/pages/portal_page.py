"""The customer portal: the subscription, its end, the card, the invoices."""

from html import escape

from billing_site.sandbox.stripe import billing, changes, items, money
from billing_site.sandbox.stripe.errors import StripeError
from billing_site.sandbox.stripe.pages import html
from billing_site.sandbox.stripe.pages.html import Page
from billing_site.sandbox.stripe.store import Object, Store

Form = dict[str, str]


def show(store: Store, session_id: str, form: Form) -> Page:
    return _portal(store, store.get("billing_portal.session", session_id), "")


def submit(store: Store, session_id: str, form: Form) -> Page:
    session = store.get("billing_portal.session", session_id)
    try:
        _do(store, session, form)
    except StripeError as error:
        return _portal(store, session, str(error), status=error.status)
    return html.go(f"/p/session/{session_id}")


def _do(store: Store, session: Object, form: Form) -> None:
    customer = store.get("customer", session["customer"])
    action = form.get("action", "")
    if action == "card":
        _change_card(store, customer, form.get("card", ""))
    elif action == "pay":
        invoice = store.get("invoice", form.get("invoice", ""))
        if invoice["customer"] != customer["id"] or invoice["status"] != "open":
            raise StripeError("There is no such open invoice.", status=404)
        if not billing.collect(store, invoice, present=True):
            raise StripeError("Your card was declined.", status=402)
    elif action in ("cancel", "resume"):
        subscription = _own_subscription(store, session, form)
        flag = "true" if action == "cancel" else "false"
        changes.change(store, subscription, {"cancel_at_period_end": flag})
    elif "switch" in form:
        _switch(store, session, form)
    else:
        raise StripeError("The portal cannot do that.")


def _own_subscription(store: Store, session: Object, form: Form) -> Object:
    subscription = store.get("subscription", form.get("subscription", ""))
    if subscription["customer"] != session["customer"]:
        raise StripeError("There is no such subscription.", status=404)
    return subscription


def _features(store: Store, session: Object) -> Object:
    found = store.get("billing_portal.configuration", session["configuration"])
    return dict(found["features"])


def _switch(store: Store, session: Object, form: Form) -> None:
    subscription = _own_subscription(store, session, form)
    feature = _features(store, session)["subscription_update"]
    price = store.get("price", form["switch"])
    if price not in _other_plans(store, subscription, feature):
        raise StripeError("The portal does not offer this plan.")
    changes.change(
        store,
        subscription,
        {
            "items": [{"id": subscription["items"]["data"][0]["id"], "price": price["id"]}],
            "proration_behavior": feature["proration_behavior"],
            "payment_behavior": "error_if_incomplete",
        },
    )


def _other_plans(store: Store, subscription: Object, feature: Object) -> list[Object]:
    """Prices of the same rhythm that the configuration offers; all of them where it names none."""
    if not feature["enabled"] or "price" not in (feature["default_allowed_updates"] or []):
        return []
    offered = {price for row in feature["products"] or [] for price in row.get("prices", [])}
    now = subscription["items"]["data"][0]["price"]
    return [
        price
        for price in store.find("price", active=True, currency=now["currency"])
        if price["recurring"] == now["recurring"]
        and price["id"] != now["id"]
        and (not offered or price["id"] in offered)
    ]


def _change_card(store: Store, customer: Object, number: str) -> None:
    method = money.keep_card(store, number, customer["id"])
    money.make_default(store, customer, method["id"])
    for subscription in store.find("subscription", customer=customer["id"]):
        if subscription["status"] in billing.LIVE:
            changes.change(store, subscription, {"default_payment_method": method["id"]})


def _portal(store: Store, session: Object, message: str, *, status: int = 200) -> Page:
    customer = store.get("customer", session["customer"])
    features = _features(store, session)
    live = [
        row
        for row in store.find("subscription", customer=customer["id"])
        if row["status"] in billing.LIVE
    ]
    content = html.alert(message)
    content += "".join(_subscription(store, row, features) for row in live)
    content += "" if live else "<section><p>No subscription.</p></section>"
    if features["payment_method_update"]["enabled"]:
        content += (
            f'<section><h2>Card</h2><p>{_card(store, customer)}</p><form method="post">'
            f"{html.card_field()}{html.button('action', 'card', 'Change card')}</form></section>"
        )
    if features["invoice_history"]["enabled"]:
        content += f"<section>{_invoices(store, customer)}</section>"
    back = session["return_url"]
    content += f'<p><a href="{escape(back)}">Back to the shop</a></p>' if back else ""
    content += html.test_cards()
    return html.page(f"Billing of {customer['email'] or customer['id']}", content, status=status)


def _subscription(store: Store, subscription: Object, features: Object) -> str:
    names = ", ".join(
        f"{_plan(store, item['price'])} ({item['quantity']})"
        for item in subscription["items"]["data"]
    )
    end = html.day(items.period_end(subscription))
    ends = subscription["cancel_at_period_end"]
    buttons = [
        html.button("switch", price["id"], f"Switch to {_plan(store, price)}")
        for price in _other_plans(store, subscription, features["subscription_update"])
    ]
    if features["subscription_cancel"]["enabled"]:
        buttons.append(
            html.button("action", "resume", "Resume subscription")
            if ends
            else html.button("action", "cancel", "Cancel at the period's end", "quiet")
        )
    return (
        f"<section><h2>{escape(names)}</h2><p>Status: {escape(subscription['status'])}."
        f" {'Ends' if ends else 'Renews'} on {end} UTC.</p>"
        f'<form method="post"><input type="hidden" name="subscription"'
        f' value="{subscription["id"]}">{"".join(buttons)}</form></section>'
    )


def _plan(store: Store, price: Object) -> str:
    name = store.get("product", price["product"])["name"]
    return f"{name}, {html.amount(price['unit_amount'], price['currency'])}"


def _card(store: Store, customer: Object) -> str:
    methods = store.find("payment_method", customer=customer["id"])
    if not methods:
        return "No card."
    return f"{methods[0]['card']['brand']} ending in {methods[0]['card']['last4']}"


def _invoices(store: Store, customer: Object) -> str:
    rows = [
        [
            escape(row["number"] or row["id"]),
            html.day(row["created"]),
            html.amount(row["amount_due"], row["currency"]),
            escape(row["status"]) + (_pay(row) if row["status"] == "open" else ""),
        ]
        for row in store.find("invoice", customer=customer["id"])
    ]
    return html.table("Invoices", ["Number", "Date", "Amount", "Status"], rows)


def _pay(invoice: Object) -> str:
    return (
        f' <form method="post" class="inline"><input type="hidden" name="invoice"'
        f' value="{invoice["id"]}">{html.button("action", "pay", "Pay now")}</form>'
    )
