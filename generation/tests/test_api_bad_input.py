"""Bad input of every kind is a problem document, moves nothing and leaks nothing."""

import json
from typing import Any

import pytest
from django.test.utils import override_settings
from rest_framework.test import APIClient

from credits.models import Account, Hold, LedgerEntry
from generation import services
from generation.models import Generation, OperationPrice
from generation.tests.cast import finish, give, start

pytestmark = pytest.mark.django_db

URL = "/api/v1/generations"
BODY = {"prompt": "Tell me a story.", "funding": "credits"}
GOOD = json.dumps(BODY)


@pytest.fixture
def client(account: Account, now: Any) -> APIClient:
    give(account, now)
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(account.user)
    return client


def refused(client: APIClient, body: str | bytes, **more: Any) -> dict[str, Any]:
    """The problem that a POST of the body is answered with, after which nothing has moved."""
    before = rows()
    path, content_type = more.pop("path", URL), more.pop("content_type", "application/json")
    answer = client.generic("POST", path, body, content_type, **more)
    assert 400 <= answer.status_code < 500, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == answer.status_code
    assert len(answer.content) < 3000  # what was sent does not come back
    for trace in ("Traceback", "Exception", "Error", "psycopg", ".py", "SELECT"):
        assert trace not in answer.content.decode()
    assert rows() == before
    return document


def rows() -> tuple[int, int, int]:
    return Generation.objects.count(), Hold.objects.count(), LedgerEntry.objects.count()


def fields(document: dict[str, Any]) -> list[str]:
    assert document["code"] == "invalid_request"
    return [error["field"] for error in document["errors"]]


def with_field(name: str, value: str) -> str:
    """The good body with one field replaced by raw JSON."""
    others = {other: json.dumps(kept) for other, kept in BODY.items() if other != name}
    return "{" + ", ".join(f'"{key}": {raw}' for key, raw in {**others, name: value}.items()) + "}"


NUMBERS = ["-1", "0", "2147483648", "9223372036854775808", "1.5", "1e9", "1e999", "true", "null"]
TEXTS = ['" 5 "', '"\\u0665"', '"1e9"', '""', '"CREDITS"', '"credits "', '"credits\\u0000"']
STRUCTURES = ["[]", "{}", '["credits"]', '{"a": 1}', "[[[[]]]]"]


class TestPrompt:
    @pytest.mark.parametrize("value", [*NUMBERS, *STRUCTURES, "false"])
    def test_is_text(self, client, value):
        assert fields(refused(client, with_field("prompt", value))) == ["prompt"]

    @pytest.mark.parametrize(
        "value",
        ['""', '"  \\n\\t "', '"a\\u0000b"', '"\\ud800"', '"a\\udfffb"', '"\\udc00\\ud800"'],
    )
    def test_is_not_empty_and_can_be_stored(self, client, value):
        assert fields(refused(client, with_field("prompt", value))) == ["prompt"]

    def test_has_a_greatest_length(self, client):
        longest = "é" * services.MAX_PROMPT_CHARS
        assert fields(refused(client, with_field("prompt", f'"{longest}x"'))) == ["prompt"]
        answer = client.post(
            URL, data=with_field("prompt", f'"{longest}"'), content_type="application/json"
        )
        assert answer.status_code == 202


class TestOtherFields:
    @pytest.mark.parametrize("value", [*NUMBERS, *STRUCTURES, *TEXTS, '"' + "x" * 9999 + '"'])
    def test_funding_is_one_of_two_words(self, client, value):
        assert fields(refused(client, with_field("funding", value))) == ["funding"]

    @pytest.mark.parametrize("value", [*NUMBERS, *STRUCTURES, *TEXTS, '"' + "x" * 9999 + '"'])
    def test_operation_is_one_that_has_a_price(self, client, value):
        assert fields(refused(client, with_field("operation", value))) == ["operation"]

    def test_all_that_is_missing_is_named(self, client):
        assert fields(refused(client, "{}")) == ["prompt", "funding"]

    @pytest.mark.parametrize(
        "name",
        ["user", "account", "pool", "credits", "cost", "status", "price", "price_version",
         "is_staff", "hold", "id", "regenerates", "Prompt", "prompt ", "__proto__", "\x00", "é"],
    )  # fmt: skip
    def test_unknown_ones_are_refused(self, client, name):
        assert fields(refused(client, json.dumps({**BODY, name: 1}))) == [name]

    def test_all_that_is_wrong_is_named_at_once(self, client):
        document = refused(client, '{"prompt": 5, "pool": "bulk"}')
        assert fields(document) == ["prompt", "funding", "pool"]

    def test_a_thousand_unknown_ones_are_refused_shortly(self, client):
        many = {f"{'x' * 200}{number}": number for number in range(1000)}
        assert len(fields(refused(client, json.dumps({**BODY, **many})))) <= 10


