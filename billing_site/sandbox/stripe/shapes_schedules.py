"""New subscription schedules in the pinned version's form."""

from billing_site.sandbox.stripe.shapes import nulls
from billing_site.sandbox.stripe.store import Object


def schedule(object_id: str, now: int, *, subscription: Object, phase: Object) -> Object:
    return {
        "id": object_id,
        "object": "subscription_schedule",
        **nulls(
            "application canceled_at completed_at released_at released_subscription test_clock"
        ),
        "billing_mode": {"flexible": None, "type": "classic"},
        "created": now,
        "current_phase": {name: phase[name] for name in ("start_date", "end_date")},
        "customer": subscription["customer"],
        "default_settings": {
            **nulls(
                "application_fee_percent billing_thresholds default_payment_method description "
                "on_behalf_of transfer_data"
            ),
            "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
            "billing_cycle_anchor": "automatic",
            "collection_method": "charge_automatically",
            "invoice_settings": {
                "account_tax_ids": None,
                "days_until_due": None,
                "issuer": {"type": "self"},
            },
        },
        "end_behavior": "release",
        "livemode": False,
        "metadata": {},
        "phases": [phase],
        "status": "active",
        "subscription": subscription["id"],
    }


def phase(
    prices: list[tuple[str, int]], currency: str, *, start: int, end: int, is_trial: bool
) -> Object:
    """`prices` with how many of each; nothing is paid for a phase that is a trial."""
    return {
        **nulls(
            "application_fee_percent automatic_tax billing_cycle_anchor billing_thresholds "
            "collection_method default_payment_method description invoice_settings on_behalf_of "
            "transfer_data"
        ),
        "trial_end": end if is_trial else None,
        "add_invoice_items": [],
        "currency": currency,
        "default_tax_rates": [],
        "discounts": [],
        "end_date": end,
        "items": [
            {
                "billing_thresholds": None,
                "discounts": [],
                "metadata": {},
                "plan": price,
                "price": price,
                "quantity": quantity,
                "tax_rates": [],
            }
            for price, quantity in prices
        ],
        "metadata": {},
        "proration_behavior": "create_prorations",
        "start_date": start,
    }
