"""The life of a generation, and who pays for it when."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import DatabaseError, connection

from credits import services as credits
from credits.models import Hold
from generation import plain_sql, services
from generation.models import Generation, OperationPrice
from generation.tests.cast import (
    available,
    finish,
    give,
    give_token,
    request,
    start,
    tokens,
)

pytestmark = pytest.mark.django_db
Status = Generation.Status


class TestRequest:
    def test_takes_the_price_at_once(self, account, now):
        give(account, now)
        assert request(account, now).cost == 1
        assert available(account, now) == 9

    def test_without_credits_stores_nothing(self, account, now):
        with pytest.raises(credits.InsufficientCredits):
            request(account, now)
        assert not Generation.objects.exists()

    def test_keeps_the_price_that_it_was_quoted(self, account, now):
        give(account, now)
        generation = request(account, now)
        OperationPrice.objects.create(operation="text", version=2, cost=4, created_at=now)
        try:
            assert request(account, now).cost == 4
            claimed = services.claim(now=now, generation_id=generation.pk)
            finish(claimed, now)
        finally:
            OperationPrice.objects.filter(version=2).delete()
        assert available(account, now) == 10 - 1 - 4

    def test_of_an_unknown_operation_is_refused(self, account, now):
        give(account, now)
        with pytest.raises(services.UnknownOperation):
            request(account, now, operation="film")

    @pytest.mark.parametrize("prompt", ["", "  \n", "x" * 8001, "nul \0", "half \ud800", None, 5])
    def test_with_a_prompt_that_is_no_text_is_refused(self, account, now, prompt):
        give(account, now)
        with pytest.raises(services.InvalidPrompt):
            request(account, now, prompt=prompt)
        assert available(account, now) == 10

    def test_beyond_the_open_ones_allowed_is_refused_and_costs_nothing(
        self, account, now, monkeypatch
    ):
        monkeypatch.setattr(services, "MAX_OPEN", 2)
        give(account, now)
        request(account, now)
        request(account, now)
        with pytest.raises(services.TooManyOpenGenerations):
            request(account, now)
        assert available(account, now) == 8

    def test_that_the_database_refuses_says_so_and_leaves_nothing(self, account, now, monkeypatch):
        """On PostgreSQL it arrives with the answer to the job, which is Procrastinate's."""

        def insert_nothing(new):
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO generation_generation (id) VALUES (NULL)")

        give(account, now)
        monkeypatch.setattr(plain_sql, "insert", insert_nothing)
        with pytest.raises(DatabaseError):
            request(account, now)
        assert (available(account, now), Generation.objects.count()) == (10, 0)


class TestIdempotencyKey:
    def test_repeated_returns_the_first_generation(self, account, now):
        give(account, now)
        first = request(account, now, idempotency_key="k")
        again, replayed = services.request_generation(
            account_id=account.pk,
            prompt="Tell me a story.",
            funding=Generation.Funding.CREDITS,
            operation="text",
            now=now,
            idempotency_key="k",
        )
        assert (again.pk, replayed) == (first.pk, True)
        assert available(account, now) == 9

    def test_repeated_after_the_last_credit_still_returns_the_first(self, account, now):
        give(account, now, amount=1)
        first = request(account, now, idempotency_key="k")
        assert request(account, now, idempotency_key="k").pk == first.pk

    @pytest.mark.skipif(connection.vendor == "sqlite", reason="one writer at a time: no two locks")
    @pytest.mark.django_db(transaction=True)
    def test_repeated_while_the_first_is_settled_does_not_wait_for_it(
        self, account, now, monkeypatch
    ):
        """It would with the account locked, which the other needs next: a deadlock."""
        give(account, now)
        claimed = start(account, now, idempotency_key="k")
        capture = credits.capture

        def repeat():
            try:
                return request(account, now, idempotency_key="k").pk
            finally:
                connection.close()

        def repeat_first(**arguments):
            with ThreadPoolExecutor() as pool:
                assert pool.submit(repeat).result(timeout=3) == claimed.pk
            return capture(**arguments)

        monkeypatch.setattr(credits, "capture", repeat_first)
        finish(claimed, now)
        assert available(account, now) == 9

    def test_with_another_prompt_is_a_conflict(self, account, now):
        give(account, now)
        request(account, now, idempotency_key="k")
        with pytest.raises(credits.IdempotencyConflict):
            request(account, now, idempotency_key="k", prompt="Something else.")
        assert available(account, now) == 9

    def test_is_forgotten_after_30_days(self, account, now):
        give(account, now)
        first = request(account, now, idempotency_key="k")
        assert services.forget_keys(now=now + timedelta(days=29)) == 0
        assert services.forget_keys(now=now + timedelta(days=30)) == 1
        assert request(account, now, idempotency_key="k").pk != first.pk


