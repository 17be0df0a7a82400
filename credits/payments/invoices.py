"""Paid invoices: the first period, renewals, and changes of plan in between."""

from datetime import datetime, timedelta

from django.conf import settings

from credits import services
from credits.models import Account, CreditLot, Hold, Payment, Pool, Subscription
from credits.payments import tell
from credits.payments.allowances import PlanLine, difference, plan_lines
from credits.payments.outcomes import Done, Event, Ignore, Wait, locked_account, terms_of
from credits.payments.readers import (
    Invoice,
    number,
    read_invoice,
    required,
    text,
)
from credits.payments.subscriptions import ENDED
from credits.services.errors import MOST_CREDITS


def apply_paid(event: Event) -> Done:
    """`invoice.paid`: credits for the period, or the difference after a change of plan."""
    invoice = read_invoice(event.object)
    account = locked_account(invoice.customer_id)
    for payment_intent in invoice.payment_intents:
        remember_payment(payment_intent, invoice.id, invoice.amount_paid)
    key = f"invoice:{invoice.id}"
    try:
        if not _is_booked(account, key):
            _book(account, invoice, key, event.now)
    except Ignore as nothing:  # what was paid is remembered all the same: it may be refunded
        return Done(key, account.pk, ignored_because=str(nothing))
    return Done(key, account.pk)


def _book(account: Account, invoice: Invoice, key: str, now: datetime) -> None:
    _refuse_ended(invoice.subscription_id)
    if invoice.reason in ("subscription_create", "subscription_cycle"):
        _begin_period(account, invoice, key, now)
    elif invoice.reason == "subscription_update":
        # Paid in another interval, a plan begins a new period. Otherwise all lines are prorations.
        anew = plan_lines(invoice.lines, proration=False)
        (_begin_period if anew else _change_plan)(account, invoice, key, now)
    else:
        raise Ignore(f"Invoices for {invoice.reason or 'no known reason'} bring no credits.")


def apply_payment(event: Event) -> Done:
    """`invoice_payment.paid` (since basil): which payment paid which invoice."""
    payment_intent = text(event.object, "payment", "payment_intent")
    if not payment_intent:
        raise Ignore("The invoice was paid without a payment intent.")
    invoice_id = required(event.object, "invoice")
    remember_payment(payment_intent, invoice_id, number(event.object, "amount_paid"))
    return Done(f"invoice:{invoice_id}", None)


def remember_payment(payment_intent: str, invoice_id: str, amount: int) -> None:
    """So that a refund or dispute of the payment finds the credits that it bought."""
    Payment.objects.get_or_create(
        payment_intent=payment_intent,
        defaults={"source_key": f"invoice:{invoice_id}", "amount": amount},
    )


def _is_booked(account: Account, key: str) -> bool:
    """Whether another event about this invoice has been applied."""
    removed = Hold.objects.filter(account=account, idempotency_key=f"adjustment:{key}")
    return CreditLot.objects.filter(source_key=key).exists() or removed.exists()


def _newest_period(account: Account, subscription_id: str) -> CreditLot | None:
    """The lot of the subscription's newest paid period, whether or not it has ended."""
    lots = CreditLot.objects.filter(account=account, terms__subscription=subscription_id)
    return lots.filter(terms__has_key="period_end").order_by("-terms__period_end").first()


def _period_of(
    account: Account, invoice: Invoice, lines: list[PlanLine]
) -> tuple[CreditLot, CreditLot]:
    """The period that a change of plan belongs to, which ends when the changed lines do, and the
    running one: another only if the plan's interval was changed as well.

    Raises Wait while that period's own invoice has not arrived, Ignore when it has been renewed.
    """
    end = max(line.end for line, _ in lines).isoformat()
    newest = _newest_period(account, invoice.subscription_id)
    if newest is None or newest.terms["period_end"] < end:
        raise Wait("The invoice that began this period has not arrived yet.")
    if newest.terms["period_end"] == end:
        return newest, newest
    if newest.terms.get("replaces") != end:
        raise Ignore("A later period has already been granted.")
    of_subscription = CreditLot.objects.filter(terms__subscription=invoice.subscription_id)
    return of_subscription.get(account=account, terms__period_end=end), newest


