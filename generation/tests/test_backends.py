"""The backend against a server that does everything wrong."""

import contextlib
import email.utils
import logging
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from generation import backends
from generation.backends import BackendError, Completion
from generation.models import Generation
from generation.tests import misbehaving_server
from generation.tests.misbehaving_server import MODEL, TEXT, MisbehavingServer, modes, wait_until

KEY = "sk-test-0123456789abcdef"
PROMPT = "Tell the story of PRIVATE-WORD."


@pytest.fixture
def server(settings: Any) -> Iterator[MisbehavingServer]:
    with MisbehavingServer() as server:
        settings.GENERATION_BASE_URL = server.base_url
        settings.GENERATION_API_KEY = KEY
        settings.GENERATION_MODEL = "asked-for"
        yield server


def ask(
    prompt: str = PROMPT,
    on_text: Callable[[str], None] = lambda text: None,
    *,
    seconds: float = 5.0,
    chars: int = 10_000,
) -> Completion:
    return backends.complete(
        prompt=prompt,
        on_text=on_text,
        deadline_seconds=seconds,
        max_output_tokens=200,
        max_output_chars=chars,
    )


def failure(prompt: str = PROMPT, **limits: Any) -> BackendError:
    with pytest.raises(BackendError) as raised:
        ask(prompt, **limits)
    return raised.value


