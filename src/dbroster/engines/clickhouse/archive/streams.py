"""Statements of one account over HTTP, with rows that go by in pieces, and connections that another thread can cut."""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from itertools import chain
from typing import IO
from urllib.parse import urlencode

from dbroster.engines.clickhouse.http.connections import Sockets
from dbroster.engines.clickhouse.http.requests import CODE, Body, SingleConnection
from dbroster.engines.clickhouse.session import Session
from dbroster.engines.waits import breakable
from dbroster.errors import ConnectError, OperationError, Stalled
from dbroster.passwords.secret import scrub

_CHUNK = 1024 * 1024
_SHOWN = 400  # characters of a server's error
_SILENT_PART = 3
"""A query that goes on says so this many times within `timeout`."""

_READING = {
    "wait_end_of_query": "1",  # the answer comes when the server is sure of it
    "send_progress_in_http_headers": "1",
    "cancel_http_readonly_queries_on_client_close": "1",
    # what an owner may have set for a table, to keep it from being read
    "max_partitions_to_read": "1000000000",
}  # fmt: skip
_WRITING = {
    "wait_end_of_query": "1",
    # what a table takes away by itself while rows are inserted
    "optimize_on_insert": "0", "insert_deduplicate": "0", "async_insert": "0",
    "insert_allow_materialized_columns": "1",
    "max_partitions_per_insert_block": "0",
}  # fmt: skip
_LONG = 100_000
_MANY_NAMES = {"max_ast_elements": "100000000", "max_expanded_ast_elements": "100000000"}


class Http:
    """Statements of one account, each over a connection of its own; bytes that are no UTF-8 stand as surrogates."""

    def __init__(
        self, session: Session, user: str, password: str, resets: Mapping[str, str] | None = None, mark: str = ""
    ) -> None:
        """`resets`: settings that reading is done without, as they are by default. `mark`: how ids of queries begin."""
        self._session, self._connection = session, session.connection
        self._account, self._mark = (user, password), mark
        self._sockets = Sockets()
        pause = self._connection.timeout * 1000 // _SILENT_PART
        self._reading = {**(resets or {}), **_READING, "http_headers_progress_interval_ms": str(pause)}

    def ask(self, statement: str, settings: Mapping[str, str] | None = None) -> str:
        """Perform a statement and return the answer."""
        body = to_bytes(statement)
        with self._answered(body, {**_room(body), **(settings or {})}) as answer, self._waiting():
            return answer.read().decode("utf-8", "replace")

    def number(self, query: str) -> int:
        """Return the one number that a query finds, read as rows are."""
        return int(self.ask(query, self._reading))

    def read(self, statement: str, target: IO[bytes]) -> int:
        """Write the answer of a query into a file, and return how many rows it has, as the server says."""
        body = to_bytes(statement)
        with self._answered(body, {**_room(body), **self._reading}) as answer:
            while piece := self._piece(answer):
                target.write(piece)
            return _summary(answer, "result_rows")

    def write(self, statement: str, source: IO[bytes]) -> int:
        """Insert rows from a file, and return how many. An empty one is none: the server would refuse it."""
        first = source.read(_CHUNK)
        if not first:
            return 0
        query = to_bytes(statement) + b"\n"  # not in the URL, which has less room
        body = chain([query, first], iter(lambda: source.read(_CHUNK), b""))
        with self._answered(body, {**_room(query), **_WRITING}) as answer:
            return _summary(answer, "written_rows")

    @contextmanager
    def _answered(self, body: Body, parameters: Mapping[str, str]) -> Iterator[HTTPResponse]:
        """Send a statement, with rows behind it or without, and yield the answer to be read."""
        own = {"query_id": f"{self._mark}{secrets.token_hex(8)}"} if self._mark else {}
        try:
            line = SingleConnection(self._session.url, self._connection, self._session.tls, self._sockets)
        except OSError as error:
            raise self._cut(error) from None
        try:
            with self._waiting():
                with suppress(BrokenPipeError, ConnectionResetError):  # the answer says why it takes no more
                    line.send_statement(body, *self._account, urlencode({**parameters, **own}))
                answer = line.response()
                refusal = answer.read() if answer.status != 200 else None
            if refusal is not None:
                text = scrub(refusal.decode(errors="replace"), [self._account[1]])[:_SHOWN]
                code = answer.headers.get(CODE, str(answer.status))
                raise OperationError(f"ClickHouse has refused it: {' '.join(text.split())}", code)
            yield answer
        finally:
            line.end()

    def _piece(self, answer: HTTPResponse) -> bytes:
        with self._waiting():
            piece = answer.read(_CHUNK)
            if not piece and answer.length:  # which http.client takes for the end
                raise ConnectionError("the answer was not whole")
        return piece

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Let another thread end the wait, and turn errors into ours. Raises Stalled and ConnectError."""
        try:
            with breakable(self._connection, self._sockets.break_all):
                yield
        except TimeoutError:
            where, seconds = self._session.address, self._connection.timeout
            text = f"ClickHouse at {where} did not answer for {seconds} s (the key `timeout` in connections.yaml)"
            raise Stalled(text) from None
        except (HTTPException, OSError) as error:
            raise self._cut(error) from None

    def _cut(self, error: Exception) -> ConnectError:
        return ConnectError(f"no whole answer from ClickHouse at {self._session.address}: {type(error).__name__}")


def _room(statement: bytes) -> dict[str, str]:
    """What a statement with many or long names needs; nothing for others, since a profile may fix these settings."""
    return {} if len(statement) < _LONG else {"max_query_size": str(len(statement) + 1), **_MANY_NAMES}


def to_bytes(text: str) -> bytes:
    """The bytes of a text that `from_hex` has made."""
    return text.encode("utf-8", "surrogateescape")


def _summary(answer: HTTPResponse, what: str) -> int:
    """A number of the X-ClickHouse-Summary, which is final with wait_end_of_query."""
    try:
        return int(json.loads(answer.headers["X-ClickHouse-Summary"])[what])
    except (KeyError, ValueError, TypeError):
        raise OperationError("ClickHouse has not said how many rows there were") from None