def _refuse_ended(subscription_id: str) -> None:
    ended = Subscription.objects.filter(subscription_id=subscription_id, status__in=ENDED)
    if ended.exists():
        raise Ignore(f"Subscription {subscription_id} has ended.")


def _begin_period(account: Account, invoice: Invoice, key: str, now: datetime) -> None:
    bought = plan_lines(invoice.lines, proration=False)
    if not bought:
        raise Wait("No line has the price of a plan: add it to the price list.")
    if not sum(line.amount for line, _ in bought):
        raise Ignore("A trial: nothing was bought.")
    end = max(line.end for line, _ in bought)
    newest = _newest_period(account, invoice.subscription_id)
    if newest and newest.terms["period_end"] >= end.isoformat():
        raise Ignore("A later period has already been granted.")
    if end + settings.SUBSCRIPTION_GRACE <= now:
        raise Ignore("The period is already over.")
    amount = sum(plan.credits * line.quantity for line, plan in bought)
    rollover_cap = sum(plan.rollover_cap * line.quantity for line, plan in bought)
    replaced = {}
    changed = plan_lines(invoice.lines, proration=True)
    if changed and invoice.reason == "subscription_update":
        current, _running = _period_of(account, invoice, changed)
        amount = max(1, difference(invoice.lines, period=_length(current)))
        rollover_cap = MOST_CREDITS  # what is left of the old period was paid for, and is kept
        replaced = {"replaces": current.terms["period_end"]}
    lot = services.reset_subscription(
        account_id=account.pk,
        amount=amount,
        rollover_cap=rollover_cap,
        period_end=end,
        source_key=key,
        amount_paid=invoice.amount_paid,
        currency=invoice.currency,
        terms=terms_of(
            bought[0][1],
            subscription=invoice.subscription_id,
            period_start=min(line.start for line, _ in bought).isoformat(),
            period_end=end.isoformat(),
            **replaced,
        ),
        now=now,
        actor="stripe",
    )
    tell.period_begun(lot, invoice, now)


def _change_plan(account: Account, invoice: Invoice, key: str, now: datetime) -> None:
    """The difference in allowance (allowances.py), once per invoice.

    An upgrade's invoice names both plans: the old one with a negative amount, the new one with a
    positive one.
    """
    changed = plan_lines(invoice.lines, proration=True)
    if not changed:
        raise Ignore("No change between known plans.")
    current, running = _period_of(account, invoice, changed)
    gained = difference(invoice.lines, period=_length(current))
    if gained > 0:
        services.grant(
            account_id=account.pk,
            pool=Pool.SUBSCRIPTION,
            amount=gained,
            source_key=key,
            expires_at=running.expires_at,
            amount_paid=invoice.amount_paid,
            currency=invoice.currency,
            terms={"subscription": invoice.subscription_id, "name": changed[-1][1].name},
            now=now,
            actor="stripe",
        )
    elif gained < 0:
        gained = -_take_unspent(account, -gained, key, now)
    tell.plan_changed(account, invoice, changed[-1][1], gained, now)


def _take_unspent(account: Account, most: int, key: str, now: datetime) -> int:
    """A smaller plan from now on: what is unspent of the difference goes; nothing becomes owed."""
    account.refresh_from_db()
    amount = min(most, account.subscription_credits)
    if amount:
        services.adjust(
            account_id=account.pk,
            pool=Pool.SUBSCRIPTION,
            amount=amount,
            direction=services.Direction.REMOVE,
            idempotency_key=key,
            actor="stripe",
            note="smaller plan",
            now=now,
        )
    return amount


def _length(period: CreditLot) -> timedelta:
    start, end = period.terms["period_start"], period.terms["period_end"]
    return datetime.fromisoformat(end) - datetime.fromisoformat(start)
