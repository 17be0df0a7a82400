import io
from collections.abc import Callable
from datetime import datetime
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.test import Client

from credits import services as credits
from credits.models import Account
from credits.tests.pages import hidden, html, text
from generation import services
from generation.models import Generation
from generation.tests.cast import available, give, give_token, request
from generation.tests.pages import ATTACK, ESCAPED, NEW, url

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]


def post(client: Client, **fields: str):
    return client.post(
        NEW, {"prompt": "A story.", "funding": "credits", "key": str(uuid4()), **fields}
    )


class TestNewGeneration:
    def test_says_what_it_costs_before_sending(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now, 1234)
        assert "Costs 1 credit; you have 1,234." in text(client.get(NEW))

    def test_offers_no_choice_where_there_is_none(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now)
        assert "Pay with" not in text(client.get(NEW))

    def test_offers_the_choice_to_who_has_both(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now)
        give_token(account, now)
        assert "Pay with" in text(client.get(NEW))

    def test_pays_with_the_single_generation_if_that_is_all_there_is(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give_token(account, now)
        page = client.get(NEW)
        assert hidden(page, "funding") == "retail"
        assert "The result is final" in text(page)

    def test_explains_what_to_do_without_credits(self, client: Client) -> None:
        page = client.get(NEW)
        assert "Not enough credits: you have 0 credits." in text(page)
        assert 'href="/prices/"' in html(page)

    def test_names_the_three_ways_to_go_on(self, client: Client) -> None:
        call_command("init_pricing", stdout=io.StringIO())
        page = text(client.get(NEW))
        assert "Take a plan From $9.00 per month, with 20 credits" in page
        assert "Buy a pack From $15.00, for 50 credits that never end" in page
        assert "Pay for just one $0.99, without any credits" in page

    def test_leads_to_the_generation(self, client: Client, account: Account, now: datetime) -> None:
        give(account, now)
        response = post(client)
        generation = Generation.objects.get()
        assert (response.status_code, response.headers["Location"]) == (302, url(generation))
        assert available(account, now) == 9

    def test_sent_twice_is_one_generation(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now)
        key = hidden(client.get(NEW))
        first, second = post(client, key=key), post(client, key=key)
        assert first.headers["Location"] == second.headers["Location"]
        assert Generation.objects.count() == 1

    def test_every_form_has_its_own_key(self, client: Client) -> None:
        assert hidden(client.get(NEW)) != hidden(client.get(NEW))

    def test_the_same_form_with_another_text_is_refused_with_a_new_key(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now)
        key = hidden(client.get(NEW))
        post(client, key=key)
        refused = post(client, key=key, prompt="Another.")
        assert "already sent" in text(refused, status=409)
        assert hidden(refused) != key
        assert "Another." in html(refused, status=409)

    def test_line_ends_count_once(self, client: Client, account: Account, now: datetime) -> None:
        give(account, now)
        post(client, prompt="a\r\n" * 4000)
        assert Generation.objects.get().prompt == "a\n" * 4000

    @pytest.mark.parametrize(
        ("prompt", "sentence"),
        [
            ("", "Write what you want generated."),
            ("  \n ", "The prompt is empty."),
            ("x" * 8001, "longer than 8000 characters"),
            ("a\0b", "Null characters are not allowed."),
        ],
    )
    def test_refuses_prompts_beside_the_field(
        self, client: Client, account: Account, now: datetime, prompt: str, sentence: str
    ) -> None:
        give(account, now)
        page = post(client, prompt=prompt)
        assert sentence in text(page, status=422)
        assert 'aria-invalid="true"' in html(page, status=422)
        assert available(account, now) == 10

    @pytest.mark.parametrize("fields", [{"funding": "gold"}, {"funding": ""}, {"key": "1"}])
    def test_refuses_a_broken_form(
        self, client: Client, account: Account, now: datetime, fields: dict[str, str]
    ) -> None:
        give(account, now)
        html(post(client, **fields), status=422)
        assert available(account, now) == 10

    def test_refusals_of_money_are_402(self, client: Client) -> None:
        assert "Not enough credits: this costs 1 and you have 0." in text(post(client), status=402)
        assert "There is no single generation left" in text(
            post(client, funding="retail"), status=402
        )

    def test_a_frozen_account_is_403(self, client: Client, account: Account, now: datetime) -> None:
        give(account, now)
        credits.freeze_account(account_id=account.pk, now=now)
        assert "frozen" in text(post(client), status=403)

    def test_too_many_under_way_is_429(
        self, client: Client, account: Account, now: datetime
    ) -> None:
        give(account, now, 30)
        for _ in range(services.MAX_OPEN):
            request(account, now)
        page = post(client)
        assert "wait for one to finish" in text(page, status=429)
        assert page.headers["Retry-After"] == "5"

    def test_can_start_from_an_own_text_only(
        self, client: Client, new_account: Callable[[], Account], account: Account, now: datetime
    ) -> None:
        other = new_account()
        give(account, now)
        give(other, now)
        mine, others = request(account, now, prompt=ATTACK), request(other, now)
        assert ESCAPED in html(client.get(NEW, {"from": str(mine.pk)}))
        html(client.get(NEW, {"from": str(others.pk)}), status=404)
        html(client.get(NEW, {"from": "x"}), status=404)
