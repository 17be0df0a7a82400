"""Reconciliation finds what is planted, nothing on clean data, and repairs what rules can."""

from datetime import UTC, datetime, timedelta

import pytest
import requests
import stripe
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from billing_site.sandbox.stripe.store import DAY
from billing_site.sandbox.stripe.tests.conftest import FAILS_LATER, KEY, SECRET
from billing_site.sandbox.stripe.tests.test_billing import change
from billing_site.sandbox.stripe.tests.test_site import Site
from credits import queries, services
from credits.models import Account, CreditLot, Offer, Payment, Pool, RetailToken, Subscription
from credits.payments import reconcile
from credits.payments.reconcile import Kind, stripe_side
from credits.payments.tests.conftest import books_balance, offers
from credits.tests.commands import run_command

__all__ = ["books_balance", "offers"]

pytestmark = pytest.mark.django_db
PACK, SINGLE = {"offer": "pack-50"}, {"offer": "single"}


@pytest.fixture
def state_clock():
    """Stripe's clock is some hours behind ours: nothing that happens there is too young."""
    return lambda: timezone.now().timestamp() - DAY / 2


@pytest.fixture
def sandbox(new_sandbox, state_clock):
    with new_sandbox(now=state_clock) as running:
        yield running


@pytest.fixture
def town(shop, client_of_site, settings, offers):
    settings.STRIPE_WEBHOOK_SECRET = [SECRET]
    settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = KEY, shop.sandbox.address
    for slug, price in [("starter", shop.plan), ("pro", shop.pro)]:
        Offer.objects.filter(slug=slug).update(stripe_price_id=price.id)
    return Town(shop, client_of_site)


@pytest.fixture
def client_of_site():
    return Client()


class Town:
    """Customers of the site, one at the counter at a time, and the site that hears of it."""

    def __init__(self, shop, client):
        self.shop, self.client = shop, client
        self.sandbox, self.api = shop.sandbox, shop.client.v1
        self.account = None

    def newcomer(self):
        """The next customer: what is bought from now on is theirs."""
        number = Account.objects.count() + 1
        user = get_user_model().objects.create_user(f"town{number}@example.com")
        account = services.open_account(user_id=user.pk, now=timezone.now())
        self.shop.customer = self.api.customers.create({"email": user.email})
        services.link_customer(
            account_id=account.pk, customer_id=self.shop.customer.id, now=timezone.now()
        )
        self.account = account
        return account

    def hears(self):
        return Site(self.shop, self.client, self.account).hears()

    def misses(self):
        """From now on no event arrives."""
        self.hears()
        self.sandbox.set_delivery(lost=True)

    def hears_again(self):
        self.shop.delivered()
        self.sandbox.set_delivery()

    def subscribe(self, price, card="4242 4242 4242 4242", **changes):
        bought = self.shop.buy(price, card=card, **changes)
        return self.api.subscriptions.retrieve(bought.subscription)

    def refund(self, session, **changes):
        return self.api.refunds.create({"payment_intent": session.payment_intent, **changes})

    def charge_of(self, session):
        return self.api.charges.list({"payment_intent": session.payment_intent}).data[0].id

    @property
    def now(self):
        return datetime.fromtimestamp(self.sandbox.store.now(), UTC)

    def compare(self, days=90):
        return reconcile.compare(days=days, now=max(self.now, timezone.now()))

    def found(self):
        return sorted(row.kind for row in self.compare().differences)


@pytest.fixture
def whole_life(town):
    """Everything that may happen at Stripe, and all of it delivered."""
    shop, api = town.shop, town.api
    town.newcomer()
    first = town.subscribe(shop.plan)
    pack = shop.buy(shop.pack, quantity=2, metadata={**PACK, "quantity": "2"})
    single = shop.buy(shop.pack, metadata=SINGLE)
    won, lost = (shop.buy(shop.pack, metadata=PACK) for _ in range(2))
    town.hears()
    town.refund(pack, amount=100)
    town.refund(pack, amount=150)
    town.refund(single)
    for session, is_won in ((won, True), (lost, False)):
        dispute = town.sandbox.open_dispute(town.charge_of(session))
        town.hears()
        town.sandbox.close_dispute(dispute, won=is_won)
    town.sandbox.open_dispute(town.charge_of(shop.buy(shop.pack, metadata=PACK)))
    town.sandbox.open_dispute(town.charge_of(shop.buy(shop.pack, metadata=PACK)), inquiry=True)
    town.sandbox.advance(10)
    change(shop, first, shop.pro)
    town.hears()
    town.sandbox.advance(22)
    change(shop, first, shop.plan)
    town.hears()

    town.newcomer()
    free = api.coupons.create({"percent_off": 100, "duration": "forever"})
    town.subscribe(shop.pro, discounts=[{"coupon": free.id}])
    shop.buy(shop.pack, metadata=PACK, discounts=[{"coupon": free.id}])
    town.newcomer()
    town.subscribe(shop.plan, subscription_data={"trial_period_days": 14})
    town.newcomer()
    failing = town.subscribe(shop.plan, card=FAILS_LATER)
    town.hears()
    town.sandbox.advance(31)
    api.invoices.pay(
        api.subscriptions.retrieve(failing.id).latest_invoice, {"paid_out_of_band": True}
    )
    town.newcomer()
    ended = town.subscribe(shop.plan)
    town.hears()
    api.subscriptions.cancel(ended.id)
    town.newcomer()
    leaving = town.subscribe(shop.plan)
    api.subscriptions.update(leaving.id, {"cancel_at_period_end": True})
    shop.buy(shop.pack, card="4000 0000 0000 0259", metadata=PACK)
    town.hears()
    town.sandbox.advance(31)
    town.hears()
    return town


