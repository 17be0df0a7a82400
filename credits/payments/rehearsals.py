"""What would happen if Stripe said something now: the real rules run, and are rolled back.

Used by staff before a customer is told anything. Nobody is asked and nothing is kept.
"""

import calendar
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from credits import queries, services
from credits.models import (
    Account,
    CreditLot,
    LedgerEntry,
    Offer,
    Payment,
    RetailToken,
    Subscription,
    purchase_keys,
)
from credits.payments import refunding, rules
from credits.payments.facts import newest_periods
from credits.payments.outcomes import Event, Ignore, Wait
from credits.payments.plan_state import PlanState, plan_state
from credits.payments.readers import Object, Unreadable

PREVIEW = "…"  # stands in the lines for the id of what does not exist


class What(TextChoices):
    RENEWAL = "renewal", _("The plan is renewed")
    END = "end", _("The plan ends")
    REFUND = "refund", _("A purchase is refunded")
    DISPUTE = "dispute", _("A purchase is disputed")
    DISPUTE_LOST = "dispute_lost", _("The dispute about a purchase is lost")


ABOUT_A_PURCHASE = (What.REFUND, What.DISPUTE, What.DISPUTE_LOST)


class NothingToRehearse(Exception):
    """It cannot happen, or would do nothing; the message says why and may be shown."""


@dataclass(frozen=True)
class Outlook:
    """The lines that would be posted, and the balance before and after them."""

    entries: list[LedgerEntry]
    before: queries.Balance
    after: queries.Balance


def rehearse(
    *,
    account_id: int,
    what: str,
    now: datetime,
    payment: Payment | None = None,
    amount: int | None = None,
) -> Outlook:
    """What `what` would do to the account now. `amount`: minor units to refund, all that is left
    unless given.

    Raises NothingToRehearse, also for a payment of another account.
    """
    try:
        with services.rehearsal():
            account = Account.objects.locked().get(pk=account_id)
            before = queries.balance(account_id=account_id, now=now)
            rules.apply(_event(account, What(what), payment, amount, now))
            return Outlook(
                entries=services.lines_since(account_id, account.sequence),
                before=before,
                after=queries.balance(account_id=account_id, now=now),
            )
    except (Ignore, Wait, Unreadable, refunding.NotRefundable, services.CreditsError) as reason:
        raise NothingToRehearse(str(reason)) from reason


def payments_of(account_id: int, *, most: int) -> list[Payment]:
    """The newest payments of the account's purchases."""
    paid = {"account_id": account_id, "amount_paid__gt": 0}
    lots = CreditLot.objects.filter(**paid).order_by("-id")
    tokens = RetailToken.objects.filter(**paid).order_by("-id")
    keys = purchase_keys(lots[:most], tokens[:most])
    found = Payment.objects.filter(source_key__in=keys)
    return list(found.order_by("-id")[:most])


def _event(
    account: Account, what: What, payment: Payment | None, amount: int | None, now: datetime
) -> Event:
    if what in ABOUT_A_PURCHASE:
        if payment is None or payment not in payments_of(account.pk, most=1000):
            raise NothingToRehearse(_("Which purchase?"))
        return MAKE_ABOUT_PURCHASE[what](payment, amount, now)
    state = plan_state(account_id=account.pk, now=now)
    if state is None:
        raise NothingToRehearse(_("The account has no plan."))
    return (_renewal if what == What.RENEWAL else _end)(account, state, now)


def _renewal(account: Account, state: PlanState, now: datetime) -> Event:
    """The next invoice, paid in full: one of the plan, without tax or discount."""
    subscription = state.subscription
    start, runs_until = _paid_until(subscription), subscription.period_end
    is_overdue = bool(start and runs_until and start < runs_until)
    plan = state.plan if is_overdue else state.renewing_plan
    if (state.is_ending and not is_overdue) or plan is None or start is None:
        raise NothingToRehearse(_("The plan will not be renewed, or it is not in the price list."))
    end = runs_until if is_overdue and runs_until else _after(start, plan)
    line: Object = {
        "amount": plan.amount,
        "quantity": 1,
        "period": {"start": int(start.timestamp()), "end": int(end.timestamp())},
        "pricing": {"price_details": {"price": plan.stripe_price_id}},
    }
    invoice: Object = {
        "id": PREVIEW,
        "object": "invoice",
        "customer": account.stripe_customer_id,
        "billing_reason": "subscription_cycle",
        "amount_paid": plan.amount,
        "currency": plan.currency,
        "lines": {"data": [line]},
        "parent": {
            "subscription_details": {"subscription": state.subscription.subscription_id},
        },
    }
    return Event("invoice.paid", invoice, now, now)


def _paid_until(subscription: Subscription) -> datetime | None:
    """Until when credits came for it; until then it runs where none have come yet."""
    account_id = subscription.account_id
    newest = newest_periods([account_id]).get((account_id, subscription.subscription_id))
    return datetime.fromisoformat(newest.terms["period_end"]) if newest else subscription.period_end


def _after(start: datetime, plan: Offer) -> datetime:
    """The end of a period: the same day of the month, or the month's last."""
    months = 12 if plan.interval == Offer.Interval.YEAR else 1
    years, month = divmod(start.month - 1 + months, 12)
    year, month = start.year + years, month + 1
    return start.replace(
        year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1])
    )


def _end(account: Account, state: PlanState, now: datetime) -> Event:
    price: Object = {"id": state.subscription.price_id}
    ended: Object = {
        "id": state.subscription.subscription_id,
        "object": "subscription",
        "customer": account.stripe_customer_id,
        "status": "canceled",
        "items": {"data": [{"price": price}]},
    }
    return Event("customer.subscription.deleted", ended, now, now)


def _refund(payment: Payment, amount: int | None, now: datetime) -> Event:
    asked = refunding.left_of(payment, now=now) if amount is None else amount
    refunding.refuse(payment, asked, now=now)
    return refunding.event_of(payment, asked, now=now)


def _dispute(payment: Payment, _amount: int | None, now: datetime) -> Event:
    return _about_dispute("charge.dispute.created", "needs_response", payment, now)


def _dispute_lost(payment: Payment, _amount: int | None, now: datetime) -> Event:
    return _about_dispute("charge.dispute.closed", "lost", payment, now)


def _about_dispute(kind: str, status: str, payment: Payment, now: datetime) -> Event:
    dispute: Object = {
        "id": PREVIEW,
        "object": "dispute",
        "payment_intent": payment.payment_intent,
        "status": status,
        "amount": payment.amount,
        "currency": "",
    }
    return Event(kind, dispute, now, now)


MAKE_ABOUT_PURCHASE: dict[What, Callable[[Payment, int | None, datetime], Event]] = {
    What.REFUND: _refund,
    What.DISPUTE: _dispute,
    What.DISPUTE_LOST: _dispute_lost,
}
