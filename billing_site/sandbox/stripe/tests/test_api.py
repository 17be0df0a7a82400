"""The API through Stripe's own library."""

import pytest
import requests
import stripe

from billing_site.sandbox.stripe import NotATestKey, Sandbox, UnreadableState
from billing_site.sandbox.stripe.tests.conftest import ADDRESS, KEY, Shop, client_of


class TestKeys:
    @pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1", "pk_test_1", ""])
    def test_the_sandbox_does_not_start_with_another_than_a_test_key(self, key, tmp_path):
        with pytest.raises(NotATestKey):
            Sandbox(tmp_path / "s.json", 0, key, "", "")

    def test_a_live_key_is_refused(self, sandbox):
        client = stripe.StripeClient("sk_live_" + "0" * 24, base_addresses={"api": sandbox.address})
        with pytest.raises(stripe.AuthenticationError):
            client.v1.customers.list()

    def test_restricted_and_basic_authorization_are_taken(self, sandbox):
        url = f"{sandbox.address}/v1/account"
        assert requests.get(url, auth=(KEY, ""), timeout=5).json()["object"] == "account"
        headers = {"Authorization": "Bearer rk_test_1"}
        assert requests.get(url, headers=headers, timeout=5).status_code == 200
        assert requests.get(url, timeout=5).status_code == 401


class TestPrices:
    def test_are_found_by_their_lookup_key(self, client):
        made = client.v1.prices.create(
            {
                "currency": "usd",
                "unit_amount": 900,
                "lookup_key": "starter",
                "recurring": {"interval": "month"},
                "product_data": {"name": "Starter"},
            }
        )
        found = client.v1.prices.list(
            {"lookup_keys": ["starter", "other"], "active": True, "expand": ["data.product"]}
        )
        assert [price.id for price in found.data] == [made.id]
        assert found.data[0].product.name == "Starter"
        assert not client.v1.prices.list({"lookup_keys": ["pro"]}).data

    def test_do_not_share_a_lookup_key_unless_it_is_transferred(self, shop, client):
        client.v1.prices.update(shop.plan.id, {"lookup_key": "key"})
        with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
            client.v1.prices.update(shop.pro.id, {"lookup_key": "key"})
        client.v1.prices.update(shop.pro.id, {"lookup_key": "key", "transfer_lookup_key": True})
        assert client.v1.prices.retrieve(shop.plan.id).lookup_key is None


class TestIdempotencyKeys:
    def create(self, client, email="ann@example.com", key="key-1"):
        return client.v1.customers.create({"email": email}, {"idempotency_key": key})

    def test_the_same_request_gets_the_first_answer(self, client):
        first, second = self.create(client), self.create(client)
        assert first.id == second.id
        assert second.last_response.headers["Idempotent-Replayed"] == "true"
        assert len(client.v1.customers.list().data) == 1

    def test_another_request_conflicts(self, client):
        self.create(client)
        with pytest.raises(stripe.IdempotencyError):
            self.create(client, "bob@example.com")

    def test_outlive_a_restart(self, new_sandbox):
        with new_sandbox() as sandbox:
            first = self.create(client_of(sandbox))
        with new_sandbox() as sandbox:
            assert self.create(client_of(sandbox)).id == first.id

    def test_a_refused_request_may_be_tried_again(self, client):
        for _ in range(2):
            with pytest.raises(stripe.InvalidRequestError, match="unit_amount"):
                client.v1.prices.create({"currency": "usd"}, {"idempotency_key": "k"})


class TestLists:
    def test_are_newest_first_and_cut_into_pages(self, client):
        made = [client.v1.customers.create({"email": f"{n}@example.com"}).id for n in range(5)]
        page = client.v1.customers.list({"limit": 2})
        assert [row.id for row in page.data] == made[:-3:-1]
        assert page.has_more
        assert [row.id for row in page.auto_paging_iter()] == made[::-1]
        before = client.v1.customers.list({"limit": 2, "ending_before": made[1]})
        assert [row.id for row in before.data] == [made[3], made[2]]

    def test_are_filtered(self, client):
        client.v1.customers.create({"email": "ann@example.com"})
        client.v1.customers.create({"email": "bob@example.com"})
        found = client.v1.customers.list({"email": "bob@example.com"})
        assert [row.email for row in found.data] == ["bob@example.com"]
        assert not client.v1.customers.list({"created": {"gt": 2**32}}).data
        assert len(client.v1.customers.list({"created": {"lte": 2**32}}).data) == 2


