"""Subscriptions and their invoices: start, renewal, failed payments, end.

Events are sent in the order in which Stripe sends them. Where Stripe takes an hour between a
renewal's draft and its payment, so do we: clock.py calls what is due.
"""

from typing import Any

from billing_site.sandbox.stripe import (
    discounts,
    forms,
    items,
    money,
    pending,
    periods,
    schedules,
    shapes_billing,
)
from billing_site.sandbox.stripe.errors import invalid
from billing_site.sandbox.stripe.events import emit
from billing_site.sandbox.stripe.forms import Params
from billing_site.sandbox.stripe.store import DAY, Object, Store

RETRY_DAYS = (3, 5, 7)  # after a renewal has failed, each after the attempt before
MOST_TRIAL_DAYS = 730
LIVE = ("active", "past_due", "trialing")


def subscribe(
    store: Store,
    customer: Object,
    bought: list[tuple[Object, int]],
    *,
    trial_days: int = 0,
    coupon: str = "",
    **given: Any,
) -> Object:
    """A new subscription, not paid yet."""
    now = store.now()
    currency = bought[0][0]["currency"]
    subscription = shapes_billing.subscription(
        store.new_id("sub"), now, customer=customer["id"], currency=currency
    )
    subscription |= given
    for price, quantity in bought:
        items.add(store, subscription, price, quantity)
    end = now + trial_days * DAY
    if trial_days:
        subscription |= {"trial_start": now, "trial_end": end, "billing_cycle_anchor": end}
    else:
        end = periods.next_end(now, now, bought[0][0]["recurring"])
    items.set_period(subscription, now, end)
    store.add(subscription, coupon=coupon, discounted=0, pending=[])
    customer["currency"] = currency
    emit(store, "customer.subscription.created", subscription)
    return subscription


def trial_days(params: Params) -> int:
    """How long nothing is paid; 0 where nothing is said of it. Raises StripeError."""
    days = forms.whole(params, "trial_period_days")
    if "trial_period_days" in params and not 1 <= days <= MOST_TRIAL_DAYS:
        raise invalid(
            "trial_period_days", f"The trial period has to be 1 to {MOST_TRIAL_DAYS} days."
        )
    return days


def period_lines(store: Store, subscription: Object) -> list[Object]:
    """What the running period costs; during a trial nothing."""
    free = subscription["trial_end"] == items.period_end(subscription)
    return [items.full_line(store, item, free=free) for item in subscription["items"]["data"]]


def draft(store: Store, subscription: Object, reason: str, lines: list[Object]) -> Object:
    """An invoice over `lines`, and over what had been put off until the next one."""
    private = store.private(subscription["id"])
    lines, private["pending"] = [*private["pending"], *lines], []
    invoice = store.add(assembled(store, subscription, reason, lines))
    private["discounted"] += len(invoice["total_discount_amounts"])
    subscription["latest_invoice"] = invoice["id"]
    emit(store, "invoice.created", invoice)
    return invoice


def assembled(store: Store, subscription: Object, reason: str, lines: list[Object]) -> Object:
    """An invoice over `lines` that is kept nowhere yet."""
    customer = store.get("customer", subscription["customer"])
    invoice = shapes_billing.invoice(
        store.new_id("in"), store.now(), customer=customer, subscription=subscription
    )
    for line in lines:
        line["invoice"] = invoice["id"]
    invoice["billing_reason"] = reason
    invoice["lines"]["data"] = lines
    subtotal = sum(line["amount"] for line in lines)
    off = _discount(store, subscription, subtotal)
    invoice |= {"subtotal": subtotal, "subtotal_excluding_tax": subtotal}
    invoice["total"] = invoice["total_excluding_tax"] = subtotal - off
    if off:
        invoice["total_discount_amounts"] = [{"amount": off, "discount": store.new_id("di")}]
    invoice["amount_due"] = invoice["amount_remaining"] = max(subtotal - off, 0)
    return invoice


def _discount(store: Store, subscription: Object, subtotal: int) -> int:
    private = store.private(subscription["id"])
    if not private["coupon"] or subtotal <= 0:
        return 0
    coupon = store.get("coupon", private["coupon"])
    periods_left = {"once": 1, "repeating": coupon["duration_in_months"] or 1, "forever": 10**6}
    if private["discounted"] >= periods_left[coupon["duration"]]:
        return 0
    return discounts.amount_off(coupon, subtotal)


def finalize(store: Store, invoice: Object) -> None:
    """The invoice can no longer change; the customer's balance is settled with it."""
    customer = store.get("customer", invoice["customer"])
    balance = customer["balance"]
    invoice["starting_balance"] = balance
    due = invoice["total"] + balance
    customer["balance"] = invoice["ending_balance"] = min(due, 0)
    number = customer["next_invoice_sequence"]
    customer["next_invoice_sequence"] = number + 1
    invoice |= {
        "number": f"{customer['invoice_prefix']}-{number:04}",
        "status": "open",
        "amount_due": max(due, 0),
        "amount_remaining": max(due, 0),
        "automatically_finalizes_at": None,
        "effective_at": store.now(),
        "hosted_invoice_url": f"{store.address}/i/{invoice['id']}",
    }
    invoice["status_transitions"]["finalized_at"] = store.now()
    emit(store, "invoice.finalized", invoice)


def collect(
    store: Store, invoice: Object, *, present: bool = False, method: str | None = None
) -> bool:
    """Pays an open invoice with `method` or the customer's card. Whether it was paid."""
    invoice |= {"attempted": True, "attempt_count": invoice["attempt_count"] + 1}
    if not invoice["amount_due"]:
        settle(store, invoice, None)
        return True
    intent = _intent_of(store, invoice)
    if money.pay(store, intent, method or method_for(store, invoice), present=present):
        settle(store, invoice, intent)
        return True
    _failed(store, invoice)
    return False