class TestCleanData:
    def test_has_no_difference(self, whole_life):
        found = whole_life.compare()
        assert [str(row) for row in found.differences + found.unsold] == []
        assert found.read["charges"] >= 8
        assert found.read["invoices"] > 8
        assert found.explained["A trial: nothing was bought"] == 1

    def test_of_others_on_the_same_stripe_account_is_none_of_ours(self, town):
        town.newcomer()
        other = town.shop.price("Other", 700)
        town.shop.customer = town.api.customers.create({"email": "stranger@example.com"})
        town.sandbox.set_delivery(lost=True)
        bought = town.shop.buy(other)
        town.refund(bought, amount=100)
        town.subscribe(town.shop.price("Other plan", 700, "month"))
        found = town.compare()
        assert [str(row) for row in found.differences + found.unsold] == []
        assert found.explained["of a customer or payment that is not ours"] >= 3


def plant(town):
    """What goes wrong, each with what reconciliation has to say about it."""
    shop = town.shop
    town.newcomer()
    started = town.subscribe(shop.plan)
    bought = {name: shop.buy(shop.pack, metadata=PACK) for name in ("refund", "open", "lost")}
    single = shop.buy(shop.pack, metadata=SINGLE)
    unpaid = shop.session(shop.pack, metadata=PACK)
    ends = None
    stays = town.account
    town.hears()
    town.newcomer()
    ends = town.subscribe(shop.plan)
    town.misses()
    shop.buy(shop.pack, metadata=PACK)  # 1: a pack
    shop.buy(shop.pack, metadata=SINGLE)  # 2: a token
    town.refund(bought["refund"], amount=250)  # 3
    town.sandbox.open_dispute(town.charge_of(bought["open"]))  # 4
    dispute = town.sandbox.open_dispute(town.charge_of(bought["lost"]))  # 5
    town.sandbox.close_dispute(dispute, won=False)
    town.api.subscriptions.cancel(ends.id)  # 6
    town.newcomer()
    town.subscribe(shop.plan)  # 7
    town.hears_again()
    give = {"account_id": stays.pk, "now": timezone.now(), "actor": "somebody"}
    period = CreditLot.objects.get(terms__subscription=started.id)
    services.grant(
        pool=Pool.SUBSCRIPTION, amount=20, source_key=f"{period.source_key}-again",
        terms=period.terms, expires_at=period.expires_at, **give,
    )  # fmt: skip  # 8, granted twice, and 9, not paid
    services.issue_retail_token(
        account_id=stays.pk, source_key=f"checkout:{single.id}:2", now=timezone.now()
    )  # 10, granted twice
    services.grant(
        pool=Pool.BULK, amount=50, source_key=f"checkout:{unpaid.id}", **give
    )  # 11, not paid


PLANTED = [
    *[Kind.NOT_PAID] * 2,
    *[Kind.GRANTED_TWICE] * 2,
    *[Kind.NOT_GRANTED] * 3,
    *[Kind.NOT_TAKEN_BACK] * 3,
]


BY_HAND = {Kind.NOT_PAID, Kind.GRANTED_TWICE}


