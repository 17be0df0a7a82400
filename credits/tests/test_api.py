"""GET balance, ledger and offers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from credits.models import Account, Offer
from credits.tests.conftest import Customer

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(customer: Customer) -> APIClient:
    return client_of(customer)


def client_of(customer: Customer) -> APIClient:
    client = APIClient()
    client.force_authenticate(Account.objects.get(pk=customer.account_id).user)
    return client


def invalid(answer: Any) -> tuple[int, str, list[str]]:
    document = answer.json()
    return answer.status_code, document["code"], [error["field"] for error in document["errors"]]


INVALID_AT = (400, "invalid_request", ["at"])


class TestBalance:
    def test_of_somebody_who_never_had_anything(self, django_user_model):
        client = APIClient()
        client.force_authenticate(django_user_model.objects.create_user("new@example.com"))

        assert client.get("/api/v1/balance").json() == {
            "available": 0,
            "pools": {"subscription": 0, "promotional": 0, "bulk": 0},
            "retail_tokens": 0,
            "owed": 0,
            "held": 0,
            "next_expiry": None,
        }

    def test_says_what_each_pool_has_and_what_ends_next(self, api, customer):
        customer.now = datetime.now(UTC)
        customer.renew(20, days=30)
        customer.gift(7, days=90)
        customer.grant(50)
        customer.buy_token()
        customer.hold(3)

        balance = api.get("/api/v1/balance").json()

        ends = balance["next_expiry"].pop("at")
        assert balance == {
            "available": 74,
            "pools": {"subscription": 17, "promotional": 7, "bulk": 50},
            "retail_tokens": 1,
            "owed": 0,
            "held": 3,
            "next_expiry": {"amount": 17},
        }
        assert datetime.fromisoformat(ends) > customer.in_days(29)

    def test_does_not_count_credits_that_have_ended(self, api, customer):
        customer.gift(7, days=1)  # long ago, and nobody has written it off yet

        assert api.get("/api/v1/balance").json()["available"] == 0

    def test_at_a_past_moment(self, api, customer, now):
        customer.grant(10)
        customer.wait(hours=1)
        customer.spend(4)

        def available(moment: str) -> int:
            return api.get("/api/v1/balance", {"at": moment}).json()["available"]

        assert available("2026-03-10T11:59:59Z") == 0
        assert available("2026-03-10T12:30:00Z") == 10
        assert available("2026-03-10T13:30:00+01:00") == 10
        assert available("2026-03-10T13:00:00.000001Z") == 6

    @pytest.mark.parametrize(
        "moment",
        [
            "", "yesterday", "1773144000", "2026-03-10", "2026-03-10T12:00:00", "2026-02-30T12:00Z",
            "2026-03-10T25:00:00Z", "0001-01-01T00:00:00+23:59", "2026-03-10T12:00:00Z\0",
            "2026-03-10T12:00:00 01:00", "9" * 5000,
        ],
    )  # fmt: skip
    def test_refuses_what_is_not_a_moment(self, api, moment):
        assert invalid(api.get("/api/v1/balance", {"at": moment})) == INVALID_AT

    def test_refuses_the_future(self, api):
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        for moment in (tomorrow, "9999-12-31T23:59:59-23:59"):
            assert invalid(api.get("/api/v1/balance", {"at": moment})) == INVALID_AT


class TestLedger:
    def test_shows_each_line_and_nothing_internal(self, api, customer):
        customer.grant(10, source_key="invoice:in_1", note="a note for staff")

        assert api.get("/api/v1/ledger").json() == {
            "next": None,
            "previous": None,
            "results": [
                {
                    "sequence": 1,
                    "kind": "grant",
                    "pool": "bulk",
                    "amount": 10,
                    "balance_after": 10,
                    "reference": "invoice:in_1",
                    "created_at": "2026-03-10T12:00:00Z",
                }
            ],
        }

    def test_pages_stay_the_same_while_lines_are_added(self, api, customer):
        for _ in range(7):
            customer.grant(1)
        first = api.get("/api/v1/ledger", {"page_size": 3}).json()
        customer.grant(1)
        second = api.get(first["next"]).json()
        customer.grant(1)
        third = api.get(second["next"]).json()
        back = api.get(third["previous"]).json()

        assert [sequences(page) for page in (first, second, third, back)] == [
            [7, 6, 5],
            [4, 3, 2],
            [1],
            [4, 3, 2],
        ]
        assert third["next"] is None

    def test_every_line_comes_once(self, api, customer):
        for _ in range(30):
            customer.grant(1)
        found, page = [], api.get("/api/v1/ledger").json()
        while True:
            found += sequences(page)
            if page["next"] is None:
                break
            page = api.get(page["next"]).json()
        assert found == list(range(30, 0, -1))

    def test_shows_only_ones_own_lines(self, api, new_customer):
        new_customer().grant(10)
        assert sequences(api.get("/api/v1/ledger").json()) == []

    def test_anothers_cursor_opens_nothing(self, api, customer, new_customer):
        other = new_customer()
        for someone in (customer, other):
            for _ in range(3):
                someone.grant(1)
        theirs = client_of(other).get("/api/v1/ledger", {"page_size": 1}).json()["next"]

        [line] = api.get(theirs).json()["results"]

        assert line["reference"].startswith(f"pack:{customer.account_id}:")

    @pytest.mark.parametrize(
        "cursor", ["", "x", "cD1hYmM=", "bz0x", "cD0tMQ==", "\0", "é", ":", "W10:x", "A" * 5000]
    )
    def test_refuses_a_cursor_that_it_did_not_make(self, api, cursor):
        answer = api.get("/api/v1/ledger", {"cursor": cursor})
        assert invalid(answer) == (400, "invalid_request", ["cursor"])

    @pytest.mark.parametrize(
        "size", ["", "0", "-1", "101", "1e2", "3.0", "٣", " 3", "true", "9" * 50]
    )
    def test_refuses_a_page_size_out_of_bounds(self, api, size):
        answer = api.get("/api/v1/ledger", {"page_size": size})
        assert invalid(answer) == (400, "invalid_request", ["page_size"])

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [({"pool": "bulk"}, [4, 1]), ({"kind": "grant"}, [2, 1]),
         ({"pool": "promotional", "kind": "grant"}, [2]), ({"kind": "expire"}, [])],
    )  # fmt: skip
    def test_can_be_asked_for_one_pool_or_kind(self, api, customer, wanted, found):
        customer.grant(5)
        customer.gift(2, days=1)
        customer.spend(3)  # of both pools
        assert sequences(api.get("/api/v1/ledger", wanted).json()) == found

    def test_keeps_the_filter_on_the_next_page(self, api, customer):
        customer.grant(5)
        for _ in range(3):
            customer.spend(1)
        first = api.get("/api/v1/ledger", {"kind": "hold", "page_size": 2}).json()
        assert sequences(first) == [4, 3]
        assert sequences(api.get(first["next"]).json()) == [2]

    @pytest.mark.parametrize("name", ["pool", "kind"])
    @pytest.mark.parametrize("value", ["", "gold", "GRANT", "grant\0"])
    def test_refuses_a_pool_or_kind_that_there_is_not(self, api, name, value):
        status, _code, fields = invalid(api.get("/api/v1/ledger", {name: value}))
        assert (status, fields) == (400, [name])


def sequences(page: dict[str, Any]) -> list[int]:
    return [line["sequence"] for line in page["results"]]


class TestOffers:
    def test_are_public_and_in_order(self):
        Offer.objects.create(
            slug="pack-50", name="50 credits", kind="pack", credits=50, amount=900, currency="eur",
            order=2, stripe_price_id="price_1",
        )  # fmt: skip
        Offer.objects.create(
            slug="basic", name="Basic", kind="plan", credits=20, amount=500, currency="eur",
            interval="month", order=1, trial_days=7, trial_credits=5,
        )  # fmt: skip
        Offer.objects.create(
            slug="gone", name="Gone", kind="retail", amount=100, currency="eur", active=False
        )

        assert APIClient().get("/api/v1/offers").json() == {
            "results": [
                {"slug": "basic", "name": "Basic", "kind": "plan", "credits": 20, "amount": 500,
                 "currency": "eur", "interval": "month", "trial_days": 7, "trial_credits": 5},
                {"slug": "pack-50", "name": "50 credits", "kind": "pack", "credits": 50,
                 "amount": 900, "currency": "eur", "interval": "", "trial_days": 0,
                 "trial_credits": 0},
            ]
        }  # fmt: skip
