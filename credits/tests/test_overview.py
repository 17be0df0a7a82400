"""What the overview says about the past and the future: usage, runway, pools, plan."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from credits import queries
from credits.models import Account, CreditLot, Hold, LedgerEntry, Offer, PlanSchedule, Subscription
from credits.overview import BAR, DAYS_SHOWN, overview
from credits.services import Direction
from credits.tests.pages import client_of, html, text

pytestmark = pytest.mark.django_db


def seen(customer):
    return overview(Account.objects.get(pk=customer.account_id), now=customer.now)


def page_of(customer, monkeypatch) -> str:
    monkeypatch.setattr("django.utils.timezone.now", lambda: customer.now)
    return text(client_of(Account.objects.get(pk=customer.account_id)).get("/"))


def subscribe(customer, **fields: object) -> None:
    Offer.objects.create(
        slug="pro", name="Pro", kind="plan", credits=100, amount=2900, currency="usd",
        interval="month", rollover_cap=20, stripe_price_id="price_pro",
    )  # fmt: skip
    Subscription.objects.create(
        account_id=customer.account_id, subscription_id="sub_1", as_of=customer.now,
        **{
            "status": "active", "price_id": "price_pro", "period_end": customer.in_days(9), **fields
        },
    )  # fmt: skip


class TestUsage:
    def test_counts_finished_work_on_the_day_it_ended(self, customer):
        customer.grant(50)
        customer.spend(2)
        customer.spend(3)
        held = customer.hold(7)
        customer.wait(days=1)
        customer.capture(held, 6)

        since = datetime(2026, 3, 1, tzinfo=UTC)
        used = queries.usage_by_day(account_id=customer.account_id, since=since)

        assert used == {date(2026, 3, 10): 5, date(2026, 3, 11): 6}

    def test_leaves_out_what_was_given_back_open_or_removed_by_staff(self, customer):
        customer.grant(50)
        customer.refund(customer.spend(2))
        customer.release(customer.hold(3))
        customer.hold(4)
        customer.adjust(5, Direction.REMOVE)

        assert seen(customer).usage.total == 0

    def test_shows_thirty_days_with_idle_ones_and_nothing_older(self, customer):
        customer.grant(50)
        customer.spend(9)
        customer.wait(days=1)
        customer.spend(1)
        customer.wait(days=DAYS_SHOWN - 1)
        customer.spend(4)

        usage = seen(customer).usage

        assert [day.used for day in usage.days] == [1, *[0] * (DAYS_SHOWN - 2), 4]
        assert (usage.total, usage.most, usage.recent) == (5, 4, 4)
        assert (usage.days[0].height, usage.days[-1].height) == (25, 100)

    def test_has_the_days_of_the_customers_time_zone(self, customer):
        customer.grant(50)
        customer.spend(3)  # noon in London, past midnight in Auckland
        with timezone.override("Pacific/Auckland"):
            today = seen(customer).usage.days[-1]

        assert (today.day, today.used) == (date(2026, 3, 11), 3)

    def test_is_nobody_elses(self, new_customer):
        mine, other = new_customer(), new_customer()
        other.grant(5)
        other.spend(5)

        assert seen(mine).usage.total == 0


class TestRunway:
    def test_says_nothing_without_a_pace(self, customer):
        customer.grant(50)

        assert seen(customer).runway is None

    def test_follows_the_pace_of_the_last_two_weeks(self, customer):
        customer.grant(114)
        customer.spend(100)
        customer.wait(days=20)
        customer.spend(7)

        runway = seen(customer).runway

        assert runway.at == customer.in_days(14)
        assert (runway.far, runway.soon) == (False, False)

    def test_does_not_count_credits_that_end_before_their_turn(self, customer):
        customer.renew(28, days=30)
        customer.gift(100, days=5)
        customer.spend(14)  # one a day; 14 of the plan's are left, then the gifts have ended
        customer.grant(6)

        assert seen(customer).runway.at == customer.in_days(14 + 6)

    def test_counts_only_the_part_of_a_gift_that_can_be_spent_before_its_end(self, customer):
        customer.grant(14)
        customer.spend(14)
        customer.gift(100, days=3)
        customer.grant(2)

        assert seen(customer).runway.at == customer.in_days(3 + 2)

    def test_more_than_a_year_is_only_called_far(self, customer):
        customer.grant(1_000_000_000)
        customer.spend(1)

        assert seen(customer).runway.far

    def test_survives_the_largest_numbers(self, customer):
        customer.grant(10**9)
        customer.spend(10**8)

        assert seen(customer).runway.at == customer.in_days(14 * 9)


class TestPools:
    def test_fill_the_bar_and_the_smallest_can_be_seen(self, customer):
        customer.renew(1)
        customer.gift(1, days=5)
        customer.grant(10**9)

        parts = seen(customer).pools

        assert sum(part.width for part in parts) == BAR
        assert [part.x for part in parts] == [0, 8, 16]

    def test_without_credits_leave_it_empty(self, customer):
        assert [part.width for part in seen(customer).pools] == [0, 0, 0]


class TestPlan:
    def test_says_when_it_renews_and_what_happens_then(self, customer, monkeypatch):
        subscribe(customer)
        page = page_of(customer, monkeypatch)
        assert "Pro plan Active 100 credits for $29.00 per month" in page
        assert "Renews on 19 Mar 2026 : 100 new credits once it is paid." in page
        assert "Up to 20 unused ones of this period carry over" in page

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"cancel_at_period_end": True}, "Ends on 19 Mar 2026 . Nothing more is charged."),
            (
                {"status": "trialing"},
                "Your trial ends on 19 Mar 2026 , then 100 credits and $29.00.",
            ),
            ({"status": "past_due"}, "New credits arrive once the payment has succeeded."),
            ({"status": "paused"}, "No payments and no new credits until the plan goes on."),
            ({"status": "canceled"}, "You have no plan."),
            ({"price_id": "price_old"}, "Plan Active Renews on 19 Mar 2026"),
            ({"period_end": None}, "Pro plan Active"),
        ],
    )
    def test_says_what_else_may_be(self, customer, monkeypatch, fields, sentence):
        subscribe(customer, **fields)
        assert sentence in page_of(customer, monkeypatch)

    def test_says_what_it_changes_to(self, customer, monkeypatch):
        subscribe(customer)
        Offer.objects.create(
            slug="small", name="Small", kind="plan", credits=20, amount=900, currency="usd",
            interval="month", stripe_price_id="price_small",
        )  # fmt: skip
        PlanSchedule.objects.create(
            account_id=customer.account_id, schedule_id="sched_1", subscription_id="sub_1",
            active=True, price_id="price_small", begins_at=customer.in_days(9), as_of=customer.now,
        )  # fmt: skip
        page = page_of(customer, monkeypatch)
        assert "Pro plan Changing" in page
        assert "19 Mar 2026 to Small: 20 new credits for $9.00 once it is paid." in page
        assert "Renews on" not in page


class TestBanners:
    def test_credits_in_a_dispute(self, customer, monkeypatch):
        customer.freeze(customer.grant(8))
        page = page_of(customer, monkeypatch)
        assert "8 credits are set aside" in page
        assert "Set aside in a dispute 8" in page

    def test_credits_run_low(self, customer, monkeypatch):
        customer.grant(30)
        customer.spend(28)
        assert "run out within three days" in page_of(customer, monkeypatch)

    def test_no_credits_left(self, customer, monkeypatch):
        customer.grant(3)
        customer.spend(3)
        assert "You have no credits left." in page_of(customer, monkeypatch)

    def test_a_new_customer_is_not_warned(self, customer, monkeypatch):
        page = page_of(customer, monkeypatch)
        assert "Credits come from plans and packs" in page
        assert "You have no credits left." not in page


def ten_thousand_lines(customer, lot: CreditLot) -> None:
    """A long history, written past the services: here it is only read."""
    account_id, first = customer.account_id, LedgerEntry.objects.get()
    holds, lines = [], []
    for number in range(2, 10_002):
        row_id = (account_id << 32) | number
        at = customer.now - timedelta(minutes=4 * number)
        holds.append(
            Hold(
                id=row_id, account_id=account_id, amount=1, captured=1, state="captured",
                reference="generation:x", idempotency_key=str(number), arguments_hash="",
                created_at=at, settled_at=at,
            )
        )  # fmt: skip
        lines.append(
            LedgerEntry(
                id=row_id, account_id=account_id, sequence=number, kind="hold", pool="bulk",
                lot=lot, hold_id=row_id, amount=-1, balance_after=20_001 - number, owed_after=0,
                reference="generation:x", actor="customer", created_at=at,
                previous_hash=first.hash, hash=str(number),
            )
        )  # fmt: skip
    Hold.objects.bulk_create(holds, batch_size=2000)
    LedgerEntry.objects.bulk_create(lines, batch_size=2000)


@pytest.mark.breaks_the_books
def test_a_long_history_costs_no_more_queries_and_little_time(
    customer, monkeypatch, django_assert_num_queries: Callable
) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: customer.now)
    client = client_of(Account.objects.get(pk=customer.account_id))
    lot = customer.grant(20_000)
    html(client.get("/"))
    with CaptureQueriesContext(connection) as few:
        html(client.get("/"))
    ten_thousand_lines(customer, lot)
    with django_assert_num_queries(len(few)):
        html(client.get("/"))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        client.get("/")
        times.append(time.perf_counter() - start)
    assert min(times) < (0.15 if connection.vendor == "postgresql" else 1)