def method_for(store: Store, invoice: Object) -> str | None:
    """The card of the subscription, else of the customer."""
    subscription = subscription_of(store, invoice)
    customer = store.get("customer", invoice["customer"])
    found = (
        subscription["default_payment_method"]
        or customer["invoice_settings"]["default_payment_method"]
    )
    return str(found) if found else None


def subscription_of(store: Store, invoice: Object) -> Object:
    return store.get("subscription", invoice["parent"]["subscription_details"]["subscription"])


def _intent_of(store: Store, invoice: Object) -> Object:
    private = store.private(invoice["id"])
    if "intent" not in private:
        intent = money.open_intent(
            store,
            amount=invoice["amount_due"],
            currency=invoice["currency"],
            customer=invoice["customer"],
            description="Subscription update" if invoice["billing_reason"] != "subscription_create"
            else "Subscription creation",
        )  # fmt: skip
        private["intent"] = intent["id"]
    return store.get("payment_intent", private["intent"])


def settle(store: Store, invoice: Object, intent: Object | None) -> None:
    """The invoice is paid: by a payment, or because nothing was due."""
    invoice |= {
        "status": "paid",
        "attempted": True,
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
        "auto_advance": False,
        "next_payment_attempt": None,
    }
    invoice["status_transitions"]["paid_at"] = store.now()
    emit(store, "invoice.updated", invoice, status="open")
    emit(store, "invoice.paid", invoice)
    emit(store, "invoice.payment_succeeded", invoice)
    if intent is not None:
        _link(store, invoice, intent)
    subscription = subscription_of(store, invoice)
    if update := store.private(invoice["id"]).pop("update", None):
        pending.apply(store, subscription, update)
    _revive(store, subscription)


def _link(store: Store, invoice: Object, intent: Object) -> None:
    payment = shapes_billing.invoice_payment(
        store.new_id("inpay"), store.now(), invoice=invoice, intent=intent["id"]
    )
    payment |= {"amount_paid": invoice["amount_paid"], "status": "paid"}
    payment["status_transitions"]["paid_at"] = store.now()
    store.add(payment)
    emit(store, "invoice_payment.paid", payment)


def _revive(store: Store, subscription: Object) -> None:
    before = subscription["status"]
    if before == "incomplete":
        trial = subscription["trial_end"] is not None
        subscription["status"] = "trialing" if trial else "active"
    elif before == "past_due" and _newest_is_paid(store, subscription):
        subscription["status"] = "active"
    if subscription["status"] != before:
        emit(store, "customer.subscription.updated", subscription, status=before)


def _newest_is_paid(store: Store, subscription: Object) -> bool:
    return bool(store.get("invoice", subscription["latest_invoice"])["status"] == "paid")


def invoices_of(store: Store, subscription: Object, status: str) -> list[Object]:
    """Its invoices in one state, newest first."""
    found = store.find("invoice", customer=subscription["customer"], status=status)
    return [row for row in found if subscription_of(store, row) is subscription]


def _failed(store: Store, invoice: Object) -> None:
    """Another attempt is planned; after the last one the subscription ends."""
    subscription = subscription_of(store, invoice)
    if "update" in store.private(invoice["id"]):  # nothing depends on it but the change
        invoice |= {"auto_advance": False, "next_payment_attempt": None}
        emit(store, "invoice.payment_failed", invoice)
        return
    tries = invoice["attempt_count"] - 1
    again = tries < len(RETRY_DAYS) and subscription["status"] in LIVE
    invoice["next_payment_attempt"] = store.now() + RETRY_DAYS[tries] * DAY if again else None
    invoice["auto_advance"] = again
    emit(store, "invoice.updated", invoice, attempt_count=tries)
    emit(store, "invoice.payment_failed", invoice)
    if subscription["status"] in LIVE and not again:
        end(store, subscription, "payment_failed")
    elif subscription["status"] in ("active", "trialing"):
        before, subscription["status"] = subscription["status"], "past_due"
        emit(store, "customer.subscription.updated", subscription, status=before)


def renew(store: Store, subscription: Object) -> None:
    """The period has turned: the next one begins, with a draft that is paid within the hour."""
    start = items.period_end(subscription)
    before = [dict(item) for item in subscription["items"]["data"]]
    schedules.turn(store, subscription, start)
    price = subscription["items"]["data"][0]["price"]
    reason = "subscription_cycle"
    if items.interval(price) != items.interval(before[0]["price"]):
        reason, subscription["billing_cycle_anchor"] = "subscription_update", start
    anchor = subscription["billing_cycle_anchor"]
    items.set_period(subscription, start, periods.next_end(anchor, start, price["recurring"]))
    if subscription["status"] == "trialing":
        subscription["status"] = "active"
    invoice = draft(store, subscription, reason, period_lines(store, subscription))
    invoice |= {"period_start": before[0]["current_period_start"], "period_end": start}
    emit(
        store,
        "customer.subscription.updated",
        subscription,
        items={**subscription["items"], "data": before},
    )


def end(store: Store, subscription: Object, reason: str) -> None:
    """Now and for good."""
    subscription |= {"status": "canceled", "ended_at": store.now()}
    subscription["canceled_at"] = subscription["canceled_at"] or store.now()
    subscription["cancellation_details"]["reason"] = reason
    for status in ("draft", "open"):
        for invoice in invoices_of(store, subscription, status):
            invoice |= {"auto_advance": False, "next_payment_attempt": None}
    subscription["pending_update"] = None
    schedules.cancel(store, subscription)
    emit(store, "customer.subscription.deleted", subscription)
