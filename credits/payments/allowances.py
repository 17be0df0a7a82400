"""How many credits a change of plan is worth: one rule for invoices, and for previews of them."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from credits.models import Offer
from credits.payments.readers import Line

PlanLine = tuple[Line, Offer]


Plans = Mapping[str, Offer]


def plans_with(price_ids: Iterable[str]) -> dict[str, Offer]:
    """Plans by their Stripe price, also those that are no longer sold; of several the first."""
    prices = set(price_ids) - {""}
    plans = Offer.objects.filter(stripe_price_id__in=prices, kind=Offer.Kind.PLAN).order_by("-pk")
    return {plan.stripe_price_id: plan for plan in plans}


def plan_of(price_id: str) -> Offer | None:
    """The plan with this Stripe price, also one that is no longer sold."""
    return plans_with([price_id]).get(price_id)


def plan_lines(lines: list[Line], plans: Plans, *, proration: bool) -> list[PlanLine]:
    """Lines with a known plan. The first line of an upgrade's invoice is the *old* plan.

    Prorations that all cost nothing are none: during a trial a change of plan brings nothing.
    """
    wanted = [line for line in lines if line.is_proration == proration]
    found = [(line, plan) for line in wanted if (plan := plans.get(line.price_id))]
    is_free = proration and not any(line.amount for line, _ in found)
    return [] if is_free else found


def replaced_and_new(lines: list[Line], plans: Plans) -> tuple[list[PlanLine], list[PlanLine]]:
    """The prorations of the plans that a change replaces, and of those that it begins."""
    changed = plan_lines(lines, plans, proration=True)
    gives_back = any(line.amount < 0 for line, _ in changed)
    old: list[PlanLine] = []
    new: list[PlanLine] = []
    for line, plan in changed:
        # A coupon can make either plan free: what costs nothing is then the other one.
        is_new = line.amount > 0 or (line.amount == 0 and gives_back)
        (new if is_new else old).append((line, plan))
    return old, new


def difference(lines: list[Line], plans: Plans, *, period: timedelta) -> int:
    """The credits that a change of plan within `period` brings, or takes where negative.

    The difference in allowance for the time that is left, rounded down; a plan that is paid in
    another interval begins a new period, which counts whole. Rounding costs the customer less than
    one credit, so that going up and down again cannot make credits.
    """
    old, new = replaced_and_new(lines, plans)
    gained = sum(map(_left, new)) - sum(map(_left, old))
    whole = plan_lines(lines, plans, proration=False)
    begun = sum(plan.credits * line.quantity for line, plan in whole)
    return begun + gained // max(1, int(period.total_seconds()))


def _left(proration: PlanLine) -> int:
    """The allowance times the seconds that it is for."""
    line, plan = proration
    return int((line.end - line.start).total_seconds()) * plan.credits * line.quantity
