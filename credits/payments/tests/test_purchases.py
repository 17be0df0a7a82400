"""What Checkout delivers."""

import pytest

from credits.models import CreditLot, InboxEvent
from credits.payments.tests import events as stripe

pytestmark = pytest.mark.django_db
State = InboxEvent.State


class TestACheckoutSession:
    def test_delivers_a_pack_that_never_ends(self, at_stripe):
        event = at_stripe.sends("checkout.session.completed", stripe.session("1", offer="pack-50"))
        assert event.fact_key == "checkout:cs_1"
        assert at_stripe.balance.pools["bulk"] == 50
        assert CreditLot.objects.get().expires_at is None

    def test_delivers_as_many_as_were_paid(self, at_stripe):
        bought = {"offer": "pack-50", "quantity": "3"}
        obj = stripe.session("1", offer="pack-50", metadata=bought)
        at_stripe.sends("checkout.session.completed", obj)
        assert at_stripe.balance.pools["bulk"] == 150

    def test_delivers_retail_tokens(self, at_stripe):
        bought = {"offer": "single", "quantity": "2"}
        at_stripe.sends(
            "checkout.session.completed", stripe.session("1", offer="single", metadata=bought)
        )
        assert at_stripe.balance.retail_tokens == 2

    def test_not_paid_yet_delivers_when_the_payment_succeeds(self, at_stripe):
        unpaid = stripe.session("1", offer="pack-50", payment_status="unpaid")
        assert at_stripe.sends("checkout.session.completed", unpaid).state == State.IGNORED
        assert at_stripe.balance.available == 0
        paid = stripe.session("1", offer="pack-50")
        at_stripe.sends("checkout.session.async_payment_succeeded", paid)
        at_stripe.sends("checkout.session.completed", paid)
        assert at_stripe.balance.available == 50

    @pytest.mark.parametrize(
        "changes",
        [
            {"mode": "subscription"},
            {"metadata": {}},
            {"metadata": {"offer": "pack-50", "quantity": "-1"}},
        ],
        ids=str,
    )
    def test_that_is_not_a_purchase_here_is_ignored(self, at_stripe, changes):
        obj = stripe.session("1", offer="pack-50", **changes)
        assert at_stripe.sends("checkout.session.completed", obj).state == State.IGNORED
        assert at_stripe.balance.available == 0

    def test_credits_the_customers_account_whatever_the_metadata_says(self, at_stripe, new_account):
        other = new_account()
        metadata = {"offer": "pack-50", "user": str(other.user_id), "account": str(other.pk)}
        obj = stripe.session("1", offer="pack-50", metadata=metadata, client_reference_id=other.pk)
        at_stripe.sends("checkout.session.completed", obj)
        assert at_stripe.balance.available == 50
