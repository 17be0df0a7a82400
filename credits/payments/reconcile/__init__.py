"""Comparing what Stripe says was paid, refunded and disputed with our lots and tokens.

What counts as a difference is decided by the rules themselves: whatever they would still book if
Stripe told them now. So there is no second opinion on what a payment is worth. docs/stripe.md
"""

from credits.payments.reconcile.compare import Comparison, Progress, compare
from credits.payments.reconcile.differences import Difference, Kind
from credits.payments.reconcile.repair import Left, repair

__all__ = ["Comparison", "Difference", "Kind", "Left", "Progress", "compare", "repair"]
