"""600 requests a minute of one user, however many web processes answer them."""

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from billing_site import throttles
from credits.tests.race import race

MINUTE = 29_000_000


@pytest.fixture(autouse=True)
def new_process() -> Iterator[None]:
    throttles.permits.forget()
    yield
    throttles.permits.forget()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    def set_to(minute: float) -> None:
        monkeypatch.setattr(throttles.time, "time", lambda: minute * 60)

    set_to(MINUTE)
    return set_to


def take_all(process: throttles._Permits, user_id: int = 1) -> int:
    taken = 0
    while process.take(user_id, MINUTE):
        taken += 1
    return taken


@pytest.mark.django_db
class TestPermits:
    def test_of_one_process_are_all_used(self):
        assert take_all(throttles._Permits()) == 600

    def test_of_several_processes_are_the_same_600(self):
        processes = [throttles._Permits() for _ in range(3)]
        taken = sum(process.take(1, MINUTE) for _ in range(300) for process in processes)
        assert taken == 600

    def test_belong_to_one_user(self):
        process = throttles._Permits()
        assert (take_all(process, 1), take_all(process, 2)) == (600, 600)

    def test_come_anew_every_minute(self):
        process = throttles._Permits()
        take_all(process)
        assert process.take(1, MINUTE + 1)

    def test_cost_a_twentieth_of_a_transaction(self, django_assert_num_queries):
        process = throttles._Permits()
        process.take(1, MINUTE)
        with django_assert_num_queries(0):
            assert all(process.take(1, MINUTE) for _ in range(throttles.BLOCK - 1))

    def test_that_are_used_up_cost_nothing(self, django_assert_num_queries):
        process = throttles._Permits()
        take_all(process)
        with django_assert_num_queries(0):
            assert not process.take(1, MINUTE)


@pytest.fixture
def counted_from_zero(transactional_db: None) -> Iterator[None]:
    throttles.RequestCount.objects.all().delete()
    yield
    throttles.RequestCount.objects.all().delete()


@pytest.mark.usefixtures("counted_from_zero")
def test_are_never_exceeded_by_threads():
    processes = [throttles._Permits() for _ in range(2)]
    taken = race(*[lambda p=process: take_all(p) for process in processes * 4])
    assert sum(taken) == 600


@pytest.mark.django_db
class TestAnswer:
    def test_says_when_to_come_back(self, clock, monkeypatch):
        monkeypatch.setattr(throttles, "PER_MINUTE", 2)
        client = APIClient()
        client.force_authenticate(get_user_model().objects.create_user("busy@example.com"))
        statuses = [client.get("/api/v1/balance").status_code for _ in range(2)]
        clock(MINUTE + 0.75)

        answer = client.get("/api/v1/balance")

        assert statuses == [200, 200]
        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
        assert answer["Retry-After"] == "15"
        clock(MINUTE + 1)
        assert client.get("/api/v1/balance").status_code == 200
