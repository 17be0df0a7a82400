"""A small offline Stripe for development and tests. README.md says what it has and what not."""

from billing_site.sandbox.stripe.sandbox import NotATestKey, Sandbox
from billing_site.sandbox.stripe.store import UnreadableState

__all__ = ["NotATestKey", "Sandbox", "UnreadableState"]
