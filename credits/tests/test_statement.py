"""The statement on the screen, on paper and at a past moment."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from credits import services, statements
from credits.models import Account, LedgerEntry, Pool
from credits.statements import Month, Selection
from credits.tests.pages import client_of, html, text

pytestmark = pytest.mark.django_db

PAGES = ["/ledger/", "/statement/print/", "/statement/export.csv", "/statement/export.json"]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: now)


def spend(account: Account, now: datetime, times: int = 1) -> None:
    for _ in range(times):
        reference = f"generation:{uuid4()}"
        services.spend(
            account_id=account.pk, amount=1, reference=reference, idempotency_key=reference, now=now
        )


def grant(account: Account, now: datetime, amount: int, pool: Pool = Pool.BULK, **more) -> None:
    more.setdefault("source_key", f"checkout:{uuid4()}")
    services.grant(account_id=account.pk, pool=pool, amount=amount, now=now, **more)


@pytest.fixture
def three_months(account: Account, now: datetime) -> Account:
    """January: +100. February: +20 with an end, -5. March: -3 and the end of the rest of the 20."""
    january = datetime(2026, 1, 15, tzinfo=UTC)
    february = datetime(2026, 2, 1, tzinfo=UTC)
    grant(account, january, 100)
    grant(account, february, 20, Pool.PROMOTIONAL, expires_at=datetime(2026, 3, 1, tzinfo=UTC))
    spend(account, february, times=5)
    services.expire_due(now=datetime(2026, 3, 1, 0, 1, tzinfo=UTC))
    spend(account, now, times=3)
    return account


@pytest.mark.parametrize("url", [*PAGES, "/statement/balance/", "/purchases/"])
def test_anonymous_visitors_are_sent_to_sign_in(client: Client, url: str) -> None:
    assert client.get(url).headers["Location"] == f"/accounts/login/?next={url}"


@pytest.mark.parametrize("url", PAGES)
def test_other_customers_lines_never_appear(
    new_account: Callable[[], Account], now: datetime, url: str
) -> None:
    mine, other = new_account(), new_account()
    grant(mine, now, 1, source_key="checkout:cs_mine")
    grant(other, now, 10, source_key="invoice:in_other")
    response = client_of(mine).get(url)
    page = response.getvalue() if response.streaming else response.content
    assert b"cs_mine" in page
    assert b"in_other" not in page


class TestLines:
    def test_without_any(self, account: Account) -> None:
        page = text(client_of(account).get("/ledger/"))
        assert "Nothing yet" in page
        assert "See how to get credits" in page

    def test_link_generations_and_escape_notes(self, account: Account, now: datetime) -> None:
        grant(account, now, 10, note="<script>alert(1)</script>")
        spend(account, now)
        page = html(client_of(account).get("/ledger/"))
        assert 'href="/generations/' in page
        assert "&lt;script&gt;alert(1)" in page

    def test_give_the_balance_of_their_pool_after_each(self, three_months: Account) -> None:
        page = text(client_of(three_months).get("/ledger/?month=2026-02&kind=grant"))
        assert "Promotional +20 then 20" in page

    def test_of_one_event_share_one_moment(self, account: Account, now: datetime) -> None:
        for number in (1, 2):
            services.reset_subscription(
                account_id=account.pk, amount=20, period_end=now + timedelta(days=30),
                source_key=f"invoice:in_{number}", now=now + timedelta(minutes=number),
            )  # fmt: skip
        page = text(client_of(account).get("/ledger/"))
        assert page.count("10 Mar 2026, 12:02 UTC") == 1
        assert page.count("at the same time") == 1

    def test_carry_the_head_of_the_chain(self, three_months: Account) -> None:
        three_months.refresh_from_db()
        for url in ("/ledger/", "/statement/print/"):
            assert three_months.chain_head in html(client_of(three_months).get(url))


class TestFilters:
    @pytest.mark.parametrize(
        ("query", "kinds"),
        [
            ("", ["hold"] * 3 + ["expire"] + ["hold"] * 5 + ["grant"] * 2),
            ("month=2026-02", ["hold"] * 5 + ["grant"]),
            ("month=2026-03&pool=promotional", ["expire"]),
            ("kind=grant", ["grant", "grant"]),
            ("month=2026-01&kind=expire", []),
        ],
    )
    def test_choose_lines(self, three_months: Account, query: str, kinds: list[str]) -> None:
        response = client_of(three_months).get(f"/ledger/?{query}")
        html(response)
        assert [line.entry.kind for line in response.context["lines"]] == kinds

    def test_that_fit_nothing_say_so(self, three_months: Account) -> None:
        page = client_of(three_months).get("/ledger/?month=2026-01&kind=expire")
        assert "No line fits" in text(page)

    @pytest.mark.parametrize("query", ["month=2026-13", "month=x", "pool=gold", "kind=%00"])
    def test_that_do_not_exist_are_refused_beside_the_field(
        self, three_months: Account, query: str
    ) -> None:
        client = client_of(three_months)
        assert "Select a valid choice" in text(client.get(f"/ledger/?{query}"), status=422)
        for url in PAGES[1:]:
            html(client.get(f"{url}?{query}"), status=404)

    def test_offer_every_month_since_the_first_line(self, three_months: Account) -> None:
        page = text(client_of(three_months).get("/ledger/"))
        assert "All months Mar 2026 Feb 2026 Jan 2026 Pool" in page

    def test_months_are_those_of_the_readers_time_zone(self, three_months: Account) -> None:
        selection = Selection(three_months.pk, month=Month(2026, 1))
        assert selection.lines().count() == 1
        with timezone.override("America/New_York"):  # where 1 February in UTC is still January
            assert selection.lines().count() == 7


class TestPaging:
    def test_pages_meet_without_gap_or_overlap(self, account: Account, now: datetime) -> None:
        grant(account, now, 200)
        spend(account, now, times=119)
        client = client_of(account)
        older, shown = "/ledger/", []
        while older:
            page = self.page(client, older)
            shown += [line.entry.sequence for line in page["lines"]]
            older = page["page"].older and f"/ledger/?before={page['page'].older}"
        assert shown == list(range(120, 0, -1))

    def test_newer_leads_back_to_the_same_pages(self, account: Account, now: datetime) -> None:
        grant(account, now, 200)
        spend(account, now, times=119)
        client = client_of(account)
        assert self.page(client, "/ledger/")["page"].newer is None
        last = self.page(client, "/ledger/?before=21")
        middle = self.page(client, f"/ledger/?after={last['page'].newer}")
        assert [line.entry.sequence for line in middle["lines"]] == list(range(70, 20, -1))
        assert (middle["page"].newer, middle["page"].older) == (70, 21)
        first = self.page(client, "/ledger/?after=70")["page"]
        assert (first.newer, first.older) == (None, 71)

    def test_keeps_the_filters(self, account: Account, now: datetime) -> None:
        grant(account, now, 200)
        spend(account, now, times=60)
        page = html(client_of(account).get("/ledger/?kind=hold&pool=bulk"))
        assert "?kind=hold&amp;pool=bulk&amp;before=12" in page

    @pytest.mark.parametrize("before", ["", "x", "-1", "1e3", "²", "9" * 400])
    def test_refuses_places_that_do_not_exist(
        self, account: Account, now: datetime, before: str
    ) -> None:
        grant(account, now, 2)
        html(client_of(account).get("/ledger/", {"before": before}), status=404)

    @pytest.mark.parametrize("query", ["", "before=200", "after=20", "month=2026-03&kind=hold"])
    def test_needs_a_fixed_number_of_queries(
        self, account: Account, now: datetime, query: str, django_assert_max_num_queries: Callable
    ) -> None:
        grant(account, now, 300)
        spend(account, now, times=250)
        client = client_of(account)
        with django_assert_max_num_queries(7):
            client.get(f"/ledger/?{query}")

    def page(self, client: Client, url: str):
        response = client.get(url)
        html(response)
        return response.context


class TestSums:
    def test_opening_and_movements_make_the_closing(self, three_months: Account) -> None:
        page = text(client_of(three_months).get("/ledger/?month=2026-02"))
        assert "Subscription 0 0 0 0" in page
        assert "Promotional 0 +20 −5 15" in page  # noqa: RUF001
        assert "Bulk 100 0 0 100" in page

    @pytest.mark.parametrize("month", ["2026-01", "2026-02", "2026-03", ""])
    def test_are_those_of_the_printed_lines(self, three_months: Account, month: str) -> None:
        context = client_of(three_months).get(f"/statement/print/?month={month}").context
        for movement in context["movements"]:
            amounts = [
                line.entry.amount
                for line in context["lines"]
                if line.entry.pool == movement.pool.value
            ]
            assert movement.closing == movement.opening + sum(amounts)

    def test_a_month_opens_as_the_one_before_closed(self, three_months: Account) -> None:
        found = [
            statements.movements(account_id=three_months.pk, month=Month(2026, number))
            for number in (1, 2, 3)
        ]
        for earlier, later in pairwise(found):
            assert [m.closing for m in earlier] == [m.opening for m in later]
        three_months.refresh_from_db()
        columns = [getattr(three_months, f"{pool}_credits") for pool in Pool.values]
        assert [m.closing for m in found[-1]] == columns


class TestPrinted:
    def test_names_the_customer_and_the_period(self, three_months: Account) -> None:
        page = text(client_of(three_months).get("/statement/print/?month=2026-02"))
        assert three_months.user.email in page
        assert "Period 1 Feb 2026 – 28 Feb 2026" in page  # noqa: RUF001

    def test_has_no_navigation(self, three_months: Account) -> None:
        assert "API keys" not in text(client_of(three_months).get("/statement/print/"))

    def test_says_when_there_are_too_many_lines(
        self, three_months: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("credits.statement_views.MOST_PRINTED", 10)
        page = text(client_of(three_months).get("/statement/print/"))
        assert "These are 11 lines, and at most 10 are printed" in page
        assert "Bulk 0 +100 −3 97" in page  # noqa: RUF001

    def test_needs_a_fixed_number_of_queries(
        self, account: Account, now: datetime, django_assert_max_num_queries: Callable
    ) -> None:
        grant(account, now, 300)
        spend(account, now, times=120)
        client = client_of(account)
        with django_assert_max_num_queries(13):
            client.get("/statement/print/")


class TestBalanceOnAPastDay:
    def test_asks_first(self, three_months: Account) -> None:
        page = text(client_of(three_months).get("/statement/balance/"))
        assert "Day" in page
        assert "Available credits" not in page

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("day=2026-02-01", "Promotional 15 Bulk 100 Available credits 115"),
            ("day=2026-01-31", "Promotional 0 Bulk 100 Available credits 100"),
            ("day=2026-01-15&time=00:00", "Bulk 100 Available credits 100"),
            ("day=2026-01-14&time=23:59", "Bulk 0 Available credits 0"),
            ("day=2026-03-10", "Bulk 97 Available credits 97"),  # today, until now
            ("day=0002-01-01", "Available credits 0"),
        ],
    )
    def test_is_that_of_its_end_or_of_a_time(
        self, three_months: Account, query: str, words: str
    ) -> None:
        assert words in text(client_of(three_months).get(f"/statement/balance/?{query}"))

    @pytest.mark.parametrize(
        ("query", "complaint"),
        [
            ("day=", "This field is required"),
            ("day=2026-02-30", "Enter a valid date"),
            ("day=2026-02-01%00", "Enter a valid date"),
            ("day=2026-03-11", "still to come"),
            ("day=2026-03-10&time=12:01", "still to come"),
            ("day=2026-02-01&time=25:00", "Enter a valid time"),
            ("day=9999-12-31", "still to come"),
        ],
    )
    def test_refuses_others_beside_the_field(
        self, account: Account, query: str, complaint: str
    ) -> None:
        page = client_of(account).get(f"/statement/balance/?{query}")
        assert complaint in text(page, status=422)

    @pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/New_York"])
    def test_bears_the_ends_of_time(self, account: Account, zone: str) -> None:
        with timezone.override(zone):
            for day in ("0001-01-01", "9999-12-31"):
                response = client_of(account).get(f"/statement/balance/?day={day}")
                assert response.status_code in (200, 422)


def test_every_kind_can_be_chosen(account: Account, now: datetime) -> None:
    grant(account, now, 1)
    page = html(client_of(account).get("/ledger/"))
    assert all(f'value="{kind}"' in page for kind in LedgerEntry.Kind.values)
