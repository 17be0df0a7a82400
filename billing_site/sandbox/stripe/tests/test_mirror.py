"""What the sandbox's events leave in dj-stripe's tables."""

import pytest
import stripe as library
from django.utils import timezone
from djstripe import models as djstripe

from billing_site.sandbox.stripe.tests.conftest import KEY
from billing_site.sandbox.stripe.tests.test_billing import change
from billing_site.sandbox.stripe.tests.test_site import (
    Site,
    account,
    books_balance,
    client_of_site,
    new_account,
    offers,
    site,
)
from credits import queries
from credits.models import InboxEvent
from credits.payments import inbox, mirror

__all__ = ["Site", "account", "books_balance", "client_of_site", "new_account", "offers", "site"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def mirrored(site, shop, settings, monkeypatch):
    """Passes events on, feeds them to dj-stripe, and fails where one could not be taken."""
    settings.STRIPE_SECRET_KEY = settings.STRIPE_TEST_SECRET_KEY = KEY
    monkeypatch.setattr(library, "api_base", shop.sandbox.address)

    def mirror_all():
        site.hears()
        while mirror.mirror_due(now=timezone.now()):
            pass
        left = InboxEvent.objects.filter(mirrored_at=None).values_list("type", "mirror_error")
        assert not list(left)

    return mirror_all


def test_a_subscription_its_customer_its_invoices_and_a_change_of_plan(mirrored, shop):
    bought = shop.buy(shop.plan)
    mirrored()
    shop.sandbox.advance(31)
    change(shop, shop.client.v1.subscriptions.retrieve(bought.subscription), shop.pro)
    mirrored()
    customer = djstripe.Customer.objects.get()
    assert customer.id == shop.customer.id
    subscription = djstripe.Subscription.objects.get()
    assert subscription.customer == customer
    assert subscription.stripe_data["items"]["data"][0]["price"]["id"] == shop.pro.id
    assert djstripe.Invoice.objects.count() == 3
    assert {row.id for row in djstripe.Price.objects.all()} >= {shop.plan.id, shop.pro.id}
    assert djstripe.Event.objects.count() == InboxEvent.objects.count()


def test_a_refund_and_a_dispute(mirrored, shop):
    refunded = shop.buy(shop.pack, metadata={"offer": "pack-50"})
    disputed = shop.buy(shop.pack, metadata={"offer": "pack-50"})
    shop.client.v1.refunds.create({"payment_intent": refunded.payment_intent, "amount": 100})
    charge = shop.client.v1.charges.list({"payment_intent": disputed.payment_intent}).data[0]
    opened = shop.sandbox.open_dispute(charge.id)
    mirrored()
    shop.sandbox.close_dispute(opened, won=True)
    mirrored()
    assert djstripe.Refund.objects.get().amount == 100
    assert djstripe.Dispute.objects.get().status == "won"
    assert djstripe.Charge.objects.count() == 2


def test_events_that_dj_stripe_fetches_itself_are_applied_once(site, shop, mirrored, account):
    shop.buy(shop.plan)
    shop.delivered()
    for event in shop.client.v1.events.list({"limit": 100}).auto_paging_iter():
        djstripe.Event.process(event, api_key=KEY)
    inbox.apply_due(now=timezone.now())
    assert queries.balance(account_id=account.pk, now=timezone.now()).available == 20
    mirrored()  # now they arrive at our door as well
    assert queries.balance(account_id=account.pk, now=timezone.now()).available == 20


def test_a_key_that_was_rolled_is_not_used_any_more(mirrored, shop):
    djstripe.APIKey.objects.create(secret="sk_test_" + "9" * 24, type="secret", livemode=False)
    shop.buy(shop.pack, metadata={"offer": "pack-50"})
    mirrored()
    assert list(djstripe.APIKey.objects.values_list("secret", flat=True)) == [KEY]
