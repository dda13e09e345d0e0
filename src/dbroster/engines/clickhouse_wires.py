"""HTTP connections of one session to ClickHouse, each wait of which has an end, and which another thread can break."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from dbroster.config import Connection
from dbroster.engines import tls

AT_ONCE = 8
"""Connections that are kept open."""
_KNOWN = 4 * AT_ONCE
_LOOK = 0.25  # seconds between two looks at the clock, while something is waited for


class Wires:
    """Every socket of a session, and until when something may be waited for; what takes longer is broken off.

    Sockets alone have no such end: their timeouts begin anew with every byte that comes.
    """

    def __init__(self) -> None:
        self.broken = False
        self.late = False
        self._sockets: list[socket.socket] = []
        self._deadlines: dict[object, float] = {}
        self._mutex = Lock()
        self._over = Event()
        self._watcher: Thread | None = None

    def add(self, wire: socket.socket) -> None:
        """Know a socket from now on. Raises OSError if everything has been broken off."""
        twin = wire.dup()  # TLS takes the socket itself over, from the beginning of its handshake
        with self._mutex:
            self._sockets.append(twin)
            old, self._sockets = self._sockets[:-_KNOWN], self._sockets[-_KNOWN:]
        for each in old:
            each.close()
        if self.broken:
            wire.close()
            raise ConnectionAbortedError("the connection was broken off")

    def break_all(self) -> None:
        """End whatever is waited for; never raises, never blocks."""
        self.broken = True
        with self._mutex:
            sockets = list(self._sockets)
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Forget all sockets."""
        self._over.set()
        with self._mutex:
            sockets, self._sockets = self._sockets, []
        for each in sockets:
            each.close()

    @contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        """Break everything off if the block takes longer; `late` then says so."""
        token = object()
        with self._mutex:
            self._deadlines[token] = time.monotonic() + seconds
            if self._watcher is None:
                self._watcher = Thread(target=self._watch, daemon=True, name="dbroster-clickhouse")
                self._watcher.start()
        try:
            yield
        finally:
            with self._mutex:
                del self._deadlines[token]

    def _watch(self) -> None:
        while not self._over.wait(_LOOK):
            with self._mutex:
                first = min(self._deadlines.values(), default=None)
            if first is not None and first < time.monotonic():
                self.late = True
                self.break_all()
                return


def pool(connection: Connection, wires: Wires, read: float) -> urllib3.PoolManager:
    """Connections as connections.yaml describes them, known to `wires`; the server may be silent for `read` seconds."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _known(wires, super()._new_conn())

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _known(wires, super()._new_conn())

    class Plains(HTTPConnectionPool):
        ConnectionCls = Plain

    class Secures(HTTPSConnectionPool):
        ConnectionCls = Secure

    context = tls.context(connection.tls)
    manager = urllib3.PoolManager(
        maxsize=AT_ONCE,
        timeout=urllib3.Timeout(connect=connection.connect_timeout, read=read),
        retries=False,
        ssl_context=context,
        # left to itself, urllib3 also compares names where the context says not to (verify-ca)
        assert_hostname=None if context is None or context.check_hostname else False,
    )
    manager.pool_classes_by_scheme = {"http": Plains, "https": Secures}
    return manager


def _known(wires: Wires, wire: socket.socket) -> socket.socket:
    wires.add(wire)
    return wire


def timed_out(error: BaseException | None) -> bool:
    """Whether this error, or one behind it, is a wait that has ended."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        refused = isinstance(error, urllib3.exceptions.NewConnectionError)  # which older ones call a timeout, too
        if isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError) and not refused:
            return True
        error = getattr(error, "reason", None) or error.__cause__ or error.__context__
    return False
