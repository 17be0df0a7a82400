"""A refund that fails gives back what it took, in whatever order its events come."""

from datetime import timedelta
from itertools import permutations

import pytest
from django.db import transaction

from credits import services
from credits.models import CreditLot, InboxEvent, Notice, Payment, RetailToken
from credits.payments.tests import events as stripe

pytestmark = pytest.mark.django_db
MADE, FAILED = "refund.created", "refund.failed"


class Bank:
    """Refunds of the first purchase, made and failing at known times."""

    def __init__(self, at_stripe):
        self.at_stripe, self.now = at_stripe, at_stripe.now

    def refund(self, number, amount, *, day, failed_on=None, kind=MADE):
        status = "succeeded" if failed_on is None else "failed"
        made = self.now + timedelta(days=day)
        obj = stripe.refund(number, "pi_cs_1", amount=amount, made=made, status=status)
        created = made if failed_on is None else self.now + timedelta(days=failed_on)
        return self.at_stripe.sends(kind, obj, created=created)

    def charge(self, refunded, *, day, **more):
        obj = {**stripe.charge("pi_cs_1", amount=500, refunded=refunded), **more}
        return self.at_stripe.sends("charge.refunded", obj, created=self.now + timedelta(days=day))

    @property
    def left(self):
        return self.at_stripe.balance.available


@pytest.fixture
def bank(at_stripe):
    at_stripe.sends("checkout.session.completed", stripe.session("1", offer="pack-50"))
    return Bank(at_stripe)


class TestAFailedRefund:
    def test_gives_back_what_it_took_once(self, bank):
        bank.charge(500, day=1)
        assert bank.left == 0
        for kind in ("refund.updated", "refund.failed", "charge.refund.updated", "refund.failed"):
            bank.refund("1", 500, day=1, failed_on=3, kind=kind)
        assert bank.left == 50

    def test_is_told_to_staff_once(self, bank):
        bank.charge(500, day=1)
        for kind in ("refund.updated", "refund.failed", "charge.refund.updated"):
            bank.refund("1", 500, day=1, failed_on=3, kind=kind)
        [notice] = Notice.objects.filter(kind="staff")
        assert "the credits, but not the money" in notice.context["text"]
        payment = Payment.objects.get()
        assert notice.context["path"] == f"/admin/credits/payment/{payment.pk}/change/"

    def test_that_is_told_before_the_refund_ends_the_same(self, bank):
        bank.refund("1", 500, day=1, failed_on=3, kind=FAILED)
        bank.charge(500, day=1)
        assert bank.left == 50

    def test_of_several_leaves_the_others(self, bank):
        bank.charge(100, day=1)
        bank.charge(300, day=2)
        bank.refund("1", 100, day=1, failed_on=3, kind=FAILED)
        assert bank.left == 30
        bank.charge(250, day=4)  # 300 - 100 + 50
        assert bank.left == 25

    def test_lowers_what_is_owed_first(self, bank, now):
        services.spend(
            account_id=bank.at_stripe.account.pk,
            amount=40,
            reference="r",
            idempotency_key="k",
            now=now,
        )
        bank.charge(500, day=1)
        assert (bank.left, bank.at_stripe.balance.owed) == (0, 40)
        bank.refund("1", 500, day=1, failed_on=3, kind=FAILED)
        assert (bank.left, bank.at_stripe.balance.owed) == (10, 0)

    def test_is_told_by_a_smaller_sum_alone(self, bank):
        bank.charge(300, day=1)
        bank.charge(100, day=5)
        assert bank.left == 40

    def test_in_the_second_of_the_sum_is_taken_off_it(self, bank):
        bank.charge(300, day=1)
        bank.refund("1", 300, day=1, failed_on=1, kind=FAILED)
        assert bank.left == 50
        bank.refund("2", 200, day=1)
        bank.charge(200, day=1)
        assert bank.left == 30

    def test_in_a_charge_that_lists_its_refunds_is_read(self, bank):
        bank.charge(300, day=1)
        made = bank.now + timedelta(days=1)
        refund = stripe.refund("1", "pi_cs_1", amount=300, made=made, status="failed")
        bank.charge(0, day=2, refunds={"object": "list", "data": [refund]})
        assert bank.left == 50

    def test_while_a_dispute_is_open_comes_back_set_aside(self, bank):
        bank.charge(300, day=1)
        dispute = stripe.dispute("pi_cs_1", status="needs_response", amount=200)
        bank.at_stripe.sends("charge.dispute.created", dispute)
        bank.refund("1", 300, day=1, failed_on=3, kind=FAILED)
        assert (bank.left, CreditLot.objects.get().frozen) == (0, 50)

    def test_frees_a_token_that_it_had_revoked(self, at_stripe):
        at_stripe.sends("checkout.session.completed", stripe.session("1", offer="single"))
        bank = Bank(at_stripe)
        bank.charge(500, day=1)
        assert at_stripe.balance.retail_tokens == 0
        bank.refund("1", 500, day=1, failed_on=3, kind=FAILED)
        assert at_stripe.balance.retail_tokens == 1
        assert RetailToken.objects.get().state == RetailToken.State.AVAILABLE

    def test_before_its_purchase_waits(self, at_stripe):
        event = Bank(at_stripe).refund("1", 500, day=1, failed_on=3, kind=FAILED)
        assert event.state == InboxEvent.State.WAITING

    def test_ends_the_same_in_every_order(self, bank):
        tell = {
            "made": lambda: bank.refund("1", 200, day=1),
            "sum": lambda: bank.charge(200, day=1),
            "failed": lambda: bank.refund("1", 200, day=1, failed_on=3, kind=FAILED),
            "another": lambda: bank.charge(100, day=4),
        }
        for order in permutations(tell):
            with transaction.atomic():
                for name in order:
                    tell[name]()
                assert bank.left == 40, order
                transaction.set_rollback(True)
