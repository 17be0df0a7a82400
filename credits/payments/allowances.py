"""How many credits a change of plan is worth: one rule for invoices, and for previews of them."""

from datetime import timedelta

from credits.models import Offer
from credits.payments.outcomes import plan_of
from credits.payments.readers import Line

PlanLine = tuple[Line, Offer]


def plan_lines(lines: list[Line], *, proration: bool) -> list[PlanLine]:
    """Lines with a known plan. The first line of an upgrade's invoice is the *old* plan."""
    wanted = [line for line in lines if line.is_proration == proration]
    return [(line, plan) for line in wanted if (plan := plan_of(line.price_id))]


def difference(lines: list[Line], *, period: timedelta) -> int:
    """The credits that a change of plan within `period` brings, or takes where negative.

    The difference in allowance for the time that is left, rounded down; a plan that is paid in
    another interval begins a new period, which counts whole. Rounding costs the customer less than
    one credit, so that going up and down again cannot make credits.
    """
    gained = 0
    for line, plan in plan_lines(lines, proration=True):
        left = int((line.end - line.start).total_seconds()) * plan.credits * line.quantity
        gained += left if line.amount >= 0 else -left
    whole = plan_lines(lines, proration=False)
    begun = sum(plan.credits * line.quantity for line, plan in whole)
    return begun + gained // max(1, int(period.total_seconds()))
