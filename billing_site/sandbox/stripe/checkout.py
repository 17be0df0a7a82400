"""Checkout sessions from the customer's click on: paid, declined, challenged, expired."""

from billing_site.sandbox.stripe import billing, cards, discounts, money
from billing_site.sandbox.stripe.errors import StripeError
from billing_site.sandbox.stripe.events import emit
from billing_site.sandbox.stripe.store import DAY, Object, Store

DEBIT_DAYS = 3  # until a bank debit's money is there
AUTHENTICATION = {
    "code": "payment_intent_authentication_failure",
    "message": "We are unable to authenticate your payment method."
    " Please choose a different payment method and try again.",
    "type": "invalid_request_error",
}
BOUNCED = {
    "code": "payment_method_customer_decline",
    "message": "The customer's bank has sent the debit back.",
    "type": "card_error",
}


def find_open(store: Store, session_id: str) -> Object:
    """The session, while it can be paid. Raises StripeError."""
    session = store.get("checkout.session", session_id)
    if session["status"] != "open":
        raise StripeError(f"This Checkout Session is {session['status']}.", status=410)
    return session


def apply_coupon(store: Store, session: Object, coupon_id: str, promotion_id: str = "") -> None:
    """Takes a coupon off the total. Raises StripeError."""
    coupon = store.get("coupon", coupon_id, "discounts[coupon]")
    off = discounts.amount_off(coupon, session["amount_subtotal"])
    session["discounts"] = [{"coupon": coupon_id, "promotion_code": promotion_id or None}]
    session["amount_total"] = session["amount_subtotal"] - off
    session["total_details"]["amount_discount"] = off


def pay_by_card(store: Store, session: Object, number: str, *, challenged: bool = True) -> bool:
    """Pays with a test card. False: the bank wants to see 3-D Secure first. Raises StripeError 402.

    `challenged=False` after the challenge has been passed.
    """
    if session["mode"] == "payment" and not session["amount_total"]:
        _complete_payment(store, session, None)
        return True
    card = cards.card(number)
    customer = _customer(store, session)
    intent = _intent(store, session)
    if card.challenged and challenged:
        if intent:
            intent |= {"status": "requires_action", "next_action": {"type": "use_stripe_sdk"}}
            emit(store, "payment_intent.requires_action", intent)
        store.private(session["id"])["challenge"] = card.number
        return False
    method = money.keep_card(store, number, session["customer"])
    if intent and not money.pay(store, intent, method["id"], present=True):
        error = intent["last_payment_error"]
        raise cards.declined(error["decline_code"], error["message"], intent=intent["id"])
    if customer and session["mode"] == "subscription":
        _complete_subscription(store, session, customer, method, intent)
    else:
        _complete_payment(store, session, intent)
    return True


def fail_challenge(store: Store, session: Object) -> None:
    """The customer could not prove that the card is theirs."""
    private = store.private(session["id"])
    private.pop("challenge", None)
    if intent := private.get("intent"):
        money.refuse(store, store.get("payment_intent", intent), dict(AUTHENTICATION))


def pay_by_debit(store: Store, session: Object, *, bounces: bool = False) -> None:
    """A bank debit: the session is complete now, the money comes in some days, or does not."""
    _customer(store, session)
    intent = _intent(store, session)
    if intent is None or session["mode"] != "payment":
        raise StripeError("Bank debits are for one-time payments.")
    intent |= {"status": "processing", "last_payment_error": None}
    emit(store, "payment_intent.processing", intent)
    session |= {"status": "complete", "payment_intent": intent["id"], "url": None}
    private = store.private(session["id"])
    private |= {"arrives_at": store.now() + DEBIT_DAYS * DAY, "bounces": bounces}
    emit(store, "checkout.session.completed", session)


def money_arrives(store: Store, session: Object) -> None:
    """The bank debit has been paid, or has bounced."""
    private = store.private(session["id"])
    del private["arrives_at"]
    intent = store.get("payment_intent", session["payment_intent"])
    if private["bounces"]:
        money.refuse(store, intent, dict(BOUNCED))
        emit(store, "checkout.session.async_payment_failed", session)
        return
    method = money.keep_card(store, cards.CARDS[0].number, session["customer"])
    money.pay(store, intent, method["id"], present=True)
    session["payment_status"] = "paid"
    emit(store, "checkout.session.async_payment_succeeded", session)


def expire(store: Store, session: Object) -> None:
    """Nobody can pay any more."""
    session |= {
        "status": "expired",
        "url": None,
        "expires_at": min(session["expires_at"], store.now()),
    }
    emit(store, "checkout.session.expired", session)


def _customer(store: Store, session: Object) -> Object | None:
    """The session's customer; for a subscription one is made."""
    if session["customer"]:
        return store.get("customer", session["customer"])
    if session["mode"] == "payment" and session["customer_creation"] != "always":
        return None
    customer = money.new_customer(store, email=session["customer_email"])
    session["customer"] = customer["id"]
    return customer


def _intent(store: Store, session: Object) -> Object | None:
    """The payment that the session's attempts share; none where nothing is to be paid now."""
    private = store.private(session["id"])
    if not session["amount_total"]:
        return None
    if "intent" not in private:
        intent = money.open_intent(
            store,
            amount=session["amount_total"],
            currency=session["currency"],
            customer=session["customer"],
            **private["intent_data"],
        )
        private["intent"] = intent["id"]
    intent = store.get("payment_intent", private["intent"])
    intent["amount"] = session["amount_total"]  # a promotion code may have come after a decline
    return intent


def _complete_payment(store: Store, session: Object, intent: Object | None) -> None:
    session["payment_intent"] = intent and intent["id"]
    _complete(store, session)


def _complete_subscription(
    store: Store, session: Object, customer: Object, method: Object, intent: Object | None
) -> None:
    private = store.private(session["id"])
    bought = [
        (line["price"], line["quantity"]) for line in private["lines"] if line["price"]["recurring"]
    ]
    coupon = session["discounts"][0]["coupon"] if session["discounts"] else ""
    subscription = billing.subscribe(
        store,
        customer,
        bought,
        trial_days=private["trial_days"],
        coupon=coupon,
        default_payment_method=method["id"],
        metadata=dict(private["subscription_metadata"]),
    )
    subscription["automatic_tax"]["enabled"] = session["automatic_tax"]["enabled"]
    lines = billing.period_lines(store, subscription)
    invoice = billing.draft(store, subscription, "subscription_create", lines)
    billing.finalize(store, invoice)
    if intent:
        store.private(invoice["id"])["intent"] = intent["id"]
        invoice["attempt_count"] = 1
    billing.settle(store, invoice, intent)
    session |= {"subscription": subscription["id"], "invoice": invoice["id"]}
    _complete(store, session)


def _complete(store: Store, session: Object) -> None:
    if session["discounts"]:
        used = session["discounts"][0]
        discounts.redeem(store, used["coupon"], used["promotion_code"] or "")
    paid = "paid" if session["amount_total"] else "no_payment_required"
    email = session["customer_email"]
    if session["customer"]:
        email = store.get("customer", session["customer"])["email"]
    session |= {
        "status": "complete",
        "payment_status": paid,
        "url": None,
        "customer_details": {
            "address": None, "email": email, "name": None, "phone": None,
            "tax_exempt": "none", "tax_ids": [],
        },
    }  # fmt: skip
    emit(store, "checkout.session.completed", session)
