"""Refunds that staff asks for, over real HTTP to a Stripe that remembers what it was asked."""

from datetime import UTC, datetime
from functools import partial

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.urls import reverse

from credits import queries, services
from credits.models import LedgerEntry, Payment, RefundRequest
from credits.payments import refunding
from credits.payments.client import SellingUnavailable
from credits.payments.tests import events as stripe
from credits.payments.tests.fake_stripe_api import selling
from credits.tests.race import kinds, meet_before, race

pytestmark = pytest.mark.django_db(transaction=True)
REFUNDS = "POST /v1/refunds"


@pytest.fixture(params=[stripe.NEW])
def version(request):
    return request.param


@pytest.fixture
def now():
    return datetime.now(UTC)


@pytest.fixture
def stripe_api():
    with selling() as api:
        api.refundable = {"pi_cs_1": 500, "pi_cs_2": 500}
        yield api


@pytest.fixture
def payment(at_stripe, stripe_api):
    at_stripe.sends("checkout.session.completed", stripe.session("1", offer="pack-50"))
    return Payment.objects.get()


@pytest.fixture
def ask(payment, now):
    def ask(amount=500, key="a" * 32, **changes):
        arguments = {"reason": "did not like it", "actor": "staff@example.com", "now": now}
        return refunding.refund(
            payment_id=payment.pk, amount=amount, key=key, **{**arguments, **changes}
        )

    return ask


def event_of(at_stripe, refund_id, amount):
    obj = stripe.refund("x", "pi_cs_1", amount=amount, made=at_stripe.now)
    at_stripe.sends("refund.created", {**obj, "id": refund_id})


class TestARefund:
    def test_asks_stripe_and_leaves_the_credits_to_its_event(self, at_stripe, stripe_api, ask):
        asked = ask(200)
        [request] = stripe_api.asked(REFUNDS)
        assert (request["payment_intent"], request["amount"]) == ("pi_cs_1", "200")
        assert request["metadata[reason]"] == "did not like it"
        assert at_stripe.balance.available == 50
        event_of(at_stripe, asked.refund_id, 200)
        assert at_stripe.balance.available == 30

    def test_keeps_who_asked_and_why(self, ask):
        ask()
        kept = RefundRequest.objects.get()
        assert (kept.actor, kept.reason, kept.amount) == (
            "staff@example.com",
            "did not like it",
            500,
        )
        assert kept.refund_id.startswith("re_")

    def test_asked_for_twice_with_one_key_is_made_once(self, stripe_api, ask):
        assert ask(100).refund_id == ask(100).refund_id
        assert len(stripe_api.made("refund")) == 1

    def test_of_one_form_at_the_same_moment_is_made_once(self, stripe_api, ask):
        results = race(*[partial(ask, 100)] * 4)
        assert kinds(results) == {"RefundRequest": 4}
        assert stripe_api.refundable["pi_cs_1"] == 400

    def test_by_two_members_of_staff_is_never_more_than_is_left(self, stripe_api, ask):
        results = race(*[partial(ask, 300, key=letter * 32) for letter in "ab"])
        assert kinds(results) == {"RefundRequest": 1, "NotRefundable": 1}
        assert len(stripe_api.asked(REFUNDS)) == 1

    def test_without_the_lock_two_would_ask_for_more(self, stripe_api, ask, monkeypatch):
        if connection.vendor == "sqlite":
            pytest.skip("BEGIN IMMEDIATE is the lock on SQLite: there is no clause to take away")
        monkeypatch.setattr(refunding, "_locked", lambda pk: Payment.objects.get(pk=pk))
        meet_before(monkeypatch, 2, RefundRequest.objects, "create")
        race(*[partial(ask, 300, key=letter * 32) for letter in "ab"])
        assert len(stripe_api.asked(REFUNDS)) == 2

    def test_with_the_key_of_another_is_refused(self, ask):
        ask(100)
        with pytest.raises(services.IdempotencyConflict):
            ask(200)

    @pytest.mark.parametrize("amount", [0, -1, 501, True])
    def test_of_an_amount_that_is_not_there_is_refused(self, stripe_api, ask, amount):
        with pytest.raises(refunding.NotRefundable, match="from 1 to 500"):
            ask(amount)
        assert not stripe_api.asked(REFUNDS)

    def test_of_what_has_gone_back_is_refused_before_any_event(self, ask):
        ask(500)
        with pytest.raises(refunding.NotRefundable, match="gone back already"):
            ask(1, key="b" * 32)

    def test_of_a_disputed_payment_is_refused(self, at_stripe, ask):
        dispute = stripe.dispute("pi_cs_1", status="needs_response", amount=500)
        at_stripe.sends("charge.dispute.created", dispute)
        with pytest.raises(refunding.NotRefundable, match="disputed"):
            ask()

    def test_that_stripe_refuses_says_so_also_when_repeated(self, stripe_api, ask):
        stripe_api.refundable["pi_cs_1"] = 100  # made in the dashboard, its event is still to come
        for _ in range(2):
            with pytest.raises(refunding.NotRefundable, match=r"Stripe refused .* greater than"):
                ask(500)
        assert len(stripe_api.asked(REFUNDS)) == 1

    def test_can_be_repeated_after_stripe_was_away(self, stripe_api, ask):
        stripe_api.out_of_order = True
        with pytest.raises(SellingUnavailable):
            ask(500)
        with pytest.raises(refunding.NotRefundable):
            ask(500, key="b" * 32)  # nobody knows yet what has become of the first
        stripe_api.out_of_order = False
        assert ask(500).refund_id

    def test_whose_answer_was_lost_is_known_by_its_event(self, at_stripe, stripe_api, ask):
        stripe_api.out_of_order = True
        with pytest.raises(SellingUnavailable):
            ask(200)
        obj = stripe.refund("9", "pi_cs_1", amount=200, made=at_stripe.now)
        at_stripe.sends("refund.created", {**obj, "metadata": {"request": "a" * 32}})
        assert ask(200).refund_id == "re_9"
        assert at_stripe.balance.available == 30


