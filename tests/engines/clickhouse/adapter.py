"""ClickHouse, for the contract suite."""

import http.client
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3

from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.model.connection import Connection, Tls
from servers import ClickHouse, Server
from tests.contract.adapters import Adapter, Doomed, Refused
from tests.support.proxy import Proxy

BY_HAND = "by hand"
"""The log_comment of what a DBA does; `changes` leaves it out."""
_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n", re.I)
_HASH = re.compile(r"sha256_hash BY \\?'(\w+)\\?' SALT \\?'(\w+)\\?'")
_STATEMENTS = """
    SELECT user, query FROM system.query_log
    WHERE type IN ('QueryStart', 'ExceptionBeforeStart') AND is_initial_query AND log_comment != 'by hand'
        AND event_time_microseconds >= fromUnixTimestamp64Micro({since}) AND user = {admin}
    ORDER BY event_time_microseconds FORMAT TSVRaw"""


_UNTIL_CLOSED = {"readonly": "2", "cancel_http_readonly_queries_on_client_close": "1", "max_block_size": "1"}
_CHANGE = re.compile(r"(?:CREATE|ALTER|DROP|GRANT|REVOKE|INSERT|KILL|TRUNCATE)\b")


def quoted(name: str) -> str:
    """An identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(text: str) -> str:
    """A text."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def tls_of(server: Server) -> ssl.SSLContext | None:
    """What TLS to a server has to be like; None for a server without."""
    return ssl.create_default_context(cafile=server.ca) if server.secure else None


class HttpProxy(Proxy):
    """Counts whole requests: header and body may arrive in any number of pieces. Only to the server it speaks TLS."""

    def __init__(self, server: Server, budget: int | None, **how: Any) -> None:
        self._server = server
        super().__init__(server.host, server.port, budget, **how)

    def _connect(self) -> socket.socket:
        plain, tls = super()._connect(), tls_of(self._server)
        return tls.wrap_socket(plain, server_hostname=self._server.host) if tls else plain

    def _messages_of(self, client: socket.socket) -> Iterator[bytes]:
        data = b""
        for piece in super()._messages_of(client):
            data += piece
            head, end, body = data.partition(b"\r\n\r\n")
            length = _LENGTH.search(head + end)
            if end and len(body) >= (int(length[1]) if length else 0):
                yield data
                data = b""


class ClickHouseSession:
    """A login that stays: HTTP asks for the password again with every request."""

    def __init__(self, adapter: "ClickHouseAdapter", user: str, password: str) -> None:
        self._adapter, self._login = adapter, (user, password)

    def alive(self) -> bool:
        try:
            self._adapter.ask(*self._login, "SELECT 1")
        except Refused:
            return False
        return True


