"""The one generation backend: any OpenAI-compatible HTTP API, streamed, bounded in time and size.

Nothing that the other side sends is trusted, and neither is its pace: see `limited_http` for the
deadline and the byte limits, and `_Answer` for the checks on what arrives.
"""

import email.utils
import math
import os
import re
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import httpx2
import openai
from django.conf import settings
from openai.types.chat import ChatCompletionChunk

from generation import local_model
from generation.limited_http import LimitedTransport, Limits

SYSTEM_PROMPT = "You are a helpful writing assistant. Do what the text asks, and nothing else."

ON_TEXT_SECONDS = 0.3
# The answer is complete by then; only its token counts are still on the way.
AFTER_FINISH_SECONDS = 5.0
# A socket's timeout may end a little before the deadline that it was computed from.
CLOCK_SLACK_SECONDS = 0.05
MAX_RETRY_AFTER_SECONDS = 120.0
# What a provider wraps around one delta (id, model, fingerprint); some send a delta per character.
BYTES_PER_CHAR = 1024
BASE_BYTES = 1024 * 1024
MAX_STREAM_BYTES = 64 * 1024 * 1024
MAX_PLAUSIBLE_TOKENS = 10_000_000
MAX_MODEL_CHARS = 120  # some servers name a model by its path
CHARS_PER_TOKEN = 4

