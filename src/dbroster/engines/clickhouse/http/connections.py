"""HTTP connections of one session to ClickHouse, each wait of which has an end, and which another thread can break."""

import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from dbroster.model.connection import Connection

AT_ONCE = 8
"""Connections that are kept open."""
_LOOK = 0.25  # seconds between two looks at the clock, while something is waited for


class Sockets:
    """Every socket of a session, and until when something may be waited for; what takes longer is broken off.

    Sockets alone have no such end: their timeouts begin anew with every byte that comes.
    """

    def __init__(self) -> None:
        self.broken = False
        self.late = False
        self._sockets: set[socket.socket] = set()
        self._deadlines: dict[object, float] = {}
        self._mutex = Lock()
        self._over = Event()
        self._watcher: Thread | None = None

    def add(self, wire: socket.socket) -> socket.socket:
        """Know a socket from now on, by a twin that `end` takes. Raises OSError if everything has been broken off."""
        # a twin, since TLS takes the socket itself over, from the beginning of its handshake
        twin = socket.socket(fileno=os.dup(wire.fileno()))
        with self._mutex:
            self._sockets.add(twin)
        if self.broken:
            self.end(twin)
            wire.close()
            raise ConnectionAbortedError("the connection was broken off")
        return twin

    def end(self, twin: socket.socket) -> None:
        """End a connection on this side; closing its own socket alone would leave it open. Never raises."""
        with self._mutex:
            self._sockets.discard(twin)
        with suppress(OSError):
            twin.shutdown(socket.SHUT_RDWR)
        twin.close()

    def break_all(self) -> None:
        """End whatever is waited for; never raises, never blocks."""
        self.broken = True
        with self._mutex:
            sockets = list(self._sockets)
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End all connections."""
        self._over.set()
        with self._mutex:
            sockets = list(self._sockets)
        for each in sockets:
            self.end(each)

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


def pool(connection: Connection, context: ssl.SSLContext | None, sockets: Sockets) -> urllib3.PoolManager:
    """Connections for the driver, as connections.yaml describes them, and known to `sockets`."""

    class Plain(HTTPConnection):
        twin: socket.socket | None = None

        def _new_conn(self) -> socket.socket:
            wire = super()._new_conn()
            self.twin = sockets.add(wire)
            return wire

        def close(self) -> None:
            super().close()
            if self.twin:
                sockets.end(self.twin)
            self.twin = None

    class Secure(Plain, HTTPSConnection):
        pass

    class Plains(HTTPConnectionPool):
        ConnectionCls = Plain

    class Secures(HTTPSConnectionPool):
        ConnectionCls = Secure

    manager = urllib3.PoolManager(
        maxsize=AT_ONCE,
        timeout=urllib3.Timeout(connect=connection.connect_timeout, read=connection.timeout),
        retries=False,
        ssl_context=context,
        # left to itself, urllib3 also compares names where the context says not to (verify-ca)
        assert_hostname=None if context is None or context.check_hostname else False,
    )
    manager.pool_classes_by_scheme = {"http": Plains, "https": Secures}
    return manager


def timed_out(error: BaseException | None) -> bool:
    """Whether this error, or one behind it, is a wait that has ended."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        refused = isinstance(error, urllib3.exceptions.NewConnectionError)  # which older ones call a timeout, too
        if isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError) and not refused:
            return True
        reason = getattr(error, "reason", None)
        error = reason if isinstance(reason, BaseException) else error.__cause__ or error.__context__
    return False