class TestErrors:
    def test_of_a_missing_object(self, client):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            client.v1.customers.retrieve("cus_none")
        assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")

    def test_of_a_parameter_that_stripe_does_not_know(self, client):
        with pytest.raises(stripe.InvalidRequestError, match="unknown parameter: colour"):
            client.v1.customers.create({"colour": "red"})

    def test_there_are_none_of_a_parameter_without_effect_but_a_warning(self, client, caplog):
        client.v1.customers.create({"tax_exempt": "exempt", "email": "ann@example.com"})
        assert [row.getMessage() for row in caplog.records] == [
            "CustomerCreateParams has no effect here: tax_exempt"
        ]

    def test_of_a_field_that_cannot_be_expanded(self, client):
        with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
            client.v1.customers.create({"expand": ["shoes"]})

    def test_of_a_recurring_price_in_a_payment(self, shop):
        with pytest.raises(stripe.InvalidRequestError, match="recurring price"):
            shop.session(shop.plan, mode="payment")

    def test_of_an_address_that_is_none(self, shop):
        with pytest.raises(stripe.InvalidRequestError, match="Not a valid URL"):
            shop.session(shop.plan, success_url="javascript:alert(1)")

    def test_an_unknown_address_has_none(self, sandbox):
        headers = {"Authorization": f"Bearer {KEY}"}
        answer = requests.get(f"{sandbox.address}/v1/nothing", headers=headers, timeout=5)
        assert answer.status_code == 404


class TestEndpoints:
    def test_show_their_secret_once_and_hear_what_they_ask_for(self, client, receiver, shop):
        made = client.v1.webhook_endpoints.create(
            {"url": receiver.url, "enabled_events": ["charge.succeeded"]}
        )
        assert made.secret.startswith("whsec_")
        assert "secret" not in client.v1.webhook_endpoints.retrieve(made.id)
        shop.fresh()
        shop.buy(shop.pack)
        assert shop.delivered() == ["charge.succeeded"]


class TestTheStateFile:
    def test_keeps_everything_over_a_restart(self, new_sandbox, visitor, receiver):
        with new_sandbox() as sandbox:
            shop = Shop(sandbox, client_of(sandbox), visitor, receiver)
            paid = shop.buy(shop.plan)
            sandbox.advance(3)
            shop.delivered()
        receiver.clear()
        with new_sandbox() as sandbox:
            client = client_of(sandbox)
            kept = client.v1.checkout.sessions.retrieve(paid.id, {"expand": ["subscription"]})
            assert kept.subscription.status == "active"
            sandbox.advance(29)
            assert sandbox.wait_until_delivered(5)
            assert "invoice.paid" in receiver.types
            assert len(client.v1.invoices.list({"customer": shop.customer.id}).data) == 2

    def test_keeps_what_could_not_be_delivered(self, new_sandbox, receiver):
        receiver.failures = 1
        with new_sandbox(retry_delays=(0, 3600)) as sandbox:
            client_of(sandbox).v1.customers.create({})
            assert not sandbox.wait_until_delivered(0.3)
        assert not receiver.types
        with new_sandbox(retry_delays=(0, 3600)) as sandbox:
            sandbox.store.deliveries[0]["due"] = 0
            client_of(sandbox).v1.customers.create({})
            assert sandbox.wait_until_delivered(5)
        assert receiver.types == ["customer.created", "customer.created"]

    def test_that_is_damaged_is_not_overwritten(self, new_sandbox, state_file):
        state_file.write_text("{}")
        with pytest.raises(UnreadableState, match="move it away"):
            new_sandbox()
        assert state_file.read_text() == "{}"


def test_pages_are_not_for_other_sites(sandbox, visitor):
    url = f"{sandbox.address}/_sandbox/advance"
    for headers in ({"Origin": ADDRESS}, {"Host": "evil.example"}):
        answer = requests.post(url, {"days": "1"}, headers=headers, timeout=5)
        assert answer.status_code == 403
    assert sandbox.store.offset == 0
