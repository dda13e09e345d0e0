"""Waits that another thread can end: programs and connections that an archive or a restore is waiting for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock

from dbroster.model.connection import Connection

_guard = Lock()
_waits: dict[object, tuple[tuple[str, str, str, int], Callable[[], None]]] = {}


@contextmanager
def breakable(connection: Connection, end: Callable[[], None]) -> Iterator[None]:
    """Let `end_all` call `end` while the block runs; `end` makes the block fail, and neither raises nor blocks."""
    key = object()
    with _guard:
        _waits[key] = (_place(connection), end)
    try:
        yield
    finally:
        with _guard:
            del _waits[key]


def end_all(connection: Connection) -> None:
    """End every wait for this server; never raises and never blocks."""
    with _guard:
        ends = [end for place, end in _waits.values() if place == _place(connection)]
    for end in ends:
        with suppress(Exception):
            end()


def _place(connection: Connection) -> tuple[str, str, str, int]:
    return connection.engine, connection.server, connection.host, connection.port
