from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
from django.contrib.auth import get_user_model

from credits import queries, services
from credits.models import Account


@pytest.fixture(autouse=True)
def books_balance(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test that touches the database ends by proving the books."""
    if request.node.get_closest_marker("django_db") is None:
        yield
        return
    request.getfixturevalue("db")
    yield
    if "breaks_the_books" not in request.keywords:
        assert list(queries.find_imbalances()) == []


@pytest.fixture
def new_account(db: None, now: datetime) -> Callable[[], Account]:
    def make() -> Account:
        number = Account.objects.count() + 1
        user = get_user_model().objects.create_user(email=f"customer{number}@example.com")
        return services.open_account(user_id=user.pk, now=now)

    return make


@pytest.fixture
def account(new_account: Callable[[], Account]) -> Account:
    return new_account()
