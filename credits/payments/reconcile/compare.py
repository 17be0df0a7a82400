"""From Stripe's side to ours: is everything booked that Stripe knows of? Then from ours to theirs.

A page of Stripe's objects is looked up at once; only what is not there is tried on the rules
(dry_run.py). Stripe is never asked while a lock is held.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from credits.models import InboxEvent, Offer, Payment, Subscription
from credits.payments.client import asking, connect
from credits.payments.portal import LIVE
from credits.payments.readers import Object, rows, text
from credits.payments.reconcile import stripe_side
from credits.payments.reconcile.differences import Difference, Kind
from credits.payments.reconcile.dry_run import MONEY_BACK, Outcome, outcome_of, payment_intents
from credits.payments.reconcile.grants import Grants
from credits.payments.reconcile.unsold import told, unsold

YOUNG = timedelta(minutes=15)  # its event may still be on its way
OVERDUE = timedelta(hours=1)  # a period's end that has passed without news
PERIODS = ("subscription_create", "subscription_cycle", "subscription_update")
REFUNDS = ("charge.refunded", "refund.")
MONEY_IN = ("invoice.", "checkout.")

Row = TypeVar("Row")
Progress = Callable[[str, int], None]


class Comparison:
    """The differences found so far, why other things are none, and charges that nobody sold."""

    def __init__(self, *, since: datetime, now: datetime, progress: Progress) -> None:
        self.client = connect()
        self.since = since
        self.now = now
        self.differences: list[Difference] = []
        self.unsold: list[Difference] = []  # information: nothing to repair
        self.explained: Counter[str] = Counter()
        self.read: Counter[str] = Counter()
        self.grants = Grants()
        self._progress = progress
        self._told: set[str] = set()
        self._young: set[str] = set()
        self._links: dict[str, Object] = {}  # by invoice payment
        self._refund_events: dict[str, Object] = {}  # by charge

    def run(self) -> None:
        """Everything, in an order in which later steps know what earlier ones have found."""
        client, since = self.client, int(self.since.timestamp())
        for event in self._counted("events", stripe_side.undelivered_events(client, since)):
            self._look_at_event(event)
        for event in self._counted("events", stripe_side.late_news(client, since)):
            self._look_at_event(event)
        for page in _pages(self._counted("invoices", stripe_side.paid_invoices(client, since))):
            self._look_at_invoices(page)
        for page in _pages(self._counted("sessions", stripe_side.complete_sessions(client, since))):
            self._look_at_sessions([row for row in page if _is_paid_purchase(row)])
        for page in _pages(self._counted("charges", stripe_side.charges(client, since))):
            old = [row for row in page if not self._is_young(row["created"])]
            self.unsold += told(unsold(client, old))
        for refund in self._counted("refunds", stripe_side.refunds(client, since)):
            self._look_at_refund(refund)
        for event in self._refund_events.values():  # of refunds older than we look back
            self._try_told(event)
        for dispute in self._counted("disputes", stripe_side.disputes(client, since)):
            self._look_at_dispute(dispute)
        for subscription in self._counted("subscriptions", self._subscriptions(since)):
            ended = subscription["status"] == "canceled"
            kind = f"customer.subscription.{'deleted' if ended else 'updated'}"
            happened = subscription.get("ended_at") or subscription["created"]
            self._look_at(kind, subscription, happened=happened)
        found = self._counted("lots and tokens", self.grants.not_paid(client, self.since))
        self.differences += [row for row in found if isinstance(row, Difference)]

    # What Stripe lists --------------------------------------------------------------------------

    def _look_at_event(self, event: Object) -> None:
        obj = event["data"]["object"]
        if self._is_young(event["created"]):
            self._young.add(text(obj, "id"))
        elif InboxEvent.objects.filter(event_id=event["id"]).exists():
            self._explain("in the inbox already")
            return
        if event["type"] == "invoice_payment.paid":  # names no customer; its invoice will
            self._links[text(obj, "id")] = event
        elif event["type"].startswith(REFUNDS):  # their charge says it all, as it is now
            self._refund_events.setdefault(text(obj, "charge") or text(obj, "id"), event)
        else:
            self._try_told(event)

    def _look_at_invoices(self, page: list[Object]) -> None:
        payments = [name for invoice in page for name in payment_intents(invoice)]
        known = set(
            Payment.objects.filter(payment_intent__in=payments).values_list(
                "payment_intent", flat=True
            )
        )
        granted = self.grants.of_invoices(page)
        for invoice in page:
            lot = granted.get(f"invoice:{invoice['id']}")
            if lot:
                self.differences += self.grants.wrong_lot(lot, invoice)
            paid_at = (invoice.get("status_transitions") or {}).get("paid_at") or invoice["created"]
            if lot is None:
                self._look_at("invoice.paid", invoice, happened=paid_at)
            for link in rows(invoice, "payments"):
                if not known.issuperset(payment_intents(link)):
                    self._look_at_link(link, text(invoice, "customer"), happened=paid_at)

    def _look_at_link(self, link: Object, customer_id: str, *, happened: int) -> None:
        """That a payment has paid an invoice of this customer."""
        event = self._links.get(text(link, "id"))
        event = event or stripe_side.event_of("invoice_payment.paid", link, happened)
        self._try(event, customer_id=customer_id, happened=happened)

    def _look_at_sessions(self, page: list[Object]) -> None:
        granted = self.grants.of_sessions(page)
        for session in page:
            found = granted[session["id"]]
            self.differences += self.grants.wrong_delivery(session, found)
            if not found:
                kind = "checkout.session.completed"
                self._look_at(kind, session, happened=session["created"])

    def _look_at_refund(self, refund: Object) -> None:
        """By its charge; of one whose refunds have all failed only if we had taken credits back."""
        charge = refund.get("charge")
        if not isinstance(charge, dict):
            return
        self._refund_events.pop(charge["id"], None)
        if self._nobody_sold(charge):
            return
        taken = Payment.objects.filter(
            payment_intent=text(charge, "payment_intent"), refunded__gt=0
        )
        if charge["amount_refunded"] or taken.exists():
            self._look_at("charge.refunded", charge, happened=refund["created"])

    def _look_at_dispute(self, dispute: Object) -> None:
        charge = dispute.get("charge")
        if isinstance(charge, dict) and self._nobody_sold(charge):
            return
        customer_id = text(charge, "customer") if isinstance(charge, dict) else ""
        dispute["charge"] = text(dispute, "charge")
        closed = dispute["status"] in ("won", "lost", "warning_closed")
        kind = f"charge.dispute.{'closed' if closed else 'created'}"
        self._look_at(kind, dispute, happened=dispute["created"], customer_id=customer_id)

    def _nobody_sold(self, charge: Object) -> bool:
        """Whether what becomes of the charge is no difference either, as it brought nothing."""
        found = bool(unsold(self.client, [charge]))
        if found:
            self._explain("of a charge that nobody sold")
        return found

    def _subscriptions(self, since: int) -> Iterator[Object]:
        """New ones, and those of ours whose period has ended without news."""
        yield from stripe_side.new_subscriptions(self.client, since)
        overdue = Subscription.objects.filter(
            status__in=LIVE, period_end__lt=self.now - OVERDUE
        ).values_list("subscription_id", flat=True)
        for subscription_id in overdue.iterator(1000):
            if found := stripe_side.subscription(self.client, subscription_id):
                yield found

    # What the rules say -------------------------------------------------------------------------

    def _look_at(self, kind: str, obj: Object, *, happened: int, customer_id: str = "") -> None:
        """The object is as it is now: later than any event about it that has been applied."""
        event = stripe_side.event_of(kind, obj, max(happened, int(self.now.timestamp())))
        customer_id = customer_id or text(obj, "customer")
        self._try(event, customer_id=customer_id, happened=happened)

    def _try_told(self, event: Object) -> None:
        """An event of Stripe's own."""
        customer_id = text(event["data"]["object"], "customer")
        self._try(event, customer_id=customer_id, happened=event["created"])

    def _try(self, event: Object, *, customer_id: str, happened: int) -> None:
        obj = event["data"]["object"]
        if self._is_young(happened) or text(obj, "id") in self._young:
            self._explain(f"younger than {YOUNG.seconds // 60} minutes")
            return
        outcome = outcome_of(event, customer_id=customer_id, now=self.now)
        if reason := self._why_none(event, outcome):
            self._explain(reason)
            return
        kind = _kind(event, outcome)
        if (subject := f"{kind} {text(obj, 'id')}") not in self._told:
            self._told.add(subject)
            self.differences.append(
                Difference(
                    kind,
                    _names(obj),
                    str(outcome),
                    outcome.account_id,
                    *_money(obj),
                    event=event,
                )
            )

    def _why_none(self, event: Object, outcome: Outcome) -> str:
        """Why this is no difference; "" if it is one."""
        if outcome.account_id is None and not _is_of_this_site(event):
            return "of a customer or payment that is not ours"
        if not (outcome.books or outcome.notes or outcome.reason):
            return "booked already"
        object_id = text(event["data"]["object"], "id")
        inbox = InboxEvent.objects.filter(object_id=object_id, type=event["type"])
        if inbox.filter(next_attempt_at__isnull=False).exists():
            return "waiting in the inbox"
        if outcome.books or outcome.notes or outcome.waits:
            return ""
        if inbox.exists() or not _buys_a_period(event["data"]["object"]):
            return outcome.reason
        return ""  # paid, and told too late for the rules: a person should know

    def _is_young(self, at: int) -> bool:
        """A clock that is ahead, as a sandbox's may be, is no reason to wait."""
        return int((self.now - YOUNG).timestamp()) < at <= int(self.now.timestamp())

    def _explain(self, reason: str) -> None:
        self.explained[reason.rstrip(".")] += 1

    def _counted(self, name: str, found: Iterable[Row]) -> Iterator[Row]:
        for row in found:
            self.read[name] += 1
            self._progress(name, self.read[name])
            yield row


