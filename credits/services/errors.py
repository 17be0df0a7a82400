"""What can go wrong with credits, by name. Each message is a sentence that may be shown."""

from credits.models import Hold

MOST_CREDITS = 1_000_000_000  # in one operation: far above any offer, far below bigint
MOST_KEY = 255  # characters, as wide as the columns
MOST_PAID = 10**12  # minor units: the largest amounts Stripe knows (rupiah) have 12 digits


class CreditsError(Exception):
    """A rule of the money refused the operation; nothing moved."""


class InvalidAmount(CreditsError, ValueError):
    """Credits are positive whole numbers up to MOST_CREDITS."""


class InvalidKey(CreditsError, ValueError):
    """A key or reference is empty or longer than the books can hold."""


class InsufficientCredits(CreditsError):
    """The account has fewer spendable credits than the operation needs."""

    def __init__(self, *, required: int, available: int) -> None:
        super().__init__(f"This needs {required} credits and {available} are available.")
        self.required = required
        self.available = available


class AccountFrozen(CreditsError):
    """The account may not spend until staff unfreezes it."""

    def __init__(self) -> None:
        super().__init__("This account is frozen: please contact support.")


class IdempotencyConflict(CreditsError):
    """The key was used before, with other arguments."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The key {key!r} was already used for a different request.")


class CustomerLinkedElsewhere(CreditsError):
    """One customer of the payment provider belongs to one account, for good."""


class HoldAlreadySettled(CreditsError):
    """The hold was settled the other way, or for another amount."""

    def __init__(self, hold: Hold) -> None:
        super().__init__(f"Hold {hold.pk} is already {hold.state} ({hold.captured} captured).")
        self.hold = hold


class RetailTokenUnavailable(CreditsError):
    """No retail token is free, or this one is not in the state that the operation needs."""


class PromotionalCodeError(CreditsError):
    """The code is not good for this account; nothing was added."""


class CodeNotFound(PromotionalCodeError):
    """Also a code that has not begun or was switched off: guessing learns nothing."""

    def __init__(self) -> None:
        super().__init__("There is no such code. Check for a letter that looks like another.")


class CodeExpired(PromotionalCodeError):
    """Its time is over."""

    def __init__(self) -> None:
        super().__init__("This code is no longer valid.")


class CodeUsedUp(PromotionalCodeError):
    """It was redeemed as often as it may be."""

    def __init__(self) -> None:
        super().__init__("This code has been used as often as it can be.")


class CodeForNewCustomers(PromotionalCodeError):
    """Only accounts that have never paid may redeem it."""

    def __init__(self) -> None:
        super().__init__("This code is for new customers only.")


class TooManyAttempts(CreditsError):
    """Codes are not to be guessed."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("Too many codes that were not good. Please try again in an hour.")
        self.retry_after_seconds = retry_after_seconds


class InvalidCode(CreditsError, ValueError):
    """What staff asked for cannot be a code."""


class CodeExists(CreditsError):
    """The word is taken."""


class InvalidAdjustment(CreditsError, ValueError):
    """What staff asked for makes no sense for this account."""


class OwnAdjustment(CreditsError):
    """Nobody approves what they asked for themselves."""


class AdjustmentSettled(CreditsError):
    """It was posted, refused, or has lapsed."""


class BooksChanged(CreditsError):
    """The preview that was agreed to no longer describes the account."""


def check_amount(amount: int, *, least: int = 1, most: int = MOST_CREDITS) -> None:
    """Raises InvalidAmount unless `amount` is an int (not a bool) from `least` to `most`."""
    if type(amount) is not int or not least <= amount <= most:
        raise InvalidAmount(f"This must be a whole number from {least} to {most}.")


def check_key(key: str, *, most: int = MOST_KEY) -> None:
    """Raises InvalidKey unless `key` has from 1 to `most` characters."""
    if not 1 <= len(key) <= most:
        raise InvalidKey(f"A key has from 1 to {most} characters, not {len(key)}.")


def check_paid(amount_paid: int) -> None:
    """Raises InvalidAmount unless `amount_paid` can be a price in minor units."""
    check_amount(amount_paid, least=0, most=MOST_PAID)
