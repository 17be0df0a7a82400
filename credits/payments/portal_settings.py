"""The customer portal's configuration at Stripe, which is found again by its metadata.

Customers see invoices there, change cards and address, and end their plan: at the end of the paid
period, so that nothing has to be paid back. They do not change plans there: the site's own page
does that, because it says beforehand what happens to credits.
https://docs.stripe.com/api/customer_portal/configurations
"""

from typing import Any

import stripe
from django.conf import settings

from credits.payments.readers import Object, text

MARK = {"made_by": "billing_site"}
REASONS = ["too_expensive", "missing_features", "switched_service", "unused", "too_complex",
           "low_quality", "other"]  # fmt: skip
FEATURES: Any = {
    "customer_update": {"enabled": True, "allowed_updates": ["address", "name", "tax_id"]},
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    "subscription_cancel": {
        "enabled": True,
        "mode": "at_period_end",
        "cancellation_reason": {"enabled": True, "options": REASONS},
    },
    "subscription_update": {"enabled": False},
}


def find(client: stripe.StripeClient) -> stripe.billing_portal.Configuration | None:
    """Ours, if `manage.py setup_stripe` has made it; otherwise Stripe's default is used."""
    rows = client.v1.billing_portal.configurations.list({"active": True, "limit": 100})
    for row in rows.auto_paging_iter():
        if text(row.to_dict(), "metadata", "made_by") == MARK["made_by"]:
            return row
    return None


def deviations(found: stripe.billing_portal.Configuration | None) -> list[str]:
    """What is not as it should be, one sentence each."""
    if found is None:
        return ["The customer portal has no configuration of this site's."]
    wanted = {"features": FEATURES, "default_return_url": _home()}
    wrong = _differing(wanted, found.to_dict(), path="")
    return [f"{found.id} (customer portal) differs in {name}." for name in wrong]


def create(client: stripe.StripeClient) -> stripe.billing_portal.Configuration:
    """A new one, with the mark that it is found by."""
    return client.v1.billing_portal.configurations.create(
        {"features": FEATURES, "default_return_url": _home(), "metadata": MARK}
    )


def bring_in_line(client: stripe.StripeClient, found: stripe.billing_portal.Configuration) -> bool:
    """Whether there was anything to change."""
    if not deviations(found):
        return False
    client.v1.billing_portal.configurations.update(
        found.id, {"features": FEATURES, "default_return_url": _home()}
    )
    return True


def _home() -> str:
    return f"{settings.SITE_URL}/"


def _differing(wanted: Object, found: Any, path: str) -> list[str]:
    """Names of what is set otherwise; what we do not set may be as it likes."""
    wrong = []
    for name, value in wanted.items():
        there = found.get(name) if isinstance(found, dict) else None
        here = f"{path}.{name}" if path else name
        if isinstance(value, dict):
            wrong += _differing(value, there, here)
        elif isinstance(value, list):
            wrong += [] if sorted(value) == sorted(there or []) else [here]
        elif value != there:
            wrong.append(here)
    return wrong
