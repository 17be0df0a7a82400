"""Checkout: what is bought, the card, and the bank's question."""

from html import escape

from billing_site.sandbox.stripe import cards, checkout, discounts
from billing_site.sandbox.stripe.errors import StripeError
from billing_site.sandbox.stripe.pages import html
from billing_site.sandbox.stripe.pages.html import Page
from billing_site.sandbox.stripe.store import Object, Store

Form = dict[str, str]


def show(store: Store, session_id: str, form: Form) -> Page:
    session = store.get("checkout.session", session_id)
    if session["status"] != "open":
        return _over(session)
    return _open(store, session, "")


def submit(store: Store, session_id: str, form: Form) -> Page:
    session = store.get("checkout.session", session_id)
    if session["status"] != "open":
        return _over(session)
    try:
        return _do(store, session, form)
    except StripeError as error:
        return _open(store, session, str(error), status=error.status)


def _do(store: Store, session: Object, form: Form) -> Page:
    if code := form.get("promotion_code", "").strip():
        if not session["allow_promotion_codes"]:
            raise StripeError("This session takes no promotion codes.")
        promotion = discounts.find_code(store, code)
        checkout.apply_coupon(store, session, promotion["promotion"]["coupon"], promotion["id"])
    if form.get("action") == "apply":
        return _open(store, session, "")
    if form.get("action") in ("debit", "bounce"):
        checkout.pay_by_debit(store, session, bounces=form["action"] == "bounce")
    elif not checkout.pay_by_card(store, session, form.get("card", "")):
        return html.go(f"/c/challenge/{session['id']}")
    return html.go(_success(session))


def _success(session: Object) -> str:
    address: str = session["success_url"]
    return address.replace("{CHECKOUT_SESSION_ID}", session["id"])


def _over(session: Object) -> Page:
    if session["status"] == "complete":
        words, address = "This has already been paid.", _success(session)
    else:
        words, address = "This session has expired.", session["cancel_url"] or ""
    link = f'<p><a href="{escape(address)}">Back to the shop</a></p>' if address else ""
    return html.page("Checkout", f"<section><p>{words}</p>{link}</section>")


def _open(store: Store, session: Object, message: str, *, status: int = 200) -> Page:
    back = session["cancel_url"]
    cancel = f'<p><a href="{escape(back)}">Cancel and go back</a></p>' if back else ""
    return html.page(
        "Checkout",
        f"{_order(store, session)}{html.alert(message)}"
        f'<section>{_code_form(session)}<form method="post">'
        f"{html.card_field() if session['amount_total'] or session['mode'] != 'payment' else ''}"
        f"<p>{_buttons(session)}</p></form>{cancel}</section>{html.test_cards()}",
        status=status,
    )


def _order(store: Store, session: Object) -> str:
    return f"<section>{html.order(session, store.private(session['id']))}</section>"


def _code_form(session: Object) -> str:
    if not session["allow_promotion_codes"]:
        return ""
    return (
        '<form method="post"><label for="promotion_code">Promotion code (optional)</label>'
        '<input type="text" id="promotion_code" name="promotion_code" autocomplete="off">'
        + html.button("action", "apply", "Apply", "quiet")
        + "</form>"
    )


def _buttons(session: Object) -> str:
    label = "Subscribe" if session["mode"] == "subscription" else "Pay"
    found = html.button("action", "pay", label)
    if session["mode"] == "payment" and session["amount_total"]:
        days = checkout.DEBIT_DAYS
        found += html.button("action", "debit", f"Bank debit: paid in {days} days", "quiet")
        found += html.button("action", "bounce", f"Bank debit: fails in {days} days", "quiet")
    return found


def show_challenge(store: Store, session_id: str, form: Form) -> Page:
    session = checkout.find_open(store, session_id)
    return html.page(
        "3-D Secure",
        "<section><p>Your bank asks: is it you who pays"
        f" {html.amount(session['amount_total'], session['currency'])}?</p>"
        f'<form method="post">{html.button("answer", "complete", "Complete authentication")}'
        f"{html.button('answer', 'fail', 'Fail authentication', 'quiet')}</form></section>",
    )


def answer_challenge(store: Store, session_id: str, form: Form) -> Page:
    session = checkout.find_open(store, session_id)
    number = store.private(session_id).get("challenge")
    if number is None:
        return html.go(f"/c/pay/{session_id}")
    if form.get("answer") != "complete":
        checkout.fail_challenge(store, session)
        return _open(store, session, str(checkout.AUTHENTICATION["message"]), status=402)
    checkout.pay_by_card(store, session, cards.card(number).number, challenged=False)
    return html.go(_success(session))
