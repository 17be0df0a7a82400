"""What the rules for invoices ask of the database, asked once for many events or for one."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from django.db.models import Max

from credits.models import Account, CreditLot, Hold, Offer, Payment, Subscription
from credits.payments.allowances import plans_with
from credits.payments.outcomes import Event, unlinked
from credits.payments.readers import Invoice, Unreadable, read_invoice, text
from credits.payments.subscriptions import ENDED


@dataclass(frozen=True)
class Facts:
    """True as long as the accounts are locked and none of their events has been applied since."""

    accounts: dict[str, Account]  # by Stripe customer
    plans: dict[str, Offer] = field(default_factory=dict)  # by Stripe price
    booked: set[str] = field(default_factory=set)  # keys of invoices
    ended: set[str] = field(default_factory=set)  # subscriptions
    newest: dict[tuple[int, str], CreditLot] = field(default_factory=dict)

    def account(self, customer_id: str) -> Account:
        """The account that our server tied to this Stripe customer, locked. Raises Wait."""
        if customer_id not in self.accounts:
            raise unlinked(customer_id)
        return self.accounts[customer_id]

    def newest_period(self, account: Account, subscription_id: str) -> CreditLot | None:
        """The lot of the subscription's newest paid period, whether or not it has ended."""
        return self.newest.get((account.pk, subscription_id))


def learn(events: Iterable[Event]) -> Facts:
    """Locks the accounts of the events' customers, in the order of their ids, and then reads.

    It also remembers the payments of paid invoices, which stay true whatever comes of the events.
    """
    customers = {customer for event in events if (customer := text(event.object, "customer"))}
    locked = Account.objects.locked().filter(stripe_customer_id__in=customers).order_by("pk")
    accounts = {str(account.stripe_customer_id): account for account in locked}
    invoices = [one for one in _paid_invoices(events) if one.customer_id in accounts]
    if not invoices:
        return Facts(accounts)
    remember_payments(invoices)
    ids = [accounts[invoice.customer_id].pk for invoice in invoices]
    plans = plans_with(line.price_id for invoice in invoices for line in invoice.lines)
    return Facts(accounts, plans, _booked(invoices, ids), _ended(invoices), newest_periods(ids))


def remember_payments(invoices: list[Invoice]) -> None:
    """So that a refund or dispute of a payment finds the credits that it bought."""
    Payment.objects.bulk_create(
        [
            Payment(payment_intent=found, source_key=invoice.key, amount=invoice.amount_paid)
            for invoice in invoices
            for found in invoice.payment_intents
        ],
        ignore_conflicts=True,
    )


def _paid_invoices(events: Iterable[Event]) -> Iterator[Invoice]:
    for event in events:
        if event.type == "invoice.paid":
            with suppress(Unreadable):  # its own rule will say so
                yield read_invoice(event.object)


def _booked(invoices: list[Invoice], account_ids: list[int]) -> set[str]:
    """Invoices about which another event has been applied: by a lot, or by what was taken."""
    keys = [invoice.key for invoice in invoices]
    lots = CreditLot.objects.filter(source_key__in=keys).values_list("source_key", flat=True)
    taken = {f"adjustment:{key}": key for key in keys}
    holds = Hold.objects.filter(account__in=account_ids, idempotency_key__in=taken)
    return {*lots, *(taken[key] for key in holds.values_list("idempotency_key", flat=True))}


def _ended(invoices: list[Invoice]) -> set[str]:
    ids = {invoice.subscription_id for invoice in invoices}
    ended = Subscription.objects.filter(subscription_id__in=ids, status__in=ENDED)
    return set(ended.values_list("subscription_id", flat=True))


def newest_periods(account_ids: list[int]) -> dict[tuple[int, str], CreditLot]:
    """The lots of newest_period, by account and subscription.

    A later period is always granted later: older ones are refused.
    """
    periods = CreditLot.objects.filter(
        account__in=account_ids, terms__has_keys=["subscription", "period_end"]
    )
    newest = periods.values("account", "terms__subscription").annotate(newest=Max("pk"))
    lots = CreditLot.objects.filter(pk__in=[row["newest"] for row in newest])
    return {(lot.account_id, lot.terms["subscription"]): lot for lot in lots}
