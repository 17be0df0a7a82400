"""The sandbox's events, through the site's real address and inbox, end in the right pools."""

import json
from types import SimpleNamespace

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from billing_site.sandbox.stripe.tests.conftest import FAILS_LATER, SECRET
from billing_site.sandbox.stripe.tests.test_billing import change
from credits import queries
from credits.models import InboxEvent, Offer
from credits.notices import outbox
from credits.payments import inbox
from credits.payments.tests import events as stripe
from credits.payments.tests.conftest import account, books_balance, new_account, offers

__all__ = ["account", "books_balance", "new_account", "offers"]

pytestmark = pytest.mark.django_db
State = InboxEvent.State


@pytest.fixture
def site(shop, client_of_site, settings, offers, account):
    """The shop's customer is the account, its prices are the offers'."""
    settings.STRIPE_WEBHOOK_SECRET = [SECRET]
    account.stripe_customer_id = shop.customer.id
    account.save(update_fields=["stripe_customer_id"])
    for slug, price in [("starter", shop.plan), ("pro", shop.pro)]:
        Offer.objects.filter(slug=slug).update(stripe_price_id=price.id)
    shop.fresh()
    return Site(shop, client_of_site, account)


@pytest.fixture
def client_of_site():
    return Client()


class Site:
    """Passes on what the sandbox has delivered, byte for byte as Stripe would sign it."""

    def __init__(self, shop, client, account):
        self.shop, self.client, self.account = shop, client, account

    def takes_in(self):
        """Delivers what has arrived, and applies it."""
        self.shop.delivered()
        for event in self.shop.receiver.events:
            body = json.dumps(event)
            answer = stripe.deliver(
                self.client, body, **{"Stripe-Signature": stripe.signed(body, secret=SECRET)}
            )
            assert answer.status_code == 200
        self.shop.receiver.clear()
        for _ in range(3):  # what waited for a later event is tried again
            InboxEvent.objects.exclude(next_attempt_at=None).update(next_attempt_at=timezone.now())
            inbox.apply_due(now=timezone.now())

    def hears(self):
        self.takes_in()
        unsettled = InboxEvent.objects.exclude(state__in=[State.APPLIED, State.IGNORED])
        assert not list(unsettled.values_list("type", "reason"))
        balance = queries.balance(account_id=self.account.pk, now=timezone.now())
        return SimpleNamespace(
            subscription=balance.pools["subscription"],
            bulk=balance.pools["bulk"],
            tokens=balance.retail_tokens,
        )


def state(*, subscription=0, bulk=0, tokens=0):
    return SimpleNamespace(subscription=subscription, bulk=bulk, tokens=tokens)


class TestTheSite:
    def test_grants_what_is_bought(self, site, shop):
        shop.buy(shop.plan)
        assert site.hears() == state(subscription=20)
        shop.buy(shop.pack, quantity=2, metadata={"offer": "pack-50", "quantity": "2"})
        assert site.hears() == state(subscription=20, bulk=100)
        shop.buy(shop.pack, metadata={"offer": "single"})
        assert site.hears() == state(subscription=20, bulk=100, tokens=1)

    def test_renews_the_plan_and_leaves_the_packs(self, site, shop):
        shop.buy(shop.plan)
        shop.buy(shop.pack, metadata={"offer": "pack-50"})
        site.hears()
        shop.sandbox.advance(31)
        assert site.hears() == state(subscription=20, bulk=50)
        renewed = InboxEvent.objects.filter(type="invoice.paid", state=State.APPLIED)
        assert renewed.count() == 2

    def test_grants_the_difference_of_an_upgrade(self, site, shop):
        bought = shop.buy(shop.plan)
        site.hears()
        shop.sandbox.advance(15)
        change(shop, shop.client.v1.subscriptions.retrieve(bought.subscription), shop.pro)
        assert 20 + 30 <= site.hears().subscription <= 20 + 45

    def test_ends_the_plan_of_a_card_that_keeps_failing(self, site, shop):
        shop.buy(shop.plan, card=FAILS_LATER)
        site.hears()
        shop.sandbox.advance(31)
        assert site.hears() == state(subscription=20)
        shop.sandbox.advance(16)
        assert site.hears() == state()

    def test_tells_the_customer_all_of_it_by_mail(self, site, shop):
        shop.buy(shop.plan, card=FAILS_LATER)
        site.hears()
        for days in (31, 16):
            shop.sandbox.advance(days)
            site.hears()
        assert outbox.send_due(now=timezone.now()) == len(mail.outbox)
        subjects = [message.subject for message in mail.outbox]
        assert subjects[0] == "20 credits added: starter"
        failed = "Payment failed: $9.00 for your plan"
        assert subjects.count(failed) == len(subjects) - 2 > 1
        assert subjects[-1] == "Your plan has ended"
        assert "no further attempt" in mail.outbox[-2].body

    def test_takes_back_what_is_refunded(self, site, shop):
        plan = shop.buy(shop.plan)
        pack = shop.buy(shop.pack, metadata={"offer": "pack-50"})
        site.hears()
        refund = shop.client.v1.refunds.create
        refund({"payment_intent": pack.payment_intent, "amount": 100})
        assert site.hears() == state(subscription=20, bulk=40)
        link = shop.client.v1.invoice_payments.list({"invoice": plan.invoice}).data[0]
        refund({"payment_intent": link.payment.payment_intent})
        assert site.hears() == state(bulk=40)

    @pytest.mark.parametrize(("won", "left"), [("yes", 50), ("no", 0)])
    def test_follows_a_dispute(self, site, shop, won, left):
        bought = shop.buy(shop.pack, metadata={"offer": "pack-50"})
        charge = shop.client.v1.charges.list({"payment_intent": bought.payment_intent}).data[0]
        control = f"{shop.sandbox.address}/_sandbox"
        shop.visitor.post(f"{control}/dispute", charge=charge.id)
        assert site.hears() == state(bulk=0)
        dispute = shop.client.v1.disputes.list({"charge": charge.id}).data[0]
        shop.visitor.post(f"{control}/close", dispute=dispute.id, won=won)
        assert site.hears() == state(bulk=left)

    def test_counts_once_what_arrives_twice_and_in_disorder(self, site, shop):
        shop.sandbox.set_delivery(duplicated=True, reordered=True)
        shop.buy(shop.plan)
        shop.buy(shop.pack, metadata={"offer": "pack-50"})
        assert site.hears() == state(subscription=20, bulk=50)
