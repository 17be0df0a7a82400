"""What a customer has paid for, in words: for the customer's page and the forms that choose one."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from django.utils.translation import gettext as _

from credits.explanations import bought_words
from credits.models import FIRST_PIECE, CreditLot, Payment, RetailToken
from credits.money import money
from credits.payments.rehearsals import payments_of


@dataclass(frozen=True)
class Purchase:
    """A payment and the lot, or the first single generation, that it paid for."""

    payment: Payment
    bought: CreditLot | RetailToken

    @property
    def bought_at(self) -> datetime:
        return self.bought.created_at

    @cached_property
    def words(self) -> str:
        if isinstance(self.bought, CreditLot):
            return bought_words(self.bought) or _("Credits")
        return str(self.bought.terms.get("name") or _("Single generation"))

    @property
    def paid(self) -> str:
        return self._money(self.payment.amount)

    @property
    def gone_back(self) -> str:
        """Refunds; empty for nothing."""
        return self._money(self.payment.refunded) if self.payment.refunded else ""

    @property
    def lost(self) -> str:
        """In a dispute; empty for nothing."""
        return self._money(self.payment.lost) if self.payment.lost else ""

    @property
    def is_refundable(self) -> bool:
        return self.payment.refunded + self.payment.lost < self.payment.amount

    def __str__(self) -> str:
        return f"{self.bought_at:%Y-%m-%d}: {self.words}, {self.paid}"

    def _money(self, amount: int) -> str:
        return money(amount, self.bought.currency)


def purchases_of(account_id: int, *, most: int) -> list[Purchase]:
    """The newest purchases that were paid for. A fixed number of queries."""
    return described(payments_of(account_id, most=most))


def described(payments: list[Payment]) -> list[Purchase]:
    """The purchases behind these payments; without those of which nothing is booked yet."""
    keys = [payment.source_key for payment in payments]
    lots = CreditLot.objects.filter(source_key__in=keys)
    firsts = RetailToken.objects.filter(source_key__in=[key + FIRST_PIECE for key in keys])
    bought: dict[str, CreditLot | RetailToken] = {lot.source_key: lot for lot in lots}
    bought |= {token.source_key.removesuffix(FIRST_PIECE): token for token in firsts}
    return [
        Purchase(payment, bought[payment.source_key])
        for payment in payments
        if payment.source_key in bought
    ]
