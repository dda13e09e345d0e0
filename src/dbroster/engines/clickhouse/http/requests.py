"""Statements as single HTTP requests, over connections that are kept open.

The driver and urllib3 need three times as long for a request as is needed here, and longer than the server for most
statements: what is asked once for each user goes this way.
"""

import base64
import socket
import ssl
from collections import defaultdict
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from queue import Empty, SimpleQueue
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from urllib3.util import wait_for_read

from dbroster.engines.clickhouse.http.connections import Sockets
from dbroster.model.connection import Connection

CODE, _PROGRESS = "x-clickhouse-exception-code", "x-clickhouse-progress"
Body = bytes | Iterator[bytes]


class Answer(NamedTuple):
    """The status of an answer, its text, and the server's number of an error, if it says one."""

    status: int
    text: str
    code: str | None


class SingleConnection(HTTPConnection):
    """One connection, which is never opened again: that would be without TLS."""

    auto_open = 0

    def __init__(self, url: str, connection: Connection, context: ssl.SSLContext | None, sockets: Sockets) -> None:
        """Connect. Raises OSError."""
        place = urlsplit(url)
        super().__init__(place.hostname or "", place.port)
        self._path, self._sockets = quote(place.path) or "/", sockets
        self.sock = socket.create_connection((self.host, self.port), connection.connect_timeout)
        self.twin = sockets.add(self.sock)
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context:
                self.sock = context.wrap_socket(self.sock, server_hostname=self.host)
            self.sock.settimeout(connection.timeout)
        except BaseException:
            self.end()
            raise

    def send_statement(self, body: Body, user: str, password: str, query: str) -> None:
        """Send a statement of this user, or a part of it, with settings as a query of the URL. Raises OSError."""
        # in the Basic scheme, since names and passwords may hold characters that a plain header can't carry
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.request("POST", f"{self._path}?{query}", body, {"Authorization": f"Basic {login}"})

    def response(self) -> HTTPResponse:
        """Wait for an answer, which is to be read then. Raises OSError and HTTPException."""
        found = self.getresponse()
        # the end of a connection is taken for that of the headers, of which the server sends some while it works
        if all(name.lower() == _PROGRESS for name in found.headers):
            raise ConnectionError("the connection ended before the answer")
        return found

    def answer(self) -> Answer:
        """Wait for the answer. Raises OSError, also for one that is not whole."""
        try:
            found = self.response()
            return Answer(found.status, found.read().decode("utf-8", "replace"), found.headers.get(CODE))
        except HTTPException as error:
            raise ConnectionError(f"the answer was not whole ({type(error).__name__})") from error

    @property
    def stale(self) -> bool:
        """Whether the server has closed it, or says something that nobody has asked for."""
        return self.sock is None or wait_for_read(self.sock, timeout=0)

    def end(self) -> None:
        """Close it. Never raises."""
        self.close()
        self._sockets.end(self.twin)


class RequestPool:
    """Asks for one thing at a time in each thread; keeps as many connections as have been in use at once."""

    def __init__(self, connection: Connection, context: ssl.SSLContext | None, sockets: Sockets) -> None:
        self._connection = connection
        self._context = context
        self._sockets = sockets
        self._idle: defaultdict[str, SimpleQueue[SingleConnection]] = defaultdict(SimpleQueue)

    def ask(
        self, url: str, statement: str, user: str, password: str, query: str = "", *, again: bool = False
    ) -> Answer:
        """Perform a statement; `query` are settings. Raises OSError when there is no whole answer.

        `again`: whether it may be done twice, if the connection ends: the server may be closing it just now.
        """
        line = self._line(url)
        try:
            line.send_statement(statement.encode(), user, password, query)
            answer = line.answer()
        except BaseException as error:
            line.end()
            ended = isinstance(error, OSError) and not isinstance(error, TimeoutError)
            if not (again and ended) or self._sockets.broken:
                raise
            return self.ask(url, statement, user, password, query)
        self._idle[url].put(line)
        return answer

    def _line(self, url: str) -> SingleConnection:
        while True:
            try:
                line = self._idle[url].get_nowait()
            except Empty:
                return SingleConnection(url, self._connection, self._context, self._sockets)
            if not line.stale:
                return line
            line.end()

    def close(self) -> None:
        """End the connections that nobody uses. Never raises."""
        for lines in self._idle.values():
            while not lines.empty():
                lines.get().end()
