"""Changing, ending and resuming a plan. Nothing here moves a credit or says what is true.

The click is written down under the account's lock; Stripe is asked after that, with keys made from
the click; what came of it arrives as events (subscriptions.py, schedules.py, invoices.py).

Note [Payment of an upgrade]
    `pending_if_incomplete`: where the card is declined, or the bank asks for confirmation, Stripe
    keeps the old plan and an open invoice, whose page is where the customer confirms or pays with
    another card; then the change is applied, and after 23 hours it is given up.
    `error_if_incomplete` would leave those whose bank always asks without any way to upgrade.
    https://docs.stripe.com/billing/subscriptions/pending-updates

Note [One click at a time]
    Two changes of one account never talk to Stripe at once: the second is refused while the first
    is under way, and afterwards starts from what the first has left. So two tabs cannot both
    charge the difference to the same plan. A click that was interrupted is repeated with its key:
    it looks at Stripe again, and finds done what was done.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from credits import services
from credits.models import Account, Offer, PlanClick
from credits.payments import plan_steps as steps
from credits.payments.at_stripe import AtStripe, PlanRefused, look_up, subscription_of
from credits.payments.client import asking, connect
from credits.payments.plan_preview import PreviewOutdated, Promise, opened
from credits.payments.plan_rules import AlreadyEnding, When, decide, ends_at_once, find_plan

Action, Outcome = PlanClick.Action, PlanClick.Outcome

MOST_AN_HOUR = 20
HOUR = timedelta(hours=1)
UNDER_WAY = timedelta(minutes=3)  # longer than all requests of one click may take
UNREACHABLE = (
    "Stripe cannot be reached, so it is not certain whether your plan was changed. "
    "Please try again: nothing is charged twice."
)


class ChangeUnderWay(Exception):
    """Another click of the account is being carried out."""

    def __init__(self) -> None:
        super().__init__("Your plan is being changed already. Please look again in a moment.")


class TooManyChanges(Exception):
    """More than MOST_AN_HOUR clicks within an hour."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"A plan can be changed at most {MOST_AN_HOUR} times an hour.")
        self.retry_after_seconds = retry_after_seconds


class NotEnding(PlanRefused):
    """There is nothing to resume."""

    def __init__(self) -> None:
        super().__init__("Your plan is not about to end.")


@dataclass(frozen=True)
class Click:
    """The row of a click, and whether this is a repetition of it."""

    row: PlanClick
    repeated: bool


def change(
    *, account_id: int, offer_slug: str, click_key: str, now: datetime, preview: str = ""
) -> PlanClick:
    """Changes the plan, now or at the period's end; the present plan withdraws what is planned.

    `preview` is the token of a preview: then it happens as previewed or not at all.

    Raises at_stripe.NoSubscription, checkout.OfferNotForSale, client.SellingUnavailable,
    services.AccountFrozen, services.IdempotencyConflict, the errors of plan_rules.decide, and
    those above.
    """
    target = find_plan(offer_slug)
    promise = opened(preview)
    if promise and promise.offer != target.slug:
        raise PreviewOutdated
    with _carried_out(account_id, Action.CHANGE, target.slug, click_key, now) as (click, present):
        if present:
            _change(click, present, target, promise)
    return click.row


def cancel(*, account_id: int, click_key: str, now: datetime) -> PlanClick:
    """Ends the plan with its period; at once if the running period has not been paid.

    A frozen account may do this too: it must be able to stop paying.

    Raises at_stripe.NoSubscription, client.SellingUnavailable, services.IdempotencyConflict,
    AlreadyEnding, ChangeUnderWay, TooManyChanges.
    """
    with _carried_out(account_id, Action.CANCEL, "", click_key, now) as (click, present):
        if present:
            _cancel(click, present)
    return click.row


def resume(*, account_id: int, click_key: str, now: datetime) -> PlanClick:
    """Lets a plan go on that was about to end.

    Raises at_stripe.NoSubscription, client.SellingUnavailable, services.AccountFrozen,
    services.IdempotencyConflict, NotEnding, ChangeUnderWay, TooManyChanges.
    """
    with _carried_out(account_id, Action.RESUME, "", click_key, now) as (click, present):
        if present:
            _resume(click, present)
    return click.row