class TestPlantedDifferences:
    def test_are_found_and_nothing_else(self, town):
        plant(town)
        before = everything()
        found = town.compare().differences
        assert everything() == before
        kinds = [row.kind for row in found]
        assert sorted(kind for kind in kinds if kind != Kind.NOT_NOTED) == sorted(PLANTED), found

    def test_are_found_by_the_objects_alone_if_there_never_were_events(self, town):
        plant(town)
        objects = town.sandbox.store.objects
        for key in [key for key in objects if key.startswith("evt_")]:
            del objects[key]
        found = town.compare()
        assert sorted(row.kind for row in found.differences if row.kind != Kind.NOT_NOTED) == (
            sorted(PLANTED)
        )
        reconcile.repair(found.differences, now=timezone.now())
        assert {row.kind for row in town.compare().differences} == BY_HAND
        assert Subscription.objects.filter(status="canceled").count() == 1

    def test_are_repaired_and_late_events_change_nothing(self, town):
        plant(town)
        left = reconcile.repair(town.compare().differences, now=timezone.now())
        assert {row.difference.kind for row in left} == BY_HAND, [str(row) for row in left]
        again = town.compare()
        assert {row.kind for row in again.differences} == BY_HAND
        before = everything()
        for event in town.sandbox.events():
            town.shop.visitor.post(f"{town.sandbox.address}/_sandbox/resend", event=event["id"])
        town.hears()
        assert everything() == before

    def test_are_gone_once_staff_has_taken_them_back(self, town):
        plant(town)
        reconcile.repair(town.compare().differences, now=timezone.now())
        for row in town.compare().differences:
            key = row.objects.split()[0]
            if lot := CreditLot.objects.filter(source_key=key).first():
                services.claw_back(
                    source_key=key, total=lot.granted, reference="staff", now=timezone.now()
                )
            else:
                services.revoke_retail_token(source_key=f"{key}:2", now=timezone.now())
        assert town.compare().differences == []


def everything():
    return (
        [queries.balance(account_id=row.pk, now=row.created_at) for row in Account.objects.all()],
        list(CreditLot.objects.order_by("pk").values("source_key", "remaining", "clawed_back")),
        list(RetailToken.objects.order_by("pk").values_list("source_key", "state")),
        list(Payment.objects.order_by("pk").values_list("payment_intent", "refunded", "lost")),
    )


class TestAChargeNobodySold:
    """Made by hand in Stripe's dashboard: a payment of a customer, without session or invoice."""

    def by_hand(self, town, amount=700, **changes):
        return town.api.payment_intents.create(
            {
                "amount": amount,
                "currency": "usd",
                "customer": town.shop.customer.id,
                "payment_method": "pm_card_visa",
                "confirm": True,
                **changes,
            }
        )

    def test_is_information_and_no_difference(self, town):
        town.newcomer()
        town.shop.buy(town.shop.pack, metadata=PACK)
        made = self.by_hand(town, description="Consulting")
        town.hears()
        done = run_command("reconcile_stripe", "--apply")
        assert done.refusal == ""
        assert done.output.count("charge nobody sold: ") == 1
        charge = f"{made.latest_charge} {town.shop.customer.id} {made.id}"
        expected = f"{charge}, account {town.account.pk}, 700 usd: Consulting"
        assert f"charge nobody sold: {expected}" in done.output
        assert queries.balance(account_id=town.account.pk, now=timezone.now()).available == 50

    def test_is_not_what_was_sold_and_not_heard_of(self, town):
        town.newcomer()
        town.misses()
        town.subscribe(town.shop.plan)
        town.shop.buy(town.shop.pack, metadata=PACK)
        assert town.compare().unsold == []

    def test_is_not_one_that_was_declined_or_given_back(self, town):
        town.newcomer()
        made = self.by_hand(town)
        partly = self.by_hand(town)
        with pytest.raises(stripe.CardError):
            self.by_hand(town, payment_method="pm_card_chargeDeclined")
        town.api.refunds.create({"payment_intent": made.id})
        town.api.refunds.create({"payment_intent": partly.id, "amount": 200})
        found = town.compare()
        assert [(row.kind, row.amount) for row in found.unsold] == [(Kind.NOT_SOLD, 500)]
        assert found.differences == []

    def test_may_be_disputed_without_a_difference(self, town):
        town.newcomer()
        town.misses()
        town.sandbox.open_dispute(self.by_hand(town).latest_charge)
        found = town.compare()
        assert len(found.unsold) == 1
        assert found.differences == []

    def test_of_somebody_else_is_not_ours(self, town):
        town.newcomer()
        town.shop.customer = town.api.customers.create({"email": "stranger@example.com"})
        self.by_hand(town)
        assert town.compare().unsold == []


class TestWhatIsNoDifferenceYet:
    def test_an_event_that_is_on_its_way(self, town):
        town.newcomer()
        town.misses()
        town.shop.buy(town.shop.pack, metadata=PACK)
        just_after = town.now + timedelta(minutes=5)
        found = reconcile.compare(days=30, now=just_after)
        assert (found.differences, found.explained["younger than 15 minutes"]) == ([], 3)
        assert len(reconcile.compare(days=30, now=just_after + timedelta(hours=1)).differences) == 1

    def test_an_event_that_waits_in_the_inbox(self, town):
        town.newcomer()
        Offer.objects.filter(slug="pack-50").delete()
        town.shop.buy(town.shop.pack, metadata=PACK)
        town.shop.delivered()
        Site(town.shop, town.client, town.account).takes_in()
        found = town.compare()
        assert found.differences == []
        assert found.explained["waiting in the inbox"] == 1


