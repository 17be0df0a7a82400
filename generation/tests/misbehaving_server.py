"""An OpenAI-compatible server on 127.0.0.1 that misbehaves on purpose.

    with MisbehavingServer("hang") as server:
        settings.GENERATION_BASE_URL = server.base_url

What it does to a request is its `mode`, or what the prompt asks for with a word such as
`mode=status_500`. A mode is the name of a method of `_Modes`, or `status_` and a number.
"""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

MODEL = "misbehaving-1"
TEXT = "Once upon a time a ledger balanced, and everyone slept well."
MEGABYTE = 1024 * 1024


class MisbehavingServer:
    """The server; it counts what reaches it, and runs from `with` on until the block's end."""

    def __init__(self, mode: str = "good", *, text: str = TEXT, chunk_delay: float = 0.0) -> None:
        self.mode = mode
        self.text = text
        # Seconds before each piece of text.
        self.chunk_delay = chunk_delay
        self.retry_after = "7"
        # Chat completions that were asked for, and the bodies of these requests.
        self.requests = 0
        self.bodies: list[dict[str, Any]] = []
        self.model_lists = 0
        self.connections = 0
        # Answers during which the client went away.
        self.disconnects = 0
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def count(self, name: str) -> int:
        """Add one to the counter `name` and return it."""
        with self._lock:
            value = int(getattr(self, name)) + 1
            setattr(self, name, value)
            return value

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    # A client that is still connected must not keep the test from ending.
    block_on_close = False
    owner: MisbehavingServer

    def process_request(self, request: Any, client_address: Any) -> None:
        self.owner.count("connections")
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Silent: broken connections are what this server is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, *args: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        self.server.owner.count("model_lists")
        if self.server.owner.mode == "no_models":
            self.send_json(200, {"object": "list", "data": "none"})
        else:
            self.send_json(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def do_POST(self) -> None:
        owner = self.server.owner
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        owner.bodies.append(body)
        owner.count("requests")
        asked = re.search(r"mode=(\w+)", body["messages"][-1]["content"])
        mode = asked[1] if asked else owner.mode
        try:
            if status := re.fullmatch(r"status_(\d+)", mode):
                error = {"message": f"Secret {self.headers['Authorization']}", "type": "server"}
                self.send_json(int(status[1]), {"error": error})
            else:
                getattr(_Modes(self, owner, body), mode)()
        except (BrokenPipeError, ConnectionResetError):
            owner.count("disconnects")
            self.close_connection = True

    def send_json(self, status: int, value: object, **headers: str) -> None:
        self.send_body(status, "application/json", json.dumps(value).encode(), **headers)

    def send_body(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


class _Modes:
    """What can be done to one request, a method each."""

    def __init__(self, handler: _Handler, owner: MisbehavingServer, body: dict[str, Any]) -> None:
        self._handler = handler
        self._owner = owner
        self._body = body

    # How a stream is made

    def _start(self, kind: str = "text/event-stream", **headers: str) -> None:
        self._handler.send_response(200)
        self._handler.send_header("Content-Type", kind)
        self._handler.send_header("Transfer-Encoding", "chunked")
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.end_headers()

    def _raw(self, data: bytes) -> None:
        self._handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _event(self, value: object) -> None:
        self._raw(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _delta(self, finish: str | None = None, **delta: object) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        self._event({"object": "chat.completion.chunk", "model": MODEL, "choices": [choice]})

    def _usage(self, usage: object) -> None:
        self._event({"object": "chat.completion.chunk", "choices": [], "usage": usage})

    def _end(self) -> None:
        self._raw(b"data: [DONE]\n\n")
        self._handler.wfile.write(b"0\r\n\r\n")

    def _answer(self, *pieces: str, finish: str = "stop", usage: object = None) -> None:
        self._start()
        for piece in pieces:
            self._wait(self._owner.chunk_delay)
            self._delta(content=piece)
        self._delta(finish=finish)
        if usage is not None:
            self._usage(usage)
        self._end()

    def _words(self) -> list[str]:
        return re.findall(r"\S+\s*", self._owner.text)

    def _wait(self, seconds: float) -> None:
        if seconds and self._owner.stopping.wait(seconds):
            raise ConnectionResetError

    def _drip(self, data: bytes, seconds: float = 0.05) -> None:
        for byte in data:
            self._wait(seconds)
            self._handler.wfile.write(bytes([byte]))

    def _hang_up(self) -> None:
        self._handler.connection.shutdown(socket.SHUT_RDWR)
        self._handler.close_connection = True

    # Good

    def good(self) -> None:
        words = self._words()
        self._answer(*words, usage={"prompt_tokens": 11, "completion_tokens": len(words)})

    def no_usage(self) -> None:
        self._answer(*self._words())

    def nan_usage(self) -> None:
        nan, negative = float("nan"), -5
        self._answer(*self._words(), usage={"prompt_tokens": nan, "completion_tokens": negative})

    def usage_of_wrong_type(self) -> None:
        self._answer(*self._words(), usage=["many"])

    def length(self) -> None:
        self._answer(*self._words(), finish="length")

    def only_new_token_limit(self) -> None:
        if "max_completion_tokens" in self._body:
            self.good()
        else:
            error = {"message": "Use 'max_completion_tokens'.", "param": "max_tokens"}
            self._handler.send_json(400, {"error": error})

    # Errors that are said

    def rate_limited(self) -> None:
        self._handler.send_json(
            429, {"error": {"message": "slow down"}}, Retry_After=self._owner.retry_after
        )

    def redirect(self) -> None:
        self._handler.send_json(307, {}, Location="http://127.0.0.1:1/v1/chat/completions")

    def too_long(self) -> None:
        error = {"message": "too long", "code": "context_length_exceeded"}
        self._handler.send_json(400, {"error": error})

    def error_in_stream(self) -> None:
        self._start()
        self._delta(content="Once ")
        self._event({"error": {"message": "out of memory", "code": 503}})
        self._end()

    def content_filter(self) -> None:
        self._answer("Once ", finish="content_filter")

    def refusal(self) -> None:
        self._start()
        self._delta(refusal="I cannot help with that.")
        self._delta(finish="stop")
        self._end()

    # Time

    def hang(self) -> None:
        self._wait(3600)

    def hang_after_text(self) -> None:
        self._start()
        self._delta(content="Once ")
        self._wait(3600)

    def hang_after_finish(self) -> None:
        self._start()
        self._delta(content=self._owner.text)
        self._delta(finish="stop")
        self._wait(3600)

    def drip_headers(self) -> None:
        self._drip(b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * 10_000)

    def drip_chunk_size(self) -> None:
        self._start()
        self._drip(b"0" * 10_000)

    def drip_line(self) -> None:
        self._start()
        while True:
            self._wait(0.05)
            self._raw(b"x")

    def drip_text(self) -> None:
        self._start()
        while True:
            self._wait(0.05)
            self._delta(content="tick ")

    def drip_error(self) -> None:
        head = (
            b"HTTP/1.1 500 Oops\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n"
        )
        self._handler.wfile.write(head)
        self._drip(b"x" * 10_000)

    # Size

    def _flood(self, filling: bytes) -> None:
        for _ in range(50 * MEGABYTE // len(filling)):
            self._raw(filling)
        self._end()

    def huge(self) -> None:
        choice = {"index": 0, "delta": {"content": "x" * 1000}, "finish_reason": None}
        event = json.dumps({"choices": [choice], "model": MODEL}).encode()
        self._start()
        self._flood(b"data: " + event + b"\n\n")

    def huge_without_text(self) -> None:
        choice = {"index": 0, "delta": {"reasoning_content": "x" * 9999}, "finish_reason": None}
        event = json.dumps({"choices": [choice], "model": MODEL}).encode()
        self._start()
        self._flood(b"data: " + event + b"\n\n")

    def huge_line(self) -> None:
        self._start()
        self._raw(b'data: {"choices": [{"delta": {"content": "')
        self._flood(b"x" * 65536)

    def huge_comments(self) -> None:
        self._start()
        self._flood((b": ping" + b"." * 1000 + b"\n\n") * 60)

    def huge_error(self) -> None:
        size = 50 * MEGABYTE
        head = f"HTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n"
        self._handler.wfile.write(head.encode())
        for _ in range(size // 65536):
            self._handler.wfile.write(b"x" * 65536)

    def compressed(self) -> None:
        self._start(Content_Encoding="gzip")
        self._raw(bytes.fromhex("1f8b08000000000002ff") + b"\xff" * 100)
        self._handler.wfile.write(b"0\r\n\r\n")

    # Content

    def empty(self) -> None:
        self._answer()

    def blank(self) -> None:
        self._answer(" ", "\n")

    def web_page(self) -> None:
        self._handler.send_body(200, "text/html", b"<html><body>Welcome to nginx</body></html>")

    def half(self) -> None:
        self._start()
        self._delta(content="Once upon ")
        self._handler.wfile.write(b"0\r\n\r\n")

    def cut(self) -> None:
        self._start()
        self._delta(content="Once upon ")
        self._hang_up()

    def hang_up(self) -> None:
        self._hang_up()

    def _lines(self, *lines: bytes) -> None:
        self._start()
        for line in lines:
            self._raw(b"data: " + line + b"\n\n")
        self._delta(content="fine", finish="stop")
        self._end()

    def invalid_json(self) -> None:
        self._lines(b'{"choices": [{')

    def invalid_utf8(self) -> None:
        self._lines(b'{"choices": "\xff\xfe"}')

    def deep_json(self) -> None:
        self._lines(b"[" * 100_000)

    def wrong_types(self) -> None:
        self._lines(b'{"choices": [{"delta": {"content": 12}}]}')

    def raw(self) -> None:
        """The prompt itself is the event: `mode=raw {"choices": …}`."""
        self._lines(self._body["messages"][-1]["content"].split(" ", 1)[1].encode())

    def unstorable(self) -> None:
        self._answer("nul\x00", " half\ud83d", " pair\ud83d", "\ude00", " ok\udc00")


def modes() -> Iterator[str]:
    """Every mode by name, for a test that must hold under all of them."""
    return (name for name in vars(_Modes) if not name.startswith("_"))


def wait_until(condition: Any, seconds: float = 2.0) -> bool:
    """Whether `condition()` comes true within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
