"""The figures of the front page say what the ledger says."""

from datetime import UTC, date, datetime, timedelta

import pytest

from credits import figures, services
from credits.audit import Totals, audit
from credits.models import CreditLot, DailyTotal
from credits.services import Direction

pytestmark = pytest.mark.django_db
TODAY = date(2026, 3, 10)


def totals_of(now):
    return {total.day: total for total in figures.last_days(now=now)}


def sums(now):
    """All days together, as check_ledger counts."""
    days = figures.last_days(now=now)
    return {
        name: sum(getattr(day, name) for day in days)
        for name in ("sold", "granted", "spent", "expired", "clawed_back", "lines")
    }


def books():
    return sum((totals for totals, _wrong in audit()), Totals())


def keep_all(now):
    while services.add_up_days(now=now):
        pass


@pytest.fixture
def month(customer, now):
    """A busy month that ends at `now`: everything that a line can be."""
    customer.now = now - timedelta(days=25)
    pack = customer.grant(100, amount_paid=900, currency="usd")
    customer.gift(10, days=3)
    first = customer.hold(4)
    customer.wait(days=2)
    customer.release(first)
    customer.spend(30)
    customer.renew(20, days=5, amount_paid=500, currency="eur")
    customer.wait(days=10)
    customer.claw_back(pack, 50)
    customer.adjust(5, Direction.ADD)
    customer.adjust(3, Direction.REMOVE)
    services.expire_due(now=customer.now)
    customer.wait(days=13)
    spent = customer.spend(2)
    customer.refund(spent)
    customer.freeze(pack)
    customer.hold(1)
    return customer


class TestTotals:
    @pytest.mark.parametrize("kept", [True, False])
    def test_of_all_days_equal_the_books(self, month, now, kept):
        if kept:
            keep_all(now)
        found, proved = sums(now), books()
        assert found["sold"] + found["granted"] == proved.issued
        assert found["spent"] == proved.spent + proved.held
        assert found["expired"] == proved.expired > 0
        assert found["clawed_back"] == proved.clawed_back > 0
        assert found["lines"] == proved.entries

    def test_are_the_same_kept_and_read(self, month, now):
        def plain():
            return [
                {**vars(day), "_state": None, "id": None, "added_up_at": None}
                for day in figures.last_days(now=now)
            ]

        before = plain()
        keep_all(now)
        assert DailyTotal.objects.count() == 29
        assert plain() == before

    def test_know_money_by_currency_and_tokens(self, customer, now):
        customer.grant(100, amount_paid=900, currency="usd")
        customer.renew(20, amount_paid=500, currency="eur")
        customer.buy_token(amount_paid=150, currency="usd")
        customer.gift(7, days=1)
        today = totals_of(now)[TODAY]
        assert today.money == {"usd": 1050, "eur": 500}
        assert (today.sold, today.granted) == (120, 7)

    def test_tell_what_was_paid_for_and_expired(self, customer, now):
        customer.gift(10, days=1)
        customer.renew(30, days=1, amount_paid=1000, currency="usd")
        customer.spend(11)  # 10 of the plan's credits would be wrong: 11 of 30 are used
        customer.wait(days=5)
        services.expire_due(now=customer.now)
        day = totals_of(customer.now)[TODAY + timedelta(days=5)]
        assert (day.expired, day.expired_paid) == (29, 19)
        assert day.expired_money == {"usd": 633}  # 19/30 of $10, rounded down

    def test_count_a_line_that_comes_late(self, month, now):
        keep_all(now)
        month.now = now - timedelta(days=9)
        month.grant(11, source_key="late")
        late = (now - timedelta(days=9)).date()
        assert totals_of(now)[late].granted == 0
        tomorrow = now + timedelta(days=1)
        keep_all(tomorrow)
        assert totals_of(tomorrow)[late].granted == 11

    def test_begin_and_end_at_midnight_utc(self, customer, now):
        midnight = datetime(2026, 3, 10, tzinfo=UTC)
        for number, moment in enumerate([midnight - timedelta(microseconds=1), midnight]):
            customer.now = moment
            customer.grant(10**number, source_key=f"at:{number}")
        days = totals_of(now)
        assert days[TODAY - timedelta(days=1)].granted == 1
        assert days[TODAY].granted == 10

    def test_of_the_first_days_of_a_site_are_there_at_once(self, customer, now):
        customer.now = now - timedelta(days=4)
        customer.grant(3)
        assert totals_of(now)[TODAY - timedelta(days=4)].granted == 3
        assert len(figures.last_days(now=now)) == figures.DAYS

    def test_of_an_empty_site_are_nothing(self, now):
        assert set(sums(now).values()) == {0}

    @pytest.mark.parametrize("size", [1, 40])
    def test_need_a_fixed_number_of_queries(self, customer, now, size, django_assert_num_queries):
        for number in range(size):
            customer.now = now - timedelta(days=number % 20)
            customer.grant(5, amount_paid=100 + number, currency="usd")
        with django_assert_num_queries(5):
            figures.last_days(now=now)


class TestAddingUp:
    def test_is_done_a_few_days_at_a_time_and_once_a_day(self, month, now):
        assert services.add_up_days(now=now) == 5
        keep_all(now)
        assert services.add_up_days(now=now + timedelta(hours=1)) == 0
        assert services.add_up_days(now=now + timedelta(days=1)) == 5

    def test_waits_until_a_day_is_over_for_an_hour(self, now):
        yesterday = TODAY - timedelta(days=1)
        for hours, newest in [(0.9, yesterday - timedelta(days=1)), (1.1, yesterday)]:
            keep_all(datetime(2026, 3, 10, tzinfo=UTC) + timedelta(hours=hours))
            assert DailyTotal.objects.latest("day").day == newest

    def test_reads_yesterday_until_it_is_kept(self, customer):
        midnight = datetime(2026, 3, 10, tzinfo=UTC)
        keep_all(midnight)
        customer.now = midnight - timedelta(seconds=1)
        customer.grant(7)
        assert totals_of(midnight)[TODAY - timedelta(days=1)].granted == 7


class TestOutstanding:
    def test_is_what_is_left_and_what_was_paid_for_it(self, customer, now):
        customer.grant(100, amount_paid=1000, currency="usd")
        disputed = customer.grant(10, amount_paid=300, currency="eur")
        customer.gift(5, days=1)
        customer.buy_token(amount_paid=150, currency="usd")
        customer.spend(30)
        customer.freeze(disputed)
        found = figures.outstanding(now=now)
        assert found.credits == 100 + 10 + 5 - 30
        assert found.money == {"usd": 750 + 150, "eur": 300}
        assert found.tokens == 1

    def test_leaves_out_what_has_ended(self, customer, now):
        customer.gift(5, days=1)
        assert figures.outstanding(now=now + timedelta(days=2)).credits == 0
        assert CreditLot.objects.get().remaining == 5, "not written off yet"

    def test_knows_what_is_owed(self, customer, now):
        pack = customer.grant(10, amount_paid=100, currency="usd")
        customer.spend(4)
        customer.claw_back(pack, 10)
        assert figures.outstanding(now=now).owed == 4