class TestGoodAnswer:
    def test_comes_with_the_servers_own_counts(self, server):
        assert ask() == Completion(TEXT, 11, 11, MODEL, truncated=False)

    def test_is_asked_for_with_the_configured_model_and_the_token_limit(self, server):
        ask()
        body = server.bodies[0]
        assert body["model"] == "asked-for"
        assert body["max_tokens"] == 200
        assert body["messages"][-1] == {"role": "user", "content": PROMPT}

    def test_is_shown_growing_but_not_at_every_piece(self, server):
        server.chunk_delay = 0.08
        shown: list[str] = []
        start = time.monotonic()
        ask(on_text=shown.append)
        most = 1 + (time.monotonic() - start) / backends.ON_TEXT_SECONDS
        assert 2 <= len(shown) <= most
        assert all(TEXT.startswith(text) for text in shown)
        assert shown == sorted(shown, key=len)

    def test_uses_the_first_listed_model_when_none_is_configured(self, server, settings):
        settings.GENERATION_MODEL = ""
        ask()
        ask()
        assert [body["model"] for body in server.bodies] == [MODEL, MODEL]
        assert server.model_lists == 1

    def test_shares_one_connection_with_the_next(self, server):
        for _ in range(5):
            ask()
        assert server.connections == 1

    def test_is_not_mixed_up_with_those_of_other_threads(self, server):
        server.chunk_delay = 0.01
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: ask(), range(8)))
        assert answers == [Completion(TEXT, 11, 11, MODEL, truncated=False)] * 8

    def test_reaches_a_model_that_knows_only_the_new_name_of_the_limit(self, server):
        server.mode = "only_new_token_limit"
        assert ask().text == ask().text == TEXT
        assert server.requests == 3

    def test_passes_through_the_proxy_of_the_environment(self, server, settings, monkeypatch):
        monkeypatch.setenv("http_proxy", server.base_url.removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        settings.GENERATION_BASE_URL = "http://model.invalid/v1"
        assert ask().text == TEXT

    @pytest.mark.parametrize("mode", ["no_usage", "nan_usage", "usage_of_wrong_type"])
    def test_without_usable_counts_gets_estimates(self, server, mode):
        server.mode = mode
        answer = ask()
        assert answer.text == TEXT
        assert 5 < answer.output_tokens < 30
        assert 5 < answer.input_tokens < 60

    def test_names_the_model_at_the_length_that_is_kept(self, server, monkeypatch):
        monkeypatch.setattr(misbehaving_server, "MODEL", "/models/" + "long" * 50)
        assert len(ask().model) == Generation._meta.get_field("model").max_length

    def test_loses_only_what_no_database_can_hold(self, server):
        server.mode = "unstorable"
        assert ask().text == "nul half pair\N{GRINNING FACE} ok"

    def test_says_when_the_token_limit_ended_it(self, server):
        server.mode = "length"
        assert ask().truncated


class TestErrorsThatTheServerReports:
    @pytest.mark.parametrize(
        ("status", "code", "permanent"),
        [
            (400, "backend_error", True),
            (401, "backend_misconfigured", True),
            (403, "backend_misconfigured", True),
            (404, "backend_misconfigured", True),
            (408, "backend_unavailable", False),
            (409, "backend_error", False),
            (413, "backend_error", True),
            (422, "backend_error", True),
            (429, "rate_limited", False),
            (500, "backend_error", False),
            (502, "backend_unavailable", False),
            (503, "backend_unavailable", False),
            (529, "backend_error", False),
        ],
    )
    def test_have_a_stable_code_and_say_whether_to_retry(self, server, status, code, permanent):
        error = failure(f"mode=status_{status}")
        assert (error.code, error.permanent) == (code, permanent)
        assert server.requests == 1

    @pytest.mark.parametrize(
        ("header", "seconds"),
        [("7", 7), ("0.5", 0.5), ("86400", 120), ("-3", 0), ("soon", None), ("nan", None)],
    )
    def test_carry_the_wait_that_was_asked_for_within_reason(self, server, header, seconds):
        server.mode, server.retry_after = "rate_limited", header
        assert failure().retry_after == seconds

    def test_carry_a_wait_that_was_given_as_a_date(self, server):
        server.mode = "rate_limited"
        server.retry_after = email.utils.formatdate(time.time() + 30, usegmt=True)
        wait = failure().retry_after
        assert wait is not None and 25 < wait <= 30

    @pytest.mark.parametrize(
        ("mode", "code", "permanent"),
        [
            ("too_long", "prompt_too_long", True),
            ("content_filter", "refused", True),
            ("refusal", "refused", True),
            ("redirect", "backend_misconfigured", True),
            ("error_in_stream", "backend_unavailable", False),
        ],
    )
    def test_are_told_apart_by_what_they_say(self, server, mode, code, permanent):
        server.mode = mode
        error = failure()
        assert (error.code, error.permanent) == (code, permanent)

    def test_name_the_setting_when_the_key_is_refused(self, server):
        assert "GENERATION_API_KEY" in str(failure("mode=status_401"))

    def test_name_the_setting_when_no_model_is_listed(self, server, settings):
        settings.GENERATION_MODEL, server.mode = "", "no_models"
        assert "GENERATION_MODEL" in str(failure())

    @pytest.mark.parametrize(
        "url", ["model.example/v1", "file:///etc/passwd", "http://", "http://[x"]
    )
    def test_name_the_setting_when_the_address_is_none(self, settings, url):
        settings.GENERATION_BASE_URL = url
        assert "GENERATION_BASE_URL" in str(failure())

    def test_never_quote_the_prompt_or_the_key(self, server, caplog):
        caplog.set_level(logging.DEBUG)
        for mode in ("status_400", "status_401", "status_500", "good"):
            try:
                ask(f"{PROMPT} mode={mode}")
            except BackendError as error:
                assert KEY not in str(error) and error.__suppress_context__
        assert server.requests == 4
        assert KEY not in caplog.text and "PRIVATE-WORD" not in caplog.text

    def test_follow_a_key_that_no_header_can_hold(self, server, settings):
        settings.GENERATION_API_KEY = "sk-\N{EURO SIGN}\n"
        assert "sk-" not in str(failure())
        assert server.requests == 0


class TestDeadline:
    def test_holds_against_a_server_that_takes_for_ever(self, server):
        modes = ["hang", "hang_after_text", "drip_headers", "drip_chunk_size", "drip_line"]
        modes += ["drip_text", "drip_error"]

        def outcome(mode: str) -> tuple[str, str, bool, bool]:
            start = time.monotonic()
            error = failure(f"mode={mode}", seconds=1)
            return mode, error.code, error.permanent, time.monotonic() - start < 2

        with ThreadPoolExecutor(len(modes)) as pool:
            assert list(pool.map(outcome, modes)) == [
                (mode, "deadline_exceeded", False, True) for mode in modes
            ]

    def test_is_not_waited_for_when_the_answer_is_complete(self, server, monkeypatch):
        monkeypatch.setattr(backends, "AFTER_FINISH_SECONDS", 0.2)
        server.mode = "hang_after_finish"
        start = time.monotonic()
        assert ask().text == TEXT
        assert time.monotonic() - start < 2

    def test_lets_nothing_through_but_backend_errors_whatever_happens(self, server):
        for mode in modes():
            try:
                ask(f"mode={mode} x", seconds=0.05)
            except BackendError as error:
                assert re.fullmatch("[a-z_]+", error.code), mode


class TestConnection:
    def test_that_is_refused_can_be_tried_again(self, server, settings):
        with MisbehavingServer() as gone:
            settings.GENERATION_BASE_URL = gone.base_url
        error = failure()
        assert (error.code, error.permanent) == ("backend_unavailable", False)

    def test_that_breaks_before_the_answer_can_be_tried_again(self, server):
        server.mode = "hang_up"
        error = failure()
        assert (error.code, error.permanent) == ("backend_unavailable", False)

    @pytest.mark.parametrize("mode", ["half", "cut"])
    def test_that_ends_in_the_middle_of_the_answer_is_an_interruption(self, server, mode):
        server.mode = mode
        error = failure()
        assert (error.code, error.permanent) == ("output_interrupted", False)

    def test_is_closed_when_the_caller_has_had_enough(self, server):
        class LeaseLost(Exception):
            pass

        def lose_the_lease(text: str) -> None:
            raise LeaseLost(text)

        server.mode = "drip_text"
        with pytest.raises(LeaseLost, match=r"^tick $"):
            ask(on_text=lose_the_lease)
        assert wait_until(lambda: server.disconnects == 1)


class TestSize:
    def test_of_an_answer_is_cut_at_the_limit(self, server):
        answer = ask(chars=10)
        assert (answer.text, answer.truncated) == (TEXT[:10], True)

    def test_of_exactly_the_limit_is_not_a_cut(self, server):
        answer = ask(chars=len(TEXT))
        assert (answer.text, answer.truncated) == (TEXT, False)

    def test_of_fifty_megabytes_of_text_is_cut_and_not_kept(self, server):
        server.mode = "huge"
        with memory_limit(8_000_000):
            answer = ask(chars=20_000)
        assert (len(answer.text), answer.truncated) == (20_000, True)
        assert wait_until(lambda: server.disconnects == 1)

    @pytest.mark.parametrize(
        "mode", ["huge_line", "huge_comments", "huge_without_text", "huge_error"]
    )
    def test_of_fifty_megabytes_of_anything_else_is_refused(self, server, mode):
        server.mode = mode
        with memory_limit(8_000_000):
            assert failure(chars=1000).code == "invalid_response"

    def test_cannot_be_hidden_by_compression(self, server):
        server.mode = "compressed"
        assert failure().code == "invalid_response"


@contextlib.contextmanager
def memory_limit(limit: int) -> Iterator[None]:
    """Python never holds more than `limit` bytes above what it held before the block."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


class TestContent:
    @pytest.mark.parametrize(
        ("mode", "code"),
        [
            ("empty", "empty_output"),
            ("blank", "empty_output"),
            ("web_page", "invalid_response"),
            ("invalid_json", "invalid_response"),
            ("invalid_utf8", "invalid_response"),
            ("deep_json", "invalid_response"),
            ("wrong_types", "invalid_response"),
        ],
    )
    def test_that_is_no_answer_is_an_error_worth_a_retry(self, server, mode, code):
        server.mode = mode
        error = failure()
        assert (error.code, error.permanent) == (code, False)

    @pytest.mark.parametrize("odd", ["null", "7", '"text"', "[[]]", '{"a": 1}', "NaN"])
    def test_of_any_shape_ends_in_an_answer_or_a_backend_error(self, server, odd):
        fields = ("choices", "usage", "model", "error")
        shapes = [odd, *(f'{{"{field}": {odd}}}' for field in fields)]
        for field in ("delta", "finish_reason"):
            shapes.append(f'{{"choices": [{{"{field}": {odd}}}]}}')
        for shape in shapes:
            with contextlib.suppress(BackendError):
                assert ask(f"mode=raw {shape}").text == "fine"
