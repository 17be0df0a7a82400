"""The hosted page of an invoice: where it is paid when the card on file did not work."""

from html import escape

from billing_site.sandbox.stripe import billing, money
from billing_site.sandbox.stripe.errors import StripeError
from billing_site.sandbox.stripe.pages import html
from billing_site.sandbox.stripe.pages.html import Page
from billing_site.sandbox.stripe.store import Object, Store

Form = dict[str, str]


def show(store: Store, invoice_id: str, form: Form) -> Page:
    return _invoice(store.get("invoice", invoice_id), "")


def submit(store: Store, invoice_id: str, form: Form) -> Page:
    invoice = store.get("invoice", invoice_id)
    try:
        _pay(store, invoice, form.get("card", ""))
    except StripeError as error:
        return _invoice(invoice, str(error), status=error.status)
    return html.go(f"/i/{invoice_id}")


def _pay(store: Store, invoice: Object, number: str) -> None:
    if invoice["status"] != "open":
        raise StripeError(f"This invoice is {invoice['status']}.", status=410)
    method = money.keep_card(store, number, invoice["customer"])
    if not billing.collect(store, invoice, present=True, method=method["id"]):
        raise StripeError("Your card was declined.", status=402)


def _invoice(invoice: Object, message: str, *, status: int = 200) -> Page:
    due = html.amount(invoice["amount_due"], invoice["currency"])
    content = html.alert(message) + f"<section><p>{due}: {escape(invoice['status'])}.</p>"
    if invoice["status"] == "open":
        content += (
            f'<form method="post">{html.card_field()}{html.button("action", "pay", "Pay")}</form>'
        )
    content += "</section>" + html.test_cards()
    return html.page(f"Invoice {invoice['number']}", content, status=status)
