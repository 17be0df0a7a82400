"""Changes of plan within a period: what an invoice's prorations bring, or take.

Note [Changes in any order]
    A smaller plan takes what is unspent of the difference, so what it takes depends on which
    upgrades came first. The end must not: each change is noted on its period's lot, with the moment
    of the change as Stripe's lines give it and with what a smaller plan found missing. A smaller
    plan leaves alone what a later upgrade brought; an upgrade that arrives after a smaller plan
    which followed it brings less by what that one found missing. The note is also what makes an
    invoice count once when nothing was there to take.
"""

from datetime import datetime, timedelta
from typing import TypedDict

from credits import services
from credits.models import Account, CreditLot, Pool
from credits.payments import tell
from credits.payments.allowances import PlanLine, difference, plan_lines
from credits.payments.facts import Facts
from credits.payments.outcomes import Ignore, Wait
from credits.payments.readers import Invoice

CHANGES, AT = "changes", "changed_at"  # in the terms of a period's lot, and of an upgrade's


class Change(TypedDict):
    """When a plan was changed, and how many credits a smaller one found missing."""

    at: str
    missing: int


def change_plan(account: Account, invoice: Invoice, facts: Facts, now: datetime) -> None:
    """The difference in allowance (allowances.py), once per invoice and in any order.

    An upgrade's invoice names both plans: the old one with a negative amount, the new one with a
    positive one. Raises Wait and Ignore as period_of does, Ignore where no known plan changes.
    """
    changed = plan_lines(invoice.lines, facts.plans, proration=True)
    if not changed:
        raise Ignore("No change between known plans.")
    newest = facts.newest_period(account, invoice.subscription_id)
    current, running = period_of(newest, changed)
    changes: dict[str, Change] = current.terms.setdefault(CHANGES, {})
    if invoice.key in changes:
        return
    moment = min(line.start for line, _ in changed).isoformat()
    gained = difference(invoice.lines, facts.plans, period=length_of(current))
    missing = 0
    if gained > 0:
        gained -= _taken_already(changes, moment, most=gained)
    elif gained < 0:
        taken = _take_unspent(account, invoice, moment, most=-gained, now=now)
        gained, missing = -taken, -gained - taken
    if gained > 0:
        services.grant(
            account_id=account.pk,
            pool=Pool.SUBSCRIPTION,
            amount=gained,
            source_key=invoice.key,
            expires_at=running.expires_at,
            amount_paid=invoice.amount_paid,
            currency=invoice.currency,
            terms={
                "subscription": invoice.subscription_id,
                "name": changed[-1][1].name,
                AT: moment,
            },
            now=now,
            actor="stripe",
        )
    changes[invoice.key] = {"at": moment, "missing": missing}
    CreditLot.objects.filter(pk=current.pk).update(terms=current.terms)
    tell.plan_changed(account, invoice, changed[-1][1], gained, now)


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


def _taken_already(changes: dict[str, Change], moment: str, *, most: int) -> int:
    """What smaller plans after `moment` found missing, and now find; at most `most` credits."""
    found = 0
    for change in changes.values():
        if change["at"] > moment:
            share = min(change["missing"], most - found)
            change["missing"] -= share
            found += share
    return found


def _take_unspent(
    account: Account, invoice: Invoice, moment: str, *, most: int, now: datetime
) -> int:
    """A smaller plan from now on: what is unspent of the difference goes; nothing becomes owed."""
    account.refresh_from_db()
    of_subscription = CreditLot.objects.filter(
        account=account, remaining__gt=0, terms__subscription=invoice.subscription_id
    )
    later = sum(lot.remaining for lot in of_subscription if lot.terms.get(AT, "") > moment)
    amount = max(0, min(most, account.subscription_credits - later))
    if amount:
        services.adjust(
            account_id=account.pk,
            pool=Pool.SUBSCRIPTION,
            amount=amount,
            direction=services.Direction.REMOVE,
            idempotency_key=invoice.key,
            actor="stripe",
            note="smaller plan",
            now=now,
        )
    return amount
