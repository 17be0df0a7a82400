"""Who may do what through the API: every address, every method, everybody.

The list of addresses comes from the URL conf. A new one fails these tests until EXPECTED says what
anonymous, the owner, another customer and staff get from it.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from rest_framework.test import APIClient

from billing_site import throttles
from billing_site.accounts.models import ApiKey, User
from billing_site.accounts.services import create_api_key, revoke_api_key
from credits import services as credits
from credits.models import Account, Hold, LedgerEntry, Pool
from credits.tests.conftest import books_balance
from generation import services
from generation.models import Generation

__all__ = ["books_balance"]

pytestmark = pytest.mark.django_db

#                                              anonymous  owner  other  staff
EXPECTED = {
    ("GET", "balance"): (401, 200, 200, 200),
    ("GET", "ledger"): (401, 200, 200, 200),
    ("GET", "offers"): (200, 200, 200, 200),
    ("POST", "checkout"): (401, 404, 404, 404),  # there is no such offer
    ("POST", "redemptions"): (401, 404, 404, 404),  # there is no such code
    ("GET", "subscription"): (401, 200, 200, 200),
    ("POST", "subscription/preview"): (401, 404, 404, 404),  # there is no such plan
    ("POST", "subscription/change"): (401, 404, 404, 404),
    ("POST", "subscription/cancel"): (401, 409, 409, 409),  # there is no plan to cancel
    ("POST", "subscription/cancel/preview"): (401, 409, 409, 409),
    ("POST", "subscription/resume"): (401, 409, 409, 409),
    ("GET", "generations"): (401, 200, 200, 200),
    ("POST", "generations"): (401, 202, 402, 402),
    ("GET", "generations/<uuid:generation_id>"): (401, 200, 404, 404),
    ("POST", "generations/<uuid:generation_id>/cancel"): (401, 409, 404, 404),
    ("POST", "generations/<uuid:generation_id>/regenerate"): (401, 202, 404, 404),
    ("GET", "schema/"): (200, 200, 200, 200),
    ("GET", "docs/"): (200, 200, 200, 200),
}
EVERYBODY = ("anonymous", "owner", "other", "staff")
BODY = '{"prompt": "Tell me a story.", "funding": "credits"}'
BODIES = {
    ("POST", "generations"): BODY,
    ("POST", "checkout"): '{"offer": "nothing"}',
    ("POST", "redemptions"): '{"code": "NOTHING"}',
    ("POST", "subscription/preview"): '{"offer": "nothing"}',
    ("POST", "subscription/change"): '{"offer": "nothing"}',
    ("POST", "subscription/cancel"): "{}",
    ("POST", "subscription/cancel/preview"): "{}",
    ("POST", "subscription/resume"): "{}",
}


def api_addresses() -> dict[tuple[str, str], type]:
    """(method, route below /api/v1/) of every view there."""
    found = {}
    for route, pattern in patterns(get_resolver().url_patterns, ""):
        if route.startswith("api/v1/"):
            view = pattern.callback.view_class
            for method in ("get", "post", "put", "patch", "delete"):
                if hasattr(view, method):
                    found[method.upper(), route.removeprefix("api/v1/")] = view
    return found


def patterns(entries: list[Any], prefix: str) -> list[tuple[str, URLPattern]]:
    found = []
    for entry in entries:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            found += patterns(entry.url_patterns, route)
        else:
            found.append((route, entry))
    return found


@pytest.fixture
def people() -> dict[str, User | None]:
    users = get_user_model().objects
    return {
        "anonymous": None,
        "owner": users.create_user("owner@example.com"),
        "other": users.create_user("other@example.com"),
        "staff": users.create_superuser("staff@example.com"),
    }


@pytest.fixture
def account(people: dict[str, User]) -> Account:
    """The owner's, with credits."""
    account = credits.open_account(user_id=people["owner"].pk, now=timezone.now())
    credits.grant(
        account_id=account.pk, pool=Pool.BULK, amount=10, source_key="gift", now=timezone.now()
    )
    return account


