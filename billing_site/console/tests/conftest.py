"""Staff with some permissions, in front of a site where something has happened."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from credits.tests.conftest import account, books_balance, customer, new_account, new_customer

__all__ = ["account", "books_balance", "customer", "new_account", "new_customer"]


@pytest.fixture
def staff(db):
    """Signed in; may do everything, or only what is named."""

    def sign_in(*permissions: str) -> Client:
        user = get_user_model().objects.create_user("staff@example.com", is_staff=True)
        if permissions:
            user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        else:
            user.is_superuser = True
            user.save()
        client = Client()
        client.force_login(user)
        return client

    return sign_in
