"""The receipt of a charge: what was paid with which card, and what went back of it."""

from html import escape

from billing_site.sandbox.stripe.errors import not_found
from billing_site.sandbox.stripe.pages import html
from billing_site.sandbox.stripe.pages.html import Page
from billing_site.sandbox.stripe.store import Object, Store

Form = dict[str, str]


def show(store: Store, charge_id: str, form: Form) -> Page:
    charge = store.get("charge", charge_id)
    if not charge["paid"]:
        raise not_found("receipt", charge_id, "id")
    currency, card = charge["currency"], charge["payment_method_details"]["card"]
    facts = [
        ["Paid", html.amount(charge["amount"], currency)],
        ["On", f"{html.day(charge['created'])} UTC"],
        ["With", f"{escape(card['brand'])} ending in {escape(card['last4'])}"],
    ]
    if charge["customer"]:
        facts.insert(0, ["By", html.person(store.get("customer", charge["customer"]))])
    if charge["amount_refunded"]:
        facts.append(["Refunded", html.amount(charge["amount_refunded"], currency)])
    if charge["disputed"]:
        facts.append(["Disputed", "by the bank"])
    return html.page(
        f"Receipt for {html.amount(charge['amount'], currency)}",
        f"<section>{html.facts(facts)}</section>{_bought(store, charge)}",
    )


def _bought(store: Store, charge: Object) -> str:
    """What it was for: a Checkout of single things, or an invoice, which has a page of its own."""
    for session in store.find("checkout.session", payment_intent=charge["payment_intent"]):
        return f"<section>{html.order(session, store.private(session['id']))}</section>"
    for payment in store.find("invoice_payment"):
        if payment["payment"]["payment_intent"] == charge["payment_intent"]:
            invoice = store.get("invoice", payment["invoice"])
            return (
                f'<section><p>For <a href="/i/{invoice["id"]}">invoice'
                f" {escape(invoice['number'])}</a></p></section>"
            )
    return ""
