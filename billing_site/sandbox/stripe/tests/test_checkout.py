"""Checkout as a customer sees it, and the events that tell the shop."""

import re

import pytest
import stripe

from billing_site.sandbox.stripe.tests.conftest import (
    ADDRESS,
    CHALLENGED,
    DECLINED,
    GOOD,
)

PAID = ["charge.succeeded", "payment_intent.succeeded"]


class TestAPayment:
    def test_is_made_on_the_page_and_reported(self, shop, visitor):
        session = shop.session(shop.pack, quantity=3, metadata={"offer": "pack"})
        visitor.open(session.url)
        assert "Sandbox: no real money" in visitor.text
        assert "15.00 USD" in visitor.text
        shop.fresh()
        visitor.press("action", "pay", card=GOOD)
        assert visitor.address == f"{ADDRESS}/thanks?session={session.id}"
        assert shop.delivered() == [
            "payment_intent.created",
            "payment_method.attached",
            *PAID,
            "checkout.session.completed",
        ]
        completed = shop.receiver.last("checkout.session.completed")
        assert (completed["payment_status"], completed["amount_total"]) == ("paid", 1500)
        assert completed["metadata"] == {"offer": "pack"}
        assert completed["customer"] == shop.customer.id
        intent = shop.client.v1.payment_intents.retrieve(
            completed["payment_intent"], {"expand": ["latest_charge"]}
        )
        assert intent.latest_charge.amount == 1500

    def test_is_made_once(self, shop, visitor):
        session = shop.session(shop.pack)
        visitor.open(session.url).press("action", "pay", card=GOOD)
        assert "already been paid" in visitor.open(session.url).text
        visitor.post(session.url, action="pay", card=GOOD)
        assert shop.delivered().count("charge.succeeded") == 1

    def test_declined_can_be_made_with_another_card(self, shop, visitor):
        session = shop.session(shop.pack)
        shop.fresh()
        visitor.open(session.url).press("action", "pay", card=DECLINED)
        assert (visitor.status, visitor.address) == (402, session.url)
        assert "Your card was declined." in visitor.text
        assert "payment_intent.payment_failed" in shop.delivered()
        assert "checkout.session.completed" not in shop.receiver.types
        visitor.press("action", "pay", card=GOOD)
        assert visitor.address.startswith(ADDRESS)
        assert shop.delivered().count("payment_intent.created") == 1

    def test_takes_no_card_that_is_not_a_test_card(self, shop, visitor, state_file):
        visitor.open(shop.session(shop.pack).url)
        visitor.press("action", "pay", card="4111 1111 1111 1111")
        assert visitor.status == 402
        assert "non test card" in visitor.text
        assert not re.search("4111 ?1111 ?1111", state_file.read_text())

    def test_can_be_cancelled(self, shop, visitor):
        assert f'href="{ADDRESS}/pricing"' in visitor.open(shop.session(shop.pack).url).text

    def test_by_bank_debit_arrives_later(self, shop, visitor):
        session = shop.session(shop.pack)
        shop.fresh()
        visitor.open(session.url).press("action", "debit")
        shop.delivered()
        assert shop.receiver.last("checkout.session.completed")["payment_status"] == "unpaid"
        shop.sandbox.advance(4)
        shop.delivered()
        late = shop.receiver.last("checkout.session.async_payment_succeeded")
        assert (late["id"], late["payment_status"]) == (session.id, "paid")

    def test_by_bank_debit_may_bounce(self, shop, visitor):
        session = shop.session(shop.pack)
        visitor.open(session.url).press("action", "bounce")
        shop.fresh()
        shop.sandbox.advance(4)
        assert shop.delivered() == [
            "payment_intent.payment_failed",
            "checkout.session.async_payment_failed",
        ]
        assert shop.receiver.last("checkout.session.async_payment_failed")["id"] == session.id


