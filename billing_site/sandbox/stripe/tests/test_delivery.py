"""Events arrive; and, when that is wished, badly."""

import pytest

NAMES = [f"{number}@example.com" for number in range(8)]


def customers(client, names=NAMES):
    return [client.v1.customers.create({"email": name}).id for name in names]


def arrived(receiver):
    return [event["data"]["object"]["id"] for event in receiver.events]


class TestDelivery:
    def test_is_in_order(self, sandbox, client, receiver):
        made = customers(client)
        assert sandbox.wait_until_delivered()
        assert arrived(receiver) == made
        assert not client.v1.events.list({"delivery_success": False}).data

    def test_is_tried_again_after_a_failure(self, sandbox, client, receiver):
        receiver.failures = 2
        made = customers(client, NAMES[:1])
        assert sandbox.wait_until_delivered()
        assert arrived(receiver) == made

    def test_is_given_up_at_last_and_can_be_repeated(self, sandbox, client, receiver, visitor):
        receiver.failures = 3
        customers(client, NAMES[:1])
        assert sandbox.wait_until_delivered()
        failed = client.v1.events.list({"delivery_success": False}).data
        assert [event.type for event in failed] == ["customer.created"]
        visitor.post(f"{sandbox.address}/_sandbox/resend", event=failed[0].id)
        assert sandbox.wait_until_delivered()
        assert receiver.types == ["customer.created"]
        assert not client.v1.events.list({"delivery_success": False}).data

    def test_twice(self, sandbox, client, receiver):
        sandbox.set_delivery(duplicated=True)
        made = customers(client)
        assert sandbox.wait_until_delivered()
        assert sorted(arrived(receiver)) == sorted(made * 2)

    def test_out_of_order(self, sandbox, client, receiver):
        sandbox.set_delivery(reordered=True)
        made = customers(client, NAMES * 4)
        assert sandbox.wait_until_delivered()
        assert sorted(arrived(receiver)) == sorted(made)
        assert arrived(receiver) != made

    def test_late(self, sandbox, client, receiver):
        sandbox.set_delivery(delay=0.4)
        customers(client, NAMES[:1])
        assert not sandbox.wait_until_delivered(0.1)
        assert sandbox.wait_until_delivered()
        assert receiver.types == ["customer.created"]

    def test_not_at_all(self, sandbox, client, receiver):
        sandbox.set_delivery(lost=True)
        made = customers(client)
        assert sandbox.wait_until_delivered()
        assert not receiver.events
        lost = client.v1.events.list({"delivery_success": False, "type": "customer.created"})
        assert [event.data.object.id for event in lost.data] == made[::-1]


class TestTheControlPage:
    def test_shows_what_there_is(self, shop, visitor, sandbox):
        shop.buy(shop.plan)
        visitor.open(f"{sandbox.address}/")
        assert visitor.status == 200
        for words in ("ann@example.com", "9.00 USD", "invoice.paid", "Sandbox: no real money"):
            assert words in visitor.text

    def test_advances_the_clock(self, shop, visitor, sandbox):
        shop.buy(shop.plan)
        shop.fresh()
        visitor.open(f"{sandbox.address}/_sandbox/").press("days", "31")
        assert "invoice.paid" in shop.delivered()

    @pytest.mark.parametrize("days", ["0", "-1", "1000000", "x", ""])
    def test_does_not_advance_it_by_nonsense(self, sandbox, visitor, days):
        visitor.post(f"{sandbox.address}/_sandbox/advance", days=days)
        assert visitor.status == 400
        assert "a whole number" in visitor.text
        assert sandbox.store.offset == 0

    def test_sets_the_switches(self, sandbox, visitor, client, receiver):
        visitor.post(f"{sandbox.address}/_sandbox/switches", lost="on", delay="0")
        assert "not at all" in visitor.text
        customers(client)
        visitor.post(f"{sandbox.address}/_sandbox/switches", delay="0")
        customers(client, NAMES[:1])
        assert sandbox.wait_until_delivered()
        assert len(receiver.events) == 1

    @pytest.mark.parametrize("path", ["_sandbox/nothing", "c/pay/cs_none", "nothing"])
    def test_has_no_other_pages(self, sandbox, visitor, path):
        assert visitor.open(f"{sandbox.address}/{path}").status == 404


class TestThePortal:
    @pytest.fixture
    def portal(self, shop, visitor):
        shop.buy(shop.plan)
        session = shop.client.v1.billing_portal.sessions.create(
            {"customer": shop.customer.id, "return_url": "http://shop.example/account"}
        )
        shop.fresh()
        return visitor.open(session.url)

    def test_cancels_at_the_end_and_resumes(self, shop, portal):
        portal.press("action", "cancel")
        assert "Ends on" in portal.text
        shop.delivered()
        assert shop.receiver.last("customer.subscription.updated")["cancel_at_period_end"]
        portal.press("action", "resume")
        assert "Renews on" in portal.text
        shop.delivered()
        assert not shop.receiver.last("customer.subscription.updated")["cancel_at_period_end"]

    def test_switches_to_another_plan(self, shop, portal):
        portal.press("switch", shop.pro.id)
        assert "Pro, 29.00 USD" in portal.text
        shop.delivered()
        assert shop.receiver.last("invoice.paid")["billing_reason"] == "subscription_update"

    def test_shows_only_what_its_configuration_allows(self, shop, visitor, client):
        made = client.v1.billing_portal.configurations.create(
            {"features": {"subscription_cancel": {"enabled": False}}}
        )
        shop.buy(shop.plan)
        session = client.v1.billing_portal.sessions.create(
            {"customer": shop.customer.id, "configuration": made.id}
        )
        assert "Change card" not in visitor.open(session.url).text
        assert "Cancel at" not in visitor.text
        assert "Switch to" not in visitor.text
        client.v1.billing_portal.configurations.update(
            made.id, {"features": {"payment_method_update": {"enabled": True}}}
        )
        assert "Change card" in visitor.open(session.url).text

    def test_touches_no_other_customers_subscription(self, shop, portal, client):
        address = portal.address
        other = client.v1.customers.create({})
        method = client.v1.payment_methods.attach("pm_card_visa", {"customer": other.id})
        theirs = client.v1.subscriptions.create(
            {
                "customer": other.id,
                "items": [{"price": shop.plan.id}],
                "default_payment_method": method.id,
            }
        )
        portal.post(address, action="cancel", subscription=theirs.id)
        assert portal.status == 404
        assert not client.v1.subscriptions.retrieve(theirs.id).cancel_at_period_end
