"""An HTTP transport under which one call can neither outlast its deadline nor flood the memory.

A read timeout says nothing about a server that drips one byte a second, and an event stream's
reader keeps a line until it ends. So the limits sit where every byte passes, on the socket: each
read gets what is left of the call's time, and is counted. Name resolution is the one step that only
the system's resolver bounds.
"""

import contextlib
import contextvars
import ssl
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore2
import httpx2

CONNECT_SECONDS = 10.0
# Whoever reads a response keeps one event, or the body of one error, in memory until its end.
MAX_EVENT_BYTES = 1024 * 1024
# How long the end of a complete answer's body may take; it saves the next call a new connection.
BODY_END_SECONDS = 0.25

_HTTPCORE_ERRORS = (
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.UnsupportedProtocol,
)


class Limits:
    """What one call may still use; within `apply()` it binds every request of this thread."""

    def __init__(self, *, seconds: float, max_bytes: int) -> None:
        self.seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._bytes_left = max_bytes
        self._event_bytes = 0
        self.overflowed = False
        # Set by the reader: nothing that is still to come matters, except the end of the body.
        self.answer_finished = False

    @contextlib.contextmanager
    def apply(self) -> Iterator[None]:
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def remaining(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self._deadline - time.monotonic()

    def end_within(self, seconds: float) -> None:
        """Bring the deadline forward; it never moves back."""
        self._deadline = min(self._deadline, time.monotonic() + seconds)

    def event_ended(self) -> None:
        """The reader has let go of what it had kept in memory."""
        self._event_bytes = 0

    def timeout(self, asked: float | None) -> float:
        left = self.remaining()
        if left <= 0:
            raise httpcore2.ReadTimeout("deadline")
        return left if asked is None else min(left, asked)

    def count(self, received: int) -> None:
        self._bytes_left -= received
        self._event_bytes += received
        if self._bytes_left < 0 or self._event_bytes > MAX_EVENT_BYTES:
            self.overflowed = True
            raise httpcore2.ReadError("too much data")


_current: contextvars.ContextVar[Limits | None] = contextvars.ContextVar("_current", default=None)


class _LimitedStream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        limits = _current.get()
        if limits is None:
            return self._stream.read(max_bytes, timeout)
        data = self._stream.read(max_bytes, limits.timeout(timeout))
        limits.count(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _bounded(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        timeout = _bounded(timeout)
        return _LimitedStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _LimitedBackend(httpcore2.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        timeout = min(CONNECT_SECONDS, _bounded(timeout) or CONNECT_SECONDS)
        stream = super().connect_tcp(host, port, timeout, local_address, socket_options)
        return _LimitedStream(stream)


def _bounded(timeout: float | None) -> float | None:
    limits = _current.get()
    return timeout if limits is None else limits.timeout(timeout)


class LimitedTransport(httpx2.BaseTransport):
    """A connection pool whose requests keep to the `Limits` of their thread."""

    def __init__(self, base_url: str) -> None:
        self._pool = httpcore2.ConnectionPool(
            proxy=_proxy_for(base_url),
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=30.0,
            network_backend=_LimitedBackend(),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = httpcore2.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        with _as_httpx_errors():
            response = self._pool.handle_request(
                httpcore2.Request(
                    method=request.method,
                    url=url,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx2.Response(
            status_code=response.status,
            # A compressed body could be a thousand times larger than the bytes that were counted.
            # We ask for none; one that comes nevertheless stays as it is, which nobody can read.
            headers=[item for item in response.headers if item[0].lower() != b"content-encoding"],
            stream=_Body(response),
            extensions=response.extensions,
        )

    def close(self) -> None:
        self._pool.close()


class _Body(httpx2.SyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response
        self._chunks = iter(response.iter_stream())

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx_errors():
            yield from self._chunks

    def close(self) -> None:
        limits = _current.get()
        if limits is not None and limits.answer_finished:
            # The SDK stops at `[DONE]`, one step short of the body's end, and a connection with an
            # unread body cannot be used again.
            limits.end_within(BODY_END_SECONDS)
            with contextlib.suppress(*_HTTPCORE_ERRORS, httpcore2.TimeoutException):
                next(self._chunks, None)
        self._response.close()


@contextlib.contextmanager
def _as_httpx_errors() -> Iterator[None]:
    try:
        yield
    except httpcore2.TimeoutException as error:
        raise httpx2.ReadTimeout(str(error)) from error
    except _HTTPCORE_ERRORS as error:
        raise httpx2.ReadError(str(error)) from error


def _proxy_for(base_url: str) -> httpcore2.Proxy | None:
    """The proxy that the environment (`https_proxy`, `no_proxy`, …) names for this address."""
    parts = urllib.parse.urlsplit(base_url)
    host = parts.hostname or ""
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or host in ("localhost", "127.0.0.1", "::1") or urllib.request.proxy_bypass(host):
        return None
    at = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    unquote = urllib.parse.unquote
    auth = (unquote(at.username), unquote(at.password or "")) if at.username else None
    port = at.port or (443 if at.scheme == "https" else 80)
    return httpcore2.Proxy(f"{at.scheme}://{at.hostname}:{port}", auth=auth)