class TestThreeDSecure:
    def challenge(self, shop, visitor):
        session = shop.session(shop.plan)
        visitor.open(session.url).press("action", "pay", card=CHALLENGED)
        assert "/c/challenge/" in visitor.address
        return session

    def test_completed_pays(self, shop, visitor):
        session = self.challenge(shop, visitor)
        visitor.press("answer", "complete")
        assert visitor.address.startswith(ADDRESS)
        assert shop.client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
        assert "payment_intent.requires_action" in shop.delivered()

    def test_failed_leads_back_to_the_card(self, shop, visitor):
        session = self.challenge(shop, visitor)
        visitor.press("answer", "fail")
        assert "unable to authenticate" in visitor.text
        assert shop.delivered()[-1] == "payment_intent.payment_failed"
        visitor.open(session.url).press("action", "pay", card=GOOD)
        assert visitor.address.startswith(ADDRESS)

    def test_cannot_be_passed_without_a_card(self, shop, visitor):
        session = shop.session(shop.plan)
        visitor.post(f"{shop.sandbox.address}/c/challenge/{session.id}", answer="complete")
        assert visitor.address == session.url
        assert "charge.succeeded" not in shop.delivered()


class TestPromotionCodes:
    @pytest.fixture
    def code(self, client):
        coupon = client.v1.coupons.create({"percent_off": 25, "duration": "once"})
        return client.v1.promotion_codes.create(
            {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "SPRING"}
        )

    def test_take_their_part_off(self, shop, visitor, code):
        session = shop.session(shop.pack, allow_promotion_codes=True)
        visitor.open(session.url).press("action", "apply", promotion_code="spring")
        assert "3.75 USD" in visitor.text
        visitor.press("action", "pay", card=GOOD)
        paid = shop.client.v1.checkout.sessions.retrieve(session.id)
        assert (paid.amount_total, paid.total_details.amount_discount) == (375, 125)

    def test_of_once_leave_the_renewal_alone(self, shop, code):
        shop.buy(shop.plan, discounts=[{"promotion_code": code.id}])
        shop.sandbox.advance(32)
        paid = shop.client.v1.invoices.list({"customer": shop.customer.id})
        assert [invoice.amount_paid for invoice in paid.data] == [900, 675]

    def test_that_make_it_free_need_no_card(self, shop, visitor, client):
        coupon = client.v1.coupons.create({"percent_off": 100, "duration": "once"})
        session = shop.session(shop.pack, discounts=[{"coupon": coupon.id}])
        shop.fresh()
        visitor.open(session.url).press("action", "pay")
        assert shop.delivered() == ["checkout.session.completed"]
        completed = shop.receiver.last("checkout.session.completed")
        assert completed["payment_status"] == "no_payment_required"
        assert completed["payment_intent"] is None

    def test_unknown_are_refused(self, shop, visitor):
        visitor.open(shop.session(shop.pack, allow_promotion_codes=True).url)
        visitor.press("action", "apply", promotion_code="NOPE")
        assert "This code is invalid." in visitor.text


class TestASession:
    def test_expires_after_a_day(self, shop, visitor):
        session = shop.session(shop.pack)
        shop.sandbox.advance(2)
        assert shop.delivered()[-1] == "checkout.session.expired"
        assert "has expired" in visitor.open(session.url).text

    def test_is_expired_by_the_shop(self, shop):
        session = shop.session(shop.pack)
        expired = shop.client.v1.checkout.sessions.expire(session.id)
        assert (expired.status, expired.url) == ("expired", None)
        with pytest.raises(stripe.InvalidRequestError, match="Only Checkout Sessions"):
            shop.client.v1.checkout.sessions.expire(session.id)

    def test_shows_its_lines_when_asked(self, shop):
        session = shop.session(shop.pack, quantity=2, expand=["line_items"])
        assert session.line_items.data[0].quantity == 2
        lines = shop.client.v1.checkout.sessions.line_items.list(session.id)
        assert lines.data[0].price.id == shop.pack.id

    def test_prices_what_has_no_price_of_its_own(self, shop):
        data = {"currency": "usd", "unit_amount": 150, "product_data": {"name": "Single"}}
        session = shop.session(shop.pack, line_items=[{"price_data": data, "quantity": 2}])
        assert session.amount_total == 300
