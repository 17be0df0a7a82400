"""New objects in the pinned version's form: the catalogue, people and money.

tests/test_contract.py compares each with the classes of the installed stripe-python.
"""

from typing import Any

from billing_site.sandbox.stripe.store import Object


def nulls(names: str) -> Object:
    """Fields that are there and empty."""
    return dict.fromkeys(names.split())


def product(object_id: str, now: int, *, name: str, **given: Any) -> Object:
    return {
        "id": object_id,
        "object": "product",
        **nulls(
            "default_price description package_dimensions shippable statement_descriptor "
            "tax_code unit_label url"
        ),
        "active": True,
        "created": now,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "name": name,
        "type": "service",
        "updated": now,
        **given,
    }


def price(object_id: str, now: int, *, product: str, currency: str, amount: int) -> Object:
    return {
        "id": object_id,
        "object": "price",
        **nulls("custom_unit_amount lookup_key nickname recurring tiers_mode transform_quantity"),
        "active": True,
        "billing_scheme": "per_unit",
        "created": now,
        "currency": currency,
        "livemode": False,
        "metadata": {},
        "product": product,
        "tax_behavior": "unspecified",
        "type": "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }


def plan(price: Object) -> Object:
    """The older form of a recurring price, which subscription items still carry."""
    return {
        "id": price["id"],
        "object": "plan",
        **nulls("meter tiers_mode transform_usage trial_period_days"),
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": price["created"],
        "currency": price["currency"],
        "interval": price["recurring"]["interval"],
        "interval_count": price["recurring"]["interval_count"],
        "livemode": False,
        "metadata": price["metadata"],
        "nickname": price["nickname"],
        "product": price["product"],
        "usage_type": "licensed",
    }


def coupon(object_id: str, now: int, **given: Any) -> Object:
    return {
        "id": object_id,
        "object": "coupon",
        **nulls(
            "amount_off currency duration_in_months max_redemptions name percent_off redeem_by"
        ),
        "created": now,
        "duration": "once",
        "livemode": False,
        "metadata": {},
        "times_redeemed": 0,
        "valid": True,
        **given,
    }


def promotion_code(object_id: str, now: int, *, code: str, coupon: str) -> Object:
    return {
        "id": object_id,
        "object": "promotion_code",
        **nulls("customer expires_at max_redemptions"),
        "active": True,
        "code": code,
        "created": now,
        "livemode": False,
        "metadata": {},
        "promotion": {"coupon": coupon, "type": "coupon"},
        "restrictions": {
            "first_time_transaction": False,
            "minimum_amount": None,
            "minimum_amount_currency": None,
        },
        "times_redeemed": 0,
    }


def customer(object_id: str, now: int, **given: Any) -> Object:
    return {
        "id": object_id,
        "object": "customer",
        **nulls(
            "address currency default_source description discount email name phone shipping "
            "test_clock"
        ),
        "balance": 0,
        "created": now,
        "delinquent": False,
        "invoice_prefix": object_id[-8:].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "next_invoice_sequence": 1,
        "preferred_locales": [],
        "tax_exempt": "none",
        **given,
    }


def billing_details() -> Object:
    return {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}


def payment_method(object_id: str, now: int, *, brand: str, last4: str) -> Object:
    return {
        "id": object_id,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing_details(),
        "card": {
            "brand": brand,
            "checks": None,
            "country": "US",
            "display_brand": brand,
            "exp_month": 12,
            "exp_year": 2040,
            "fingerprint": None,
            "funding": "credit",
            "generated_from": None,
            "last4": last4,
            "networks": None,
            "three_d_secure_usage": None,
            "wallet": None,
        },
        "created": now,
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def payment_intent(object_id: str, now: int, *, amount: int, currency: str) -> Object:
    return {
        "id": object_id,
        "object": "payment_intent",
        **nulls(
            "application application_fee_amount automatic_payment_methods canceled_at "
            "cancellation_reason customer description last_payment_error latest_charge "
            "next_action on_behalf_of payment_method processing receipt_email review "
            "setup_future_usage shipping source statement_descriptor "
            "statement_descriptor_suffix transfer_data transfer_group"
        ),
        "amount": amount,
        "amount_capturable": 0,
        "amount_received": 0,
        "capture_method": "automatic_async",
        "client_secret": f"{object_id}_secret_sandbox",
        "confirmation_method": "automatic",
        "created": now,
        "currency": currency,
        "livemode": False,
        "metadata": {},
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "status": "requires_payment_method",
    }


def charge(object_id: str, now: int, intent: Object, card: Object) -> Object:
    kept = ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    return {
        "id": object_id,
        "object": "charge",
        **nulls(
            "application application_fee application_fee_amount balance_transaction "
            "failure_balance_transaction failure_code failure_message on_behalf_of outcome "
            "receipt_email receipt_number receipt_url review shipping source source_transfer "
            "statement_descriptor statement_descriptor_suffix transfer_data transfer_group"
        ),
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "billing_details": billing_details(),
        "calculated_statement_descriptor": "SANDBOX",
        "captured": False,
        "created": now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
        "payment_method_details": {
            "card": {name: card[name] for name in kept},
            "type": "card",
        },
        "refunded": False,
        "status": "failed",
    }


def refund(object_id: str, now: int, charge: Object, amount: int) -> Object:
    return {
        "id": object_id,
        "object": "refund",
        **nulls(
            "balance_transaction destination_details reason receipt_number "
            "source_transfer_reversal transfer_reversal"
        ),
        "amount": amount,
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "status": "succeeded",
    }


def dispute(object_id: str, now: int, charge: Object, amount: int) -> Object:
    return {
        "id": object_id,
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {"enhanced_evidence": {}, "uncategorized_text": None},
        "evidence_details": {
            "due_by": now + 9 * 86_400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": None,
        "reason": "fraudulent",
        "status": "needs_response",
    }
