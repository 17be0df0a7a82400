"""A plan whose payment fails: what it costs the customer and what it never touches."""

from datetime import timedelta

import pytest

from credits import services
from credits.models import Pool, RetailToken
from credits.payments.tests import events as stripe
from credits.payments.tests.events import MONTH
from credits.tests.pages import client_of, html, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def subscriber(at_stripe, now):
    """Has something in every pool, and a single generation."""
    at_stripe.pays_invoice("1")
    at_stripe.changes_subscription("created")
    at_stripe.sends("checkout.session.completed", stripe.session("1", offer="pack-50"))
    at_stripe.sends("checkout.session.completed", stripe.session("2", offer="single"))
    services.grant(
        account_id=at_stripe.account.pk,
        pool=Pool.PROMOTIONAL,
        amount=7,
        source_key="gift",
        expires_at=now + 3 * MONTH,
        now=now,
    )
    return at_stripe


def pools(subscriber):
    return tuple(subscriber.balance.pools.values())


def test_past_due_takes_nothing_until_the_period_and_its_grace_are_over(subscriber):
    subscriber.changes_subscription(status="past_due")
    period_end = subscriber.now + MONTH
    subscriber.now = period_end + timedelta(days=3) - timedelta(seconds=1)
    assert pools(subscriber) == (20, 7, 50)
    subscriber.now = period_end + timedelta(days=3)
    assert pools(subscriber) == (0, 7, 50)


def test_past_due_credits_can_be_spent(subscriber):
    subscriber.changes_subscription(status="past_due")
    services.spend(
        account_id=subscriber.account.pk,
        amount=20,
        reference="generation:1",
        idempotency_key="k",
        now=subscriber.now,
    )
    assert pools(subscriber) == (0, 7, 50)


@pytest.mark.parametrize(
    ("kind", "status"),
    [("updated", "unpaid"), ("deleted", "canceled"), ("updated", "canceled")],
)
def test_the_end_takes_the_plans_credits_and_nothing_else(subscriber, kind, status):
    subscriber.changes_subscription(status="past_due")
    subscriber.changes_subscription(kind, status=status)
    assert pools(subscriber) == (0, 7, 50)
    assert RetailToken.objects.get().state == RetailToken.State.AVAILABLE


def test_a_payment_in_time_begins_the_next_period(subscriber, now):
    subscriber.changes_subscription(status="past_due")
    subscriber.pays_invoice("2", lines=[subscriber.line(start=now + MONTH)])
    subscriber.changes_subscription(status="active", created=now + timedelta(seconds=1))
    assert pools(subscriber) == (20, 7, 50)


class TestTheBanner:
    PAGES = ["/", "/ledger/", "/generations/", "/api-keys/", "/notifications/", "/prices/",
             "/accounts/email/", "/no-such-page/"]  # fmt: skip
    WORDS = "payment for your plan failed"

    @pytest.mark.parametrize("path", PAGES)
    def test_is_on_every_page_with_the_way_to_pay(self, subscriber, path):
        subscriber.changes_subscription(status="past_due")
        answer = client_of(subscriber.account).get(path)
        assert self.WORDS in text(answer, answer.status_code)
        banner = html(answer, answer.status_code).partition('aria-label="Payment failed"')[2]
        assert 'action="/subscription/manage/"' in banner.partition("</section>")[0]

    @pytest.mark.parametrize("path", PAGES)
    def test_is_not_there_while_all_is_well(self, subscriber, path):
        answer = client_of(subscriber.account).get(path)
        assert self.WORDS not in text(answer, answer.status_code)

    def test_says_that_unpaid_has_ended_the_credits(self, subscriber):
        subscriber.changes_subscription(status="unpaid")
        assert "its credits have ended" in text(client_of(subscriber.account).get("/"))

    def test_goes_away_with_the_payment_and_with_the_end(self, subscriber, now):
        for status, later in [("past_due", 1), ("active", 2), ("past_due", 3), ("canceled", 4)]:
            created = now + timedelta(seconds=later)
            subscriber.changes_subscription(status=status, created=created)
            page = text(client_of(subscriber.account).get("/"))
            assert (self.WORDS in page) == (status == "past_due"), status

    def test_is_nobody_elses(self, subscriber, new_account, client):
        subscriber.changes_subscription(status="past_due")
        assert self.WORDS not in text(client_of(new_account()).get("/"))
        assert self.WORDS not in text(client.get("/"))
