"""Every write to the money core: keyword-only functions, each one short transaction.

All of them take the account row first (credits.books), take time as `now=`, whole credits as
positive integers, and may be repeated: the same key and arguments return the first result.
They join the caller's transaction if there is one, and never call the network.
"""

from credits.books import AccountNotFound
from credits.services.accounts import (
    account_id_of_user,
    freeze_account,
    link_customer,
    open_account,
    unfreeze_account,
)
from credits.services.adjustments import (
    Preview,
    approve_adjustment,
    has_lapsed,
    lapse_adjustments,
    preview_adjustment,
    refuse_adjustment,
    request_adjustment,
)
from credits.services.audit_log import record_action
from credits.services.corrections import (
    Direction,
    adjust,
    claw_back,
    freeze_lot,
    reverse_claw_back,
    unfreeze_lot,
)
from credits.services.day_totals import add_up_days
from credits.services.errors import (
    AccountFrozen,
    AdjustmentSettled,
    BooksChanged,
    CodeExists,
    CodeExpired,
    CodeForNewCustomers,
    CodeNotFound,
    CodeUsedUp,
    CreditsError,
    CustomerLinkedElsewhere,
    HoldAlreadySettled,
    IdempotencyConflict,
    InsufficientCredits,
    InvalidAdjustment,
    InvalidAmount,
    InvalidCode,
    InvalidKey,
    OwnAdjustment,
    PromotionalCodeError,
    RetailTokenUnavailable,
    TooManyAttempts,
)
from credits.services.grants import end_subscription, grant, reset_subscription
from credits.services.holds import (
    capture,
    expire_due,
    hold,
    holding,
    refund_spend,
    release,
    spend,
)
from credits.services.promotions import create_codes, redeem_code, switch_off_code
from credits.services.rehearsal import lines_since, rehearsal
from credits.services.retail import (
    issue_retail_token,
    reserve_retail_token,
    restore_retail_token,
    return_retail_token,
    revoke_retail_token,
    use_retail_token,
)
from credits.services.sweeps import attempt

__all__ = [
    "AccountFrozen",
    "AccountNotFound",
    "AdjustmentSettled",
    "BooksChanged",
    "CodeExists",
    "CodeExpired",
    "CodeForNewCustomers",
    "CodeNotFound",
    "CodeUsedUp",
    "CreditsError",
    "CustomerLinkedElsewhere",
    "Direction",
    "HoldAlreadySettled",
    "IdempotencyConflict",
    "InsufficientCredits",
    "InvalidAdjustment",
    "InvalidAmount",
    "InvalidCode",
    "InvalidKey",
    "OwnAdjustment",
    "Preview",
    "PromotionalCodeError",
    "RetailTokenUnavailable",
    "TooManyAttempts",
    "account_id_of_user",
    "add_up_days",
    "adjust",
    "approve_adjustment",
    "attempt",
    "capture",
    "claw_back",
    "create_codes",
    "end_subscription",
    "expire_due",
    "freeze_account",
    "freeze_lot",
    "grant",
    "has_lapsed",
    "hold",
    "holding",
    "issue_retail_token",
    "lapse_adjustments",
    "lines_since",
    "link_customer",
    "open_account",
    "preview_adjustment",
    "record_action",
    "redeem_code",
    "refund_spend",
    "refuse_adjustment",
    "rehearsal",
    "release",
    "request_adjustment",
    "reserve_retail_token",
    "reset_subscription",
    "restore_retail_token",
    "return_retail_token",
    "reverse_claw_back",
    "revoke_retail_token",
    "spend",
    "switch_off_code",
    "unfreeze_account",
    "unfreeze_lot",
    "use_retail_token",
]
