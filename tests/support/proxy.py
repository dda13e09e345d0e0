"""A TCP relay that dies: what the server sees of a client that was killed at a chosen moment."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self


class Proxy:
    """Relays to a server until `budget` messages of the client have gone through; then it cuts every connection.

    The message that uses up the budget still reaches the server (its answer is lost), or is lost itself when
    `deliver_last` is false. Then `at_end` is called (to kill somebody), and nobody gets through any more, or with
    `once` only those who were connected are cut off. With `stalls` nobody is cut off: connections stay open, new ones
    are taken, and nothing comes through any more. `before` is called with each message in hand, which goes on when it
    returns. `messages` counts all that the client sent, `of_first` what came by the first connection.
    """

    def __init__(
        self,
        host: str,
        port: int,
        budget: int | None,
        *,
        deliver_last: bool = True,
        at_end: Callable[[], None] | None = None,
        once: bool = False,
        stalls: bool = False,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self.messages = 0
        self.of_first = 0
        self._first: socket.socket | None = None
        self._before = before
        self._target = (host, port)
        self._budget = budget
        self._deliver_last = deliver_last
        self._at_end = at_end
        self._once = once
        self._stalls = stalls
        self.stalled = threading.Event()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        for thread in self._threads:
            thread.join(5)

    @property
    def is_over(self) -> bool:
        """Whether nobody gets through any more, but is refused."""
        return self._over.is_set()

    def arm(self, messages: int) -> None:
        """Set the budget anew, counted from now."""
        with self._lock:
            self._budget = self.messages + messages

    def cut(self) -> None:
        """Close every connection on both sides, and let nobody in any more."""
        self._over.set()
        self._close_all(self._listener)

    def _close_all(self, *more: socket.socket) -> None:
        with self._lock:
            for end in (*more, *self._open):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
            self._open.clear()

    def _end(self) -> None:
        with self._lock:  # several connections may use up the budget in the same moment
            at_end, self._at_end = self._at_end, None
        if at_end:
            at_end()
        if self._stalls:
            self.stalled.set()
        elif self._once:
            self._budget = None
            self._close_all()
        else:
            self.cut()

    def _start(self, work: "threading._Target", *arguments: object) -> None:  # type: ignore[name-defined]
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                self._relay(client)

    def _relay(self, client: socket.socket) -> None:
        if self.stalled.is_set():
            with self._lock:
                self._open.append(client)
            if self._over.is_set():  # cut in the meantime
                self._close_all()
            return
        try:
            server = self._connect()
        except OSError:  # the server is down: the client is told by a closed connection
            client.close()
            return
        for end in (client, server):  # or small pieces wait for acknowledgements
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._first = self._first or client
            self._open += [client, server]
        if self._over.is_set():  # cut in the meantime
            self._close_all()
            return
        self._start(self._to_server, client, server)
        self._start(self._to_client, server, client)

    def _connect(self) -> socket.socket:
        return socket.create_connection(self._target)

    def _messages_of(self, client: socket.socket) -> Iterator[bytes]:
        """What the client sends, as it arrives."""
        while data := client.recv(1 << 20):
            yield data

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):  # one side is gone
            for data in self._messages_of(client):
                self._before()
                if self.stalled.is_set():
                    self._over.wait()
                with self._lock:
                    self.messages += 1
                    self.of_first += client is self._first
                    last = self._budget is not None and self.messages >= self._budget
                if not last or self._deliver_last:
                    server.sendall(data)
                if last:
                    self._end()
            server.shutdown(socket.SHUT_WR)

    def _to_client(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 20):
                if self.stalled.is_set():
                    self._over.wait()
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