def test_a_period_that_is_over_when_it_is_found_is_for_a_person(town):
    town.newcomer()
    town.misses()
    town.subscribe(town.shop.plan)
    late = town.now + timedelta(days=40)
    found = reconcile.compare(days=60, now=late).differences
    lost = [row for row in found if row.kind == Kind.NOT_GRANTED]
    assert [row.detail for row in lost] == ["The period is already over."]
    left = reconcile.repair(found, now=late)
    assert [(row.difference, row.why) for row in left] == [(lost[0], "The period is already over.")]
    assert reconcile.compare(days=60, now=late).differences == []


def test_the_same_payment_under_two_names_is_granted_twice(town):
    """A Checkout session may have an invoice of its own: one purchase, two objects."""
    town.newcomer()
    session = town.shop.buy(town.shop.pack, metadata=PACK)
    town.hears()
    town.sandbox.store.get("checkout.session", session.id)["invoice"] = "in_1"
    services.grant(
        account_id=town.account.pk, pool=Pool.BULK, amount=50, source_key="invoice:in_1",
        now=timezone.now(),
    )  # fmt: skip
    assert town.found() == [Kind.NOT_PAID, Kind.GRANTED_TWICE]


class TestTheCommand:
    def test_says_that_all_is_well(self, town):
        town.newcomer()
        town.subscribe(town.shop.plan)
        town.hears()
        done = run_command("reconcile_stripe")
        assert done.refusal == ""
        assert done.summary.startswith("Stripe and the books agree (0 repaired), after reading")

    def test_names_what_is_wrong_and_repairs_it(self, town):
        town.newcomer()
        town.misses()
        session = town.shop.buy(town.shop.pack, metadata=PACK)
        done = run_command("reconcile_stripe", "--days", "30")
        assert done.refusal.startswith("1 differences left, 0 repaired, after reading 2 events")
        assert f"paid but not granted: {session.id}" in done.output
        assert f"account {town.account.pk}, 500 usd: the rules would book +50" in done.output
        done = run_command("reconcile_stripe", "--apply")
        assert done.refusal == ""
        assert "(1 repaired)" in done.summary
        assert queries.balance(account_id=town.account.pk, now=timezone.now()).available == 50
        assert "(0 repaired)" in run_command("reconcile_stripe", "--apply").summary

    def test_reads_more_than_one_page(self, town, monkeypatch):
        monkeypatch.setattr(stripe_side, "PAGE", 2)
        town.newcomer()
        town.misses()
        for _ in range(5):
            town.shop.buy(town.shop.pack, metadata=PACK)
        assert "(5 repaired), after reading 10 events, 5 sessions" in (
            run_command("reconcile_stripe", "--apply").summary
        )

    def test_tells_what_it_is_doing_when_it_takes_long(self, town, monkeypatch):
        monkeypatch.setattr("credits.management.commands.reconcile_stripe.QUIET_SECONDS", 0)
        town.newcomer()
        town.subscribe(town.shop.plan)
        assert "… 1 " in run_command("reconcile_stripe").errors

    @pytest.mark.parametrize("days", ["0", "-1", "x", "1.5", "9" * 30, "٣", ""])
    def test_refuses_what_is_no_number_of_days(self, days):
        assert "is not a number of days from 1 to 366" in (
            run_command("reconcile_stripe", f"--days={days}").refusal
        )

    def test_without_a_key_says_so(self, settings):
        settings.STRIPE_SECRET_KEY = ""
        with pytest.raises(CommandError, match="STRIPE_SECRET_KEY is not set") as refused:
            call_command("reconcile_stripe")
        assert refused.value.returncode == 2

    def test_without_stripe_says_so(self, settings):
        settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = KEY, "http://127.0.0.1:1"
        with pytest.raises(
            CommandError, match="Stripe could not be asked: APIConnection"
        ) as refused:
            call_command("reconcile_stripe")
        assert refused.value.returncode == 2


def test_asks_stripe_nothing_while_a_lock_may_be_held(town, monkeypatch):
    plant(town)
    send, inside = requests.Session.request, []

    def noted(*args, **kwargs):
        inside.append(len(connection.savepoint_ids))
        return send(*args, **kwargs)

    monkeypatch.setattr(requests.Session, "request", noted)
    outside = len(connection.savepoint_ids)
    reconcile.repair(town.compare().differences, now=timezone.now())
    assert set(inside) == {outside}