class ClickHouseAdapter(Adapter):
    """What DBA and users do at ClickHouse; handlers go through a relay, so that their connections can be ended."""

    engine = "clickhouse"
    renames_databases = False  # statements name the database
    messages_per_check = 1
    native = ("CREATE TABLE t_native (n Int32) ENGINE = Memory", "DROP TABLE t_native")
    server: Server

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._pool = urllib3.PoolManager(retries=False, ssl_context=tls_of(server))
        self._url = f"http{'s' if server.secure else ''}://{server.host}:{server.port}/"
        self._relay: HttpProxy | None = None

    def close(self) -> None:
        self.end_connections()
        self._pool.clear()

    def adopts_databases(self) -> bool:
        return int(self.server.told_version.split(".")[0]) >= 25  # before, a comment is for good

    def section(self) -> dict[str, object]:
        server = self.server
        section = {"host": server.host, "port": server.port, "username": server.admin_user}
        tls = {"mode": "verify-full", **({"ca": str(server.ca)} if server.ca else {})} if server.secure else {}
        return {**section, "password": server.admin_password, **({"tls": tls} if tls else {})}

    def connect(self, connection: Connection) -> Handler:
        if self._relay is None:
            self._relay = self.relay().__enter__()
        return self._through(self._relay, connection)

    @staticmethod
    def _through(relay: Proxy, connection: Connection) -> Handler:
        return connect(connection._replace(host="127.0.0.1", port=relay.port, tls=Tls()))

    def relay(self, budget: int | None = None, **how: Any) -> HttpProxy:
        return HttpProxy(self.server, budget, **how)

    def relayed(self, relay: Proxy) -> dict[str, object]:
        return {"host": "127.0.0.1", "port": relay.port, "tls": {"mode": "disable"}}

    @contextmanager
    def doomed(self, after: int | None, *, answer_lost: bool = True, stalls: bool = False) -> Iterator[Doomed]:
        with self.relay(after, deliver_last=answer_lost, stalls=stalls) as proxy:
            yield Doomed(lambda c: self._through(proxy, c), lambda: proxy.messages, proxy.arm)

    def ask(self, user: str, password: str, statement: str, **settings: str) -> str:
        """Run a statement as anybody; raises Refused."""
        login = f"{user}:{password}".encode().decode("latin-1")
        answer = self._pool.request(
            "POST",
            f"{self._url}?{urlencode(settings)}",
            body=statement.encode(),
            headers=urllib3.make_headers(basic_auth=login),
        )
        text = answer.data.decode("utf-8", "replace")
        if answer.status != 200:
            raise Refused(text)
        return text

    def _do(self, statement: str) -> str:
        return self.ask(self.server.admin_user, self.server.admin_password, statement, log_comment=BY_HAND)

    def _names(self, query: str) -> set[str]:
        return set(self._do(f"{query} FORMAT TSVRaw").splitlines())

    # --- by hand ------------------------------------------------------------------------------------------------------

    def create_account_by_hand(self, user: str, password: str) -> None:
        self._do(f"CREATE USER {quoted(user)} IDENTIFIED BY {literal(password)}")

    def create_database_by_hand(self, database: str) -> None:
        self._do(f"CREATE DATABASE {quoted(database)}")

    def drop_account_by_hand(self, user: str) -> None:
        self._do(f"DROP USER {quoted(user)}")

    def drop_database_by_hand(self, database: str) -> None:
        self._do(f"DROP DATABASE {quoted(database)} SYNC")

    def lock_by_hand(self, user: str) -> None:
        self._do(f"ALTER USER {quoted(user)} HOST NONE")

    def clear_password_by_hand(self, user: str) -> None:
        self._do(f"ALTER USER {quoted(user)} IDENTIFIED BY 'something that no test knows'")

    def revoke_by_hand(self, user: str, database: str) -> None:
        self._do(f"REVOKE INSERT ON {quoted(database)}.* FROM {quoted(user)}")

    def share_by_hand(self, user: str, database: str) -> None:
        self._do(f"GRANT SELECT ON {quoted(database)}.* TO {quoted(user)}")

    def rename_account_by_hand(self, user: str, new: str) -> None:
        self._do(f"ALTER USER {quoted(user)} RENAME TO {quoted(new)}")

    def rename_database_by_hand(self, database: str, new: str) -> None:
        self._do(f"RENAME DATABASE {quoted(database)} TO {quoted(new)}")

    def hand_over_by_hand(self, user: str, database: str) -> None:
        self.create_database_by_hand(database)
        self._do(f"GRANT ALL ON {quoted(database)}.* TO {quoted(user)}")

    def strip_by_hand(self, user: str) -> None:
        name = literal(user)
        self._do(f"REVOKE ALL ON *.* FROM {quoted(user)}")
        for role in self._names(f"SELECT granted_role_name FROM system.role_grants WHERE user_name = {name}"):
            self._do(f"REVOKE {quoted(role)} FROM {quoted(user)}")

    @contextmanager
    def hold_lock_as(self, user: str, password: str) -> Iterator[None]:
        """Queries that look like a lock in every way: by their ids and by their text."""
        text = "SELECT 'dbroster 1@elsewhere 00000000', sleepEachRow(1) FROM numbers(600) FORMAT Null"
        ids = ("dbroster-sync", "dbroster-sync-1")
        wires = [self._sleeping(user, password, query_id, text) for query_id in ids]
        try:
            yield
        finally:
            for wire in wires:
                wire.close()
            self._await(lambda running: not running & {*ids})

    def _sleeping(self, user: str, password: str, query_id: str, text: str) -> http.client.HTTPConnection:
        settings = {**_UNTIL_CLOSED, "query_id": query_id, "function_sleep_max_microseconds_per_block": "0"}
        wire = http.client.HTTPConnection(self.server.host, self.server.port)
        headers = urllib3.make_headers(basic_auth=f"{user}:{password}")
        wire.request("POST", f"/?{urlencode(settings)}", text.encode(), headers)
        self._await(lambda running: query_id in running)
        return wire

    def _await(self, condition: Callable[[set[str]], object]) -> None:
        """Wait for something to be true of the ids of running queries."""
        deadline = time.monotonic() + 20
        while not condition(self._names("SELECT query_id FROM system.processes")):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def accounts(self) -> set[str]:
        return self._names("SELECT name FROM system.users")

    def databases(self) -> set[str]:
        return self._names("SELECT name FROM system.databases")

    def fingerprint(self, user: str) -> str:
        """Hashes can't be read; that the password stays the same is tested by logins."""
        name = literal(user)
        queries = (
            f"SELECT * EXCEPT id FROM system.users WHERE name = {name}",
            f"SELECT * FROM system.role_grants WHERE user_name = {name}",
            f"SELECT * FROM system.grants WHERE user_name = {name} ORDER BY ALL",
        )
        return "\n".join(self._do(query) for query in queries)

    def end_connections(self) -> None:
        if self._relay:
            self._relay.__exit__(None, None, None)
        self._relay = None

    def wipe(self, prefix: str) -> None:
        start = literal(prefix)
        for name in self._names(f"SELECT name FROM system.databases WHERE startsWith(name, {start})"):
            self._do(f"DROP DATABASE {quoted(name)}")  # SYNC would wait for ever for a table that another one holds
        for name in self._names(f"SELECT name FROM system.users WHERE startsWith(name, {start})"):
            self.drop_account_by_hand(name)
        role = literal(f"dbroster:{prefix}")
        for name in self._names(f"SELECT name FROM system.roles WHERE startsWith(name, {role})"):
            self._do(f"DROP ROLE {quoted(name)}")

    # --- what the server says of a run --------------------------------------------------------------------------------

    @contextmanager
    def changes(self) -> Iterator[list[str]]:
        """By the server's own log of queries."""
        since = self._do("SELECT toUnixTimestamp64Micro(now64(6))").strip()
        found: list[str] = []
        yield found
        told = self.statements(since)
        assert told, "the log is silent, so it proves nothing"
        found += [line for line in told if _CHANGE.match(line)]

    def statements(self, since: str = "0") -> list[str]:
        """Tell what the admin has sent since a moment, but not by hand: each on a line of its own."""
        self._do("SYSTEM FLUSH LOGS")
        text = self._do(_STATEMENTS.format(since=since, admin=literal(self.server.admin_user)))
        return [line.partition("\t")[2] for line in text.splitlines()]

    def verifiers(self, handler: Handler) -> list[str]:
        """Every hash and salt, as the server keeps them in its files; no statement shows them."""
        if not isinstance(self.server, ClickHouse):
            pytest.skip("the files of this server are out of reach")
        files = (self.server.home / "access").glob("*.sql")
        return [part for path in files for found in _HASH.findall(path.read_text()) for part in found]

    # --- as a user ----------------------------------------------------------------------------------------------------

    @contextmanager
    def session(self, user: str, password: str) -> Iterator[ClickHouseSession]:
        session = ClickHouseSession(self, user, password)
        self.ask(user, password, "SELECT 1")
        yield session

    def put(self, user: str, password: str, database: str, text: str) -> None:
        table = f"{quoted(database)}.note"
        self.ask(user, password, f"CREATE TABLE IF NOT EXISTS {table} (line String) ENGINE = MergeTree ORDER BY line")
        self.ask(user, password, f"INSERT INTO {table} VALUES ({literal(text)})")

    def get(self, user: str, password: str, database: str) -> list[str]:
        return self.ask(user, password, f"SELECT line FROM {quoted(database)}.note FORMAT TSVRaw").splitlines()

    def give_away(self, user: str, password: str, database: str, receiver: str) -> None:
        with suppress(Refused):
            self.ask(user, password, f"GRANT SELECT ON {quoted(database)}.* TO {quoted(receiver)}")

    def visible(self, user: str, password: str) -> set[str]:
        return set(self.ask(user, password, "SELECT name FROM system.databases FORMAT TSVRaw").splitlines())
