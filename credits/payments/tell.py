"""What customers are told about Stripe's events: one line in a rule, in the rule's transaction.

The numbers are read from the books after the booking, so a letter says what really happened.
"""

from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from django.conf import settings
from django.urls import reverse

from credits import notices, queries
from credits.models import (
    Account,
    CreditLot,
    LedgerEntry,
    Notice,
    Offer,
    Payment,
    Pool,
    RetailToken,
)
from credits.payments.allowances import PlanLine, plan_of
from credits.payments.outcomes import Event
from credits.payments.readers import (
    Invoice,
    Phase,
    moment,
    number,
    required,
    subscription_period_end,
    subscription_price,
    subscription_quantity,
    text,
)

Kind, EntryKind = Notice.Kind, LedgerEntry.Kind
# Where Stripe hosts its invoices; https://docs.stripe.com/invoicing/hosted-invoice-page
INVOICE_PAGES = "https://invoice.stripe.com/"
MOST_LINES = 100  # of one booking: one for each lot that it ends, and a few more


@dataclass(frozen=True)
class Booked:
    """What a booking did besides adding credits."""

    ended: int
    carried: int
    repaid: int


def period_begun(lot: CreditLot, invoice: Invoice, now: datetime) -> None:
    """A paid period: the first is a purchase, the others are renewals."""
    first = invoice.reason == "subscription_create"
    booked = _booked(lot.account_id, lot.source_key)
    notices.queue(
        account_id=lot.account_id,
        kind=Kind.PURCHASE if first else Kind.RENEWAL,
        fact_key=lot.source_key,
        name=lot.terms["name"],
        credits=lot.granted,
        paid=invoice.amount_paid,
        currency=invoice.currency,
        ends=lot.terms["period_end"],
        ended=booked.ended,
        carried=booked.carried,
        repaid=booked.repaid,
        now=now,
    )


def trial_begun(lot: CreditLot, bought: list[PlanLine], now: datetime) -> None:
    """Days for nothing: what they brought, and what is paid and added after them."""
    notices.queue(
        account_id=lot.account_id,
        kind=Kind.TRIAL,
        fact_key=lot.source_key,
        name=lot.terms["name"],
        credits=lot.granted,
        ends=lot.terms["period_end"],
        then_paid=sum(plan.amount * line.quantity for line, plan in bought),
        then_credits=sum(plan.credits * line.quantity for line, plan in bought),
        currency=lot.currency,
        repaid=_booked(lot.account_id, lot.source_key).repaid,
        now=now,
    )


def plan_changed(
    account: Account, invoice: Invoice, plan: Offer, change: int, now: datetime
) -> None:
    """Another plan in the middle of a period; `change` is what was really added or taken."""
    notices.queue(
        account_id=account.pk,
        kind=Kind.PLAN_CHANGED,
        fact_key=f"invoice:{invoice.id}",
        name=plan.name,
        credits=change,
        paid=invoice.amount_paid,
        currency=invoice.currency,
        now=now,
    )


def change_planned(
    account: Account, schedule_id: str, running: Phase, ahead: Phase, event: Event
) -> None:
    """Another plan, from the next period on. Planned anew after something else, it is news."""
    plan, old = plan_of(ahead.price_id), plan_of(running.price_id)
    if plan is None:
        return
    notices.queue(
        account_id=account.pk,
        kind=Kind.PLAN_CHANGED,
        fact_key=f"{schedule_id}:{ahead.price_id}:{int(event.created_at.timestamp())}",
        news="planned",
        old=old.name if old else "",
        name=plan.name,
        at=ahead.begins_at.isoformat(),
        paid=plan.amount * ahead.quantity,
        currency=plan.currency,
        interval=plan.interval,
        credits=plan.credits * ahead.quantity,
        rollover_cap=plan.rollover_cap * ahead.quantity,
        now=event.now,
    )


