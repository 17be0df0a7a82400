"""Payments, refunds and disputes, with the events that each of them sends."""

from typing import Any

from billing_site.sandbox.stripe import cards, shapes
from billing_site.sandbox.stripe.errors import StripeError, invalid
from billing_site.sandbox.stripe.events import emit
from billing_site.sandbox.stripe.store import Object, Store


def new_customer(store: Store, **given: Any) -> Object:
    customer = store.add(shapes.customer(store.new_id("cus", 14), store.now(), **given))
    emit(store, "customer.created", customer)
    return customer


def keep_card(store: Store, number: str, customer: str | None) -> Object:
    """A payment method for a test card, attached to the customer. Raises StripeError 402."""
    card = cards.card(number)
    method = shapes.payment_method(
        store.new_id("pm"), store.now(), brand=card.brand, last4=card.number[-4:]
    )
    store.add(method, number=card.number)
    if customer:
        attach(store, method, customer)
    return method


def attach(store: Store, method: Object, customer: str) -> None:
    method["customer"] = store.get("customer", customer, "customer")["id"]
    emit(store, "payment_method.attached", method)


def make_default(store: Store, customer: Object, method_id: str) -> None:
    """The card that invoices are paid with."""
    customer["invoice_settings"]["default_payment_method"] = method_id
    emit(store, "customer.updated", customer)


def card_of(store: Store, method_id: str) -> cards.Card:
    """What the payment method does."""
    return cards.card(store.private(method_id)["number"])


def refusal(store: Store, method_id: str | None, *, present: bool) -> str:
    """Why a payment with this method would be declined, or ""."""
    if not method_id:
        return "generic_decline"
    card = card_of(store, method_id)
    if card.declined or present:
        return card.declined
    return "authentication_required" if card.challenged_later else card.declined_later


def open_intent(
    store: Store, *, amount: int, currency: str, customer: str | None, **given: Any
) -> Object:
    """A payment that is still to be made."""
    intent = shapes.payment_intent(
        store.new_id("pi"), store.now(), amount=amount, currency=currency
    )
    intent |= {"customer": customer, **given}
    store.add(intent)
    emit(store, "payment_intent.created", intent)
    return intent


def pay(store: Store, intent: Object, method_id: str | None, *, present: bool) -> bool:
    """Charges the card: `present` while its owner is at the screen. Whether it was accepted."""
    reason = refusal(store, method_id, present=present)
    if method_id is None:
        _fail(store, intent, reason, None)
        return False
    intent["payment_method"] = method_id
    method = store.get("payment_method", method_id)
    charge = shapes.charge(store.new_id("ch"), store.now(), intent, method["card"])
    store.add(charge)
    intent["latest_charge"] = charge["id"]
    if reason:
        charge |= {"failure_code": "card_declined", "failure_message": cards.MESSAGES[reason]}
        charge["outcome"] = _outcome("declined_by_network", reason, "issuer_declined")
        emit(store, "charge.failed", charge)
        _fail(store, intent, reason, charge["id"])
        return False
    _succeed(store, intent, charge)
    if card_of(store, method_id).disputed:
        open_dispute(store, charge)
    return True


def _succeed(store: Store, intent: Object, charge: Object) -> None:
    charge |= {"status": "succeeded", "paid": True, "captured": True}
    charge["amount_captured"] = intent["amount_received"] = intent["amount"]
    charge["outcome"] = _outcome("approved_by_network", None, "authorized")
    charge["receipt_url"] = f"{store.address}/receipts/{charge['id']}"
    intent |= {"status": "succeeded", "last_payment_error": None, "next_action": None}
    emit(store, "charge.succeeded", charge)
    emit(store, "payment_intent.succeeded", intent)


def _outcome(network: str, reason: str | None, kind: str) -> Object:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": network,
        "reason": reason,
        "risk_level": "normal",
        "seller_message": "Payment complete." if reason is None else "The bank declined.",
        "type": kind,
    }


def _fail(store: Store, intent: Object, reason: str, charge_id: str | None) -> None:
    error = cards.declined(reason).body["error"]
    if charge_id:
        error["charge"] = charge_id
    refuse(store, intent, error)


def refuse(store: Store, intent: Object, error: Object) -> None:
    """The payment did not come about, and may be tried again with another card."""
    intent |= {
        "status": "requires_payment_method",
        "last_payment_error": error,
        "payment_method": None,
        "next_action": None,
    }
    emit(store, "payment_intent.payment_failed", intent)


def charge_of(store: Store, intent_id: str) -> Object:
    """The charge that paid. Raises StripeError when nothing did."""
    intent = store.get("payment_intent", intent_id, "payment_intent")
    if intent["status"] != "succeeded":
        raise invalid("payment_intent", "This PaymentIntent does not have a successful charge.")
    return store.get("charge", intent["latest_charge"])


def refund(
    store: Store, charge: Object, amount: int, *, reason: str | None = None, **given: Any
) -> Object:
    """Gives money back; 0 for all that is left of it. Raises StripeError."""
    left = charge["amount"] - charge["amount_refunded"]
    if charge["disputed"]:
        raise StripeError(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    if not charge["paid"] or left == 0:
        raise StripeError(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    if amount > left:
        raise invalid(
            "amount",
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
        )
    refund = shapes.refund(store.new_id("re"), store.now(), charge, amount or left)
    store.add(refund | {"reason": reason, **given})
    refund = store.get("refund", refund["id"])
    before = charge["amount_refunded"]
    charge["amount_refunded"] += refund["amount"]
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    emit(store, "refund.created", refund)
    emit(store, "charge.refunded", charge, amount_refunded=before)
    emit(store, "refund.updated", refund)
    return refund


def fail_refund(store: Store, refund: Object) -> None:
    """The bank sends a refund back: the money is the merchant's again."""
    if refund["status"] != "succeeded":
        raise StripeError("Only a refund that has succeeded can fail.")
    refund |= {"status": "failed", "failure_reason": "lost_or_stolen_card"}
    charge = store.get("charge", refund["charge"])
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    emit(store, "refund.updated", refund, status="succeeded")
    emit(store, "refund.failed", refund, status="succeeded")
    emit(store, "charge.refund.updated", refund, status="succeeded")


def open_dispute(store: Store, charge: Object, *, inquiry: bool = False) -> Object:
    """The cardholder's bank takes the money back, or only asks. Raises StripeError."""
    if charge["disputed"] or not charge["paid"]:
        raise StripeError(f"Charge {charge['id']} cannot be disputed.")
    left = charge["amount"] - charge["amount_refunded"]
    dispute = shapes.dispute(store.new_id("du"), store.now(), charge, left or charge["amount"])
    if inquiry:
        dispute |= {"status": "warning_needs_response", "is_charge_refundable": True}
    store.add(dispute)
    charge["disputed"] = not inquiry
    emit(store, "charge.dispute.created", dispute)
    if not inquiry:
        emit(store, "charge.dispute.funds_withdrawn", dispute)
    emit(store, "charge.updated", charge, disputed=False)
    return dispute


def close_dispute(store: Store, dispute: Object, *, won: bool) -> None:
    """The bank has decided. An inquiry just ends. Raises StripeError."""
    before = dispute["status"]
    if before in ("won", "lost", "warning_closed"):
        raise StripeError("This dispute is already closed.")
    inquiry = before.startswith("warning_")
    dispute["status"] = "warning_closed" if inquiry else "won" if won else "lost"
    emit(store, "charge.dispute.closed", dispute, status=before)
    if won and not inquiry:
        emit(store, "charge.dispute.funds_reinstated", dispute)
