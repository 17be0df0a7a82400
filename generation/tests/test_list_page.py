"""The list of a customer's generations: narrowed, searched, page by page."""

import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test import Client

from credits.models import Account
from credits.tests.pages import html, text
from generation import services
from generation.models import Generation
from generation.tests.cast import finish, give, give_token, request, start
from generation.tests.pages import ATTACK, ESCAPED, NO_SUCH_ID
from generation.views import PER_PAGE

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]

LIST = "/generations/"


def many(account: Account, now: datetime, number: int) -> None:
    """Finished ones, written past the services; the oldest is number 0."""
    Generation.objects.bulk_create(
        Generation(
            account_id=account.pk, status="succeeded", prompt=f"Number {n}." + "x" * 300,
            output="y" * 1000, operation="text", price_version=1, cost=0, funding="retail",
            request_hash="", run_at=now, created_at=now + timedelta(seconds=n // 2),
            finished_at=now,
        )
        for n in range(number)
    )  # fmt: skip


def numbers(page: str) -> list[int]:
    return [int(n) for n in re.findall(r"Number (\d+)\.", page)]


def test_without_any(client: Client) -> None:
    page = text(client.get(LIST))
    assert "Nothing here yet" in page
    assert "Search" not in page


def test_shows_own_ones_newest_first_with_their_cost(
    client: Client, new_account: Callable[[], Account], account: Account, now: datetime
) -> None:
    other = new_account()
    give(account, now)
    give(other, now)
    request(other, now, prompt="Not mine.")
    request(account, now, prompt="First.")
    services.cancel(generation=request(account, now, prompt=ATTACK), now=now)
    request(account, now + timedelta(seconds=1), prompt="Last.")
    page = text(client.get(LIST))
    assert "Not mine." not in page
    assert page.index("Last.") < page.index("First.")
    assert re.search(r"Last\. 1 credit \d[^.]+ Queued", page)
    assert re.search(r"no charge \d[^.]+ Canceled", page)


class TestPages:
    def test_meet_without_gap_or_overlap_also_within_a_moment(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        many(account, now, 2 * PER_PAGE + 10)
        shown, address = [], LIST
        while address:
            page = html(client.get(address))
            shown.append(numbers(page))
            older = re.search(r'rel="next" href="([^"]+)"', page)
            address = LIST + older[1].replace("&amp;", "&") if older else ""
        assert [len(page) for page in shown] == [PER_PAGE, PER_PAGE, 10]
        assert sorted(number for page in shown for number in page) == list(range(2 * PER_PAGE + 10))

    def test_keep_what_the_list_is_narrowed_to(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        many(account, now, PER_PAGE + 1)
        page = html(client.get(LIST, {"text": "number", "funding": "retail"}))
        assert re.search(r'href="\?text=number&amp;funding=retail&amp;before=[-0-9a-f]{36}"', page)

    def test_of_ten_thousand_cost_few_queries_and_little_time(
        self,
        client: Client,
        account: Account,
        now: datetime,
        django_assert_max_num_queries: Callable,
    ) -> None:
        many(account, now, 10_000)
        with django_assert_max_num_queries(5):
            page = html(client.get(LIST))
        last = re.search(r"before=([-0-9a-f]{36})", page)
        with django_assert_max_num_queries(7):
            client.get(LIST, {"before": last[1]})
        times = []
        for _ in range(5):
            started = time.perf_counter()
            client.get(LIST, {"before": last[1]})
            times.append(time.perf_counter() - started)
        assert min(times) < (0.15 if connection.vendor == "postgresql" else 1)

    @pytest.mark.parametrize("before", ["", "x", NO_SUCH_ID, "\0", "9" * 400])
    def test_that_do_not_exist_are_refused(self, client: Client, before: str) -> None:
        html(client.get(LIST, {"before": before}), status=404)

    def test_do_not_start_at_somebody_elses(
        self, client: Client, new_account: Callable[[], Account], now: datetime
    ) -> None:
        other = new_account()
        give(other, now)
        html(client.get(LIST, {"before": str(request(other, now).pk)}), status=404)


class TestNarrowing:
    @pytest.mark.parametrize(
        ("chosen", "shown"),
        [
            ({"text": "RYE"}, ["About rye."]),
            ({"text": "a story"}, ["About rye.", "About oats."]),  # that is what was written
            ({"text": "100%"}, []),
            ({"status": "queued"}, ["About wheat."]),
            ({"funding": "retail"}, ["About oats."]),
            ({"funding": "credits", "status": "succeeded"}, ["About rye."]),
            ({"text": "", "status": "", "funding": ""},
             ["About wheat.", "About rye.", "About oats."]),
        ],
    )  # fmt: skip
    def test_shows_what_fits_all_of_it(
        self,
        client: Client,
        account: Account,
        now: datetime,
        chosen: dict[str, str],
        shown: list[str],
    ) -> None:
        give(account, now)
        give_token(account, now)
        finish(start(account, now, prompt="About rye."), now)
        finish(start(account, now, prompt="About oats.", funding="retail"), now)
        request(account, now, prompt="About wheat.")
        page = text(client.get(LIST, chosen))
        assert {name for name in ("About wheat.", "About rye.", "About oats.") if name in page} == {
            *shown
        }
        assert ("None found" in page) == (shown == [])

    def test_shows_what_was_searched_for_escaped(self, client: Client) -> None:
        assert ESCAPED in html(client.get(LIST, {"text": ATTACK}))

    @pytest.mark.parametrize(
        "chosen", [{"status": "lost"}, {"funding": "gold"}, {"text": "\0"}, {"text": "x" * 201}]
    )
    def test_refuses_what_does_not_exist(self, client: Client, chosen: dict[str, str]) -> None:
        html(client.get(LIST, chosen), status=404)