def end_planned(account: Account, ends_at: datetime, event: Event) -> None:
    """The plan was cancelled, to the end of its period: once for each cancellation."""
    plan = plan_of(subscription_price(event.object))
    cancelled_at = number(event.object, "canceled_at", default=int(event.created_at.timestamp()))
    balance = queries.balance(account_id=account.pk, now=event.now)
    notices.queue(
        account_id=account.pk,
        kind=Kind.PLAN_CHANGED,
        fact_key=f"{_ends(event)}{cancelled_at}",
        news="ends",
        name=plan.name if plan else "",
        ends=ends_at.isoformat(),
        left=balance.pools[Pool.SUBSCRIPTION],
        promotional=balance.pools[Pool.PROMOTIONAL],
        bulk=balance.pools[Pool.BULK],
        tokens=balance.retail_tokens,
        now=event.now,
    )


def plan_resumed(account: Account, event: Event) -> None:
    """The cancellation that was told last is taken back."""
    told = Notice.objects.filter(
        account=account, kind=Kind.PLAN_CHANGED, fact_key__startswith=_ends(event)
    )
    ending = told.order_by("-pk").first()
    if ending is None:
        return
    plan = plan_of(subscription_price(event.object))
    renews = subscription_period_end(event.object)
    quantity = subscription_quantity(event.object)
    notices.queue(
        account_id=account.pk,
        kind=Kind.PLAN_CHANGED,
        fact_key=f"resumed:{ending.fact_key}",
        news="resumed",
        name=plan.name if plan else "",
        renews=renews.isoformat() if renews else "",
        paid=plan.amount * quantity if plan else 0,
        currency=plan.currency if plan else "",
        credits=plan.credits * quantity if plan else 0,
        now=event.now,
    )


def _ends(event: Event) -> str:
    """Before the moment of a cancellation, in the names of these facts."""
    return f"{required(event.object, 'id')}:ends:"


def bought(account: Account, offer: Offer, pieces: int, key: str, event: Event) -> None:
    """A pack or single generations."""
    is_pack = offer.kind == Offer.Kind.PACK
    notices.queue(
        account_id=account.pk,
        kind=Kind.PURCHASE,
        fact_key=key,
        name=offer.name if pieces == 1 else f"{pieces} × {offer.name}",  # noqa: RUF001
        credits=offer.credits * pieces if is_pack else 0,
        tokens=0 if is_pack else pieces,
        paid=number(event.object, "amount_total"),
        currency=required(event.object, "currency"),
        repaid=_booked(account.pk, key).repaid,
        now=event.now,
    )


def payment_failed(account: Account, invoice: Invoice, event: Event) -> None:
    """One attempt to collect an invoice failed; each attempt is told."""
    attempt = number(event.object, "attempt_count", default=1)
    next_attempt = event.object.get("next_payment_attempt")
    lots = CreditLot.objects.filter(
        account=account,
        pool=Pool.SUBSCRIPTION,
        terms__subscription=invoice.subscription_id,
        expires_at__gt=event.now,
    )
    until = max((lot.expires_at.isoformat() for lot in lots if lot.expires_at), default="")
    notices.queue(
        account_id=account.pk,
        kind=Kind.PAYMENT_FAILED,
        fact_key=f"invoice:{invoice.id}:attempt:{attempt}",
        due=number(event.object, "amount_due"),
        currency=invoice.currency,
        attempt=attempt,
        next_attempt=moment(next_attempt).isoformat() if next_attempt else "",
        credits_until=until,
        pay_url=_invoice_page(text(event.object, "hosted_invoice_url")),
        now=event.now,
    )


def subscription_ended(account: Account, subscription_id: str, status: str, now: datetime) -> None:
    """The plan is over, and its credits with it. First unpaid, then cancelled is told once."""
    lots = CreditLot.objects.filter(account=account, terms__subscription=subscription_id)
    newest = lots.order_by("-id").first()
    notices.queue(
        account_id=account.pk,
        kind=Kind.SUBSCRIPTION_ENDED,
        fact_key=f"{subscription_id}:{newest.source_key if newest else ''}",
        unpaid=status == "unpaid",
        ended=_booked(account.pk, subscription_id).ended,
        now=now,
    )


