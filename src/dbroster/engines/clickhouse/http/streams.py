"""Statements of one account over HTTP, with rows that go by in pieces, and connections that another thread can cut."""

import json
import secrets
from collections.abc import Iterator, Mapping
from typing import IO, Any
from urllib.parse import urlencode

import urllib3

from dbroster.engines.clickhouse.http.connections import Wires, pool
from dbroster.engines.waits import breakable
from dbroster.errors import ConnectError, OperationError, Stalled
from dbroster.model.connection import Connection
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
    # what a table takes away by itself while rows are inserted
    "optimize_on_insert": "0", "insert_deduplicate": "0", "async_insert": "0",
    "insert_allow_materialized_columns": "1",
    "max_partitions_per_insert_block": "0",
}  # fmt: skip
_LONG = 100_000
_MANY_NAMES = {"max_ast_elements": "100000000", "max_expanded_ast_elements": "100000000"}


class Http:
    """Statements of one account; texts may hold bytes that are no UTF-8, as surrogates."""

    def __init__(
        self,
        url: str,
        connection: Connection,
        user: str,
        password: str,
        resets: Mapping[str, str] | None = None,
        mark: str = "",
    ) -> None:
        """`resets`: settings that reading is done without, as they are by default. `mark`: how ids of queries begin."""
        self._mark = mark
        self._url, self._secrets, self._connection = url, [password], connection
        self._headers = urllib3.make_headers(basic_auth=f"{user}:{password}".encode().decode("latin-1"))
        self._wires = Wires()
        self._pool = pool(connection, self._wires, connection.timeout)
        pause = connection.timeout * 1000 // _SILENT_PART
        self._reading = {**(resets or {}), **_READING, "http_headers_progress_interval_ms": str(pause)}

    def ask(self, statement: str, settings: Mapping[str, str] | None = None) -> bytes:
        """Perform a statement and return the answer."""
        body = to_bytes(statement)
        return self._send(body, {**_room(body), **(settings or {})}).data

    def number(self, query: str) -> int:
        """Return the one number that a query finds, read as rows are."""
        return int(self._send(to_bytes(query), self._reading).data)

    def read(self, statement: str, target: IO[bytes]) -> int:
        """Write the answer of a query into a file, and return how many rows it has, as the server says."""
        body = to_bytes(statement)
        answer = self._send(body, {**_room(body), **self._reading}, preload_content=False)
        try:
            with breakable(self._connection, self._wires.break_all):
                for chunk in answer.stream(_CHUNK, decode_content=True):
                    target.write(chunk)
        except urllib3.exceptions.ReadTimeoutError:
            raise self._stalled() from None
        except urllib3.exceptions.HTTPError as error:
            raise ConnectError(f"the connection to ClickHouse broke: {type(error).__name__}") from None
        finally:
            answer.release_conn()
        return _summary(answer, "result_rows")

    def write(self, statement: str, source: IO[bytes]) -> int:
        """Insert rows from a file, and return how many. An empty one is none: the server would refuse it."""
        first = source.read(_CHUNK)
        if not first:
            return 0
        query = to_bytes(statement) + b"\n"  # not in the URL, which has less room
        answer = self._send(_chunks(query + first, source), {**_room(query), "wait_end_of_query": "1", **_WRITING})
        return _summary(answer, "written_rows")

    def _stalled(self) -> Stalled:
        where, seconds = f"{self._connection.host}:{self._connection.port}", self._connection.timeout
        return Stalled(f"ClickHouse at {where} did not answer for {seconds} s (the key `timeout` in connections.yaml)")

    def _send(self, body: Any, parameters: Mapping[str, str], **how: Any) -> urllib3.BaseHTTPResponse:
        own = {"query_id": f"{self._mark}{secrets.token_hex(8)}"} if self._mark else {}
        url = f"{self._url}?{urlencode({**parameters, **own})}"
        try:
            with breakable(self._connection, self._wires.break_all):
                answer = self._pool.request("POST", url, body=body, headers=self._headers, **how)
        except urllib3.exceptions.ReadTimeoutError:
            raise self._stalled() from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ConnectError(f"no answer from ClickHouse: {type(error).__name__}") from None
        if answer.status != 200:
            text = scrub(answer.data.decode(errors="replace"), self._secrets)[:_SHOWN]
            code = answer.headers.get("X-ClickHouse-Exception-Code", str(answer.status))
            raise OperationError(f"ClickHouse has refused it: {' '.join(text.split())}", code)
        return answer


def _room(statement: bytes) -> dict[str, str]:
    """What a statement with many or long names needs; nothing for others, since a profile may fix these settings."""
    return {} if len(statement) < _LONG else {"max_query_size": str(len(statement) + 1), **_MANY_NAMES}


def to_bytes(text: str) -> bytes:
    """The bytes of a text that `from_hex` has made."""
    return text.encode("utf-8", "surrogateescape")


def from_hex(text: str) -> str:
    """A text that the server has sent as hex(), since names and statements may hold anything."""
    return bytes.fromhex(text).decode("utf-8", "surrogateescape")


def _summary(answer: urllib3.BaseHTTPResponse, what: str) -> int:
    """A number of the X-ClickHouse-Summary, which is final with wait_end_of_query."""
    try:
        return int(json.loads(answer.headers["X-ClickHouse-Summary"])[what])
    except (KeyError, ValueError, TypeError):
        raise OperationError("ClickHouse has not said how many rows there were") from None


def _chunks(first: bytes, source: IO[bytes]) -> Iterator[bytes]:
    yield first
    while chunk := source.read(_CHUNK):
        yield chunk
