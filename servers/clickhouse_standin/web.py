"""ClickHouse's HTTP protocol, as far as its clients use it."""

import base64
import importlib
import re
import shutil
import tempfile
import threading
import uuid
import zlib
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from servers.clickhouse_standin.engine import Engine
from servers.clickhouse_standin.request import Request
from servers.clickhouse_standin.sql import ServerError
from servers.clickhouse_standin.store import Store

HTTP_STATUS = {
    **dict.fromkeys((194,), 401),
    **dict.fromkeys((192, 193, 497, 512, 516), 403),
    **dict.fromkeys((36, 62, 53, 27), 400),
    **dict.fromkeys((46, 47, 60, 73, 81, 115, 511), 404),
    48: 501,
    159: 408,
}
BINARY_INSERT = re.compile(r"(?<=\S)\s+FORMAT\s+Native\s*$")
SUMMARY = '{"read_rows":"0","read_bytes":"0","written_rows":"0","written_bytes":"0"}'


class _Server(ThreadingHTTPServer):
    """The listening socket, with what the handlers need."""

    daemon_threads = True

    def __init__(self, port: int, engine: Engine, statements: Path | None) -> None:
        self.engine, self.statements = engine, statements
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "ClickHouse-stand-in", ""
    # an answer in two pieces would wait 40 ms for the client's delayed acknowledgement of the first
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the inherited name
        """Keep quiet."""

    def do_GET(self) -> None:
        """A statement that may change nothing."""
        self._serve(readonly=True)

    def do_POST(self) -> None:
        """Any statement."""
        self._serve(readonly=False)

    def _serve(self, *, readonly: bool) -> None:
        url = urlsplit(self.path)
        params = dict(parse_qsl(url.query, keep_blank_values=True))
        body = self._body()
        if url.path == "/ping":
            self._answer(200, b"Ok.\n")
            return
        headers = {
            "X-ClickHouse-Query-Id": params.get("query_id") or str(uuid.uuid4()),
            "X-ClickHouse-Timezone": "UTC",
            "X-ClickHouse-Server-Display-Name": "stand-in",
        }
        try:
            result, used_format = self._run(params, body, readonly=readonly)
        except ServerError as error:
            headers["X-ClickHouse-Exception-Code"] = str(error.code)
            text = f"{error} (version {self.server.engine.version} (official build))\n"
            self._answer(HTTP_STATUS.get(error.code, 500), text.encode(), headers)
        except Exception as error:  # noqa: BLE001 - a fault of the stand-in itself must be told to the test
            self._answer(500, f"stand-in: {error!r}\n".encode(), headers)
        else:
            headers |= {"X-ClickHouse-Summary": SUMMARY, "X-ClickHouse-Format": used_format}
            self._answer(200, result, headers)

    def _run(self, params: dict[str, str], body: bytes, *, readonly: bool) -> tuple[bytes, str]:
        user, password = self._credentials(params)
        self.server.engine.store.authenticate(user, password, self.client_address[0])
        query = params.get("query", "")
        if body and BINARY_INSERT.search(query):
            self._note(user, query)
            return self._insert(Request(self.server.engine, user, params), query, body), "Null"
        parts = (query, body.decode("utf-8", "surrogateescape"))
        sql = "\n".join(part for part in parts if part)
        self._note(user, sql)
        if "sleepEachRow" in sql:
            self._plan(user, params, sql)
            self._sleep(params.get("query_id", ""), user, sql)
            return b"", "Null"
        if "X-ClickHouse-Database" in self.headers:
            params.setdefault("database", self.headers["X-ClickHouse-Database"])
        request = Request(self.server.engine, user, params)
        request.format = self.headers.get("X-ClickHouse-Format", request.format)
        return request.execute(sql, readonly=readonly), request.format

    def _plan(self, user: str, params: dict[str, str], sql: str) -> None:
        """Have the engine parse and plan a query that it is not to run, under the settings that came with it."""
        Request(self.server.engine, user, params).execute(f"EXPLAIN PIPELINE {sql}", readonly=False)

    def _insert(self, request: Request, query: str, data: bytes) -> bytes:
        """Insert what is no text, by way of a file: the engine takes statements as texts only."""
        with tempfile.NamedTemporaryFile(suffix=".bin") as file:
            file.write(data)
            file.flush()
            into = f" FROM INFILE '{file.name}' COMPRESSION 'none' FORMAT Native"
            return request.execute(BINARY_INSERT.sub(into, query), readonly=False)

    def _sleep(self, query_id: str, user: str, sql: str) -> None:
        """Do nothing until the client goes away; like a server, refuse a second query of the same id."""
        sleeping, mine = self.server.engine.sleeping, (user, self.client_address[0], sql)
        if sleeping.setdefault(query_id, mine) is not mine:
            text = f"Query with id = {query_id} is already running"
            raise ServerError(216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", text)
        try:
            self.connection.recv(1)
        finally:
            del sleeping[query_id]
            self.close_connection = True

    def _note(self, user: str, sql: str) -> None:
        """Log the statement as it came; a real server would hide plain passwords, and a test wants to see them."""
        if self.server.statements:
            with self.server.engine.lock, self.server.statements.open("a", errors="surrogateescape") as log:
                log.write(f"{user}: {sql}\n")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = self._chunks()
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        encoding = self.headers.get("Content-Encoding", "")
        if encoding in ("gzip", "deflate"):
            return zlib.decompress(data, 47)
        if encoding == "lz4":
            return bytes(importlib.import_module("lz4.frame").decompress(data))  # comes with clickhouse-connect
        return data

    def _chunks(self) -> bytes:
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _credentials(self, params: Mapping[str, str]) -> tuple[str, str]:
        if "X-ClickHouse-User" in self.headers or "X-ClickHouse-Key" in self.headers:
            return self.headers.get("X-ClickHouse-User", ""), self.headers.get("X-ClickHouse-Key", "")
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            user, _, password = base64.b64decode(value).decode("utf-8").partition(":")
            return user, password
        return params.get("user", "default"), params.get("password", "")

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class StandIn:
    """The stand-in in this process; one at a time, since the engine allows no second.

    `password_rules` are pairs of a regular expression and a message, as in ClickHouse's `password_complexity`;
    `shows_secrets` is its `display_secrets_in_show_and_select`.
    """

    def __init__(
        self,
        port: int = 0,
        admin_password: str = "",
        directory: Path | None = None,
        password_rules: Iterable[tuple[str, str]] = (),
        statements: Path | None = None,
        *,
        shows_secrets: bool = False,
    ) -> None:
        self._own = directory is None
        self._directory = directory or Path(tempfile.mkdtemp(prefix="dbr-"))
        self._engine = Engine(self._directory, Store(admin_password, password_rules), shows_secrets=shows_secrets)
        self._server = _Server(port, self._engine, statements)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        with self._engine.lock:
            self._engine.close()
        if self._own:
            shutil.rmtree(self._directory, ignore_errors=True)
