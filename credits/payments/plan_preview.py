"""What a change or the end of a plan would do, now and at the next renewal. Nothing is changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import stripe
from django.core.signing import BadSignature, TimestampSigner

from credits import queries
from credits.models import Offer, Pool
from credits.payments.allowances import difference, plans_with
from credits.payments.at_stripe import AtStripe, PlanRefused, look_up, subscription_of
from credits.payments.client import asking, connect
from credits.payments.plan_rules import AlreadyEnding, When, decide, ends_at_once, find_plan
from credits.payments.plan_steps import upgraded_items
from credits.payments.readers import number, read_invoice

VALID_SECONDS = 3600
UNREACHABLE = "Stripe cannot be reached at the moment. Nothing was changed: please try again."


class PreviewOutdated(PlanRefused):
    """What was previewed is not what would happen now, or VALID_SECONDS have passed."""

    def __init__(self) -> None:
        super().__init__("This preview is no longer true. Please look at the change again.")


@dataclass(frozen=True)
class Renewal:
    """The next regular payment, before discounts and taxes, and the credits that it brings."""

    at: datetime
    amount: int
    credits: int
    rollover_cap: int


@dataclass(frozen=True)
class ChangePreview:
    """What `target` instead of `plan` means; money in minor units of `currency`."""

    plan: Offer
    target: Offer
    when: When
    takes_effect_at: datetime | None  # None: at once
    due_now: int
    currency: str
    credits_now: int
    renewal: Renewal
    token: str  # what it was, signed: `plan_changes.change` does this or nothing


@dataclass(frozen=True)
class EndPreview:
    """What cancelling means: when the plan ends, and what then goes and stays."""

    plan: Offer | None
    ends_at: datetime | None  # None: at once, the running period is not paid
    credits_that_end: int  # what is left of the plan's now, good until `ends_at`
    promotional: int
    bulk: int
    retail_tokens: int

    @property
    def when(self) -> When:
        return When.AT_PERIOD_END if self.ends_at else When.NOW


@dataclass(frozen=True)
class Promise:
    """A preview, as its token remembers it."""

    offer: str
    price_id: str  # of the plan that is changed
    when: When
    at: datetime | None

    def holds(self, present: AtStripe, when: When) -> bool:
        """Whether the change would still be the previewed one."""
        same_period = self.at is None or self.at >= present.period_start
        price_id = present.plan.stripe_price_id if present.plan else ""
        return (self.when, self.price_id) == (when, price_id) and same_period


def preview_change(*, account_id: int, offer_slug: str) -> ChangePreview:
    """Raises NoSubscription, OfferNotForSale, SellingUnavailable and the errors of decide."""
    target = find_plan(offer_slug)
    known = subscription_of(account_id=account_id)
    client = connect()
    with asking(UNREACHABLE):
        present = look_up(client, known.subscription_id)
        when = decide(present, target)
        assert present.plan is not None, "decide"
        if when == When.NOW and present.status != "trialing":
            return _now(client, present, present.plan, target)
    return ChangePreview(
        plan=present.plan,
        target=target,
        when=when,
        takes_effect_at=present.period_end if when == When.AT_PERIOD_END else None,
        due_now=0,
        currency=target.currency,
        credits_now=0,
        renewal=_renewal(present, target, present.period_end),
        token=_token(present.plan, target, when, None),
    )


def _now(
    client: stripe.StripeClient, present: AtStripe, plan: Offer, target: Offer
) -> ChangePreview:
    """Stripe says what it costs, and the rule for its invoice what that brings."""
    details: Any = {
        "items": upgraded_items(present, target),
        "proration_behavior": "always_invoice",
    }
    found = client.v1.invoices.create_preview(
        params={"subscription": present.id, "subscription_details": details}
    ).to_dict()
    lines = read_invoice(found).lines
    at = min(line.start for line in lines)
    anew = [line.end for line in lines if not line.is_proration]
    return ChangePreview(
        plan=plan,
        target=target,
        when=When.NOW,
        takes_effect_at=None,
        due_now=number(found, "amount_due"),
        currency=target.currency,
        credits_now=difference(
            lines, plans_with(line.price_id for line in lines), period=present.period
        ),
        renewal=_renewal(present, target, max(anew, default=present.period_end)),
        token=_token(plan, target, When.NOW, at),
    )


def _renewal(present: AtStripe, target: Offer, at: datetime) -> Renewal:
    return Renewal(
        at=at,
        amount=target.amount * present.quantity,
        credits=target.credits * present.quantity,
        rollover_cap=target.rollover_cap * present.quantity,
    )


def preview_cancel(*, account_id: int, now: datetime) -> EndPreview:
    """Raises NoSubscription, AlreadyEnding, SellingUnavailable."""
    known = subscription_of(account_id=account_id)
    with asking(UNREACHABLE):
        present = look_up(connect(), known.subscription_id)
    if present.is_ending and not present.has_ended:
        raise AlreadyEnding
    balance = queries.balance(account_id=account_id, now=now)
    at_once = present.has_ended or ends_at_once(account_id, present)
    return EndPreview(
        plan=present.plan,
        ends_at=None if at_once else present.period_end,
        credits_that_end=balance.pools[Pool.SUBSCRIPTION],
        promotional=balance.pools[Pool.PROMOTIONAL],
        bulk=balance.pools[Pool.BULK],
        retail_tokens=balance.retail_tokens,
    )


def _token(plan: Offer, target: Offer, when: When, at: datetime | None) -> str:
    content = [target.slug, plan.stripe_price_id, str(when), at.isoformat() if at else ""]
    return _signer().sign_object(content)


def opened(token: str) -> Promise | None:
    """What a preview's token promises, None for none. Raises PreviewOutdated."""
    if not token:
        return None
    try:
        offer, price_id, when, at = _signer().unsign_object(token, max_age=VALID_SECONDS)
    except BadSignature:
        raise PreviewOutdated from None
    return Promise(offer, price_id, When(when), datetime.fromisoformat(at) if at else None)


def _signer() -> TimestampSigner:
    return TimestampSigner(salt="plan-preview")
