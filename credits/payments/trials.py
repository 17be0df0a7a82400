"""Trials: the first days of a first plan, which cost nothing and bring the offer's trial allowance.

Stripe's invoice for them is paid at once and has lines of amount 0, where a coupon leaves the
price in the lines. https://docs.stripe.com/billing/subscriptions/trials
"""

from django.db.models import QuerySet

from credits.models import Account, CreditLot, Offer, Pool, Subscription
from credits.payments.allowances import PlanLine
from credits.payments.outcomes import Ignore
from credits.payments.readers import Invoice


def is_trial(bought: list[PlanLine]) -> bool:
    """Whether these lines of a period cost nothing by themselves."""
    return not any(line.amount for line, _ in bought)


def trial_credits(
    account: Account, invoice: Invoice, bought: list[PlanLine], newest: CreditLot | None
) -> int:
    """What a trial brings: once per subscription and, so that nobody lives on trials, once per
    account. `newest` is the subscription's newest period. Raises Ignore where it brings nothing.
    """
    allowance = sum(plan.trial_credits * line.quantity for line, plan in bought)
    if invoice.reason != "subscription_create" or not allowance:
        raise Ignore("A trial: nothing was bought.")
    if newest:
        raise Ignore("A trial: a period of this plan has been granted already.")
    if _lots_of_plans(account.pk).exists():
        raise Ignore("A trial: the account has had a plan before.")
    return allowance


def trial_days(offer: Offer, *, account_id: int) -> int:
    """How long the account may try the offer for nothing; 0 for who has had a plan before."""
    return 0 if has_had_plan(account_id=account_id) else offer.trial_days


def has_had_plan(*, account_id: int) -> bool:
    """Whether the account has, or ever had, a subscription or the credits of one."""
    known = Subscription.objects.filter(account_id=account_id)
    return known.exists() or _lots_of_plans(account_id).exists()


def _lots_of_plans(account_id: int) -> QuerySet[CreditLot]:
    return CreditLot.objects.filter(account_id=account_id, pool=Pool.SUBSCRIPTION)
