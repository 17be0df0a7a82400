"""Payment intents, charges, refunds and disputes."""

from billing_site.sandbox.stripe import cards, forms, money
from billing_site.sandbox.stripe.errors import StripeError, missing
from billing_site.sandbox.stripe.events import emit
from billing_site.sandbox.stripe.forms import Params
from billing_site.sandbox.stripe.rest import include, listed, page, route
from billing_site.sandbox.stripe.store import Object, Store


@route("POST", "/v1/payment_intents", "PaymentIntentCreateParams")
def create_payment_intent(store: Store, params: Params) -> Object:
    intent = money.open_intent(
        store,
        amount=forms.positive(params, "amount"),
        currency=forms.required(params, "currency").lower(),
        customer=forms.text(params, "customer") or None,
        description=forms.text(params, "description") or None,
        metadata=forms.metadata(params),
    )
    method = forms.text(params, "payment_method")
    if token := cards.BY_TOKEN.get(method):
        method = money.keep_card(store, token.number, intent["customer"])["id"]
    intent["payment_method"] = method or None
    if forms.flag(params, "confirm"):
        _confirm(store, intent, present=not forms.flag(params, "off_session"))
    return intent


@route("POST", "/v1/payment_intents/*/confirm", "PaymentIntentConfirmParams")
def confirm_payment_intent(store: Store, params: Params, intent_id: str) -> Object:
    intent = store.get("payment_intent", intent_id)
    if method := forms.text(params, "payment_method"):
        intent["payment_method"] = store.get("payment_method", method, "payment_method")["id"]
    _confirm(store, intent, present=True)
    return intent


def _confirm(store: Store, intent: Object, *, present: bool) -> None:
    if intent["status"] == "succeeded":
        raise StripeError(
            "This PaymentIntent has already succeeded.", code="payment_intent_unexpected_state"
        )
    if not intent["payment_method"]:
        raise missing("payment_method")
    if not money.pay(store, intent, intent["payment_method"], present=present):
        raise cards.declined(intent["last_payment_error"]["decline_code"], intent=intent["id"])


@route("GET", "/v1/payment_intents", "PaymentIntentListParams")
def list_payment_intents(store: Store, params: Params) -> Object:
    return page(store, "/v1/payment_intents", "payment_intent", params, "customer")


@route("GET", "/v1/payment_intents/*")
def retrieve_payment_intent(store: Store, params: Params, intent_id: str) -> Object:
    return store.get("payment_intent", intent_id)


@route("GET", "/v1/charges", "ChargeListParams")
def list_charges(store: Store, params: Params) -> Object:
    return page(store, "/v1/charges", "charge", params, "customer", "payment_intent")


@route("GET", "/v1/charges/*")
def retrieve_charge(store: Store, params: Params, charge_id: str) -> Object:
    return store.get("charge", charge_id)


@include("charge", "refunds")
def refunds_of(store: Store, charge: Object) -> Object:
    found = store.find("refund", charge=charge["id"])
    return listed(f"/v1/charges/{charge['id']}/refunds", found)


@route("POST", "/v1/refunds", "RefundCreateParams")
def create_refund(store: Store, params: Params) -> Object:
    if intent := forms.text(params, "payment_intent"):
        charge = money.charge_of(store, intent)
    else:
        charge = store.get("charge", forms.required(params, "charge"), "charge")
    amount = forms.positive(params, "amount") if "amount" in params else 0
    return money.refund(
        store,
        charge,
        amount,
        reason=forms.text(params, "reason") or None,
        metadata=forms.metadata(params),
    )


@route("GET", "/v1/refunds", "RefundListParams")
def list_refunds(store: Store, params: Params) -> Object:
    return page(store, "/v1/refunds", "refund", params, "charge", "payment_intent")


@route("GET", "/v1/refunds/*")
def retrieve_refund(store: Store, params: Params, refund_id: str) -> Object:
    return store.get("refund", refund_id)


@route("GET", "/v1/disputes", "DisputeListParams")
def list_disputes(store: Store, params: Params) -> Object:
    return page(store, "/v1/disputes", "dispute", params, "charge", "payment_intent")


@route("GET", "/v1/disputes/*")
def retrieve_dispute(store: Store, params: Params, dispute_id: str) -> Object:
    return store.get("dispute", dispute_id)


@route("POST", "/v1/disputes/*", "DisputeUpdateParams")
def update_dispute(store: Store, params: Params, dispute_id: str) -> Object:
    """As in Stripe's test mode, the evidence's words decide: `winning_evidence`, `losing_…`."""
    dispute = store.get("dispute", dispute_id)
    words = forms.text(forms.table(params, "evidence"), "uncategorized_text")
    dispute["evidence"]["uncategorized_text"] = words or None
    dispute["evidence_details"]["has_evidence"] = bool(words)
    dispute["metadata"] = forms.metadata(params, dispute["metadata"])
    if words in ("winning_evidence", "losing_evidence"):
        money.close_dispute(store, dispute, won=words == "winning_evidence")
    else:
        emit(store, "charge.dispute.updated", dispute)
    return dispute


@route("POST", "/v1/disputes/*/close")
def close_dispute(store: Store, params: Params, dispute_id: str) -> Object:
    dispute = store.get("dispute", dispute_id)
    money.close_dispute(store, dispute, won=False)
    return dispute