@pytest.fixture
def finished(account: Account) -> Generation:
    """The owner's generation."""
    services.request_generation(
        account_id=account.pk,
        prompt="Tell me a story.",
        funding=Generation.Funding.CREDITS,
        operation="text",
        now=timezone.now(),
    )
    claimed = services.claim(now=timezone.now())
    assert claimed is not None
    services.succeed(
        claimed=claimed, output="A secret story.", model="m", input_tokens=1, output_tokens=1,
        now=timezone.now(),
    )  # fmt: skip
    return claimed


def with_key(user: User | None) -> APIClient:
    client = APIClient()
    if user is not None:
        _key, plain = create_api_key(user=user, name="test", now=timezone.now())
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {plain}")
    return client


def with_session(user: User | None) -> APIClient:
    client = APIClient()
    if user is not None:
        client.force_login(user)
    return client


def test_every_address_is_in_the_matrix():
    assert set(api_addresses()) == set(EXPECTED)


@pytest.mark.parametrize("sign_in", [with_key, with_session])
@pytest.mark.parametrize(("method", "route"), list(EXPECTED))
def test_matrix(
    people: dict[str, User | None],
    finished: Generation,
    method: str,
    route: str,
    sign_in: Callable[[User | None], APIClient],
):
    path = "/api/v1/" + re.sub(r"<\w+:\w+>", str(finished.pk), route)
    for name, expected in zip(EVERYBODY, EXPECTED[method, route], strict=True):
        before = rows()
        body = BODIES.get((method, route), "")
        answer = sign_in(people[name]).generic(method, path, body, "application/json")

        assert answer.status_code == expected, (name, answer.content)
        if expected == 401:
            assert answer["WWW-Authenticate"] == "Bearer"
        if expected >= 400:
            assert answer["Content-Type"] == "application/problem+json"
            assert rows() == before
        if name != "owner":
            assert b"secret" not in answer.content
            assert str(finished.pk).encode() not in answer.content


def rows() -> tuple[int, int, int]:
    return Generation.objects.count(), Hold.objects.count(), LedgerEntry.objects.count()


@pytest.mark.parametrize("name", EVERYBODY)
def test_an_address_that_does_not_exist_is_a_problem_document(people, name):
    client = with_key(people[name])
    for path in ("/api/v1/nothing", "/api/v1/", "/api/v1/balance/", "/api/v2/balance", "/api/"):
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            answer = client.generic(method, path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            assert answer["Content-Type"] == "application/problem+json"


def test_a_key_that_is_wrong_is_not_helped_by_a_session(people, account):
    client = with_session(people["owner"])
    for header in ("Bearer wrong", "Bearer", "Bearer a b", "bearer \xff", "Bearer " + "x" * 9000):
        answer = client.get("/api/v1/balance", headers={"Authorization": header})
        assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failed")


def test_a_key_speaks_for_its_user_whoever_is_signed_in(people, account):
    client = with_key(people["owner"])
    client.force_login(people["other"])
    assert client.get("/api/v1/balance").json()["available"] == 10


def test_a_key_ends_when_it_is_revoked(people, account):
    client = with_key(people["owner"])
    assert client.get("/api/v1/balance").status_code == 200
    revoke_all()
    assert client.get("/api/v1/balance").status_code == 401


def test_requesting_a_generation_takes_few_statements(people, account, monkeypatch):
    monkeypatch.setattr(throttles.time, "time", lambda: 60.0)
    client = with_key(people["owner"])
    client.get("/api/v1/balance")  # takes a block of permits, notes that the key was used

    with CaptureQueriesContext(connection) as statements:
        answer = client.post("/api/v1/generations", BODY, content_type="application/json")

    assert answer.status_code == 202
    told = [statement["sql"].strip() for statement in statements]
    savepoints = [sql for sql in told if "SAVEPOINT" in sql]
    # Key, account, rate, price; lock, lots, hold, lot, line, account; open ones, generation. The
    # job's (PostgreSQL) goes past Django.
    assert len(told) - len(savepoints) == 12, "\n".join(told)


def revoke_all() -> None:
    for key in ApiKey.objects.all():
        revoke_api_key(key=key, now=timezone.now())
