"""What a paid invoice brings, in both shapes of Stripe's objects."""

from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest

from credits import drafts, services
from credits.models import CreditLot, InboxEvent, Offer
from credits.payments import inbox
from credits.payments.tests import events as stripe
from credits.payments.tests.events import MONTH

pytestmark = pytest.mark.django_db
State = InboxEvent.State


class TestAPaidInvoice:
    @pytest.mark.parametrize("reason", ["subscription_create", "subscription_cycle"])
    def test_begins_the_period_of_its_own_line(self, at_stripe, reason):
        event = at_stripe.pays_invoice(reason=reason)
        assert (event.state, event.fact_key) == (State.APPLIED, "invoice:in_1")
        assert at_stripe.balance.pools["subscription"] == 20
        lot = CreditLot.objects.get(source_key="invoice:in_1")
        assert lot.expires_at == at_stripe.now + MONTH + timedelta(days=3)
        assert (lot.amount_paid, lot.currency, lot.terms["slug"]) == (900, "usd", "starter")

    def test_that_renews_resets_only_the_subscription_pool(self, at_stripe, now):
        at_stripe.pays_invoice("1")
        at_stripe.sends("checkout.session.completed", stripe.session("1", offer="pack-50"))
        services.spend(
            account_id=at_stripe.account.pk, amount=7, reference="r", idempotency_key="k", now=now
        )
        at_stripe.pays_invoice("2", lines=[at_stripe.line(start=now + MONTH)])
        assert at_stripe.balance.pools == {"subscription": 20, "promotional": 0, "bulk": 50}

    def test_carries_over_at_most_the_plans_cap(self, at_stripe, now):
        at_stripe.pays_invoice("1", lines=[at_stripe.line("price_pro")])
        at_stripe.pays_invoice("2", lines=[at_stripe.line("price_pro", start=now + MONTH)])
        assert at_stripe.balance.available == 105

    def test_is_booked_beside_credits_that_no_subscription_brought(self, at_stripe, now):
        services.reset_subscription(
            account_id=at_stripe.account.pk, amount=5, period_end=now + MONTH, source_key="other",
            terms={"period_end": (now + MONTH).isoformat()}, now=now,
        )  # fmt: skip
        assert at_stripe.pays_invoice().state == State.APPLIED
        assert at_stripe.balance.available == 20

    def test_told_by_two_events_counts_once(self, at_stripe):
        at_stripe.pays_invoice()
        assert at_stripe.pays_invoice().state == State.APPLIED
        assert at_stripe.balance.available == 20

    def test_of_an_older_period_than_the_newest_brings_nothing(self, at_stripe, now):
        at_stripe.pays_invoice("2", lines=[at_stripe.line(start=now)])
        event = at_stripe.pays_invoice("1", lines=[at_stripe.line(start=now - MONTH)])
        assert event.state == State.IGNORED
        assert at_stripe.balance.available == 20

    def test_of_a_period_that_is_over_brings_nothing(self, at_stripe, now):
        event = at_stripe.pays_invoice(
            lines=[at_stripe.line(start=now - MONTH - timedelta(days=4))]
        )
        assert (event.state, event.reason) == (State.IGNORED, "The period is already over.")

    def test_paid_late_but_within_its_period_is_granted(self, at_stripe, now):
        at_stripe.pays_invoice(lines=[at_stripe.line(start=now - timedelta(days=5))])
        assert at_stripe.balance.available == 20

    def test_with_a_quantity_brings_that_many_times_the_allowance(self, at_stripe):
        at_stripe.pays_invoice(lines=[at_stripe.line(quantity=3)])
        assert at_stripe.balance.available == 60

    def test_with_several_plans_brings_them_all(self, at_stripe):
        at_stripe.pays_invoice(lines=[at_stripe.line(), at_stripe.line("price_pro")])
        assert at_stripe.balance.available == 120

    def test_made_free_by_a_coupon_brings_the_allowance(self, at_stripe):
        at_stripe.pays_invoice(reason="subscription_create", paid=0)
        assert at_stripe.balance.available == 20

    def test_of_a_trial_brings_nothing(self, at_stripe):
        event = at_stripe.pays_invoice(
            reason="subscription_create", paid=0, lines=[at_stripe.line(amount=0)]
        )
        assert event.state == State.IGNORED
        assert at_stripe.balance.available == 0

    @pytest.mark.parametrize("reason", ["manual", "subscription_threshold", "upcoming", ""])
    def test_for_another_reason_brings_nothing(self, at_stripe, reason):
        assert at_stripe.pays_invoice(reason=reason).state == State.IGNORED
        assert at_stripe.balance.available == 0

    def test_with_an_unknown_price_waits_for_the_price_list(self, at_stripe):
        event = at_stripe.pays_invoice(lines=[at_stripe.line("price_new")])
        assert event.state == State.WAITING
        Offer.objects.filter(slug="starter").update(stripe_price_id="price_new")
        at_stripe.apply(later=timedelta(minutes=1))
        assert at_stripe.balance.available == 20

    def test_for_a_price_that_is_sold_no_more_brings_what_it_always_brought(self, at_stripe, now):
        """Who has a plan keeps it when a successor is published."""
        old = Offer.objects.get(slug="starter")
        successor = replace(drafts.listed(old), slug="starter-2", credits=5, stripe_price_id="")
        draft = drafts.save_draft(successor, replaces_id=old.pk, actor="staff:a", now=now)
        drafts.publish(
            offer_id=draft.pk, price_id="price_new", seen=successor, actor="staff:a", now=now
        )
        old.refresh_from_db()
        assert old.state == "retired"

        at_stripe.pays_invoice()

        assert at_stripe.balance.pools["subscription"] == 20
        assert CreditLot.objects.get().terms["slug"] == "starter"

    def test_of_an_unknown_customer_waits_until_one_is_linked(self, at_stripe):
        event = at_stripe.pays_invoice(customer="cus_2")
        assert event.state == State.WAITING
        assert "cus_2" in event.reason
        at_stripe.account.stripe_customer_id = "cus_2"
        at_stripe.account.save(update_fields=["stripe_customer_id"])
        at_stripe.apply(later=timedelta(minutes=1))
        event.refresh_from_db()
        assert (event.state, event.attempts) == (State.APPLIED, 2)
        assert at_stripe.balance.available == 20

    @pytest.mark.parametrize("broken", [{"lines": {"data": [{"amount": 1}]}}, {"amount_paid": "9"}])
    def test_that_cannot_be_read_is_kept_with_the_reason(self, at_stripe, broken):
        obj = stripe.invoice("1", version=at_stripe.version, lines=[at_stripe.line()])
        event = at_stripe.sends("invoice.paid", {**obj, **broken})
        assert event.state == State.FAILED
        assert "Unreadable" in event.reason
        assert at_stripe.balance.available == 0