def refunded(payment: Payment, event: Event) -> None:
    """Money went back: how much in all, and what of the purchase went with it."""
    purchase = _purchase(payment)
    if purchase is None:
        return
    account, currency, effect = purchase
    notices.queue(
        account_id=account.pk,
        kind=Kind.REFUND,
        fact_key=f"refund:{payment.payment_intent}:{payment.refunded}",
        paid=payment.amount,
        back=payment.refunded,
        currency=currency,
        owed=account.owed,
        now=event.now,
        **effect,
    )


def refund_failed(payment: Payment, event: Event) -> None:
    """To staff: the money has to go another way. https://docs.stripe.com/refunds#failed-refunds"""
    refund_id = text(event.object, "id")
    notices.tell_staff(
        fact_key=f"refund_failed:{refund_id}",
        text=f"The refund {refund_id} failed: the customer has the credits, but not the money.",
        path=reverse("admin:credits_payment_change", args=[payment.pk]),
        now=event.now,
    )


def dispute_opened(lot: CreditLot, event: Event) -> None:
    """The credits of the purchase have been set aside."""
    lot.refresh_from_db()
    notices.queue(
        account_id=lot.account_id,
        kind=Kind.DISPUTE_OPENED,
        fact_key=f"dispute:{required(event.object, 'id')}",
        amount=number(event.object, "amount"),
        currency=text(event.object, "currency") or lot.currency,
        frozen=lot.frozen,
        now=event.now,
    )


def dispute_closed(payment: Payment, event: Event) -> None:
    """Lost (the money went back) or not (the credits are free again). Inquiries are not told."""
    if text(event.object, "status").startswith("warning_"):
        return
    purchase = _purchase(payment)
    if purchase is None:
        return
    account, _currency, effect = purchase
    notices.queue(
        account_id=account.pk,
        kind=Kind.DISPUTE_CLOSED,
        fact_key=f"dispute:{required(event.object, 'id')}",
        lost=text(event.object, "status") == "lost",
        owed=account.owed,
        now=event.now,
        **effect,
    )


def _purchase(payment: Payment) -> tuple[Account, str, dict[str, int]] | None:
    """Whose the purchase is, its currency, and what was taken back of it so far."""
    lot = CreditLot.objects.filter(source_key=payment.source_key).first()
    if lot:
        effect = {"taken": lot.clawed_back, "spent": lot.clawed_back_owed}
        return Account.objects.get(pk=lot.account_id), lot.currency, effect
    tokens = list(RetailToken.objects.filter(source_key__startswith=f"{payment.source_key}:"))
    if not tokens:
        return None
    revoked = sum(token.state == RetailToken.State.REVOKED for token in tokens)
    return Account.objects.get(pk=tokens[0].account_id), tokens[0].currency, {"revoked": revoked}


def _booked(account_id: int, reference: str) -> Booked:
    """What was just booked with this reference: the newest lines, as the account is locked."""
    newest = queries.history(account_id=account_id)[:MOST_LINES]
    lines = list(takewhile(lambda line: line.reference == reference, newest))

    def sum_of(kind: LedgerEntry.Kind) -> int:
        return sum(abs(line.amount) for line in lines if line.kind == kind)

    carried = [line for line in lines if line.kind == EntryKind.ROLLOVER and line.amount > 0]
    return Booked(
        ended=sum_of(EntryKind.EXPIRE),
        repaid=sum_of(EntryKind.REPAY),
        carried=sum(line.amount for line in carried),
    )


def _invoice_page(url: str) -> str:
    """The address, if it leads to Stripe (or its sandbox): a mail contains no other link."""
    pages = [INVOICE_PAGES]
    if settings.STRIPE_API_BASE:
        pages.append(f"{settings.STRIPE_API_BASE}/")
    return url if url.startswith(tuple(pages)) else ""
