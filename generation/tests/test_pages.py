from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.test import Client

from credits.models import Account
from credits.tests.pages import hidden, html, text
from generation import failures, services
from generation.tests.cast import available, finish, give, give_token, request, start, tokens
from generation.tests.pages import ATTACK, ESCAPED, NEW, NO_SUCH_ID, url

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]


class TestDetail:
    def test_escapes_and_keeps_white_space(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now)
        claimed = start(account, now, prompt=ATTACK)
        finish(claimed, now, output=ATTACK)
        assert html(client.get(url(claimed))).count(ESCAPED) == 2

    def test_refreshes_itself_while_it_runs(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now)
        claimed = start(account, now)
        services.keep(claimed=claimed, now=now, output="Once upon")
        page = html(client.get(url(claimed)))
        assert '<noscript><meta http-equiv="refresh"' in page
        assert f'hx-get="{url(claimed, "progress")}?seen=running-1-9"' in page
        assert "Once upon" in page

    def test_stands_still_when_it_has_ended(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now)
        claimed = start(account, now)
        finish(claimed, now + timedelta(seconds=4))
        page = client.get(url(claimed))
        assert "http-equiv" not in html(page)
        assert "hx-get" not in html(page)
        assert "Took 4 seconds Tokens 3 read, 5 written Model m" in text(page)
        assert "Generate again for 1 credit" in text(page)

    @pytest.mark.parametrize("code", [*failures.SENTENCES, "something_new"])
    def test_says_why_it_failed_and_that_the_credit_came_back(
        self, client: Client, account: Account, now: datetime, code: str
    ) -> None:
        give(account, now)
        claimed = start(account, now)
        services.fail(claimed=claimed, code=code, now=now, permanent=True)
        page = text(client.get(url(claimed)))
        assert "You paid nothing: the 1 credit came back." in page
        assert str(failures.sentence(code)) in page
        assert available(account, now) == 10

    def test_says_that_a_single_generation_can_be_used_again_after_a_failure(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give_token(account, now)
        claimed = start(account, now, funding="retail")
        services.fail(claimed=claimed, code="refused", now=now, permanent=True)
        assert "your single generation can be used again" in text(client.get(url(claimed)))

    def test_says_that_it_will_be_tried_again(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now)
        claimed = start(account, now)
        services.fail(claimed=claimed, code="rate_limited", now=now)
        assert "attempt 2 of 3" in text(client.get(url(claimed)))

    def test_a_retail_result_is_final_and_offers_credits(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give_token(account, now)
        claimed = start(account, now, funding="retail")
        finish(claimed, now)
        page = text(client.get(url(claimed)))
        assert "it is final and cannot be generated again" in page
        assert "get credits" in page
        assert "Generate again" not in page

    def test_needs_few_queries(
        self,
        client: Client,
        account: Account,
        now: datetime,
        django_assert_max_num_queries: Callable,
    ) -> None:
        give(account, now)
        generation = request(account, now)
        with django_assert_max_num_queries(7):
            client.get(url(generation))
        with django_assert_max_num_queries(7):
            client.get(url(generation, "progress"))


class TestDownload:
    def test_is_the_text_and_nothing_else(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now)
        claimed = start(account, now)
        finish(claimed, now, output="Grüße, <b>&amp;\n")
        response = client.get(url(claimed, "download"))
        assert response.content.decode() == "Grüße, <b>&amp;\n"
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        name = f"generation-{str(claimed.pk)[:8]}.txt"
        assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        assert url(claimed, "download") in html(client.get(url(claimed)))

    def test_is_not_there_before_the_text_is(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now)
        claimed = start(account, now)
        html(client.get(url(claimed, "download")), status=404)
        assert url(claimed, "download") not in html(client.get(url(claimed)))


class TestProgress:
    def test_says_how_many_are_before_it_and_how_long_it_has_taken(
        self,
        client: Client,
        new_account: Callable[[], Account],
        account: Account,
        now: datetime,
    ) -> None:
        other = new_account()
        give(other, now)
        give(account, now)
        first = request(other, now - timedelta(seconds=5))
        mine = request(account, now - timedelta(seconds=4))
        page = client.get(url(mine))
        assert "1 other text is before yours." in text(page)
        assert "Minutes and seconds so far 0:04" in text(page)
        seen = {"seen": "queued-0-1"}
        assert client.get(url(mine, "progress"), seen).status_code == 204
        services.cancel(generation=first, now=now)
        assert "Waiting for a free worker." in text(client.get(url(mine, "progress"), seen))

    def test_is_empty_until_something_changes(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now)
        claimed = start(account, now)
        response = client.get(url(claimed, "progress"), {"seen": "running-1-0"})
        assert (response.status_code, response.content) == (204, b"")
        services.keep(claimed=claimed, now=now, output="Once")
        response = client.get(url(claimed, "progress"), {"seen": "running-1-0"})
        assert "Once" in html(response)

    def test_ends_the_polling_when_the_work_has_ended(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now)
        claimed = start(account, now)
        finish(claimed, now)
        response = client.get(url(claimed, "progress"))
        assert "hx-get" not in html(response, status=286)


class TestCancel:
    def test_gives_the_credit_back(self, client: Client, account: Account, now: datetime) -> None:
        give(account, now)
        generation = request(account, now)
        for _ in range(2):
            assert client.post(url(generation, "cancel")).headers["Location"] == url(generation)
        assert "You canceled this." in text(client.get(url(generation)))
        assert available(account, now) == 10

    def test_comes_too_late_for_a_finished_one(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now)
        claimed = start(account, now)
        finish(claimed, now)
        page = client.post(url(claimed, "cancel"))
        assert "This generation has already ended." in text(page, status=409)
        assert "A story." in text(page, status=409)


class TestRegenerate:
    def test_makes_one_new_generation_per_form(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now)
        claimed = start(account, now)
        finish(claimed, now)
        key = hidden(client.get(url(claimed)))
        first = client.post(url(claimed, "regenerate"), {"key": key})
        second = client.post(url(claimed, "regenerate"), {"key": key})
        assert first.headers["Location"] == second.headers["Location"] != url(claimed)
        assert available(account, now) == 8

    def test_is_refused_for_a_single_generation(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now)
        give_token(account, now)
        claimed = start(account, now, funding="retail")
        finish(claimed, now)
        page = client.post(url(claimed, "regenerate"))
        assert "A single generation is final" in text(page, status=409)
        assert (available(account, now), tokens(account, now)) == (10, 0)

    def test_without_credits_is_402_and_says_where_to_get_some(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now, 1)
        claimed = start(account, now)
        finish(claimed, now)
        page = client.post(url(claimed, "regenerate"), {"key": "not a key"})
        assert "Not enough credits" in text(page, status=402)
        assert "See how to get more" in text(page, status=402)

    def test_is_refused_while_it_runs(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now)
        assert client.post(url(start(account, now), "regenerate")).status_code == 409


GETS = ["", "progress", "download"]
POSTS = ["cancel", "regenerate"]


class TestStrangers:
    def test_anonymous_visitors_are_sent_to_sign_in(self) -> None:
        for address in ("/generations/", NEW, f"/generations/{uuid4()}/"):
            location = Client().get(address).headers["Location"]
            assert location == f"/accounts/login/?next={address}"
        assert Client().post(NEW).status_code == 302

    def test_a_page_whose_session_ended_reloads_itself(self) -> None:
        answer = Client().get(f"/generations/{uuid4()}/progress/")
        assert (answer.headers["HX-Refresh"], answer.content) == ("true", b"")

    def test_other_customers_generations_do_not_exist(
        self, client: Client, new_account: Callable[[], Account], now: datetime
    ) -> None:
        other = new_account()
        give(other, now)
        theirs = request(other, now)
        for action in GETS:
            html(client.get(url(theirs, action)), status=404)
        for action in POSTS:
            html(client.post(url(theirs, action)), status=404)
        assert available(other, now) == 9

    @pytest.mark.parametrize("address", [NO_SUCH_ID, "1", "x", "..%2f", "%00"])
    def test_ids_that_do_not_exist(self, client: Client, address: str) -> None:
        html(client.get(f"/generations/{address}/"), status=404)

    def test_actions_need_post(self, client: Client, account: Account, now: datetime) -> None:
        give(account, now)
        generation = request(account, now)
        for action in POSTS:
            assert client.get(url(generation, action)).status_code == 405

    def test_actions_need_the_form_of_this_site(self, account: Account, now: datetime) -> None:
        give(account, now)
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(account.user)
        assert "no longer valid" in text(strict.post(NEW, {"prompt": "x"}), status=403)
