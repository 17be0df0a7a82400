"""What a change of plan would be, and what speaks against it. No network, nothing is written.

Note [Now or at the period's end]
    A plan that costs more and is not paid in a shorter interval comes at once: the customer pays
    the difference for the time that is left and gets the difference in credits for it. Everything
    else (less money, or from a year to months) comes when the paid period ends: nothing is paid
    back, no credits go, and no way of going down and up again brings credits or a second charge.
    From a month to a year a new period begins: what is unused of the month is paid back, in money
    and in credits, the year counts whole, and what was left of the month's credits is kept.
"""

from enum import StrEnum

from credits.models import CreditLot, Offer
from credits.payments.at_stripe import AtStripe, PlanRefused
from credits.payments.checkout import OfferNotForSale

CHANGEABLE = ("active", "trialing")
UNPAID = ("past_due", "unpaid")
LENGTH = {Offer.Interval.MONTH: 1, Offer.Interval.YEAR: 12}


class When(StrEnum):
    """See Note [Now or at the period's end]."""

    NOW = "now"
    AT_PERIOD_END = "at_period_end"
    KEEP = "keep"  # it is the present plan, and what was planned instead of it is withdrawn


class AlreadyOnPlan(PlanRefused):
    """The plan is the present one, and nothing else is planned."""

    def __init__(self, plan: Offer) -> None:
        super().__init__(f"{plan.name} is your plan already.")


class PlanIsEnding(PlanRefused):
    """It has been cancelled, to the end of the period."""

    def __init__(self) -> None:
        super().__init__("Your plan is about to end. Resume it first, then change it.")


class AlreadyEnding(PlanRefused):
    """There is nothing left to cancel."""

    def __init__(self) -> None:
        super().__init__("Your plan is ending already.")


class PaymentDue(PlanRefused):
    """The last payment failed: another plan would be built on a period that is not paid."""

    def __init__(self) -> None:
        super().__init__(
            "The last payment for your plan failed. Pay it under “Fix the payment” first."
        )


class NotChangeable(PlanRefused):
    """The subscription is not one plan of the price list, or is paid in another currency."""

    def __init__(self) -> None:
        super().__init__("Your plan cannot be changed to this one here. Please contact support.")


def find_plan(slug: str) -> Offer:
    """A plan that is for sale. Raises OfferNotForSale."""
    plans = Offer.objects.filter(active=True, kind=Offer.Kind.PLAN).exclude(stripe_price_id="")
    if plan := plans.filter(slug=slug).first():
        return plan
    raise OfferNotForSale("There is no such plan.")


def decide(present: AtStripe, target: Offer) -> When:
    """How the change would happen.

    Raises PaymentDue, PlanIsEnding, NotChangeable, AlreadyOnPlan.
    """
    if present.status in UNPAID:
        raise PaymentDue
    if present.is_ending or present.has_ended:
        raise PlanIsEnding
    plan = present.plan
    if plan is None or plan.currency != target.currency or present.status not in CHANGEABLE:
        raise NotChangeable
    if plan != target:
        return When.NOW if is_upgrade(plan, target) else When.AT_PERIOD_END
    if present.schedule_id or present.pending_price_id:
        return When.KEEP
    raise AlreadyOnPlan(plan)


def is_upgrade(plan: Offer, target: Offer) -> bool:
    """See Note [Now or at the period's end]."""
    longer = LENGTH[Offer.Interval(target.interval)] >= LENGTH[Offer.Interval(plan.interval)]
    return target.amount > plan.amount and longer


def ends_at_once(account_id: int, present: AtStripe) -> bool:
    """Whether cancelling ends the plan now: the running period has not been paid."""
    if present.status not in UNPAID:
        return False
    lots = CreditLot.objects.filter(account_id=account_id, terms__subscription=present.id)
    return not lots.filter(terms__period_end=present.period_end.isoformat()).exists()
