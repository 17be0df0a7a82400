"""A trial brings the trial allowance of its plan, once; what follows it is like any plan."""

import json
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection

from credits import services
from credits.explanations import bought_words
from credits.models import CreditLot, InboxEvent, Notice, Offer, Payment
from credits.models.core import AccountQuerySet
from credits.notices.letters import letter_of
from credits.payments import inbox, intake
from credits.payments.tests import events as stripe
from credits.payments.tests.events import MONTH
from credits.payments.trials import has_had_plan, trial_days
from credits.tests.race import meet_before, race

pytestmark = pytest.mark.django_db
State = InboxEvent.State
WEEK = timedelta(days=7)


@pytest.fixture(autouse=True)
def with_a_trial(offers):
    """Seven days and 5 credits for starter, as many days and 50 credits for pro."""
    for slug, trial_credits in [("starter", 5), ("pro", 50)]:
        offer = Offer.objects.get(slug=slug)
        offer.trial_days, offer.trial_credits = 7, trial_credits
        offer.save(never_bought=True)


class Trial:
    """What happens to one customer's trial, told by Stripe."""

    def __init__(self, at_stripe):
        self.at_stripe = at_stripe
        self.ends = at_stripe.now + WEEK

    def invoice(self, number="1", price="price_starter", quantity=1, **changes):
        line = self.at_stripe.line(
            price, self.at_stripe.now, self.ends, amount=0, quantity=quantity
        )
        return stripe.invoice(
            number, version=self.at_stripe.version, lines=[line], reason="subscription_create",
            paid=0, **changes,
        )  # fmt: skip

    def begins(self, *args, **changes):
        return self.at_stripe.sends("invoice.paid", self.invoice(*args, **changes))

    def is_paid_on(self, number="2", price="price_starter"):
        return self.at_stripe.pays_invoice(number, lines=[self.at_stripe.line(price, self.ends)])

    def changes_plan(self, number="3", old=0, new=0):
        start = self.at_stripe.now + timedelta(days=1)
        lines = [
            self.at_stripe.line("price_starter", start, self.ends, amount=old, proration=True),
            self.at_stripe.line("price_pro", start, self.ends, amount=new, proration=True),
        ]
        return self.at_stripe.pays_invoice(
            number, lines=lines, reason="subscription_update", paid=0
        )


@pytest.fixture
def trial(at_stripe):
    return Trial(at_stripe)


class TestATrial:
    def test_brings_the_plans_trial_allowance_until_it_ends(self, trial, at_stripe, now):
        event = trial.begins()
        assert (event.state, event.fact_key) == (State.APPLIED, "invoice:in_1")
        assert at_stripe.balance.pools == {"subscription": 5, "promotional": 0, "bulk": 0}
        lot = CreditLot.objects.get()
        assert lot.expires_at == trial.ends + timedelta(days=3)  # like every paid period
        assert (lot.terms["trial"], lot.amount_paid) == (True, 0)
        assert bought_words(lot).startswith("Trial of plan starter, ")

    def test_brings_it_for_each_piece(self, trial, at_stripe):
        trial.begins(quantity=3)
        assert at_stripe.balance.available == 15

    def test_was_not_paid_and_has_nothing_to_refund(self, trial):
        trial.begins()
        assert not Payment.objects.exists()

    def test_told_by_two_events_counts_once(self, trial, at_stripe):
        trial.begins()
        assert trial.begins().state == State.APPLIED
        assert at_stripe.balance.available == 5

    def test_is_told_as_a_trial_and_not_as_a_payment(self, trial):
        trial.begins()
        notice = Notice.objects.get()
        letter = letter_of(notice)
        assert notice.kind == Notice.Kind.TRIAL
        assert letter.subject == "Your trial of starter has begun: 5 credits added"
        assert "$9.00, which bring 20 credits." in letter.paragraphs[1]
        assert "Paid" not in dict(letter.facts)

    def test_of_a_plan_without_an_allowance_brings_nothing(self, trial, at_stripe):
        starter = Offer.objects.get(slug="starter")
        starter.trial_days = starter.trial_credits = 0
        starter.save(never_bought=True)
        event = trial.begins()
        assert (event.state, event.reason) == (State.IGNORED, "A trial: nothing was bought.")
        assert at_stripe.balance.available == 0

    def test_ends_with_its_subscription(self, trial, at_stripe):
        trial.begins()
        at_stripe.changes_subscription("deleted", status="canceled")
        assert at_stripe.balance.available == 0


class TestTheFirstPaidPeriod:
    def test_resets_what_the_trial_left(self, trial, at_stripe):
        trial.begins()
        assert trial.is_paid_on().state == State.APPLIED
        assert at_stripe.balance.available == 20
        assert Notice.objects.filter(kind=Notice.Kind.RENEWAL).count() == 1

    def test_carries_over_at_most_the_plans_cap(self, trial, at_stripe):
        trial.begins(price="price_pro")
        trial.is_paid_on(price="price_pro")
        assert at_stripe.balance.available == 100 + 5

    def test_that_arrives_first_leaves_nothing_to_the_trial(self, trial, at_stripe):
        trial.is_paid_on()
        event = trial.begins()
        assert event.reason == "A trial: a period of this plan has been granted already."
        assert at_stripe.balance.available == 20


