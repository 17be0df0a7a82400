"""The OpenAPI document and its page."""

from io import StringIO
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.urls import reverse


@pytest.fixture(scope="module")
def schema() -> Any:
    text = StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=text)
    return yaml.safe_load(text.getvalue())


def operations(schema: Any) -> dict[str, Any]:
    return {
        f"{method.upper()} {path.removeprefix('/api/v1/')}": operation
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }


def test_is_valid_and_without_warnings(schema):
    assert "GET balance" in operations(schema)


def test_every_operation_says_what_it_does(schema):
    for name, operation in operations(schema).items():
        assert operation["summary"], name
        assert operation["description"], name


def test_every_error_is_a_problem_document(schema):
    for name, operation in operations(schema).items():
        errors = {code: answer for code, answer in operation["responses"].items() if code >= "400"}
        assert "503" in errors, name
        for answer in errors.values():
            assert list(answer["content"]) == ["application/problem+json"], name
            assert answer["description"].startswith("`"), name


def test_everything_but_the_price_list_asks_for_a_key_or_a_session(schema):
    assert schema["components"]["securitySchemes"]["ApiKey"] == {"type": "http", "scheme": "bearer"}
    for name, operation in operations(schema).items():
        schemes = [scheme for choice in operation.get("security", []) for scheme in choice]
        assert schemes == ([] if name == "GET offers" else ["ApiKey", "cookieAuth"]), name


@pytest.mark.parametrize(
    "name", ["POST generations", "POST generations/{generation_id}/regenerate"]
)
def test_what_costs_credits_takes_an_idempotency_key(schema, name):
    operation = operations(schema)[name]
    [header] = [given for given in operation["parameters"] if given["in"] == "header"]
    assert header["name"] == "Idempotency-Key"
    assert "Idempotency-Replayed" in operation["responses"]["202"]["headers"]
    assert "Retry-After" in operation["responses"]["429"]["headers"]


def test_is_served(client):
    answer = client.get("/api/v1/schema/")
    assert answer.status_code == 200
    assert b"openapi: 3" in answer.content


def test_page_has_nothing_inline_and_nothing_from_elsewhere(client):
    answer = client.get(reverse("api-docs"))
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "<style" not in page
    assert "<script>" not in page
    assert "http://" not in page.replace("http://testserver", "")
    assert "https://" not in page