def compare(
    *, days: int, now: datetime, progress: Progress = lambda name, number: None
) -> Comparison:
    """Compares what happened in the last `days` days. Raises SellingUnavailable.

    `progress` is called for everything that is read, with what it is and how many so far.
    """
    comparison = Comparison(since=now - timedelta(days=days), now=now, progress=progress)
    with asking():
        comparison.run()
    return comparison


def _pages(found: Iterator[Row]) -> Iterator[list[Row]]:
    while page := list(islice(found, stripe_side.PAGE)):
        yield page


def _is_paid_purchase(session: Object) -> bool:
    return (session["mode"], session["payment_status"]) in (
        ("payment", "paid"),
        ("payment", "no_payment_required"),
    )


def _is_of_this_site(event: Object) -> bool:
    """Whether it is for something that we sell, although we do not know the customer."""
    obj = event["data"]["object"]
    if event["type"].startswith("checkout."):
        return bool(text(obj, "metadata", "offer"))
    if event["type"] != "invoice.paid":
        return False
    prices = [
        text(line, "pricing", "price_details", "price") or text(line, "price", "id")
        for line in rows(obj, "lines")
    ]
    return Offer.objects.filter(stripe_price_id__in=[price for price in prices if price]).exists()


def _buys_a_period(obj: Object) -> bool:
    """An invoice about a plan for which money was paid."""
    return obj.get("billing_reason") in PERIODS and bool(obj.get("amount_paid"))


def _kind(event: Object, outcome: Outcome) -> Kind:
    brought_nothing = outcome.reason and _buys_a_period(event["data"]["object"])
    if outcome.notes and not outcome.books and not brought_nothing:
        return Kind.NOT_NOTED
    if event["type"].startswith(MONEY_IN):
        return Kind.NOT_GRANTED
    if event["type"].startswith(MONEY_BACK) and outcome.credits <= 0:
        return Kind.NOT_TAKEN_BACK
    return Kind.NOT_NOTED


def _names(obj: Object) -> str:
    """The object's id, and those that help to find it at Stripe."""
    named = [text(obj, "id"), *(text(obj, name) for name in ("customer", "payment_intent"))]
    return " ".join(name for name in named if name)


def _money(obj: Object) -> tuple[int | None, str]:
    """What was paid or went back, in minor units."""
    names = ("amount_refunded", "amount_paid", "amount_total", "amount")
    found = (obj.get(name) for name in names)
    amount = next((number for number in found if type(number) is int), None)
    return amount, text(obj, "currency") if amount is not None else ""
