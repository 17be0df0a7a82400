"""What the API of generations answers to requests that make sense."""

import inspect
import json
import re
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from credits import services as credits
from credits.models import Account, Hold
from credits.tests.race import race
from generation import api as generation_api
from generation import backends, failures, services
from generation.models import Generation
from generation.tests.cast import available, finish, give, give_token, start, tokens
from generation.tests.cast import request as request_directly

pytestmark = pytest.mark.django_db

URL = "/api/v1/generations"
BODY = {"prompt": "Tell me a story.", "funding": "credits"}


class Client(APIClient):
    """Speaks for the account's user."""

    def __init__(self, account: Account) -> None:
        super().__init__()
        self.force_authenticate(account.user)

    def request_generation(self, key: str | None = None, **fields: Any) -> Any:
        headers = {"Idempotency-Key": key} if key is not None else {}
        return self.post(URL, {**BODY, **fields}, format="json", headers=headers)


@pytest.fixture
def client(account: Account) -> Client:
    return Client(account)


def problem(answer: Any) -> tuple[int, str]:
    assert answer["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


class TestRequest:
    def test_is_accepted_and_paid(self, client, account, now):
        give(account, now)

        answer = client.request_generation()

        document = answer.json()
        assert answer.status_code == 202
        assert answer["Location"] == f"{URL}/{document['id']}"
        assert "Idempotency-Replayed" not in answer
        assert document.pop("created_at").endswith("Z")
        assert document == {
            "id": str(Generation.objects.get().pk),
            "status": "queued",
            "prompt": "Tell me a story.",
            "output": "",
            "cost": 1,
            "funding": "credits",
            "error": None,
            "finished_at": None,
            "usage": {"input_tokens": None, "output_tokens": None},
        }
        assert available(account, now) == 9

    def test_with_a_retail_token_costs_no_credits(self, client, account, now):
        give_token(account, now)

        answer = client.request_generation(funding="retail")

        assert (answer.status_code, answer.json()["cost"]) == (202, 0)
        assert tokens(account, now) == 0

    def test_without_credits(self, client):
        answer = client.request_generation()

        assert problem(answer) == (402, "insufficient_credits")
        assert (answer.json()["required"], answer.json()["available"]) == (1, 0)

    def test_without_a_retail_token(self, client, account, now):
        give(account, now)
        assert problem(client.request_generation(funding="retail")) == (402, "no_retail_token")

    def test_on_a_frozen_account(self, client, account, now):
        give(account, now)
        credits.freeze_account(account_id=account.pk, now=now)
        assert problem(client.request_generation()) == (403, "account_frozen")

    def test_that_is_one_too_many(self, client, account, now):
        give(account, now, 100)
        for _ in range(services.MAX_OPEN):
            request_directly(account, now)

        answer = client.request_generation()

        assert problem(answer) == (429, "too_many_open_generations")
        assert answer["Retry-After"] == "5"
        assert available(account, now) == 100 - services.MAX_OPEN

    def test_of_an_unknown_operation(self, client, account, now):
        give(account, now)

        answer = client.request_generation(operation="video")

        assert problem(answer) == (400, "invalid_request")
        assert [error["field"] for error in answer.json()["errors"]] == ["operation"]

    def test_keeps_every_character_of_the_prompt(self, client, account, now):
        give(account, now)
        prompt = "  Ünïcode \u2028 \U0001f600\r\n\t<script>alert(1)</script>\n "

        created = client.request_generation("k", prompt=prompt).json()

        assert created["prompt"] == prompt
        assert client.get(f"{URL}/{created['id']}").json()["prompt"] == prompt
        assert client.request_generation("k", prompt=prompt).json() == created


class TestIdempotencyKey:
    def test_gets_the_first_answer_again_to_the_byte(self, client, account, now):
        give(account, now, 1)
        first = client.request_generation("key-1")
        finish(services.claim(now=timezone.now()), timezone.now())

        again = client.request_generation("key-1")

        assert (again.status_code, again.content) == (202, first.content)
        assert again["Idempotency-Replayed"] == "true"
        assert again["Location"] == first["Location"]
        assert Generation.objects.count() == 1

    def test_of_another_request_is_a_conflict(self, client, account, now):
        give(account, now)
        client.request_generation("key-1")

        assert problem(client.request_generation("key-1", prompt="Another.")) == (
            409,
            "idempotency_conflict",
        )
        assert available(account, now) == 9

    def test_of_a_refused_request_can_be_used_again(self, client, account, now):
        assert client.request_generation("key-1").status_code == 402
        give(account, now)

        answer = client.request_generation("key-1")

        assert answer.status_code == 202
        assert "Idempotency-Replayed" not in answer

    def test_belongs_to_its_customer(self, client, account, new_account, now):
        other = new_account()
        for someone in (account, other):
            give(someone, now)

        mine = client.request_generation("key-1")
        theirs = Client(other).request_generation("key-1", prompt="Another.")

        assert (mine.status_code, theirs.status_code) == (202, 202)

    def test_is_not_needed(self, client, account, now):
        give(account, now)
        for _ in range(2):
            assert client.request_generation().status_code == 202
        assert available(account, now) == 8

    @pytest.mark.parametrize("key", ["", "k" * 256, "clé", "tab\there", "\x7f"])
    def test_is_printable_text(self, client, key):
        answer = client.request_generation(key)
        assert problem(answer) == (400, "invalid_request")
        assert [error["field"] for error in answer.json()["errors"]] == ["Idempotency-Key"]

    def test_may_have_255_characters(self, client, account, now):
        give(account, now)
        for _ in range(2):
            assert client.request_generation("~" * 255).status_code == 202


class TestWatching:
    def test_a_finished_one(self, client, account, now):
        give(account, now)
        claimed = start(account, now)
        finish(claimed, now + timedelta(seconds=2), "Once upon a time.")

        assert client.get(f"{URL}/{claimed.pk}").json() == {
            "id": str(claimed.pk),
            "status": "succeeded",
            "prompt": "Tell me a story.",
            "output": "Once upon a time.",
            "cost": 1,
            "funding": "credits",
            "error": None,
            "created_at": "2026-03-10T12:00:00Z",
            "finished_at": "2026-03-10T12:00:02Z",
            "usage": {"input_tokens": 3, "output_tokens": 5},
        }

    def test_a_running_one_shows_the_output_so_far(self, client, account, now):
        give(account, now)
        claimed = start(account, now)
        services.keep(claimed=claimed, now=now, output="Once upon")

        document = client.get(f"{URL}/{claimed.pk}").json()

        assert (document["status"], document["output"]) == ("running", "Once upon")

    def test_a_failed_one_says_why(self, client, account, now):
        give(account, now)
        claimed = start(account, now)
        services.fail(claimed=claimed, code="refused", now=now, permanent=True)

        assert client.get(f"{URL}/{claimed.pk}").json()["error"] == {
            "code": "refused",
            "detail": "The model's content filter refused this text: change it."
            " The credits were given back.",
        }

    def test_a_failed_one_that_a_token_paid_says_so(self, client, account, now):
        give_token(account, now)
        claimed = start(account, now, funding="retail")
        services.fail(claimed=claimed, code="refused", now=now, permanent=True)

        detail = client.get(f"{URL}/{claimed.pk}").json()["error"]["detail"]

        assert detail.endswith("The single generation was given back.")

    def test_every_way_to_fail_has_its_sentence(self):
        texts = [inspect.getsource(module) for module in (backends, services)]
        codes = {
            code
            for text in texts
            for code in re.findall(r'(?:BackendError|_end_failed)\([^")]*"([a-z_]+)"', text)
            + re.findall(r'code="([a-z_]+)"', text)
            + re.findall(r'\("([a-z_]+)", "The ', text)
        }
        assert len(codes) > 8
        assert codes <= set(failures.SENTENCES)

    def test_an_attempt_that_is_repeated_is_no_error(self, client, account, now):
        give(account, now)
        claimed = start(account, now)
        services.fail(claimed=claimed, code="backend_unavailable", now=now)

        document = client.get(f"{URL}/{claimed.pk}").json()

        assert (document["status"], document["error"]) == ("queued", None)

    def test_all_of_them_newest_first(self, client, account, new_account, now):
        stranger = new_account()
        for someone in (account, stranger):
            give(someone, now)
        request_directly(stranger, now)
        mine = [request_directly(account, now + timedelta(seconds=n)) for n in (0, 1, 1, 1, 2)]
        found, url = [], f"{URL}?page_size=2"
        while url:
            page = client.get(url).json()
            found += [result["id"] for result in page["results"]]
            url = page["next"]

        assert sorted(found) == sorted(str(generation.pk) for generation in mine)
        assert (found[0], found[-1]) == (str(mine[4].pk), str(mine[0].pk))

    def test_what_does_not_exist_or_is_anothers(self, client, new_account, now):
        other = new_account()
        give(other, now)
        theirs = request_directly(other, now).pk
        answers = [client.get(f"{URL}/{name}") for name in (theirs, uuid4(), "1", "%00", "..")]
        assert {problem(answer) for answer in answers} == {(404, "not_found")}


class TestCancel:
    def test_gives_the_credits_back(self, client, account, now):
        give(account, now)
        queued = request_directly(account, now)
        for _ in range(2):  # repeating changes nothing
            answer = client.post(f"{URL}/{queued.pk}/cancel")
            assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
        assert available(account, now) == 10

    def test_comes_too_late_for_a_finished_one(self, client, account, now):
        give(account, now)
        claimed = start(account, now)
        finish(claimed, now)
        assert problem(client.post(f"{URL}/{claimed.pk}/cancel")) == (409, "not_cancelable")


class TestRegenerate:
    def test_makes_a_new_one_that_costs_again(self, client, account, now):
        give(account, now)
        claimed = start(account, now)
        finish(claimed, now)

        first = client.post(f"{URL}/{claimed.pk}/regenerate", headers={"Idempotency-Key": "r1"})
        again = client.post(f"{URL}/{claimed.pk}/regenerate", headers={"Idempotency-Key": "r1"})

        assert first.status_code == 202
        assert first.json()["id"] != str(claimed.pk)
        assert (again.content, again["Idempotency-Replayed"]) == (first.content, "true")
        assert available(account, now) == 8

    def test_a_key_of_a_request_is_no_key_of_a_regeneration(self, client, account, now):
        give(account, now)
        client.request_generation("key-1")
        claimed = services.claim(now=timezone.now())
        finish(claimed, timezone.now())

        answer = client.post(f"{URL}/{claimed.pk}/regenerate", headers={"Idempotency-Key": "key-1"})

        assert problem(answer) == (409, "idempotency_conflict")

    def test_is_refused_for_a_single_generation(self, client, account, now):
        give_token(account, now)
        give(account, now)
        claimed = start(account, now, funding="retail")
        finish(claimed, now)

        answer = client.post(f"{URL}/{claimed.pk}/regenerate")

        assert problem(answer) == (409, "retail_already_generated")
        assert "credits" in answer.json()["detail"]
        assert available(account, now) == 10

    def test_waits_for_the_end_of_the_first(self, client, account, now):
        give(account, now)
        queued = request_directly(account, now)
        assert problem(client.post(f"{URL}/{queued.pk}/regenerate")) == (409, "not_finished")


class TestRate:
    def test_of_new_generations_is_limited(self, client, account, now, monkeypatch):
        monkeypatch.setattr(generation_api, "NEW_PER_MINUTE", 3)
        give(account, now)
        for _ in range(3):
            assert client.request_generation().status_code == 202

        answer = client.request_generation()

        assert problem(answer) == (429, "rate_limited")
        assert 55 <= int(answer["Retry-After"]) <= 61
        assert client.get(URL).status_code == 200
        assert available(account, now) == 7


@pytest.mark.django_db(transaction=True)
class TestAtTheSameTime:
    def test_the_same_key_makes_one_generation(self, account, now):
        give(account, now)
        clients = [Client(account) for _ in range(8)]

        answers = race(*[partial(client.request_generation, "key-1") for client in clients])

        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.content for answer in answers}) == 1
        assert sum("Idempotency-Replayed" not in answer for answer in answers) == 1
        assert (Generation.objects.count(), Hold.objects.count()) == (1, 1)
        assert available(account, now) == 9

    def test_ten_credits_pay_for_ten(self, account, now):
        give(account, now, 10)
        clients = [Client(account) for _ in range(20)]

        answers = race(*[client.request_generation for client in clients])

        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [202] * 10 + [402] * 10
        assert Generation.objects.count() == 10
        assert available(account, now) == 0

    @pytest.mark.skipif(connection.vendor != "postgresql", reason="sets PostgreSQL's lock_timeout")
    def test_an_account_that_stays_locked_is_a_503(self, client, account, now):
        give(account, now)

        def ask() -> Any:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '100ms'")
            return client.request_generation("key-1")

        with transaction.atomic():
            Account.objects.select_for_update().get(pk=account.pk)
            [refused] = race(ask)

        assert problem(refused) == (503, "temporarily_unavailable")
        assert int(refused["Retry-After"]) > 0
        assert "lock" not in json.dumps(refused.json())
        assert client.request_generation("key-1").status_code == 202
