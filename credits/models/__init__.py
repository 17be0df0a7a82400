"""The tables of credits, a module for each kind; everything is imported from here."""

from credits.models.core import (
    SEQUENCE_BITS,
    Account,
    AccountQuerySet,
    CreditLot,
    Hold,
    LedgerEntry,
    Pool,
    RetailToken,
    account_id_of,
    row_id,
)
from credits.models.notices import (
    Notice,
    NoticePreferences,
)
from credits.models.offers import (
    FailedRedemption,
    Offer,
    OfferQuerySet,
    PromotionalCode,
    Redemption,
    TermsAreFixed,
)
from credits.models.payments import (
    CheckoutStart,
    InboxEvent,
    Payment,
    PlanClick,
    PlanSchedule,
    Reconciliation,
    Refund,
    RefundedTotal,
    RefundRequest,
    Subscription,
)
from credits.models.staff import (
    Adjustment,
    DailyTotal,
    LedgerAudit,
    StaffAction,
)

__all__ = [
    "SEQUENCE_BITS",
    "Account",
    "AccountQuerySet",
    "Adjustment",
    "CheckoutStart",
    "CreditLot",
    "DailyTotal",
    "FailedRedemption",
    "Hold",
    "InboxEvent",
    "LedgerAudit",
    "LedgerEntry",
    "Notice",
    "NoticePreferences",
    "Offer",
    "OfferQuerySet",
    "Payment",
    "PlanClick",
    "PlanSchedule",
    "Pool",
    "PromotionalCode",
    "Reconciliation",
    "Redemption",
    "Refund",
    "RefundRequest",
    "RefundedTotal",
    "RetailToken",
    "StaffAction",
    "Subscription",
    "TermsAreFixed",
    "account_id_of",
    "row_id",
]
