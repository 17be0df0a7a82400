import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing_site.accounts import services
from billing_site.accounts.models import ApiKey, User
from billing_site.accounts.tests.cast import new_user
from credits.tests.pages import html, text

pytestmark = pytest.mark.django_db

PAGE = "/api-keys/"
PROTECTED = "/api/v1/ledger"


@pytest.fixture
def user(db: None) -> User:
    return new_user()


def make(user: User, now: datetime, name: str = "laptop") -> tuple[ApiKey, str]:
    return services.create_api_key(user=user, name=name, now=now)


def call(key: str, **more: object):
    return Client().get(PROTECTED, headers={"Authorization": f"Bearer {key}"}, **more)


class TestKeys:
    def test_hold_256_random_bits_of_which_only_the_hash_is_kept(
        self, user: User, now: datetime
    ) -> None:
        key, plain = make(user, now)
        assert plain.startswith("bs_")
        assert len(plain) == 3 + 43  # 43 characters of base64 are 256 bits
        assert key.digest == hashlib.sha256(plain.encode()).hexdigest()
        assert plain not in str(ApiKey.objects.values())
        assert plain.startswith(key.prefix)

    def test_speak_for_their_user(self, user: User, now: datetime) -> None:
        _key, plain = make(user, now)
        assert services.find_user_by_key(key=plain, now=now) == user
        assert services.find_user_by_key(key=plain + "x", now=now) is None
        assert services.find_user_by_key(key="", now=now) is None

    def test_are_found_with_one_query(
        self, user: User, now: datetime, django_assert_num_queries: Callable
    ) -> None:
        _key, plain = make(user, now)
        services.find_user_by_key(key=plain, now=now)
        with django_assert_num_queries(1):
            services.find_user_by_key(key=plain, now=now + timedelta(seconds=59))

    def test_note_their_use_once_a_minute(self, user: User, now: datetime) -> None:
        key, plain = make(user, now)
        for seconds, noted in ((0, 0), (59, 0), (60, 60), (119, 60)):
            services.find_user_by_key(key=plain, now=now + timedelta(seconds=seconds))
            key.refresh_from_db()
            assert key.last_used_at == now + timedelta(seconds=noted)

    def test_end_at_once_when_revoked(self, user: User, now: datetime) -> None:
        key, plain = make(user, now)
        services.revoke_api_key(key=key, now=now)
        services.revoke_api_key(key=key, now=now + timedelta(days=1))
        assert key.revoked_at == now
        assert services.find_user_by_key(key=plain, now=now) is None

    def test_end_with_their_user(self, user: User, now: datetime) -> None:
        _key, plain = make(user, now)
        user.is_active = False
        user.save()
        assert services.find_user_by_key(key=plain, now=now) is None

    def test_have_a_name_of_their_own_until_revoked(self, user: User, now: datetime) -> None:
        key, _plain = make(user, now)
        with pytest.raises(services.ApiKeyNameTaken):
            make(user, now)
        make(new_user("bob@example.com"), now)
        services.revoke_api_key(key=key, now=now)
        make(user, now)

    def test_are_limited_in_number(self, user: User, now: datetime) -> None:
        for number in range(services.MAX_KEYS):
            make(user, now, str(number))
        with pytest.raises(services.TooManyApiKeys):
            make(user, now)


class TestAuthentication:
    def test_a_key_opens_the_api(self, user: User, now: datetime) -> None:
        assert call(make(user, now)[1]).status_code == 200

    @pytest.mark.parametrize(
        "value",
        [
            "Bearer",
            "Bearer ",
            "Bearer wrong",
            "Bearer bs_a b",
            "bearer \xff",
            "Bearer " + "x" * 5000,
        ],
    )
    def test_a_wrong_key_is_401_with_a_challenge(self, db: None, value: str) -> None:
        answer = Client().get(PROTECTED, headers={"Authorization": value})
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"

    def test_no_key_is_401_with_a_challenge(self, db: None) -> None:
        answer = Client().get(PROTECTED)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"

    def test_a_revoked_key_is_401(self, user: User, now: datetime) -> None:
        key, plain = make(user, now)
        services.revoke_api_key(key=key, now=now)
        assert call(plain).status_code == 401

    def test_a_wrong_key_is_not_saved_by_a_session(self, user: User) -> None:
        client = Client()
        client.force_login(user)
        answer = client.get(PROTECTED, headers={"Authorization": "Bearer wrong"})
        assert answer.status_code == 401

    def test_with_a_key_no_session_is_looked_up(self, user: User, now: datetime) -> None:
        _key, plain = make(new_user("bob@example.com"), now)
        client = Client()
        client.force_login(user)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(PROTECTED, headers={"Authorization": f"Bearer {plain}"})
        assert not [q for q in queries if "django_session" in q["sql"]]

    def test_the_session_opens_the_api_too(self, user: User) -> None:
        client = Client()
        client.force_login(user)
        assert client.get(PROTECTED).status_code == 200


