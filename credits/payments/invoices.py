"""Paid invoices: the first period, renewals, and changes of plan in between."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.conf import settings

from credits import services
from credits.models import Account, CreditLot, Payment
from credits.payments import late_periods, tell, trials
from credits.payments.allowances import PlanLine, difference, plan_lines
from credits.payments.facts import Facts, learn
from credits.payments.outcomes import Done, Event, Ignore, Wait, terms_of
from credits.payments.prorations import HAS, change_plan, length_of, period_of, plans_of
from credits.payments.readers import Invoice, number, read_invoice, required, text
from credits.services.errors import MOST_CREDITS


def apply_paid(event: Event) -> Done:
    """`invoice.paid`: credits for the period, or the difference after a change of plan."""
    invoice = read_invoice(event.object)
    facts = event.facts or learn([event])
    account = facts.account(invoice.customer_id)
    try:
        if invoice.key not in facts.booked:
            _book(account, invoice, facts, event.now)
    except Ignore as nothing:  # what was paid is remembered all the same: it may be refunded
        return Done(invoice.key, account.pk, ignored_because=str(nothing))
    return Done(invoice.key, account.pk)


def _book(account: Account, invoice: Invoice, facts: Facts, now: datetime) -> None:
    if invoice.subscription_id in facts.ended:
        raise Ignore(f"Subscription {invoice.subscription_id} has ended.")
    if invoice.reason in ("subscription_create", "subscription_cycle"):
        _begin_period(account, invoice, facts, now)
    elif invoice.reason == "subscription_update":
        # Paid in another interval, a plan begins a new period. Otherwise all lines are prorations.
        anew = plan_lines(invoice.lines, facts.plans, proration=False)
        (_begin_period if anew else change_plan)(account, invoice, facts, now)
    else:
        raise Ignore(f"Invoices for {invoice.reason or 'no known reason'} bring no credits.")


def apply_payment(event: Event) -> Done:
    """`invoice_payment.paid` (since basil): which payment paid which invoice."""
    payment_intent = text(event.object, "payment", "payment_intent")
    if not payment_intent:
        raise Ignore("The invoice was paid without a payment intent.")
    key = f"invoice:{required(event.object, 'invoice')}"
    Payment.objects.get_or_create(
        payment_intent=payment_intent,
        defaults={"source_key": key, "amount": number(event.object, "amount_paid")},
    )
    lot = CreditLot.objects.filter(source_key=key).first()  # the payment names no customer
    return Done(key, lot.account_id if lot else None)


@dataclass(frozen=True)
class _Period:
    """A period that was paid for, or that a trial gives: its credits, and what else it decides."""

    bought: list[PlanLine]
    credits: int
    rollover_cap: int  # most credits of the period before that stay
    is_trial: bool
    replaces: str = ""  # the end of the period that it breaks off, ISO 8601

    @property
    def start(self) -> datetime:
        return min(line.start for line, _ in self.bought)

    @property
    def end(self) -> datetime:
        return max(line.end for line, _ in self.bought)


def _begin_period(account: Account, invoice: Invoice, facts: Facts, now: datetime) -> None:
    """The period's credits; told late, what the newer period would have carried over of them.

    Raises Wait while something is to come first, and Ignore where nothing is to be booked.
    """
    newest = facts.newest_period(account, invoice.subscription_id)
    period = _read_period(account, invoice, facts, newest)
    if period.end + settings.SUBSCRIPTION_GRACE <= now:
        raise Ignore("The period is already over.")
    if newest and newest.terms["period_end"] >= period.end.isoformat():
        late_periods.carry_over(
            invoice,
            newest,
            allowance=period.credits,
            rollover_cap=period.rollover_cap,
            period_end=period.end,
            now=now,
        )
        return
    period = _less_what_is_unused(period, invoice, facts, newest)
    lot = _grant(account, invoice, period, now)
    if period.is_trial:
        tell.trial_begun(lot, period.bought, now)
    else:
        tell.period_begun(lot, invoice, now)


def _read_period(
    account: Account, invoice: Invoice, facts: Facts, newest: CreditLot | None
) -> _Period:
    """What the invoice's plan lines bring. Raises Wait without any, and Ignore as trial_credits."""
    bought = plan_lines(invoice.lines, facts.plans, proration=False)
    if not bought:
        raise Wait("No line has the price of a plan: add it to the price list.")
    is_trial = trials.is_trial(bought)
    if is_trial:
        allowance = trials.trial_credits(account, invoice, bought, newest)
    else:
        allowance = sum(plan.credits * line.quantity for line, plan in bought)
    rollover_cap = sum(plan.rollover_cap * line.quantity for line, plan in bought)
    return _Period(bought, allowance, rollover_cap, is_trial)


def _less_what_is_unused(
    period: _Period, invoice: Invoice, facts: Facts, newest: CreditLot | None
) -> _Period:
    """Of a plan that is paid in another interval from now on, less what is unused of the old one.

    Any other period stays as it is. Raises Wait and Ignore as period_of does.
    """
    changed = plan_lines(invoice.lines, facts.plans, proration=True)
    if not changed or invoice.reason != "subscription_update":
        return period
    current, _running = period_of(newest, changed)
    return replace(
        period,
        credits=max(1, difference(invoice.lines, facts.plans, period=length_of(current))),
        rollover_cap=MOST_CREDITS,  # what is left of the old period was paid for, and is kept
        replaces=current.terms["period_end"],
    )


def _grant(account: Account, invoice: Invoice, period: _Period, now: datetime) -> CreditLot:
    more: dict[str, Any] = {"trial": True} if period.is_trial else {}
    if period.replaces:
        more = {"replaces": period.replaces}
    return services.reset_subscription(
        account_id=account.pk,
        amount=period.credits,
        rollover_cap=period.rollover_cap,
        period_end=period.end,
        source_key=invoice.key,
        amount_paid=invoice.amount_paid,
        currency=invoice.currency,
        terms=terms_of(
            period.bought[0][1],
            subscription=invoice.subscription_id,
            period_start=period.start.isoformat(),
            period_end=period.end.isoformat(),
            **{HAS: plans_of(period.bought), **more},
        ),
        now=now,
        actor="stripe",
    )
