"""Which requests of the API do what. Importing the modules registers their routes."""

from billing_site.sandbox.stripe.resources import (
    catalogue,
    clocks,
    customers,
    hosted,
    payments,
    platform,
    schedules,
    subscriptions,
)

__all__ = [
    "catalogue",
    "clocks",
    "customers",
    "hosted",
    "payments",
    "platform",
    "schedules",
    "subscriptions",
]