def _change(click: Click, present: AtStripe, target: Offer, promise: Promise | None) -> None:
    row, client = click.row, connect()
    if present.pending_price_id == target.stripe_price_id:  # it waits already: one invoice
        _settle(row, Outcome.PAYMENT_REQUIRED, steps.page_of(client, present.latest_invoice))
    elif click.repeated and present.plan == target and not present.schedule_id:
        _settle(row, Outcome.CHANGED)  # the answer was lost, not the change
    else:
        when = decide(present, target)
        if promise and not promise.holds(present, when):
            raise PreviewOutdated
        steps.withdraw_payment(client, present)
        if when == When.AT_PERIOD_END:
            steps.schedule(client, present, target, key=str(row.pk))
            _settle(row, Outcome.SCHEDULED)
            return
        steps.withdraw_schedule(client, present)
        if when == When.KEEP:
            _settle(row, Outcome.KEPT)
            return
        at = promise.at if promise else None
        url = steps.upgrade(client, present, target, at=at, key=str(row.pk))
        _settle(row, Outcome.PAYMENT_REQUIRED if url else Outcome.CHANGED, url)


def _cancel(click: Click, present: AtStripe) -> None:
    if present.has_ended:
        _settle(click.row, Outcome.ENDED)
        return
    if present.is_ending:
        if not click.repeated:
            raise AlreadyEnding
        _settle(click.row, Outcome.ENDS)
        return
    client = connect()
    steps.withdraw_payment(client, present)
    steps.withdraw_schedule(client, present)
    if ends_at_once(click.row.account_id, present):
        client.v1.subscriptions.cancel(present.id)
        _settle(click.row, Outcome.ENDED)
    else:
        client.v1.subscriptions.update(present.id, params={"cancel_at_period_end": True})
        _settle(click.row, Outcome.ENDS)


def _resume(click: Click, present: AtStripe) -> None:
    if present.has_ended or (not present.is_ending and not click.repeated):
        raise NotEnding
    if present.cancel_at_period_end:
        connect().v1.subscriptions.update(present.id, params={"cancel_at_period_end": False})
    elif present.is_ending:
        connect().v1.subscriptions.update(present.id, params={"cancel_at": ""})
    _settle(click.row, Outcome.RESUMED)


def _settle(row: PlanClick, outcome: str, pay_url: str = "") -> None:
    row.outcome, row.pay_url = str(outcome), pay_url


@contextmanager
def _carried_out(
    account_id: int, action: str, offer: str, click_key: str, now: datetime
) -> Iterator[tuple[Click, AtStripe | None]]:
    """The click, and the subscription at Stripe; nothing of that for a click that is done.

    See Note [One click at a time].
    """
    click = _write_down(account_id, action, offer, click_key, now)
    if click.row.outcome:
        yield click, None
        return
    try:
        known = subscription_of(account_id=account_id)
        with asking(UNREACHABLE):
            yield click, look_up(connect(), known.subscription_id)
    except PlanRefused:
        click.row.delete()
        raise
    except Exception:  # it may be repeated, and then finds out how far this came
        _let_go(click.row)
        raise
    _let_go(click.row)


def _let_go(row: PlanClick) -> None:
    row.under_way_until = None
    row.save(update_fields=["outcome", "pay_url", "under_way_until"])


@transaction.atomic
def _write_down(account_id: int, action: str, offer: str, click_key: str, now: datetime) -> Click:
    """The row of this click, after everything that speaks against it, under the account's lock."""
    account = Account.objects.locked().get(pk=account_id)
    if account.status == Account.Status.FROZEN and action != Action.CANCEL:
        raise services.AccountFrozen
    clicks = PlanClick.objects.filter(account=account)
    row = clicks.filter(click_key=click_key).first()
    if row is not None:
        if (row.action, row.offer) != (action, offer):
            raise services.IdempotencyConflict(click_key)
        if row.outcome:
            return Click(row, repeated=True)
    if clicks.filter(under_way_until__gt=now).exists():
        raise ChangeUnderWay
    if row is not None:
        row.under_way_until = now + UNDER_WAY
        row.save(update_fields=["under_way_until"])
        return Click(row, repeated=True)
    subscription_of(account_id=account_id)
    _refuse_too_many(account, now)
    row = clicks.create(
        account=account, click_key=click_key, action=action, offer=offer, created_at=now,
        under_way_until=now + UNDER_WAY,
    )  # fmt: skip
    return Click(row, repeated=False)


def _refuse_too_many(account: Account, now: datetime) -> None:
    latest = PlanClick.objects.filter(account=account).order_by("-created_at")
    at_the_limit = latest.values_list("created_at", flat=True)[
        MOST_AN_HOUR - 1 : MOST_AN_HOUR
    ].first()
    if at_the_limit is not None and at_the_limit > now - HOUR:
        raise TooManyChanges(int((at_the_limit + HOUR - now).total_seconds()) + 1)
