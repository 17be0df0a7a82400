"""What the account's plan is and what is to become of it, as far as events have told."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from credits.models import Offer, PlanClick, PlanSchedule, Subscription
from credits.payments.allowances import plan_of
from credits.payments.plan_rules import UNPAID
from credits.payments.portal import live_subscription

Outcome = PlanClick.Outcome

CONFIRMING = timedelta(minutes=10)  # events that take longer are looked for by staff, not here


@dataclass(frozen=True)
class PlanState:
    """A live subscription. At most one of `next_plan`, `waiting_plan` and an end is ahead of it."""

    subscription: Subscription
    plan: Offer | None
    next_plan: Offer | None
    next_at: datetime | None
    waiting_plan: Offer | None
    pay_url: str
    is_confirming: bool

    @property
    def payment_failed(self) -> bool:
        return self.subscription.status in UNPAID

    @property
    def is_ending(self) -> bool:
        return self.subscription.cancel_at_period_end

    @property
    def renewing_plan(self) -> Offer | None:
        """What the next period will be paid for."""
        return self.next_plan or self.plan


def plan_state(*, account_id: int, now: datetime) -> PlanState | None:
    """None where there is no plan. Asks nobody."""
    subscription = live_subscription(account_id=account_id)
    if subscription is None:
        return None
    schedules = PlanSchedule.objects.filter(
        account_id=account_id, subscription_id=subscription.subscription_id, active=True
    )
    ahead = schedules.exclude(price_id__in=["", subscription.price_id]).order_by("-as_of").first()
    click = PlanClick.objects.filter(account_id=account_id).exclude(outcome="")
    newest = click.order_by("-created_at").first()
    state = PlanState(
        subscription=subscription,
        plan=plan_of(subscription.price_id),
        next_plan=plan_of(ahead.price_id) if ahead else None,
        next_at=ahead.begins_at if ahead else None,
        waiting_plan=plan_of(subscription.pending_price_id),
        pay_url=newest.pay_url if newest else "",
        is_confirming=False,
    )
    if newest is None or newest.created_at < now - CONFIRMING or _shows(state, newest):
        return state
    return PlanState(**{**vars(state), "is_confirming": True})


def _shows(state: PlanState, click: PlanClick) -> bool:
    """Whether the events of this click have arrived."""
    slug = click.offer
    ended = click.outcome == Outcome.ENDED
    shown = {
        Outcome.CHANGED: _is(state.plan, slug),
        Outcome.PAYMENT_REQUIRED: _is(state.waiting_plan, slug) or _is(state.plan, slug),
        Outcome.SCHEDULED: _is(state.next_plan, slug) or _is(state.plan, slug),
        Outcome.KEPT: state.next_plan is None and state.waiting_plan is None,
        Outcome.ENDS: state.is_ending,
        Outcome.RESUMED: not state.is_ending,
    }
    return not ended and shown[Outcome(click.outcome)]


def _is(plan: Offer | None, slug: str) -> bool:
    return plan is not None and plan.slug == slug
