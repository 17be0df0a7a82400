"""A worker in a thread and a model behind it, for tests that go through the whole site."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from django.db import connection
from django.test import override_settings
from django.utils import timezone

from generation import runner
from generation.tests.misbehaving_server import TEXT, MisbehavingServer


@contextmanager
def worker(
    *,
    seconds_per_word: float = 0.0,
    text: str = TEXT,
    streams: Sequence[Callable[..., int]] = (),
) -> Iterator[MisbehavingServer]:
    """Carries out whatever is requested until the block ends, with a model that is slow at will.

    `streams` are what of billing_site.duties it does besides.
    """
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.05):
            runner.run_one()
            for stream in streams:
                stream(now=timezone.now())
        connection.close()

    model = MisbehavingServer("good", text=text, chunk_delay=seconds_per_word)
    with model, override_settings(GENERATION_BASE_URL=model.base_url, GENERATION_MODEL=""):
        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield model
        finally:
            done.set()
            thread.join()
