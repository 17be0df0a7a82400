"""The kinds of difference between Stripe and our books, and how each is put into words."""

from dataclasses import dataclass
from enum import StrEnum

from credits.payments.readers import Object


class Kind(StrEnum):
    """What is wrong. NOT_NOTED: no credits are wrong yet, but a later event may need it.

    NOT_SOLD is no difference, only worth knowing.
    """

    NOT_GRANTED = "paid but not granted"
    GRANTED_TWICE = "granted twice"
    NOT_TAKEN_BACK = "refunded but not clawed back"
    NOT_PAID = "granted but not paid"
    NOT_NOTED = "changed but not noted"
    NOT_SOLD = "charge nobody sold"


@dataclass(frozen=True)
class Difference:
    """One thing that Stripe and the books do not agree on; money in minor units of `currency`.

    `event` is what the rules have to be told to repair it; without one a person has to decide.
    """

    kind: Kind
    objects: str
    detail: str
    account_id: int | None = None
    amount: int | None = None
    currency: str = ""
    event: Object | None = None

    def __str__(self) -> str:
        whose = f"account {self.account_id}" if self.account_id else "no account"
        money = f", {self.amount} {self.currency}" if self.amount is not None else ""
        return f"{self.kind}: {self.objects}, {whose}{money}: {self.detail}"
