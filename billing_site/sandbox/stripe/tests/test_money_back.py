"""Refunds and disputes, through the API and the control page."""

import pytest
import stripe

DISPUTED_CARD = "4000 0000 0000 0259"


@pytest.fixture
def intent(shop):
    bought = shop.buy(shop.pack)
    shop.fresh()
    return bought.payment_intent


def control(shop, verb, **fields):
    shop.visitor.post(f"{shop.sandbox.address}/_sandbox/{verb}", **fields)
    assert shop.visitor.status == 200, shop.visitor.text
    return shop.delivered()


class TestARefund:
    def test_in_parts_adds_up(self, shop, intent, client):
        client.v1.refunds.create({"payment_intent": intent, "amount": 200})
        assert shop.delivered() == ["refund.created", "charge.refunded", "refund.updated"]
        charge = shop.receiver.last("charge.refunded")
        assert (charge["amount_refunded"], charge["refunded"]) == (200, False)
        client.v1.refunds.create({"payment_intent": intent})
        shop.delivered()
        charge = shop.receiver.last("charge.refunded")
        assert (charge["amount_refunded"], charge["refunded"]) == (500, True)
        refunds = client.v1.refunds.list({"payment_intent": intent})
        assert [row.amount for row in refunds.data] == [300, 200]

    def test_of_more_than_is_left_is_refused(self, client, intent):
        with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
            client.v1.refunds.create({"payment_intent": intent, "amount": 501})
        client.v1.refunds.create({"payment_intent": intent})
        with pytest.raises(stripe.InvalidRequestError) as caught:
            client.v1.refunds.create({"payment_intent": intent})
        assert caught.value.code == "charge_already_refunded"

    def test_that_fails_gives_back(self, shop, intent, client):
        refund = client.v1.refunds.create({"payment_intent": intent, "amount": 200})
        shop.fresh()
        assert "refund.failed" in control(shop, "fail_refund", charge=refund.charge)
        assert client.v1.charges.retrieve(refund.charge).amount_refunded == 0


class TestADispute:
    @pytest.fixture
    def dispute(self, shop, intent, client):
        charge = client.v1.charges.list({"payment_intent": intent}).data[0]
        control(shop, "dispute", charge=charge.id)
        return client.v1.disputes.list({"payment_intent": intent}).data[0]

    def test_takes_the_money_at_once(self, shop, dispute, client):
        assert (dispute.status, dispute.amount) == ("needs_response", 500)
        assert shop.delivered() == [
            "charge.dispute.created",
            "charge.dispute.funds_withdrawn",
            "charge.updated",
        ]
        with pytest.raises(stripe.InvalidRequestError) as caught:
            client.v1.refunds.create({"charge": dispute.charge})
        assert caught.value.code == "charge_disputed"

    def test_won_brings_it_back(self, shop, dispute):
        shop.fresh()
        assert control(shop, "close", dispute=dispute.id, won="yes") == [
            "charge.dispute.closed",
            "charge.dispute.funds_reinstated",
        ]
        assert shop.receiver.last("charge.dispute.closed")["status"] == "won"

    def test_lost_does_not(self, shop, dispute, client):
        shop.fresh()
        assert client.v1.disputes.close(dispute.id).status == "lost"
        assert shop.delivered() == ["charge.dispute.closed"]

    def test_is_decided_by_the_words_of_the_evidence(self, dispute, client):
        evidence = {"uncategorized_text": "winning_evidence"}
        assert client.v1.disputes.update(dispute.id, {"evidence": evidence}).status == "won"

    def test_is_opened_and_decided_from_python(self, shop, intent, client):
        charge = client.v1.charges.list({"payment_intent": intent}).data[0]
        dispute = shop.sandbox.open_dispute(charge.id)
        shop.sandbox.close_dispute(dispute, won=True)
        assert client.v1.disputes.retrieve(dispute).status == "won"
        assert shop.sandbox.events()[-1]["type"] == "charge.dispute.funds_reinstated"

    def test_comes_by_itself_with_a_certain_card(self, shop):
        shop.buy(shop.pack, card=DISPUTED_CARD)
        assert "charge.dispute.created" in shop.delivered()

    def test_that_is_an_inquiry_moves_no_money(self, shop, intent, client):
        charge = client.v1.charges.list({"payment_intent": intent}).data[0]
        sent = control(shop, "dispute", charge=charge.id, inquiry="yes")
        assert "charge.dispute.funds_withdrawn" not in sent
        assert shop.receiver.last("charge.dispute.created")["status"] == "warning_needs_response"
