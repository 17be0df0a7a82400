"""Child processes whose output is one readable stream, and which end together."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

STOP_SECONDS = 15  # for a worker to finish what it is doing


class ChildEnded(Exception):
    """A child that should run until it is told to stop has ended by itself."""


class Children:
    """Processes started together. Each has its own session: Ctrl-C reaches only us."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []

    def start(self, name: str, command: Sequence[str], **environment: str) -> None:
        """Starts `command`; its lines appear as `name | line`."""
        child = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._running[name] = child
        reader = threading.Thread(target=self._read, args=(name, child), daemon=True)
        reader.start()
        self._readers.append(reader)

    def check(self) -> None:
        """Raises ChildEnded if one of them has ended."""
        for name, child in self._running.items():
            if child.poll() is not None:
                raise ChildEnded(f"The {name} process has ended (exit status {child.returncode}).")

    def stop(self) -> None:
        """Ends them all: SIGTERM, and SIGKILL for what is still there after STOP_SECONDS."""
        for child in self._running.values():
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0.1, deadline - time.monotonic()))
            _signal(child, signal.SIGKILL)
            child.wait()
        for reader in self._readers:
            reader.join(1)

    def _read(self, name: str, child: "subprocess.Popen[str]") -> None:
        assert child.stdout is not None
        for line in child.stdout:
            with self._lock:
                self._write(f"{name:<6} | {line.rstrip()}")


def _signal(child: "subprocess.Popen[str]", number: signal.Signals) -> None:
    """To the whole session: granian has children of its own, which may outlive it."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def manage(*arguments: str) -> list[str]:
    """The command line of a manage.py command in this environment."""
    return [sys.executable, "manage.py", *arguments]
