"""The hosted page of an invoice: what it is for, and where it is paid if the card did not work."""

from html import escape

from billing_site.sandbox.stripe import billing, money
from billing_site.sandbox.stripe.errors import StripeError, not_found
from billing_site.sandbox.stripe.pages import html
from billing_site.sandbox.stripe.pages.html import Page
from billing_site.sandbox.stripe.store import Object, Store

Form = dict[str, str]


def show(store: Store, invoice_id: str, form: Form) -> Page:
    return _invoice(store, _final(store, invoice_id), "")


def submit(store: Store, invoice_id: str, form: Form) -> Page:
    invoice = _final(store, invoice_id)
    try:
        _pay(store, invoice, form.get("card", ""))
    except StripeError as error:
        return _invoice(store, invoice, str(error), status=error.status)
    return html.go(f"/i/{invoice_id}")


def _final(store: Store, invoice_id: str) -> Object:
    """Drafts have no page. Raises StripeError."""
    invoice = store.get("invoice", invoice_id)
    if not invoice["hosted_invoice_url"]:
        raise not_found("invoice", invoice_id, "id")
    return invoice


def _pay(store: Store, invoice: Object, number: str) -> None:
    if invoice["status"] != "open":
        raise StripeError(f"This invoice is {invoice['status']}.", status=410)
    method = money.keep_card(store, number, invoice["customer"])
    if not billing.collect(store, invoice, present=True, method=method["id"]):
        raise StripeError("Your card was declined.", status=402)


def _invoice(store: Store, invoice: Object, message: str, *, status: int = 200) -> Page:
    content = html.alert(message) + f"<section>{html.facts(_head(store, invoice))}</section>"
    content += f"<section>{_lines(store, invoice)}</section>"
    if invoice["status"] == "open":
        due = html.amount(invoice["amount_due"], invoice["currency"])
        content += (
            f'<section><form method="post">{html.card_field()}'
            f"{html.button('action', 'pay', f'Pay {due}')}</form></section>{html.test_cards()}"
        )
    return html.page(f"Invoice {invoice['number']}", content, status=status)


def _head(store: Store, invoice: Object) -> list[list[str]]:
    done = invoice["status_transitions"]
    facts = [
        ["To", html.person(store.get("customer", invoice["customer"]))],
        ["Date", f"{html.day(done['finalized_at'])} UTC"],
        ["Status", escape(invoice["status"])],
    ]
    if done["paid_at"]:
        facts.append(["Paid on", f"{html.day(done['paid_at'])} UTC"])
    if url := _receipt(store, invoice):
        facts.append(["Receipt", f'<a href="{escape(url)}">of the payment</a>'])
    return facts


def _receipt(store: Store, invoice: Object) -> str:
    for payment in store.find("invoice_payment", invoice=invoice["id"], status="paid"):
        charge = money.charge_of(store, payment["payment"]["payment_intent"])
        return charge["receipt_url"] or ""
    return ""


def _lines(store: Store, invoice: Object) -> str:
    currency = invoice["currency"]
    rows = [
        [_what(store, line), html.amount(line["amount"], currency)]
        for line in invoice["lines"]["data"]
    ]
    sums = [("Discount", invoice["total"] - invoice["subtotal"])]
    sums.append(("Balance of before", invoice["amount_due"] - invoice["total"]))
    rows += [[name, html.amount(number, currency)] for name, number in sums if number]
    rows.append(["<b>Total</b>", f"<b>{html.amount(invoice['amount_due'], currency)}</b>"])
    return html.table("Lines", ["What", "Amount"], rows)


def _what(store: Store, line: Object) -> str:
    product = line["pricing"]["price_details"]["product"]
    name = line["description"] or store.get("product", product)["name"]
    times = "" if line["quantity"] == 1 else f"{line['quantity']} times "
    start, end = (html.date(line["period"][edge]) for edge in ("start", "end"))
    return f"{times}{escape(name)}<br><small>{start} to {end}</small>"