class TestAChangeOfPlan:
    def changes(self, at_stripe, number, old, new, *, after):
        start, end = at_stripe.now + after, at_stripe.now + MONTH
        lines = [
            at_stripe.line(old, start, end, amount=-450, proration=True),
            at_stripe.line(new, start, end, amount=2000, proration=True),
        ]
        return at_stripe.pays_invoice(number, lines=lines, reason="subscription_update")

    def test_upwards_brings_the_difference_for_the_time_left(self, at_stripe):
        at_stripe.pays_invoice("1")
        self.changes(at_stripe, "2", "price_starter", "price_pro", after=MONTH / 2)
        assert at_stripe.balance.available == 20 + 40
        lots = CreditLot.objects.filter(remaining__gt=0)
        assert lots.values_list("expires_at", flat=True).distinct().count() == 1

    def test_is_rounded_down(self, at_stripe):
        at_stripe.pays_invoice("1")
        self.changes(at_stripe, "2", "price_starter", "price_pro", after=timedelta(days=29))
        assert at_stripe.balance.available == 20 + 2

    def test_downwards_takes_only_what_is_unspent(self, at_stripe, now):
        at_stripe.pays_invoice("1", lines=[at_stripe.line("price_pro")])
        services.spend(
            account_id=at_stripe.account.pk, amount=90, reference="r", idempotency_key="k", now=now
        )
        self.changes(at_stripe, "2", "price_pro", "price_starter", after=MONTH / 2)
        assert at_stripe.balance.available == 0
        assert at_stripe.balance.owed == 0

    def test_up_and_down_and_up_cannot_make_credits(self, at_stripe):
        at_stripe.pays_invoice("1")
        days = [timedelta(days=day, seconds=7) for day in range(1, 21)]
        for number, after in enumerate(days, start=2):
            plans = ("price_starter", "price_pro")
            self.changes(at_stripe, str(number), *plans[:: 1 if number % 2 else -1], after=after)
        assert at_stripe.balance.available <= 100

    def test_told_twice_counts_once(self, at_stripe, now):
        at_stripe.pays_invoice("1", lines=[at_stripe.line("price_pro")])
        self.changes(at_stripe, "2", "price_pro", "price_starter", after=MONTH / 2)
        event = self.changes(at_stripe, "2", "price_pro", "price_starter", after=MONTH / 2)
        assert event.state == State.APPLIED
        assert at_stripe.balance.available == 60

    def test_told_twice_counts_once_also_when_nothing_was_there_to_take(self, at_stripe, now):
        at_stripe.pays_invoice("1", lines=[at_stripe.line("price_pro")])
        services.spend(
            account_id=at_stripe.account.pk, amount=100, reference="r", idempotency_key="k", now=now
        )
        self.changes(at_stripe, "2", "price_pro", "price_starter", after=MONTH / 4)
        self.changes(at_stripe, "3", "price_starter", "price_pro", after=MONTH / 2)
        self.changes(at_stripe, "2", "price_pro", "price_starter", after=MONTH / 4)
        assert at_stripe.balance.available == 40

    @pytest.mark.parametrize("spent", [0, 15])
    @pytest.mark.parametrize("order", list(permutations("234")), ids="".join)
    def test_up_and_up_and_down_end_the_same_in_every_order(self, at_stripe, now, order, spent):
        Offer.objects.create(
            slug="max", name="max", kind="plan", credits=250, amount=5000, currency="usd",
            interval="month", stripe_price_id="price_max",
        )  # fmt: skip
        at_stripe.pays_invoice("1")
        if spent:
            services.spend(
                account_id=at_stripe.account.pk, amount=spent, reference="r", idempotency_key="k",
                now=now,
            )  # fmt: skip
        ups_and_downs = {
            "2": ("price_starter", "price_pro", MONTH / 4),
            "3": ("price_pro", "price_max", MONTH / 3),
            "4": ("price_max", "price_starter", MONTH / 2),
        }
        for number in order:
            old, new, after = ups_and_downs[number]
            self.changes(at_stripe, number, old, new, after=after)
        for hours in range(1, 4):
            inbox.apply_due(now=now + timedelta(hours=hours))
        assert not InboxEvent.objects.exclude(state=State.APPLIED).exists()
        left = CreditLot.objects.order_by("source_key").values_list("source_key", "remaining")
        expected = [("invoice:in_1", 20 - spent), ("invoice:in_2", 45), ("invoice:in_3", 0)]
        assert list(left) == expected

    def test_from_a_plan_that_was_never_paid_waits_and_takes_nothing(self, at_stripe):
        at_stripe.pays_invoice("1")
        event = self.changes(at_stripe, "3", "price_pro", "price_starter", after=MONTH / 2)
        assert event.state == State.WAITING
        assert "that brought pro has not arrived" in event.reason
        assert at_stripe.balance.available == 20

    def test_of_the_quantity_waits_for_the_one_before(self, at_stripe):
        start, end = at_stripe.now + MONTH / 2, at_stripe.now + MONTH
        at_stripe.pays_invoice("1")

        def quantity(number, old, new):
            lines = [
                at_stripe.line(
                    "price_starter", start, end, amount=-450, quantity=old, proration=True
                ),
                at_stripe.line(
                    "price_starter", start, end, amount=900, quantity=new, proration=True
                ),
            ]
            return at_stripe.pays_invoice(number, lines=lines, reason="subscription_update")

        assert quantity("3", 3, 2).state == State.WAITING
        assert quantity("2", 1, 3).state == State.APPLIED
        assert at_stripe.balance.available == 20 + 20