class TestNobodyLivesOnTrials:
    def test_a_second_subscriptions_trial_brings_nothing(self, trial, at_stripe):
        trial.begins()
        at_stripe.changes_subscription("deleted", status="canceled")
        event = trial.begins("2", subscription="sub_2")
        assert event.reason == "A trial: the account has had a plan before."
        assert at_stripe.balance.available == 0

    def test_nor_one_after_a_plan_that_was_paid(self, trial, at_stripe):
        at_stripe.pays_invoice("1", subscription="sub_0")
        assert trial.begins("2").state == State.IGNORED
        assert at_stripe.balance.available == 20

    def test_nor_one_after_a_plan_that_was_taken_over_from_elsewhere(self, trial, at_stripe, now):
        services.grant(
            account_id=at_stripe.account.pk, pool="subscription", amount=9,
            source_key="import:1", expires_at=now + MONTH, now=now,
        )  # fmt: skip
        assert trial.begins().state == State.IGNORED
        assert at_stripe.balance.available == 9

    def test_nor_a_longer_trial_of_the_same_subscription(self, trial, at_stripe):
        trial.begins()
        trial.ends += WEEK
        assert trial.begins("2").state == State.IGNORED
        assert at_stripe.balance.available == 5

    def test_nor_a_free_period_that_is_not_the_first(self, trial, at_stripe):
        line = at_stripe.line(amount=0)
        event = at_stripe.pays_invoice(lines=[line], reason="subscription_cycle", paid=0)
        assert (event.state, at_stripe.balance.available) == (State.IGNORED, 0)

    def test_checkout_opens_a_trial_for_who_never_had_a_plan(self, trial, at_stripe):
        starter, account_id = Offer.objects.get(slug="starter"), at_stripe.account.pk
        assert trial_days(starter, account_id=account_id) == 7
        assert trial_days(Offer.objects.get(slug="pack-50"), account_id=account_id) == 0
        trial.begins()
        assert trial_days(starter, account_id=account_id) == 0

    def test_a_subscription_that_brought_nothing_counts_as_a_plan_too(self, at_stripe):
        at_stripe.changes_subscription(status="canceled")
        assert has_had_plan(account_id=at_stripe.account.pk)

    def test_credits_of_other_kinds_do_not(self, at_stripe, now):
        services.grant(
            account_id=at_stripe.account.pk, pool="bulk", amount=5, source_key="x", now=now
        )
        assert not has_had_plan(account_id=at_stripe.account.pk)


@pytest.mark.django_db(transaction=True)
class TestTwoTrialsAtTheSameMoment:
    @pytest.fixture
    def both(self, trial, at_stripe, now):
        """Two calls, each applies the first invoice of another subscription."""

        def stored(number):
            invoice = trial.invoice(str(number), subscription=f"sub_{number}")
            row = intake.parse(json.dumps(stripe.event("invoice.paid", invoice, created=now)))
            row.next_attempt_at = now
            intake.store(row)
            return InboxEvent.objects.get(event_id=row.event_id).pk

        return [partial(inbox.apply_one, stored(number), now=now) for number in (1, 2)]

    def test_bring_one_allowance(self, both, at_stripe):
        race(*both)
        assert at_stripe.balance.available == CreditLot.objects.get().granted == 5

    @pytest.mark.skipif(
        connection.vendor == "sqlite", reason="BEGIN IMMEDIATE is the lock on SQLite"
    )
    def test_would_bring_two_without_the_accounts_lock(self, both, monkeypatch):
        monkeypatch.setattr(AccountQuerySet, "locked", lambda self: self.all())
        meet_before(monkeypatch, 2, services, "reset_subscription")
        race(*both)
        assert CreditLot.objects.count() == 2


class TestAChangeOfPlanDuringATrial:
    def test_brings_nothing_because_its_lines_cost_nothing(self, trial, at_stripe):
        trial.begins()
        assert trial.changes_plan().state == State.IGNORED
        assert at_stripe.balance.available == 5

    def test_brings_nothing_without_a_trial_allowance_either(self, trial, at_stripe):
        event = trial.changes_plan()
        assert event.state == State.IGNORED  # and does not wait for an invoice that never comes
        assert at_stripe.balance.available == 0

    def test_is_followed_by_the_new_plans_period(self, trial, at_stripe):
        trial.begins()
        trial.changes_plan()
        trial.is_paid_on("4", price="price_pro")
        assert at_stripe.balance.available == 100 + 5

    @pytest.mark.parametrize(("old", "new"), [(-450, 1450), (-450, 0), (0, 1450)])
    def test_but_one_with_a_coupon_brings_the_difference(self, at_stripe, now, old, new):
        """Discounts are inside the amounts of prorations, unless Stripe is told to itemize them."""
        at_stripe.pays_invoice("1", reason="subscription_create", paid=0)
        start, end = now + MONTH / 2, now + MONTH
        lines = [
            at_stripe.line("price_starter", start, end, amount=old, proration=True),
            at_stripe.line("price_pro", start, end, amount=new, proration=True),
        ]
        at_stripe.pays_invoice("2", lines=lines, reason="subscription_update", paid=0)
        assert at_stripe.balance.available == 20 + 40
