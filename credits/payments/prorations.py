"""Changes of plan within a period: what an invoice's prorations bring, or take.

Note [Changes in any order]
    A smaller plan takes what is unspent of the difference, so what it takes depends on the changes
    before it. The period's lot remembers which plans the subscription has (terms "has") and which
    changes were counted; a change from a plan that it does not have yet waits for the change that
    brings it. So changes are applied in the order in which they were made, whatever order they are
    told in. One that never comes, because it was never paid, lets the next one wait until the
    renewal: its difference was not granted, and must not be taken. (The same change made twice in
    one period cannot be told apart: of two the one that is told first counts as the first.)
"""

from collections import Counter
from datetime import datetime, timedelta

from credits import services
from credits.models import Account, CreditLot, Pool
from credits.payments import tell
from credits.payments.allowances import PlanLine, difference, plan_lines, replaced_and_new
from credits.payments.facts import Facts
from credits.payments.outcomes import Ignore, Wait
from credits.payments.readers import Invoice

COUNTED, HAS = "changes", "has"  # in the terms of a period's lot


def change_plan(account: Account, invoice: Invoice, facts: Facts, now: datetime) -> None:
    """The difference in allowance (allowances.py), once per invoice.

    An upgrade's invoice names both plans: the old one with a negative amount, the new one with a
    positive one. Raises Wait and Ignore as period_of does, Ignore where no known plan changes, and
    Wait for the change before it; see Note [Changes in any order].
    """
    changed = plan_lines(invoice.lines, facts.plans, proration=True)
    if not changed:
        raise Ignore("No change between known plans.")
    newest = facts.newest_period(account, invoice.subscription_id)
    current, running = period_of(newest, changed)
    if invoice.key in current.terms.get(COUNTED, []):
        return
    has = _plans_after(current, invoice, facts)
    gained = difference(invoice.lines, facts.plans, period=length_of(current))
    if gained > 0:
        add_to(running, invoice, gained, now, name=changed[-1][1].name)
    elif gained < 0:
        gained = -_take_unspent(account, -gained, invoice.key, now)
    counted = [*current.terms.get(COUNTED, []), invoice.key]
    current.terms |= {COUNTED: counted, HAS: has}
    CreditLot.objects.filter(pk=current.pk).update(terms=current.terms)
    tell.plan_changed(account, invoice, changed[-1][1], gained, now)


def add_to(period: CreditLot, invoice: Invoice, amount: int, now: datetime, **terms: str) -> None:
    """More credits of the subscription, which end with this period."""
    services.grant(
        account_id=period.account_id,
        pool=Pool.SUBSCRIPTION,
        amount=amount,
        source_key=invoice.key,
        expires_at=period.expires_at,
        amount_paid=invoice.amount_paid,
        currency=invoice.currency,
        terms={"subscription": invoice.subscription_id, **terms},
        now=now,
        actor="stripe",
    )


def plans_of(bought: list[PlanLine]) -> dict[str, int]:
    """How many of which plan a period begins with, by their slugs."""
    plans: Counter[str] = Counter()
    for line, plan in bought:
        plans[plan.slug] += line.quantity
    return dict(plans)


def _plans_after(period: CreditLot, invoice: Invoice, facts: Facts) -> dict[str, int]:
    """What the subscription has after the change. Raises Wait if it has not what is replaced.

    An invoice may hold several changes, at different moments.
    """
    old, new = replaced_and_new(invoice.lines, facts.plans)
    has = Counter(period.terms.get(HAS) or {period.terms["slug"]: 1})
    for moment in sorted({line.start for line, _ in (*old, *new)}):
        has.subtract(plans_of([one for one in old if one[0].start == moment]))
        if missing := [slug for slug, count in has.items() if count < 0]:
            raise Wait(f"The change that brought {', '.join(missing)} has not arrived yet.")
        has.update(plans_of([one for one in new if one[0].start == moment]))
    return dict(+has)


def period_of(newest: CreditLot | None, lines: list[PlanLine]) -> tuple[CreditLot, CreditLot]:
    """The period that a change of plan belongs to, which ends when the changed lines do, and the
    running one: another only if the plan's interval was changed as well.

    Raises Wait while that period's own invoice has not arrived, Ignore when it has been renewed.
    """
    end = max(line.end for line, _ in lines).isoformat()
    if newest is None or newest.terms["period_end"] < end:
        raise Wait("The invoice that began this period has not arrived yet.")
    if newest.terms["period_end"] == end:
        return newest, newest
    if newest.terms.get("replaces") != end:
        raise Ignore("A later period has already been granted.")
    of_subscription = CreditLot.objects.filter(
        account=newest.account_id, terms__subscription=newest.terms["subscription"]
    )
    return of_subscription.get(terms__period_end=end), newest


def length_of(period: CreditLot) -> timedelta:
    """How long the period of this lot is."""
    start, end = period.terms["period_start"], period.terms["period_end"]
    return datetime.fromisoformat(end) - datetime.fromisoformat(start)


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
            newest_first=True,
        )
    return amount