class TestSuccess:
    def test_keeps_the_credits(self, account, now):
        give(account, now)
        claimed = start(account, now)
        finish(claimed, now)
        claimed.refresh_from_db()
        assert (claimed.status, claimed.output) == (Status.SUCCEEDED, "A story.")
        assert available(account, now) == 9
        assert claimed.hold.captured == 1

    def test_uses_the_retail_token_for_ever(self, account, now):
        give_token(account, now)
        finish(start(account, now, funding="retail"), now)
        assert tokens(account, now) == 0
        with pytest.raises(credits.RetailTokenUnavailable):
            request(account, now, funding="retail")

    def test_never_runs_again(self, account, now):
        give(account, now)
        claimed = start(account, now)
        finish(claimed, now)
        assert services.claim(now=now, generation_id=claimed.pk) is None
        with pytest.raises(services.LeaseLost):
            finish(claimed, now, output="twice")
        claimed.refresh_from_db()
        assert claimed.output == "A story."


class TestFailure:
    def test_that_may_pass_is_tried_again_later(self, account, now):
        give(account, now)
        claimed = start(account, now)
        services.fail(claimed=claimed, code="backend_error", now=now)
        assert services.claim(now=now, generation_id=claimed.pk) is None
        again = services.claim(now=now + timedelta(seconds=4), generation_id=claimed.pk)
        assert again.attempts == 2
        assert available(account, now) == 9

    def test_waits_as_long_as_the_backend_asks(self, account, now):
        give(account, now)
        claimed = start(account, now)
        services.fail(claimed=claimed, code="rate_limited", retry_after_seconds=40, now=now)
        assert services.claim(now=now + timedelta(seconds=39), generation_id=claimed.pk) is None
        assert services.claim(now=now + timedelta(seconds=40), generation_id=claimed.pk)

    def test_that_cannot_pass_gives_the_credits_back(self, account, now):
        give(account, now)
        claimed = start(account, now)
        services.fail(claimed=claimed, code="refused", permanent=True, now=now)
        claimed.refresh_from_db()
        assert (claimed.status, claimed.error_code) == (Status.FAILED, "refused")
        assert available(account, now) == 10

    def test_after_three_starts_gives_the_credits_back(self, account, now):
        give(account, now)
        generation = request(account, now)
        for attempt in range(3):
            now += timedelta(seconds=20)
            claimed = services.claim(now=now, generation_id=generation.pk)
            assert claimed.attempts == attempt + 1
            services.fail(claimed=claimed, code="backend_error", now=now)
        generation.refresh_from_db()
        assert generation.status == Status.FAILED
        assert available(account, now) == 10

    def test_near_the_deadline_is_final(self, account, now):
        give(account, now)
        claimed = start(account, now)
        services.fail(claimed=claimed, code="backend_error", now=now + timedelta(seconds=119))
        claimed.refresh_from_db()
        assert claimed.status == Status.FAILED

    def test_frees_the_retail_token_for_another_generation(self, account, now):
        give_token(account, now)
        claimed = start(account, now, funding="retail")
        assert tokens(account, now) == 0
        services.fail(claimed=claimed, code="refused", permanent=True, now=now)
        assert tokens(account, now) == 1
        finish(start(account, now, funding="retail"), now)
        assert tokens(account, now) == 0


class TestCancel:
    def test_of_a_queued_one_gives_the_credits_back(self, account, now):
        give(account, now)
        generation = services.cancel(generation=request(account, now), now=now)
        assert generation.status == Status.CANCELED
        assert available(account, now) == 10

    def test_of_a_running_one_stops_the_worker_at_its_next_write(self, account, now):
        give(account, now)
        claimed = start(account, now)
        services.keep(claimed=claimed, output="Once", now=now)
        services.cancel(generation=claimed, now=now)
        fresh = Generation.objects.get(pk=claimed.pk)
        assert fresh.output == ""
        claimed.status = Status.RUNNING  # what the worker still believes
        with pytest.raises(services.LeaseLost):
            services.keep(claimed=claimed, output="Once upon", now=now)
        with pytest.raises(services.LeaseLost):
            finish(claimed, now)
        assert available(account, now) == 10

    def test_twice_gives_back_once(self, account, now):
        give(account, now)
        generation = request(account, now)
        services.cancel(generation=generation, now=now)
        services.cancel(generation=generation, now=now)
        assert available(account, now) == 10

    def test_of_a_finished_one_is_refused(self, account, now):
        give(account, now)
        claimed = start(account, now)
        finish(claimed, now)
        with pytest.raises(services.NotCancelable):
            services.cancel(generation=claimed, now=now)
        assert available(account, now) == 9

    def test_frees_the_retail_token(self, account, now):
        give_token(account, now)
        services.cancel(generation=request(account, now, funding="retail"), now=now)
        assert tokens(account, now) == 1