class TestAPreview:
    @pytest.mark.parametrize("amount", [1, 99, 250, 500])
    @pytest.mark.parametrize("spent", [0, 30, 50])
    def test_says_what_the_refund_then_does(self, at_stripe, payment, ask, now, amount, spent):
        if spent:
            services.spend(
                account_id=at_stripe.account.pk, amount=spent, reference="r",
                idempotency_key="k", now=now,
            )  # fmt: skip
        before, lines = at_stripe.balance, LedgerEntry.objects.count()
        said = refunding.preview(payment, amount, now=now)
        assert (at_stripe.balance, LedgerEntry.objects.count()) == (before, lines)
        event_of(at_stripe, ask(amount).refund_id, amount)
        after = at_stripe.balance
        assert (said.taken, said.owed) == (before.available - after.available, after.owed)

    def test_of_a_second_refund_counts_the_first(self, at_stripe, payment, ask, now):
        event_of(at_stripe, ask(100).refund_id, 100)
        assert refunding.preview(payment, 100, now=now).taken == 10

    def test_of_a_token_says_that_it_is_revoked(self, at_stripe, stripe_api, now):
        at_stripe.sends("checkout.session.completed", stripe.session("2", offer="single"))
        said = refunding.preview(Payment.objects.get(), 500, now=now)
        assert (said.tokens, said.tokens_used, said.taken) == (1, 0, 0)
        assert at_stripe.balance.retail_tokens == 1


class TestThePages:
    @pytest.fixture
    def form(self, client, payment):
        self.sign_in(client, "view_payment", "refund_payment")
        address = reverse("admin:credits_payment_refund", args=[payment.pk])
        key = client.get(address).context["form"]["key"].value()
        said = {"key": key, "amount": 200, "reason": "broken"}
        return lambda **changes: client.post(address, {**said, **changes})

    def sign_in(self, client, *permissions):
        user = get_user_model().objects.create_user("staff@example.com", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(user)

    def test_show_what_it_would_do_and_then_do_it(self, form, stripe_api):
        shown = form(step="preview").content.decode()
        assert "take back 20 credits" in shown and not stripe_api.asked(REFUNDS)
        for _ in range(2):  # the back button
            assert form(step="confirm", agreed="200").status_code == 302
        assert stripe_api.refundable["pi_cs_1"] == 300
        assert RefundRequest.objects.get().actor == "staff@example.com"

    def test_do_nothing_with_an_amount_that_was_not_looked_at(self, form, stripe_api):
        assert form(step="confirm", agreed="200", amount=300).status_code == 200
        assert not stripe_api.asked(REFUNDS)

    def test_say_what_is_wrong(self, form, stripe_api):
        assert b"from 1 to 500" in form(amount=501, step="preview").content
        assert form(amount="x", step="preview").status_code == 400
        assert b"900 usd are $9.00" in form(amount="3.00", step="preview").content, "not 3 cents"
        stripe_api.out_of_order = True
        assert b"not available" in form(step="confirm", agreed="200").content

    def test_need_the_permission(self, client, payment):
        self.sign_in(client, "view_payment")
        address = reverse("admin:credits_payment_refund", args=[payment.pk])
        assert client.get(address).status_code == 403
        assert client.post(address, {"amount": 1}).status_code == 403

    def test_find_a_payment_by_whatever_a_customer_can_name(self, client, at_stripe, payment):
        self.sign_in(client, "view_payment")
        address = reverse("admin:credits_payment_changelist")
        email = at_stripe.account.user.email
        for term in (email, "cus_1", "cs_1", "checkout:cs_1", "pi_cs_1"):
            found = client.get(address, {"q": term}).context["cl"].queryset
            assert [row.customer for row in found] == [email], term
        assert b"$5.00" in client.get(address).content
        assert (
            b"$5.00"
            in client.get(reverse("admin:credits_payment_change", args=[payment.pk])).content
        )
        assert not client.get(address, {"q": "cus_2"}).context["cl"].queryset
        for back, count in [("nothing", 1), ("part", 0), ("all", 0), ("dispute", 0), ("x", 1)]:
            found = client.get(address, {"back": back})
            assert found.status_code == 302 or found.context["cl"].queryset.count() == count
        assert list(queries.find_imbalances()) == []
