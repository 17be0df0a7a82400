"""Registers the staff's pages: nobody edits the books, every change is a service with a reason."""

from credits.staff import (  # noqa: F401
    adjustments,
    audit_log,
    audits,
    books,
    customers,
    djstripe,
    events,
    notices,
    offers,
    promotions,
    reconciliations,
    refunds,
    subscriptions,
)
