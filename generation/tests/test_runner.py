"""One generation from claim to settlement against a backend that misbehaves."""

from datetime import timedelta

import pytest
from django.utils import timezone

from generation import runner, services
from generation.models import Generation
from generation.tests.cast import available, give, give_token, request, tokens
from generation.tests.misbehaving_server import TEXT, MisbehavingServer

pytestmark = pytest.mark.django_db(transaction=True)
Status = Generation.Status


@pytest.fixture
def backend(settings):
    with MisbehavingServer() as server:
        settings.GENERATION_BASE_URL = server.base_url
        yield server


@pytest.fixture
def account(account, now):
    give(account, now)
    return account


def run(generation: Generation) -> Generation:
    assert runner.run_one(generation.pk)
    generation.refresh_from_db()
    return generation


def test_a_good_answer_is_stored_counted_and_paid(account, backend):
    generation = run(request(account, timezone.now()))
    assert (generation.status, generation.output) == (Status.SUCCEEDED, TEXT)
    assert generation.model == "misbehaving-1"
    assert generation.input_tokens == 11
    assert generation.output_tokens > 0
    assert available(account, timezone.now()) == 9


def test_partial_output_is_stored_while_it_streams(account, backend, monkeypatch):
    backend.chunk_delay = 0.15
    seen = []
    keep = services.keep

    def spy(*, claimed, now, output=None):
        keep(claimed=claimed, now=now, output=output)
        seen.append(Generation.objects.get(pk=claimed.pk).output)

    monkeypatch.setattr(services, "keep", spy)
    run(request(account, timezone.now()))
    assert len(seen) >= 3
    assert all(TEXT.startswith(text) for text in seen)


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("status_500", "backend_error"),
        ("rate_limited", "rate_limited"),
        ("empty", "empty_output"),
        ("half", "output_interrupted"),
        ("invalid_json", "invalid_response"),
        ("hang", "deadline_exceeded"),
        ("drip_line", "deadline_exceeded"),
    ],
)
def test_a_passing_fault_is_retried_and_then_ends_with_the_credits_back(
    account, backend, monkeypatch, mode, code
):
    backend.mode = mode
    monkeypatch.setattr(runner, "_seconds_left", lambda claimed: 0.5)
    generation = run(request(account, timezone.now()))
    assert (generation.status, generation.error_code) == (Status.QUEUED, code)
    assert available(account, timezone.now()) == 9
    for _ in range(2):
        Generation.objects.filter(pk=generation.pk).update(run_at=timezone.now())
        run(generation)
    assert (generation.status, generation.attempts) == (Status.FAILED, 3)
    assert available(account, timezone.now()) == 10


def test_a_refused_connection_is_a_passing_fault(account, settings):
    settings.GENERATION_BASE_URL = "http://127.0.0.1:9/v1"
    generation = run(request(account, timezone.now()))
    assert (generation.status, generation.error_code) == (Status.QUEUED, "backend_unavailable")


def test_a_fault_that_cannot_pass_ends_at_once(account, backend):
    backend.mode = "status_400"
    generation = run(request(account, timezone.now()))
    assert generation.status == Status.FAILED
    assert generation.output == ""
    assert available(account, timezone.now()) == 10


def test_fifty_megabytes_of_output_are_cut_and_paid(account, backend):
    backend.mode = "huge"
    generation = run(request(account, timezone.now()))
    assert generation.status == Status.SUCCEEDED
    assert len(generation.output) <= runner.MAX_OUTPUT_CHARS


def test_retry_after_is_kept(account, backend):
    backend.mode, backend.retry_after = "rate_limited", "50"
    before = timezone.now()
    generation = run(request(account, before))
    assert generation.run_at >= before + timedelta(seconds=50)


def test_a_cancel_while_it_streams_stops_the_call_and_costs_nothing(account, backend, monkeypatch):
    backend.mode = "drip_text"
    generation = request(account, timezone.now())
    keep = services.keep

    def cancel_first(*, claimed, now, output=None):
        services.cancel(generation=Generation.objects.get(pk=claimed.pk), now=now)
        keep(claimed=claimed, now=now, output=output)

    monkeypatch.setattr(services, "keep", cancel_first)
    run(generation)
    assert (generation.status, generation.output) == (Status.CANCELED, "")
    assert available(account, timezone.now()) == 10


def test_a_failed_retail_generation_gives_the_token_back(account, backend):
    backend.mode = "status_400"
    give_token(account, timezone.now())
    run(request(account, timezone.now(), funding="retail"))
    assert tokens(account, timezone.now()) == 1
    assert available(account, timezone.now()) == 10


def test_a_silent_backend_does_not_cost_the_lease(account, backend, monkeypatch):
    """The heartbeat renews it while nothing arrives."""
    monkeypatch.setattr(services, "LEASE", timedelta(seconds=0.6))
    monkeypatch.setattr(runner, "_seconds_left", lambda claimed: 1.5)
    backend.mode = "hang"
    swept = []
    keep = services.keep

    def sweep_too(*, claimed, now, output=None):
        keep(claimed=claimed, now=now, output=output)
        swept.append(services.sweep(now=now))

    monkeypatch.setattr(services, "keep", sweep_too)
    generation = run(request(account, timezone.now()))
    assert len(swept) >= 3
    assert not any(swept)
    assert generation.error_code == "deadline_exceeded"


def test_nothing_due_is_nothing_done(account):
    assert runner.run_one() is False
