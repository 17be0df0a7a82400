from datetime import datetime

import pytest
from django.test import Client

from billing_site.accounts import services
from billing_site.accounts.models import ApiKey, User
from billing_site.accounts.tests.cast import PASSWORD, new_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(db: None) -> Client:
    client = Client()
    client.force_login(new_user("staff@example.com", is_staff=True, is_superuser=True))
    return client


def test_staff_signs_in_where_attempts_are_limited() -> None:
    new_user("staff@example.com", is_staff=True, is_superuser=True)
    client = Client()
    form = {"username": "staff@example.com", "password": PASSWORD}
    refused = client.post("/admin/login/?next=/admin/", form)
    assert refused["Location"] == "/accounts/login/?next=%2Fadmin%2F"
    client.post(refused["Location"], {"login": "staff@example.com", "password": PASSWORD})
    assert client.get("/admin/").status_code == 200


def test_customers_are_refused() -> None:
    client = Client()
    client.force_login(new_user())
    assert client.get("/admin/", follow=True).status_code == 403


class TestUsers:
    def test_can_be_listed_found_and_opened(self, client: Client) -> None:
        user = new_user()
        page = client.get("/admin/accounts/user/?q=ada").content.decode()
        assert "ada@example.com" in page
        assert "None None" not in page
        assert client.get(f"/admin/accounts/user/{user.pk}/change/").status_code == 200
        assert client.get(f"/admin/accounts/user/{user.pk}/password/").status_code == 200

    def test_are_added_with_their_address_in_lower_case(self, client: Client) -> None:
        assert client.get("/admin/accounts/user/add/").status_code == 200
        form = {"email": "New@Example.com", "password1": PASSWORD, "password2": PASSWORD}
        client.post("/admin/accounts/user/add/", form)
        assert User.objects.filter(email="new@example.com").exists()


class TestApiKeys:
    def test_cannot_be_changed_made_or_deleted(self, client: Client, now: datetime) -> None:
        key, _plain = services.create_api_key(user=new_user(), name="laptop", now=now)
        assert key.prefix in client.get("/admin/accounts/apikey/").content.decode()
        page = client.get(f"/admin/accounts/apikey/{key.pk}/change/").content.decode()
        assert 'name="digest"' not in page
        assert client.post(f"/admin/accounts/apikey/{key.pk}/change/").status_code == 403
        assert client.get("/admin/accounts/apikey/add/").status_code == 403
        assert client.post(f"/admin/accounts/apikey/{key.pk}/delete/").status_code == 403

    def test_can_be_revoked(self, client: Client, now: datetime) -> None:
        key, plain = services.create_api_key(user=new_user(), name="laptop", now=now)
        form = {"action": "revoke", "_selected_action": [key.pk]}
        page = client.post("/admin/accounts/apikey/", form, follow=True).content.decode()
        assert "1 key revoked." in page
        assert services.find_user_by_key(key=plain, now=now) is None
        assert ApiKey.objects.count() == 1
