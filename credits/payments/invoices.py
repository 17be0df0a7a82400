"""Paid invoices: the first period, renewals, and changes of plan in between."""

from datetime import datetime

from django.conf import settings

from credits import services
from credits.models import Account, CreditLot, Offer, Payment, Pool
from credits.payments.facts import Facts, learn
from credits.payments.outcomes import Done, Event, Ignore, Wait, terms_of
from credits.payments.readers import Invoice, Line, number, read_invoice, required, text

PlanLine = tuple[Line, Offer]


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
        _change_plan(account, invoice, facts, now)
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
    return Done(key, None)


def _period_of(newest: CreditLot | None, lines: list[PlanLine]) -> CreditLot:
    """The running period that a change of plan belongs to: it ends when the changed lines do.

    Raises Wait while that period's own invoice has not arrived, Ignore when a later one has.
    """
    end = max(line.end for line, _ in lines).isoformat()
    if newest is None or newest.terms["period_end"] < end:
        raise Wait("The invoice that began this period has not arrived yet.")
    if newest.terms["period_end"] > end:
        raise Ignore("A later period has already been granted.")
    return newest


def _begin_period(account: Account, invoice: Invoice, facts: Facts, now: datetime) -> None:
    bought = _plan_lines(invoice, facts, proration=False)
    if not bought:
        raise Wait("No line has the price of a plan: add it to the price list.")
    if not sum(line.amount for line, _ in bought):
        raise Ignore("A trial: nothing was bought.")
    end = max(line.end for line, _ in bought)
    newest = facts.newest_period(account, invoice.subscription_id)
    if newest and newest.terms["period_end"] >= end.isoformat():
        raise Ignore("A later period has already been granted.")
    if end + settings.SUBSCRIPTION_GRACE <= now:
        raise Ignore("The period is already over.")
    services.reset_subscription(
        account_id=account.pk,
        amount=sum(plan.credits * line.quantity for line, plan in bought),
        rollover_cap=sum(plan.rollover_cap * line.quantity for line, plan in bought),
        period_end=end,
        source_key=invoice.key,
        amount_paid=invoice.amount_paid,
        currency=invoice.currency,
        terms=terms_of(
            bought[0][1],
            subscription=invoice.subscription_id,
            period_start=min(line.start for line, _ in bought).isoformat(),
            period_end=end.isoformat(),
        ),
        now=now,
        actor="stripe",
    )


def _change_plan(account: Account, invoice: Invoice, facts: Facts, now: datetime) -> None:
    """The difference in allowance for the time that is left, rounded down; once per invoice.

    An upgrade's invoice names both plans: the old one with a negative amount, the new one with a
    positive one. Rounding costs the customer less than one credit, so that going up and down
    again cannot make credits.
    """
    changed = _plan_lines(invoice, facts, proration=True)
    if not changed:
        raise Ignore("No change between known plans.")
    current = _period_of(facts.newest_period(account, invoice.subscription_id), changed)
    gained, period = 0, _seconds(current.terms["period_start"], current.terms["period_end"])
    for line, plan in changed:
        left = int((line.end - line.start).total_seconds()) * plan.credits * line.quantity
        gained += left if line.amount >= 0 else -left
    difference = gained // period
    if difference > 0:
        services.grant(
            account_id=account.pk,
            pool=Pool.SUBSCRIPTION,
            amount=difference,
            source_key=invoice.key,
            expires_at=current.expires_at,
            amount_paid=invoice.amount_paid,
            currency=invoice.currency,
            terms={"subscription": invoice.subscription_id, "name": changed[-1][1].name},
            now=now,
            actor="stripe",
        )
    elif difference < 0:
        _take_unspent(account, -difference, invoice.key, now)


def _take_unspent(account: Account, most: int, key: str, now: datetime) -> None:
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


def _plan_lines(invoice: Invoice, facts: Facts, *, proration: bool) -> list[PlanLine]:
    """Lines with a known plan. The first line of an upgrade's invoice is the *old* plan."""
    lines = [line for line in invoice.lines if line.is_proration == proration]
    return [(line, plan) for line in lines if (plan := facts.plans.get(line.price_id))]


def _seconds(start: str, end: str) -> int:
    length = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return max(1, int(length.total_seconds()))