class TestBody:
    @pytest.mark.parametrize(
        "body",
        [
            "{", "}", "nope", "'", GOOD[:-1], GOOD + "x", GOOD * 2, "\ufeff" + GOOD,
            "null", "true", "1", '"text"', "[]", f"[{GOOD}]",
            '{"prompt": NaN}', '{"prompt": Infinity}', '{"prompt": -Infinity}',
            '{"prompt": 0x10}', "{'prompt': 1}", '{"prompt": "a\nb"}', '{"prompt": "\x00"}',
            b"\xff\xfe{}", b'{"prompt": "\xff"}', b'{"prompt": "\xed\xa0\x80"}', b"\x00", b"\x80",
            GOOD.encode("utf-16"), GOOD.encode("utf-32"),
            "[" * 100_000, '{"a":' * 40_000, '{"a":[' * 20_000 + "]}" * 20_000,
            '{"prompt": "a", "prompt": "b", "funding": "credits"}',
            '{"prompt": "a", "funding": "credits", "extra": {"a": 1, "a": 2}}',
            '{"prompt": ' + "9" * 100_000 + "}",
        ],
    )  # fmt: skip
    def test_is_one_json_object(self, client, body):
        assert refused(client, body)["code"] == "malformed_json"

    def test_may_not_be_empty(self, client):
        for body in ("", " "):
            assert refused(client, body)["status"] == 400

    def test_has_a_greatest_size(self, client):
        for size in (257 * 1024, 2 * 1024 * 1024):
            document = refused(client, with_field("prompt", '"' + "x" * size + '"'))
            assert (document["status"], document["code"]) == (413, "request_too_large")

    @pytest.mark.parametrize(
        "content_type",
        ["text/plain", "application/xml", "application/x-www-form-urlencoded", "text/json", "x",
         "multipart/form-data", "multipart/form-data; boundary=b", "application/jsonx", ""],
    )  # fmt: skip
    def test_is_declared_as_json(self, client, content_type):
        document = refused(client, GOOD, content_type=content_type)
        assert (document["status"], document["code"]) == (415, "unsupported_media_type")

    @pytest.mark.parametrize("charset", ["utf-16", "rot13", "bz2_codec", "nonsense", "idna"])
    def test_is_utf8_whatever_it_says(self, client, charset):
        refused(
            client,
            '{"prompt": 5, "funding": "credits"}',
            content_type=f"application/json; charset={charset}",
        )

    @pytest.mark.parametrize("length", ["-1", "x", "99999999999999999999"])
    def test_has_a_length_that_is_true(self, client, length):
        refused(client, "{", CONTENT_LENGTH=length)

    def test_of_cancel_and_regenerate_has_no_fields(self, client, account, now):
        claimed = start(account, now)
        finish(claimed, now)
        for action in ("cancel", "regenerate"):
            path = f"{URL}/{claimed.pk}/{action}"
            assert fields(refused(client, '{"cost": 0}', path=path)) == ["cost"]
            assert refused(client, "[]", path=path)["code"] == "malformed_json"
            form = "application/x-www-form-urlencoded"
            assert refused(client, "a=b", path=path, content_type=form)["status"] == 415


class TestAddress:
    @pytest.mark.parametrize(
        "path",
        ["/", "/1", "/%00", "/null", "/undefined", "/-1", "/9223372036854775808", "/%F0%9F%98%80",
         "/00000000-0000-0000-0000-000000000000", "/00000000-0000-0000-0000-00000000000g",
         "/00000000000000000000000000000000", "/00000000-0000-0000-0000-000000000000/",
         "/00000000-0000-0000-0000-000000000000/cancel", "/' OR 1=1 --", "/x/regenerate"],
    )  # fmt: skip
    def test_that_does_not_exist_is_not_found(self, client, path):
        method = client.post if path.endswith(("cancel", "regenerate")) else client.get
        answer = method(URL + path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert answer["Content-Type"] == "application/problem+json"

    @pytest.mark.parametrize("method", ["put", "patch", "delete", "options", "trace"])
    def test_takes_only_its_methods(self, client, method):
        answer = client.generic(method.upper(), URL)
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
        assert "GET" in answer["Allow"]

    def test_serves_json_only(self, client):
        answer = client.get(URL, headers={"Accept": "text/html"})
        assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


class TestSession:
    """Somebody whose browser is signed in, and another site that posts through it."""

    @pytest.fixture
    def signed_in(self, account: Account, now: Any) -> APIClient:
        give(account, now)
        client = APIClient(enforce_csrf_checks=True, raise_request_exception=False)
        client.force_login(account.user)
        return client

    def test_reads_without_a_token(self, signed_in):
        assert signed_in.get(URL).status_code == 200

    @pytest.mark.parametrize(
        "content_type",
        ["application/json", "application/x-www-form-urlencoded", "text/plain",
         "multipart/form-data", "multipart/form-data; boundary=b",
         "application/x-www-form-urlencoded; charset=utf-16"],
    )  # fmt: skip
    def test_does_not_write_without_a_token(self, signed_in, content_type):
        document = refused(signed_in, GOOD, content_type=content_type)
        assert document["status"] in (400, 403)

    def test_does_not_choke_on_a_large_form(self, signed_in):
        form = "application/x-www-form-urlencoded"
        for body in ("a=" + "x" * 300_000, "&".join(f"a{n}=1" for n in range(2000))):
            assert refused(signed_in, body, content_type=form)["status"] in (400, 403, 413)

    def test_writes_with_its_token(self, signed_in):
        signed_in.cookies["csrftoken"] = "a" * 32
        answer = signed_in.post(
            URL, data=GOOD, content_type="application/json", headers={"X-CSRFToken": "a" * 32}
        )
        assert answer.status_code == 202

    @override_settings(ALLOWED_HOSTS=["example.com"])
    def test_of_another_host_gets_nothing(self, signed_in):
        assert signed_in.get(URL, headers={"Host": "evil.example"}).status_code == 400


def test_a_price_that_no_account_could_pay_is_a_problem_and_no_crash(client, now):
    OperationPrice.objects.create(operation="text", version=9, cost=2_000_000_000, created_at=now)
    assert refused(client, GOOD)["code"] == "invalid_amount"
