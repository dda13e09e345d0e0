"""Single requests over kept connections: what is taken for an answer, and what a run asks the server for."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import parse_headers
from typing import BinaryIO

import pytest

from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.clickhouse.http.connections import Sockets
from dbroster.engines.clickhouse.http.requests import RequestPool
from dbroster.model.connection import Connection
from dbroster.model.plan import Action, Verb
from dbroster.model.roster import User
from dbroster.model.state import PasswordCheck
from dbroster.passwords.secret import Secret
from tests.engines.clickhouse.adapter import ClickHouseAdapter

GOOD = Secret("Correct-horse-7")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-ClickHouse-Summary: {}\r\n\r\nOk"
WORKING = b"HTTP/1.1 200 OK\r\nX-ClickHouse-Progress: {}\r\n"


class Peer:
    """A server that sends what it is told to: a list for each connection, each item an answer to one request."""

    def __init__(self, *connections: list[bytes]) -> None:
        self.requests: list[bytes] = []
        self.closed = threading.Event()
        self._connections = connections
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        for answers in self._connections:
            try:
                client, _ = self._socket.accept()
            except OSError:  # the test has ended, and has asked for no more
                return
            with client, client.makefile("rb") as reader:
                for answer in answers:
                    self.requests.append(_whole_request(reader))
                    client.sendall(answer)
            self.closed.set()

    def close(self) -> None:
        self._socket.close()


def _whole_request(reader: BinaryIO) -> bytes:
    """Head and body arrive in pieces; returns the body."""
    reader.readline()
    return reader.read(int(parse_headers(reader)["Content-Length"] or 0))


@contextmanager
def peer(*connections: list[bytes]) -> Iterator[tuple[Peer, RequestPool]]:
    """A peer, and a pool that knows nothing of it."""
    server, sockets = Peer(*connections), Sockets()
    pool = RequestPool(
        Connection("clickhouse", "default", "127.0.0.1", 1, "admin", None, connect_timeout=5, timeout=5), None, sockets
    )
    try:
        yield server, pool
    finally:
        pool.close()
        sockets.close()
        server.close()


def test_an_answer_that_ends_among_its_headers_is_none() -> None:
    """A server that was killed has said that it is at work, and http.client takes the end for that of the headers."""
    with peer([WORKING]) as (server, pool), pytest.raises(ConnectionError):
        pool.ask(server.url, "CREATE USER bob", "admin", "password")
    with peer([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"]) as (server, pool), pytest.raises(ConnectionError):
        pool.ask(server.url, "CREATE USER bob", "admin", "password")


def test_a_connection_is_kept_and_replaced_when_it_was_closed() -> None:
    with peer([ANSWER, ANSWER], [ANSWER]) as (server, pool):
        answers = [pool.ask(server.url, "1", "admin", "password") for _ in range(2)]
        assert server.closed.wait(5)
        answers.append(pool.ask(server.url, "2", "admin", "password"))
    assert [(answer.status, answer.text) for answer in answers] == [(200, "Ok")] * 3


def test_only_what_may_be_done_twice_is() -> None:
    """A change is never sent again by itself: whether the first one was made is for the engine to find out."""
    with peer([b""], [ANSWER]) as (server, pool):
        with pytest.raises(ConnectionError):
            pool.ask(server.url, "CREATE USER bob", "admin", "password")
        assert len(server.requests) == 1
    with peer([b""], [ANSWER]) as (server, pool):
        assert pool.ask(server.url, "SET ROLE DEFAULT", "bob", "password", again=True).text == "Ok"


def test_an_answer_that_closes_the_connection_is_the_last_one_there() -> None:
    """What http.client opens again by itself would be without TLS."""
    closing = ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with peer([closing], [closing]) as (server, pool):
        assert [pool.ask(server.url, "1", "admin", "password").text for _ in range(2)] == ["Ok", "Ok"]


# --- on a real server ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["", "SETTINGS readonly = 1"])
def test_a_login_asks_for_nothing(adapter: ClickHouseAdapter, handler: Handler, prefix: str, profile: str) -> None:
    """A query would take the server twice as long; a user who may change nothing is let in as well."""
    bob = f"{prefix}bob"
    handler.create_user(bob, GOOD)
    if profile:
        adapter._do(f"ALTER USER `{bob}` {profile}")
    session = handler._session  # type: ignore[attr-defined]
    assert [session.login(bob, GOOD), session.login(bob, Secret("wrong-Horse-9"))] == [True, False]
    adapter._do("SYSTEM FLUSH LOGS")
    kinds = adapter._do(f"SELECT DISTINCT query_kind FROM system.query_log WHERE user = '{bob}'")
    assert "Select" not in kinds.split()


def test_databases_of_many_users_are_looked_at_together(
    adapter: ClickHouseAdapter, handler: Handler, prefix: str
) -> None:
    """One look for up to 150 databases: it takes the server longer than creating several of them."""
    most = type(handler).batch_sizes[Verb.CREATE_DATABASE]
    assert most >= 150
    users = [f"{prefix}u{number}" for number in range(4)]
    for user in users:
        handler.create_user(user, GOOD)
    since = adapter._do("SELECT toUnixTimestamp64Micro(now64(6))").strip()
    databases = [Action(Verb.CREATE_DATABASE, user, f"{user}_{template}") for user in users for template in ("a", "b")]
    handler.perform_all(databases)
    adapter._do("SYSTEM FLUSH LOGS")
    kinds = adapter._do(
        "SELECT query_kind, count() FROM system.query_log WHERE type = 'QueryFinish' AND log_comment != 'by hand' AND "
        f"event_time_microseconds >= fromUnixTimestamp64Micro({since}) GROUP BY query_kind ORDER BY query_kind"
    )
    assert kinds.split() == ["Create", "8", "Select", "2"]


def test_few_logins_share_a_connection(handler: Handler, prefix: str) -> None:
    users = [User(f"{prefix}u{number}", GOOD, number) for number in range(1, 11)]
    for user in users:
        handler.create_user(user.name, GOOD)
    with connect(handler.connection) as another:
        answers = another.check_passwords(users, another.get_existing_users())
        lines = sum(queue.qsize() for queue in another._session._requests._idle.values())  # type: ignore[attr-defined]
    assert set(answers.values()) == {PasswordCheck.SAME}
    assert 1 <= lines <= 2
