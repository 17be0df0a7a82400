"""Stripe's side of the line in the tests."""

from datetime import timedelta

from credits import queries
from credits.models import InboxEvent
from credits.payments import inbox
from credits.payments.tests import events as stripe
from credits.payments.tests.events import MONTH


class Stripe:
    """Events for one linked customer, delivered to the view and applied."""

    def __init__(self, client, account, now, version):
        self.client, self.account, self.now, self.version = client, account, now, version

    def sends(self, kind, obj, **changes):
        created = changes.pop("created", self.now)
        content = stripe.event(kind, obj, created=created, version=self.version, **changes)
        assert stripe.deliver(self.client, content).status_code == 200
        self.apply()
        return InboxEvent.objects.get(event_id=content["id"])

    def apply(self, *, later=timedelta(0)):
        # Rows are due from the moment of their arrival, which is the real clock's.
        InboxEvent.objects.exclude(next_attempt_at=None).update(next_attempt_at=self.now)
        inbox.apply_due(now=self.now + later)

    def line(self, price="price_starter", start=None, end=None, **changes):
        start = start or self.now
        return stripe.line(price, start, end or start + MONTH, version=self.version, **changes)

    def pays_invoice(self, number="1", *, lines=None, **changes):
        lines = lines or [self.line()]
        return self.sends(
            "invoice.paid", stripe.invoice(number, version=self.version, lines=lines, **changes)
        )

    def changes_subscription(self, kind="updated", *, created=None, **changes):
        obj = stripe.subscription(version=self.version, end=self.now + MONTH, **changes)
        return self.sends(f"customer.subscription.{kind}", obj, created=created or self.now)

    @property
    def balance(self):
        return queries.balance(account_id=self.account.pk, now=self.now)