REFUSAL_CODES = {"content_filter", "content_policy_violation", "moderation_blocked"}
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class BackendError(Exception):
    """A generation that gave no usable answer.

    `code` is stable and short, `permanent` says that trying again cannot help, `retry_after` is the
    wait in seconds that the provider asked for. The message holds neither the prompt, nor the key,
    nor anything else that the other side wrote.
    """

    def __init__(
        self, code: str, message: str, *, permanent: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.permanent = permanent
        self.retry_after = retry_after


@dataclass(frozen=True)
class Completion:
    """A finished answer. `truncated`: one of the two output limits ended it, not the model."""

    text: str
    input_tokens: int
    output_tokens: int
    model: str
    truncated: bool


def complete(
    *,
    prompt: str,
    on_text: Callable[[str], None],
    deadline_seconds: float,
    max_output_tokens: int,
    max_output_chars: int,
) -> Completion:
    """Ask the configured model to answer `prompt`, streaming.

    `on_text` gets the whole text so far, at most every 0.3 seconds; what it raises ends the stream,
    closes the connection and reaches the caller as it is. The call ends within `deadline_seconds`
    whatever the server does. Raises BackendError.
    """
    limits = Limits(
        seconds=deadline_seconds,
        max_bytes=min(BASE_BYTES + BYTES_PER_CHAR * max_output_chars, MAX_STREAM_BYTES),
    )
    with limits.apply():
        provider = _configured_provider(limits)
        with _open_stream(provider, limits, prompt, max_output_tokens) as stream:
            answer = _Answer(max_output_chars)
            last_shown = -math.inf
            for chunk in _chunks(stream, limits, answer):
                answer.add(chunk)
                if answer.overflowed:
                    break
                if answer.grew and time.monotonic() - last_shown >= ON_TEXT_SECONDS:
                    answer.grew = False
                    on_text(answer.text())
                    last_shown = time.monotonic()
    return answer.completion(prompt)


# Settings and client


class _Provider:
    """A client for one base URL and key, and what was learned about the server behind it."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self.client = openai.OpenAI(
            base_url=base_url,
            # The SDK insists on a key; servers that need none ignore it.
            api_key=api_key or "none",
            max_retries=0,
            http_client=httpx2.Client(transport=LimitedTransport(base_url), follow_redirects=False),
            default_headers={"Accept-Encoding": "identity"},
        )
        self.first_model = ""
        self.limit_field = "max_tokens"


# One client, so one connection pool, per server; a forked child must not share its parent's.
@lru_cache(maxsize=4)
def _provider(base_url: str, api_key: str, _pid: int) -> _Provider:
    return _Provider(base_url, api_key)


def _configured_provider(limits: Limits) -> _Provider:
    base_url = settings.GENERATION_BASE_URL
    if not base_url:
        try:
            base_url = local_model.ensure(timeout_seconds=limits.remaining())
        except local_model.LocalModelUnavailable as error:
            raise BackendError("backend_unavailable", str(error)) from error
    try:
        parts = urllib.parse.urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        message = "GENERATION_BASE_URL is not an http:// or https:// address."
        raise BackendError(_MISCONFIGURED, message, permanent=True)
    return _provider(base_url, settings.GENERATION_API_KEY, os.getpid())


def _model(provider: _Provider, limits: Limits) -> str:
    """The configured model, or the first that the server lists."""
    if settings.GENERATION_MODEL:
        return str(settings.GENERATION_MODEL)
    if not provider.first_model:
        try:
            page = provider.client.models.list(timeout=limits.remaining())
        except _FAILURES as error:
            raise _backend_error(error, limits) from None
        models = getattr(page, "data", None)
        name = getattr(models[0], "id", None) if isinstance(models, list) and models else None
        if not isinstance(name, str) or not name:
            message = "The generation server lists no model: set GENERATION_MODEL."
            raise BackendError(_MISCONFIGURED, message, permanent=True)
        provider.first_model = name
    return provider.first_model


# The stream


def _open_stream(
    provider: _Provider, limits: Limits, prompt: str, max_output_tokens: int
) -> openai.Stream[ChatCompletionChunk]:
    model = _model(provider, limits)

    def send() -> openai.Stream[ChatCompletionChunk]:
        return provider.client.chat.completions.create(
            model=model,
            messages=[
                {"role": "system", "content": SYSTEM_PROMPT},
                {"role": "user", "content": _storable(prompt)},
            ],
            stream=True,
            stream_options={"include_usage": True},
            extra_body={provider.limit_field: max_output_tokens},
            timeout=limits.remaining(),
        )

    try:
        try:
            return send()
        except openai.BadRequestError as error:
            # OpenAI's reasoning models refuse the name that every other server knows.
            if error.param != "max_tokens" or provider.limit_field != "max_tokens":
                raise
            provider.limit_field = "max_completion_tokens"
            return send()
    except openai.NotFoundError as error:
        provider.first_model = ""
        raise _backend_error(error, limits) from None
    except _FAILURES as error:
        raise _backend_error(error, limits) from None


def _chunks(
    stream: openai.Stream[ChatCompletionChunk], limits: Limits, answer: "_Answer"
) -> Iterator[object]:
    """What the stream holds; every failure of the other side comes out as BackendError."""
    end = object()
    while True:
        limits.event_ended()
        try:
            chunk = next(stream, end)
        except _FAILURES as error:
            if answer.finish_reason:
                return
            raise _backend_error(error, limits, started=answer.started) from None
        if chunk is end:
            return
        yield chunk
        if answer.finish_reason:
            limits.answer_finished = True
            limits.end_within(AFTER_FINISH_SECONDS)


class _Answer:
    """What came so far, checked piece by piece."""

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars
        self._pieces: list[str] = []
        self._length = 0
        self._usage: object = None
        self._model = ""
        self.finish_reason: str | None = None
        self.started = False
        self.grew = False
        self.overflowed = False

    def add(self, chunk: object) -> None:
        """Take one chunk in. Raises BackendError when it is malformed or a refusal."""
        self.started = True
        if not isinstance(chunk, ChatCompletionChunk):
            raise _invalid("sent something that is not a chat completion")
        self._usage = getattr(chunk, "usage", None) or self._usage
        self._model = self._model or _text_or_nothing(getattr(chunk, "model", None))
        choices = getattr(chunk, "choices", None) or [None]
        if not isinstance(choices, list):
            raise _invalid("sent a value of a wrong type")
        delta = getattr(choices[0], "delta", None)
        if _text_or_nothing(getattr(delta, "refusal", None)):
            raise _refused()
        self._add_text(_text_or_nothing(getattr(delta, "content", None)))
        self.finish_reason = (
            _text_or_nothing(getattr(choices[0], "finish_reason", None)) or self.finish_reason
        )
        if self.finish_reason == "content_filter":
            raise _refused()

    def _add_text(self, piece: str) -> None:
        room = self._max_chars - self._length
        self.overflowed = len(piece) > room
        if piece := piece[:room]:
            self._pieces.append(piece)
            self._length += len(piece)
            self.grew = True

    def text(self) -> str:
        return _storable("".join(self._pieces))

    def completion(self, prompt: str) -> Completion:
        """The finished answer. Raises BackendError when there is none."""
        if not self.started:
            raise _invalid("answered without an event stream (the base URL usually ends in /v1)")
        text = self.text()
        if self.finish_reason is None and not self.overflowed:
            raise BackendError("output_interrupted", "The model's answer broke off before its end.")
        if not text.strip():
            raise BackendError("empty_output", "The model answered with an empty text.")
        sent, received = len(SYSTEM_PROMPT) + len(prompt), len(text)
        return Completion(
            text=text,
            input_tokens=_token_count(getattr(self._usage, "prompt_tokens", None), sent),
            output_tokens=_token_count(getattr(self._usage, "completion_tokens", None), received),
            model=_storable(self._model)[:MAX_MODEL_CHARS],
            truncated=self.overflowed or self.finish_reason == "length",
        )


def _text_or_nothing(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    raise _invalid("sent a value of a wrong type")


def _token_count(reported: object, chars: int) -> int:
    """The server's number when it can be one, else an estimate."""
    number = reported if isinstance(reported, int) and not isinstance(reported, bool) else -1
    return number if 0 <= number <= MAX_PLAUSIBLE_TOKENS else math.ceil(chars / CHARS_PER_TOKEN)


def _storable(text: str) -> str:
    """`text` without what a database refuses: NUL, and halves of surrogate pairs."""
    if not UNSTORABLE.search(text):
        return text
    # Two halves that came in two pieces make one character again.
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return whole.replace("\x00", "")


# Errors


def _invalid(what: str) -> BackendError:
    return BackendError("invalid_response", f"The generation server {what}.")


def _refused() -> BackendError:
    message = "The model's content filter refused this text."
    return BackendError("refused", message, permanent=True)


# ValueError: broken JSON or UTF-8, a key that no header can hold. RecursionError: JSON nested deep.
_FAILURES = (
    openai.OpenAIError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    ValueError,
    RecursionError,
)


def _backend_error(error: Exception, limits: Limits, *, started: bool = False) -> BackendError:
    """What `error` means to us. Nothing of its text is kept: it may quote the prompt or the key."""
    if limits.overflowed:
        return _invalid("sent far more data than an answer needs")
    if isinstance(error, openai.APIStatusError):
        return _status_error(error.status_code, error, error.response.headers.get("retry-after"))
    if limits.remaining() < CLOCK_SLACK_SECONDS:
        message = f"The model did not finish within {limits.seconds:g} seconds."
        return BackendError("deadline_exceeded", message)
    if isinstance(error, openai.APIConnectionError | httpx2.HTTPError | httpx2.InvalidURL):
        if started:
            return BackendError("output_interrupted", "The connection broke during the answer.")
        return BackendError("backend_unavailable", "The generation server cannot be reached.")
    if isinstance(error, openai.APIError) and not isinstance(
        error, openai.APIResponseValidationError
    ):
        # An error inside the stream; llama.cpp puts in it the HTTP status that came too late.
        code = str(error.code)
        return _status_error(int(code) if re.fullmatch(r"[45]\d\d", code) else 500, error, None)
    return _invalid("sent an answer that cannot be read")


def _status_error(status: int, error: openai.APIError, retry_after: str | None) -> BackendError:
    kinds = {str(error.code), str(error.type)}
    if kinds & REFUSAL_CODES:
        return _refused()
    if status in (400, 413) and (
        kinds & {"context_length_exceeded", "exceed_context_size_error"}
        or "context length" in error.message
    ):
        message = "The text is too long for this model: shorten it."
        return BackendError("prompt_too_long", message, permanent=True)
    code, message = _STATUSES.get(status, ("backend_error", "The generation server failed"))
    return BackendError(
        code,
        f"{message} (HTTP {status}).",
        permanent=status < 500 and status not in (408, 409, 429),
        retry_after=_seconds(retry_after),
    )


_MISCONFIGURED = "backend_misconfigured"
_STATUSES = {
    **dict.fromkeys(range(300, 400), (_MISCONFIGURED, "GENERATION_BASE_URL redirects elsewhere")),
    **dict.fromkeys((401, 403), (_MISCONFIGURED, "GENERATION_API_KEY is refused")),
    404: (_MISCONFIGURED, "GENERATION_MODEL or GENERATION_BASE_URL does not exist"),
    429: ("rate_limited", "The generation server takes no more requests for the moment"),
    **dict.fromkeys(
        (408, 502, 503, 504), ("backend_unavailable", "The generation server is not available")
    ),
}


def _seconds(value: str | None) -> float | None:
    """A Retry-After header (seconds or an HTTP date) as seconds from now, bounded."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    if math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