class TestRegenerate:
    def test_makes_a_new_generation_that_costs_again(self, account, now):
        give(account, now)
        claimed = start(account, now)
        finish(claimed, now)
        claimed.refresh_from_db()
        again, _replayed = services.regenerate(generation=claimed, now=now)
        assert again.pk != claimed.pk
        assert again.regenerates_id == claimed.pk
        assert available(account, now) == 8
        assert Generation.objects.get(pk=claimed.pk).output == "A story."

    def test_of_a_retail_one_is_refused(self, account, now):
        give(account, now)
        give_token(account, now)
        claimed = start(account, now, funding="retail")
        finish(claimed, now)
        claimed.refresh_from_db()
        with pytest.raises(services.RetailAlreadyGenerated, match="credits"):
            services.regenerate(generation=claimed, now=now)
        assert available(account, now) == 10

    def test_of_an_unfinished_one_is_refused(self, account, now):
        give(account, now)
        with pytest.raises(services.NotFinished):
            services.regenerate(generation=request(account, now), now=now)


class TestSweep:
    def test_restarts_what_a_dead_worker_left_behind(self, account, now):
        give(account, now)
        claimed = start(account, now)
        assert services.sweep(now=now + timedelta(seconds=29)) == 0
        assert services.sweep(now=now + timedelta(seconds=30)) == 1
        later = now + timedelta(seconds=40)
        again = services.claim(now=later, generation_id=claimed.pk)
        assert again.attempts == 2
        with pytest.raises(services.LeaseLost):
            finish(claimed, later, output="from the dead")
        finish(again, later, output="from the living")
        assert Generation.objects.get(pk=claimed.pk).output == "from the living"
        assert available(account, now) == 9

    def test_ends_a_generation_whose_worker_died_three_times(self, account, now):
        give(account, now)
        generation = request(account, now)
        for _ in range(3):
            services.claim(now=now, generation_id=generation.pk)
            now += timedelta(seconds=31)
            services.sweep(now=now)
            now += timedelta(seconds=13)
        generation.refresh_from_db()
        assert (generation.status, generation.error_code) == (Status.FAILED, "worker_lost")
        assert available(account, now) == 10

    def test_leaves_a_worker_that_gives_signs_of_life(self, account, now):
        give(account, now)
        claimed = start(account, now)
        services.keep(claimed=claimed, now=now + timedelta(seconds=20))
        assert services.sweep(now=now + timedelta(seconds=45)) == 0

    def test_ends_what_waited_an_hour_for_a_worker(self, account, now):
        give(account, now)
        generation = request(account, now)
        services.sweep(now=now + timedelta(hours=1))
        generation.refresh_from_db()
        assert (generation.status, generation.error_code) == (Status.FAILED, "queue_timeout")
        assert available(account, now) == 10

    def test_is_not_held_up_by_one_that_cannot_be_ended(self, account, now, monkeypatch):
        give(account, now)
        broken, other = start(account, now), start(account, now + timedelta(seconds=1))
        Generation.objects.update(attempts=services.MAX_STARTS)
        release = credits.release

        def fail_for_broken(*, hold_id, **arguments):
            if hold_id == broken.hold_id:
                raise credits.HoldAlreadySettled(Hold.objects.get(pk=hold_id))
            return release(hold_id=hold_id, **arguments)

        monkeypatch.setattr(credits, "release", fail_for_broken)
        assert services.sweep(now=now + timedelta(minutes=1)) == 1
        other.refresh_from_db()
        assert other.status == Status.FAILED

    def test_works_a_backlog_off_in_rounds(self, account, now, monkeypatch):
        monkeypatch.setattr(services, "SWEPT_AT_ONCE", 2)
        give(account, now)
        for _ in range(3):
            request(account, now)
        later = now + timedelta(hours=1)
        assert [services.sweep(now=later) for _ in range(3)] == [2, 1, 0]

    @pytest.mark.skipif(not settings.USES_POSTGRES, reason="there are no jobs elsewhere")
    def test_makes_one_new_job_for_a_lost_one_however_long_it_waits(self, account, now):
        give(account, now)
        request(account, now)
        for seconds in (31, 41, 51):  # its own job is still there
            services.sweep(now=now + timedelta(seconds=seconds))
        assert jobs() == 1
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM procrastinate_jobs")
        for seconds in (61, 71, 81):
            services.sweep(now=now + timedelta(seconds=seconds))
        assert jobs() == 1


class TestClaim:
    def test_leaves_what_waited_too_long_to_the_sweep(self, account, now):
        """Its hold may have reached its deadline: the work could not be paid any more."""
        give(account, now)
        generation = request(account, now)
        later = now + services.MAX_QUEUED
        assert services.claim(now=later, generation_id=generation.pk) is None
        assert services.claim(now=later - timedelta(seconds=1)).pk == generation.pk


def jobs() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs")
        return cursor.fetchone()[0]
