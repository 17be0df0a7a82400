"""New objects in the pinned version's form: subscriptions, invoices, Checkout and the portal."""

from typing import Any

from billing_site.sandbox.stripe import shapes
from billing_site.sandbox.stripe.shapes import nulls
from billing_site.sandbox.stripe.store import Object

HOUR = 3600


def empty_list(url: str) -> Object:
    return {"object": "list", "data": [], "has_more": False, "url": url}


def automatic_tax(*, enabled: bool = False) -> Object:
    return {"enabled": enabled, "liability": None}


def subscription_item(
    object_id: str, now: int, *, subscription: str, price: Object, quantity: int
) -> Object:
    return {
        "id": object_id,
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": now,
        "current_period_end": now,
        "current_period_start": now,
        "discounts": [],
        "metadata": {},
        "plan": shapes.plan(price),
        "price": price,
        "quantity": quantity,
        "subscription": subscription,
        "tax_rates": [],
    }


def subscription(object_id: str, now: int, *, customer: str, currency: str) -> Object:
    return {
        "id": object_id,
        "object": "subscription",
        **nulls(
            "application application_fee_percent billing_cycle_anchor_config "
            "billing_thresholds cancel_at canceled_at days_until_due default_payment_method "
            "default_source description ended_at latest_invoice "
            "next_pending_invoice_item_invoice on_behalf_of pause_collection "
            "pending_invoice_item_interval pending_setup_intent pending_update schedule "
            "test_clock transfer_data trial_end trial_start"
        ),
        "automatic_tax": automatic_tax() | {"disabled_reason": None},
        "billing_cycle_anchor": now,
        "billing_mode": {"flexible": None, "type": "classic"},
        "billing_schedules": [],
        "cancel_at_period_end": False,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": now,
        "currency": currency,
        "customer": customer,
        "default_tax_rates": [],
        "discounts": [],
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": empty_list(f"/v1/subscription_items?subscription={object_id}"),
        "livemode": False,
        "metadata": {},
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "start_date": now,
        "status": "incomplete",
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
    }


