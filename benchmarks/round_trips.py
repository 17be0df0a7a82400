"""Counts network round trips by standing between the client and PostgreSQL's socket."""

import select
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection


class Counter:
    """Round trips: how often the client waited for an answer before it sent more."""

    count = 0


@contextmanager
def counted() -> Iterator[Counter]:
    """Sends this thread's database connection through a proxy that counts."""
    params = connection.get_connection_params()
    counter = Counter()
    with tempfile.TemporaryDirectory() as directory:
        socket_name = f".s.PGSQL.{params['port']}"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(Path(directory) / socket_name))
        listener.listen()
        server = Path(params["host"]) / socket_name
        threading.Thread(target=_proxy, args=(listener, server, counter), daemon=True).start()
        connection.close()
        original = connection.get_connection_params
        connection.get_connection_params = lambda: {**original(), "host": directory}
        try:
            yield counter
        finally:
            connection.close()
            del connection.get_connection_params
            listener.close()


def _proxy(listener: socket.socket, server: Path, counter: Counter) -> None:
    client, _ = listener.accept()
    upstream = socket.socket(socket.AF_UNIX)
    upstream.connect(str(server))
    answered = True
    while True:
        for ready in select.select([client, upstream], [], [])[0]:
            data = ready.recv(65536)
            if not data:
                return
            if ready is client:
                counter.count += answered
                answered = False
                upstream.sendall(data)
            else:
                answered = True
                client.sendall(data)
