import pytest
from django.core.cache import cache


@pytest.fixture(autouse=True)
def quick_passwords(settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def no_earlier_attempts() -> None:
    cache.clear()  # allauth counts attempts in it