def invoice_line(
    object_id: str, item: Object, *, amount: int, start: int, end: int, proration: bool
) -> Object:
    price = item["price"]
    return {
        "id": object_id,
        "object": "line_item",
        "amount": amount,
        "currency": price["currency"],
        "description": None,
        "discount_amounts": [],
        "discountable": not proration,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": proration,
                "proration_details": {"credited_items": None},
                "subscription": item["subscription"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        "period": {"end": end, "start": start},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": item["quantity"],
        "subtotal": amount,
        "taxes": [],
    }


INVOICE_AMOUNTS = (
    "amount_due amount_overpaid amount_paid amount_remaining amount_shipping "
    "attempt_count post_payment_credit_notes_amount pre_payment_credit_notes_amount "
    "starting_balance subtotal subtotal_excluding_tax total total_excluding_tax"
)
INVOICE_LISTS = (
    "customer_tax_ids default_tax_rates discounts total_discount_amounts "
    "total_pretax_credit_amounts total_taxes"
)


def invoice(object_id: str, now: int, *, customer: Object, subscription: Object) -> Object:
    return {
        "id": object_id,
        "object": "invoice",
        **dict.fromkeys(INVOICE_AMOUNTS.split(), 0),
        **{name: [] for name in INVOICE_LISTS.split()},
        **_invoice_settings(subscription),
        **nulls(
            "account_tax_ids application billing_reason custom_fields customer_address "
            "customer_phone customer_shipping default_payment_method default_source "
            "description due_date effective_at ending_balance footer from_invoice "
            "hosted_invoice_url invoice_pdf last_finalization_error latest_revision "
            "next_payment_attempt number on_behalf_of receipt_number rendering shipping_cost "
            "shipping_details statement_descriptor test_clock webhooks_delivered_at"
        ),
        "account_country": "US",
        "account_name": "Sandbox",
        "attempted": False,
        "auto_advance": True,
        "automatically_finalizes_at": now + HOUR,
        "created": now,
        "currency": subscription["currency"],
        "customer": customer["id"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_tax_exempt": "none",
        "lines": empty_list(f"/v1/invoices/{object_id}/lines"),
        "livemode": False,
        "metadata": {},
        "period_end": now,
        "period_start": now,
        "status": "draft",
    }


def _invoice_settings(subscription: Object) -> Object:
    return {
        "automatic_tax": {
            **automatic_tax(enabled=subscription["automatic_tax"]["enabled"]),
            "disabled_reason": None,
            "provider": None,
            "status": None,
        },
        "parent": {
            "quote_details": None,
            "subscription_details": {
                "metadata": dict(subscription["metadata"]),
                "subscription": subscription["id"],
            },
            "type": "subscription_details",
        },
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "issuer": {"type": "self"},
        "collection_method": "charge_automatically",
    }


def invoice_payment(object_id: str, now: int, *, invoice: Object, intent: str) -> Object:
    return {
        "id": object_id,
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": invoice["amount_due"],
        "created": now,
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": False,
        "payment": {"payment_intent": intent, "type": "payment_intent"},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }


def checkout_session(object_id: str, now: int, *, mode: str, **given: Any) -> Object:
    return {
        "id": object_id,
        "object": "checkout.session",
        **nulls(
            "after_expiration allow_promotion_codes billing_address_collection cancel_url "
            "client_reference_id client_secret consent consent_collection currency "
            "currency_conversion customer customer_creation customer_details customer_email "
            "invoice invoice_creation locale origin_context payment_intent payment_link "
            "recovered_from saved_payment_method_options setup_intent "
            "shipping_address_collection shipping_cost submit_type subscription success_url "
            "url wallet_options"
        ),
        "adaptive_pricing": {"enabled": False},
        "amount_subtotal": 0,
        "amount_total": 0,
        "automatic_tax": {**automatic_tax(), "provider": None, "status": None},
        "created": now,
        "custom_fields": [],
        "custom_text": nulls("after_submit shipping_address submit terms_of_service_acceptance"),
        "discounts": [],
        "expires_at": now + 24 * HOUR,
        "livemode": False,
        "metadata": {},
        "mode": mode,
        "payment_method_collection": "always" if mode == "subscription" else "if_required",
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "shipping_options": [],
        "status": "open",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        **given,
    }


def checkout_line(object_id: str, *, price: Object, quantity: int, name: str) -> Object:
    amount = price["unit_amount"] * quantity
    return {
        "id": object_id,
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": name,
        "price": price,
        "quantity": quantity,
    }


def portal_session(object_id: str, now: int, **given: Any) -> Object:
    return {
        "id": object_id,
        "object": "billing_portal.session",
        **nulls("flow locale on_behalf_of"),
        "created": now,
        "livemode": False,
        **given,
    }


def portal_configuration(object_id: str, now: int, **given: Any) -> Object:
    return {
        "id": object_id,
        "object": "billing_portal.configuration",
        "active": True,
        "business_profile": {
            "headline": None,
            "privacy_policy_url": None,
            "terms_of_service_url": None,
        },
        "created": now,
        "default_return_url": None,
        "features": {
            "customer_update": {"allowed_updates": [], "enabled": False},
            "invoice_history": {"enabled": False},
            "payment_method_update": {"enabled": False, "payment_method_configuration": None},
            "subscription_cancel": {
                "cancellation_reason": {"enabled": False, "options": []},
                "enabled": False,
                "mode": "at_period_end",
                "proration_behavior": "none",
            },
            "subscription_update": {
                "billing_cycle_anchor": None,
                "default_allowed_updates": [],
                "enabled": False,
                "products": [],
                "proration_behavior": "none",
                "schedule_at_period_end": {"conditions": []},
                "trial_update_behavior": "end_trial",
            },
        },
        "is_default": False,
        "livemode": False,
        "login_page": {"enabled": False, "url": None},
        "metadata": {},
        "updated": now,
        **given,
    }


def webhook_endpoint(object_id: str, now: int, *, url: str, **given: Any) -> Object:
    return {
        "id": object_id,
        "object": "webhook_endpoint",
        **nulls("api_version application description"),
        "created": now,
        "enabled_events": ["*"],
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": url,
        **given,
    }
