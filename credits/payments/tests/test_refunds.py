"""What refunds and disputes take back."""

from datetime import timedelta

import pytest

from credits import services
from credits.models import CreditLot, InboxEvent, Payment, RetailToken
from credits.payments.tests import events as stripe

pytestmark = pytest.mark.django_db
State = InboxEvent.State


class TestARefund:
    def bought(self, at_stripe, **spend):
        at_stripe.sends("checkout.session.completed", stripe.session("1", offer="pack-50"))
        if spend:
            services.spend(
                account_id=at_stripe.account.pk,
                reference="r",
                idempotency_key="k",
                now=at_stripe.now,
                **spend,
            )

    def refunds(self, at_stripe, refunded, *, payment="pi_cs_1", amount=500):
        obj = stripe.charge(payment, amount=amount, refunded=refunded)
        return at_stripe.sends("charge.refunded", obj)

    def test_in_full_takes_the_pack_back(self, at_stripe):
        self.bought(at_stripe)
        self.refunds(at_stripe, 500)
        assert at_stripe.balance.available == 0

    def test_in_parts_books_only_the_difference(self, at_stripe):
        self.bought(at_stripe)
        for refunded in (100, 300, 200, 300):
            self.refunds(at_stripe, refunded)
        assert at_stripe.balance.available == 20

    def test_of_what_was_spent_is_owed_and_paid_by_the_next_purchase(self, at_stripe):
        self.bought(at_stripe, amount=40)
        self.refunds(at_stripe, 500)
        assert (at_stripe.balance.available, at_stripe.balance.owed) == (0, 40)
        at_stripe.sends("checkout.session.completed", stripe.session("2", offer="pack-50"))
        assert (at_stripe.balance.available, at_stripe.balance.owed) == (10, 0)

    def test_that_comes_before_its_purchase_waits_for_it(self, at_stripe):
        event = self.refunds(at_stripe, 500)
        assert event.state == State.WAITING
        self.bought(at_stripe)
        at_stripe.apply(later=timedelta(minutes=1))
        event.refresh_from_db()
        assert event.state == State.APPLIED
        assert at_stripe.balance.available == 0

    def test_of_an_invoice_takes_only_that_periods_credits(self, at_stripe):
        self.bought(at_stripe)
        at_stripe.pays_invoice()
        self.refunds(at_stripe, 900, payment="pi_in_1", amount=900)
        assert at_stripe.balance.pools == {"subscription": 0, "promotional": 0, "bulk": 50}

    def test_finds_the_invoice_through_invoice_payment_paid(self, at_stripe):
        obj = stripe.invoice("1", version=at_stripe.version, lines=[at_stripe.line()])
        obj.pop("payments", None), obj.pop("payment_intent", None)
        at_stripe.sends("invoice.paid", obj)
        payment = {"type": "payment_intent", "payment_intent": "pi_9"}
        paid = {
            "object": "invoice_payment",
            "invoice": "in_1",
            "amount_paid": 900,
            "payment": payment,
        }
        at_stripe.sends("invoice_payment.paid", {"id": "inpay_1", **paid})
        self.refunds(at_stripe, 900, payment="pi_9", amount=900)
        assert at_stripe.balance.available == 0

    def test_revokes_an_unused_token(self, at_stripe):
        at_stripe.sends("checkout.session.completed", stripe.session("1", offer="single"))
        self.refunds(at_stripe, 500)
        assert at_stripe.balance.retail_tokens == 0
        assert RetailToken.objects.get().state == RetailToken.State.REVOKED

    def test_leaves_a_used_token_used(self, at_stripe, now):
        at_stripe.sends("checkout.session.completed", stripe.session("1", offer="single"))
        account_id = at_stripe.account.pk
        services.reserve_retail_token(account_id=account_id, reference="g", now=now)
        services.use_retail_token(account_id=account_id, reference="g", now=now)
        assert self.refunds(at_stripe, 500).state == State.APPLIED
        assert RetailToken.objects.get().state == RetailToken.State.USED

    def test_waits_for_the_generation_that_is_using_the_token(self, at_stripe, now):
        at_stripe.sends("checkout.session.completed", stripe.session("1", offer="single"))
        account_id = at_stripe.account.pk
        services.reserve_retail_token(account_id=account_id, reference="g", now=now)
        event = self.refunds(at_stripe, 500)
        assert event.state == State.WAITING
        services.return_retail_token(account_id=account_id, reference="g", now=now)
        at_stripe.apply(later=timedelta(minutes=1))
        event.refresh_from_db()
        assert event.state == State.APPLIED
        assert RetailToken.objects.get().state == RetailToken.State.REVOKED


class TestADispute:
    @pytest.fixture
    def at_stripe(self, at_stripe):
        at_stripe.sends("checkout.session.completed", stripe.session("1", offer="pack-50"))
        return at_stripe

    def disputes(self, at_stripe, kind, status):
        obj = stripe.dispute("pi_cs_1", status=status, amount=500)
        return at_stripe.sends(f"charge.dispute.{kind}", obj)

    def test_opened_sets_the_credits_aside(self, at_stripe):
        self.disputes(at_stripe, "created", "needs_response")
        assert at_stripe.balance.available == 0
        assert CreditLot.objects.get().frozen == 50

    def test_won_frees_them(self, at_stripe):
        self.disputes(at_stripe, "created", "needs_response")
        self.disputes(at_stripe, "closed", "won")
        assert at_stripe.balance.available == 50

    def test_lost_takes_them(self, at_stripe):
        self.disputes(at_stripe, "created", "needs_response")
        self.disputes(at_stripe, "closed", "lost")
        assert (at_stripe.balance.available, CreditLot.objects.get().frozen) == (0, 0)

    @pytest.mark.parametrize(("outcome", "left"), [("won", 50), ("lost", 0)])
    def test_closed_before_it_was_opened_ends_the_same(self, at_stripe, outcome, left):
        self.disputes(at_stripe, "closed", outcome)
        assert self.disputes(at_stripe, "created", "needs_response").state == State.IGNORED
        assert at_stripe.balance.available == left

    def test_that_is_only_an_inquiry_moves_nothing(self, at_stripe):
        assert self.disputes(at_stripe, "created", "warning_needs_response").state == State.IGNORED
        self.disputes(at_stripe, "closed", "warning_closed")
        assert at_stripe.balance.available == 50

    def test_lost_after_a_refund_of_a_part_takes_no_more_than_was_bought(self, at_stripe):
        at_stripe.sends("charge.refunded", stripe.charge("pi_cs_1", amount=500, refunded=200))
        self.disputes(at_stripe, "closed", "lost")
        assert (at_stripe.balance.available, at_stripe.balance.owed) == (0, 0)
        assert Payment.objects.get().lost == 500
