"""The door for Stripe: genuine events come in once, everything else stays outside."""

import json
import time
from datetime import timedelta

import pytest

from credits.models import InboxEvent
from credits.payments.tests import events as stripe
from credits.tests.race import race

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def secrets(settings):
    settings.STRIPE_WEBHOOK_SECRET = [stripe.SECRET]


@pytest.fixture
def event(now):
    return stripe.event("customer.updated", {"id": "cus_1", "object": "customer"}, created=now)


class TestAGenuineEvent:
    def test_is_stored_with_its_body_and_answered_200(self, client, event):
        assert stripe.deliver(client, event).status_code == 200
        row = InboxEvent.objects.get()
        assert json.loads(row.body) == event
        assert (row.state, row.object_id) == ("received", "cus_1")

    def test_is_stored_once_however_often_it_comes(self, client, event):
        for _ in range(3):
            assert stripe.deliver(client, event).status_code == 200
        assert InboxEvent.objects.count() == 1

    def test_may_be_signed_with_either_secret_while_one_is_rolled(self, client, event, settings):
        settings.STRIPE_WEBHOOK_SECRET = ["whsec_next", stripe.SECRET]
        body = json.dumps(event)
        for secret in settings.STRIPE_WEBHOOK_SECRET:
            header = stripe.signed(body, secret=secret)
            answer = stripe.deliver(client, body, **{"Stripe-Signature": header})
            assert answer.status_code == 200

    def test_costs_one_statement(self, client, event, django_assert_num_queries):
        with django_assert_num_queries(1):
            stripe.deliver(client, event)


@pytest.mark.django_db(transaction=True)
def test_an_event_delivered_eight_times_at_once_is_stored_once(event):
    from django.test import Client

    answers = race(*[lambda: stripe.deliver(Client(), event).status_code] * 8)
    assert answers == [200] * 8
    assert InboxEvent.objects.count() == 1


class TestTheSignature:
    def refused(self, client, body, header):
        answer = stripe.deliver(client, body, **{"Stripe-Signature": header})
        assert answer.status_code == 400
        assert not InboxEvent.objects.exists()

    @pytest.mark.parametrize(
        "header", ["", "t=1", "v1=abc", "t=x,v1=y", "nonsense", "t=1,v1=é", "t=1,v1=\0", "," * 999]
    )
    def test_that_is_malformed_is_refused(self, client, event, header):
        self.refused(client, json.dumps(event), header)

    def test_of_another_secret_is_refused(self, client, event):
        body = json.dumps(event)
        self.refused(client, body, stripe.signed(body, secret="whsec_other"))

    def test_of_a_body_changed_by_one_byte_is_refused(self, client, event):
        body = json.dumps(event)
        self.refused(client, body.replace("cus_1", "cus_2"), stripe.signed(body))

    @pytest.mark.parametrize("age", [301, -400])
    def test_from_another_time_is_refused(self, client, event, age):
        body = json.dumps(event)
        self.refused(client, body, stripe.signed(body, at=int(time.time()) - age))

    def test_is_needed_also_when_no_secret_is_set(self, client, event, settings):
        settings.STRIPE_WEBHOOK_SECRET = []
        self.refused(client, json.dumps(event), "t=1,v1=00")

    def test_cannot_bring_its_own_secret_under_debug(self, client, event, settings):
        settings.DEBUG = True
        body = json.dumps(event)
        answer = stripe.deliver(
            client,
            body,
            **{
                "Stripe-Signature": stripe.signed(body, secret="whsec_mine"),
                "X-Djstripe-Webhook-Secret": "whsec_mine",
            },
        )
        assert answer.status_code == 400


SHAPES = [
    "5", "null", "true", '"text"', "[]", "{}", "not json", "{", "\\u0000", "NaN",
    '{"a": ' * 5000 + "1" + "}" * 5000, "[" * 100_000 + "]" * 100_000,
]  # fmt: skip


class TestASignedBody:
    @pytest.mark.parametrize("body", SHAPES, ids=range(len(SHAPES)))
    def test_that_is_no_event_is_refused(self, client, body):
        assert stripe.deliver(client, body).status_code == 400
        assert not InboxEvent.objects.exists()

    @pytest.mark.parametrize(
        "changes",
        [
            {"id": 5}, {"id": "in_1"}, {"id": "evt_\0"}, {"id": "evt_" + "x" * 300}, {"type": None},
            {"type": "x" * 101}, {"created": "now"}, {"created": -1}, {"created": 2**40},
            {"created": True}, {"livemode": "no"}, {"livemode": True}, {"data": []},
            {"data": {"object": None}}, {"object": "v2.core.event"},
        ],
        ids=str,
    )  # fmt: skip
    def test_with_a_wrong_part_is_refused(self, client, event, changes):
        assert stripe.deliver(client, {**event, **changes}).status_code == 400
        assert not InboxEvent.objects.exists()

    def test_with_odd_but_harmless_parts_is_stored(self, client, event):
        event["data"]["object"] = {"id": "\ud800", "metadata": {"a": "\u0000"}}
        event["api_version"] = None
        assert stripe.deliver(client, event).status_code == 200
        assert InboxEvent.objects.get().object_id == ""

    def test_larger_than_256_kib_is_refused(self, client, event):
        event["data"]["object"]["padding"] = "x" * (256 * 1024)
        assert stripe.deliver(client, event).status_code == 413
        assert not InboxEvent.objects.exists()

    def test_that_is_not_utf8_is_refused(self, client):
        answer = client.post("/stripe/webhook/", b"\xff\xfe", "application/json")
        assert answer.status_code == 400


def test_only_post_is_answered(client):
    assert client.get("/stripe/webhook/").status_code == 405


def test_events_wait_in_the_order_of_their_arrival(client, now):
    for number in range(3):
        created = now - timedelta(days=number)
        stripe.deliver(
            client, stripe.event("customer.updated", {"id": f"cus_{number}"}, created=created)
        )
    ids = InboxEvent.objects.order_by("next_attempt_at").values_list("object_id", flat=True)
    assert list(ids) == ["cus_0", "cus_1", "cus_2"]