class TestPage:
    @pytest.fixture
    def client(self, user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    def test_is_for_signed_in_users(self, db: None) -> None:
        assert Client().get(PAGE).headers["Location"] == f"/accounts/login/?next={PAGE}"

    def test_without_keys(self, client: Client) -> None:
        assert "You have no keys." in text(client.get(PAGE))

    def test_shows_a_new_key_once(self, client: Client) -> None:
        answer = client.post(PAGE, {"name": "shop <b>"})
        plain = answer.context["new_key"]
        assert plain in html(answer)
        assert "no-store" in answer.headers["Cache-Control"]
        assert call(plain).status_code == 200
        later = html(client.get(PAGE))
        assert plain not in later
        assert "shop &lt;b&gt;" in later

    def test_sent_twice_makes_one_key(self, client: Client) -> None:
        client.post(PAGE, {"name": "shop"})
        answer = client.post(PAGE, {"name": "shop"})
        assert "a key named “shop”. If you did not copy it, revoke it first." in text(
            answer, status=422
        )
        assert ApiKey.objects.count() == 1

    @pytest.mark.parametrize("name", ["", "   ", "x" * 81, "a\0b"])
    def test_refuses_names_beside_the_field(self, client: Client, name: str) -> None:
        assert 'aria-invalid="true"' in html(client.post(PAGE, {"name": name}), status=422)
        assert not ApiKey.objects.exists()

    def test_revokes_with_post_only(self, client: Client, user: User, now: datetime) -> None:
        key, plain = make(user, now)
        assert client.get(f"{PAGE}{key.pk}/revoke/").status_code == 405
        page = client.post(f"{PAGE}{key.pk}/revoke/", follow=True)
        assert "it works no longer" in text(page)
        assert "You have no keys." in text(page)
        assert call(plain).status_code == 401

    def test_other_peoples_keys_do_not_exist(self, client: Client, now: datetime) -> None:
        key, plain = make(new_user("bob@example.com"), now)
        html(client.post(f"{PAGE}{key.pk}/revoke/"), status=404)
        html(client.post(f"{PAGE}{2**63}/revoke/"), status=404)
        assert call(plain).status_code == 200

    def test_needs_few_queries(
        self, client: Client, user: User, now: datetime, django_assert_max_num_queries: Callable
    ) -> None:
        for number in range(services.MAX_KEYS):
            make(user, now, str(number))
        with django_assert_max_num_queries(4):
            client.get(PAGE)


class TestCommand:
    def run(self, *arguments: str) -> list[str]:
        out = StringIO()
        call_command("create_api_key", *arguments, stdout=out, stderr=out)
        return out.getvalue().splitlines()

    def test_prints_the_key_on_a_line_of_its_own(self, user: User) -> None:
        plain, summary = self.run("ADA@example.com", "--name", "cron")
        assert call(plain).status_code == 200
        assert summary == "Made API key 'cron' for ada@example.com."

    def test_names_an_unknown_address(self, db: None) -> None:
        with pytest.raises(CommandError, match=r"There is no user x@example\.com: check"):
            self.run("x@example.com")

    @pytest.mark.parametrize("name", ["", " ", "x" * 81, "a\0b", "a\nb"])
    def test_refuses_names_that_cannot_be_stored_or_shown(self, user: User, name: str) -> None:
        with pytest.raises(CommandError, match="1 to 80 printable characters"):
            self.run("ada@example.com", "--name", name)

    def test_says_that_the_name_is_taken(self, user: User) -> None:
        self.run("ada@example.com")
        with pytest.raises(CommandError, match="Choose another with --name"):
            self.run("ada@example.com")
