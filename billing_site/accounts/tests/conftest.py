import pytest
from django.core.cache import cache


@pytest.fixture(autouse=True)
def no_earlier_attempts() -> None:
    cache.clear()  # allauth counts attempts in it
