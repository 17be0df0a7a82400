"""“If this happened now”, beside the lines that are posted when it happens at the sandbox."""

import pytest
from django.utils import timezone

from billing_site.sandbox.stripe.tests.conftest import FAILS_LATER, GOOD
from billing_site.sandbox.stripe.tests.test_site import client_of_site, site
from credits import queries, services
from credits.models import Account, Payment
from credits.payments import rehearsals
from credits.payments.rehearsals import What
from credits.payments.tests.conftest import account, books_balance, new_account, offers

__all__ = ["account", "books_balance", "client_of_site", "new_account", "offers", "site"]

pytestmark = pytest.mark.django_db
BOUGHT = ["plan", "pack", "single"]


class Customer:
    """Bought a plan of 100 (5 may be carried over), a pack of 50 and a single generation."""

    def __init__(self, site, shop, card=GOOD):
        self.site, self.shop, self.account = site, shop, site.account
        plan = shop.buy(shop.pro, card=card)
        self.subscription = plan.subscription
        paid = shop.client.v1.invoice_payments.list({"invoice": plan.invoice}).data[0]
        self.intents = {
            "plan": paid.payment.payment_intent,
            "pack": shop.buy(shop.pack, metadata={"offer": "pack-50"}).payment_intent,
            "single": shop.buy(shop.pack, metadata={"offer": "single"}).payment_intent,
        }
        site.hears()

    def spends(self, amount):
        services.spend(
            account_id=self.account.pk, amount=amount, reference="r", idempotency_key="k",
            now=timezone.now(),
        )  # fmt: skip

    def payment(self, bought):
        return Payment.objects.get(payment_intent=self.intents[bought])

    def charge(self, bought):
        charges = self.shop.client.v1.charges.list({"payment_intent": self.intents[bought]})
        return charges.data[0].id

    def disputes(self, bought):
        return self.shop.sandbox.open_dispute(self.charge(bought))

    def expects(self, what, bought="", amount=None):
        """The lines and the balance that staff is shown."""
        self.sequence = Account.objects.get(pk=self.account.pk).sequence
        shown = rehearsals.rehearse(
            account_id=self.account.pk, what=what, amount=amount, now=timezone.now(),
            payment=self.payment(bought) if bought else None,
        )  # fmt: skip
        return plain(shown.entries), shown.after

    def got(self):
        """The lines that were posted since, and the balance, after all events of Stripe."""
        self.site.hears()
        balance = queries.balance(account_id=self.account.pk, now=timezone.now())
        return plain(services.lines_since(self.account.pk, self.sequence)), balance


def plain(lines):
    return [
        (one.kind, one.pool, one.amount, one.balance_after, one.owed_after, end_of(one))
        for one in lines
    ]


def end_of(line):
    """Until when credits that came can be spent."""
    return line.lot.expires_at if line.amount > 0 else None


@pytest.fixture
def customer(site, shop):
    return Customer(site, shop)


@pytest.fixture(params=[30, 120], ids="{} spent".format)
def spender(request, customer):
    customer.spends(request.param)
    return customer


def test_a_renewal(spender):
    shown = spender.expects(What.RENEWAL)
    spender.shop.sandbox.advance(31)
    assert spender.got() == shown
    assert [kind for kind, *_more in shown[0]][-2:] in (["grant", "rollover"], ["grant"])


def test_the_payment_of_a_plan_that_is_overdue(site, shop):
    customer = Customer(site, shop, card=FAILS_LATER)
    shop.sandbox.advance(31)
    site.hears()
    shown = customer.expects(What.RENEWAL)
    [invoice] = shop.client.v1.invoices.list({"status": "open"}).data
    shop.visitor.open(invoice.hosted_invoice_url).press("action", "pay", card=GOOD)
    assert customer.got() == shown
    assert "grant" in [kind for kind, *_more in shown[0]]


def test_the_end_of_the_plan(spender):
    shown = spender.expects(What.END)
    spender.shop.client.v1.subscriptions.cancel(spender.subscription)
    assert spender.got() == shown
    assert shown[1].pools["subscription"] == 0


@pytest.mark.parametrize("amount", [None, 333])
@pytest.mark.parametrize("bought", BOUGHT)
def test_a_refund(spender, bought, amount):
    shown = spender.expects(What.REFUND, bought, amount)
    asked = {"payment_intent": spender.intents[bought]}
    spender.shop.client.v1.refunds.create(asked | ({"amount": amount} if amount else {}))
    assert spender.got() == shown


def test_the_second_part_of_a_refund(spender):
    for amount in (200, 150):
        shown = spender.expects(What.REFUND, "pack", amount)
        asked = {"payment_intent": spender.intents["pack"], "amount": amount}
        spender.shop.client.v1.refunds.create(asked)
        assert spender.got() == shown


@pytest.mark.parametrize("bought", ["plan", "pack"])
def test_a_dispute_and_that_it_is_lost(spender, bought):
    shown = spender.expects(What.DISPUTE, bought)
    dispute = spender.disputes(bought)
    assert spender.got() == shown
    shown = spender.expects(What.DISPUTE_LOST, bought)
    spender.shop.sandbox.close_dispute(dispute, won=False)
    assert spender.got() == shown


def test_a_dispute_about_a_single_generation(customer):
    with pytest.raises(rehearsals.NothingToRehearse, match="not set aside"):
        customer.expects(What.DISPUTE, "single")
    dispute = customer.disputes("single")
    customer.site.hears()
    shown = customer.expects(What.DISPUTE_LOST, "single")
    customer.shop.sandbox.close_dispute(dispute, won=False)
    assert customer.got() == shown
    assert shown[1].retail_tokens == 0


def test_a_preview_of_something_else_is_noticed(customer):
    """The negative control: these lines are not those of any refund."""
    shown = customer.expects(What.REFUND, "pack", 100)
    asked = {"payment_intent": customer.intents["pack"], "amount": 200}
    customer.shop.client.v1.refunds.create(asked)
    assert customer.got() != shown
