"""Invariant 11: every wait has an end, whoever keeps silent, and can be broken off."""

import http.client
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.errors import ConnectError, OperationError, Stalled
from dbroster.model.connection import Connection, Tls
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.model.roster import User
from dbroster.passwords.secret import Secret
from servers import ClickHouse
from tests.contract.adapters import Refused
from tests.engines.clickhouse.adapter import ClickHouseAdapter, HttpProxy, quoted
from tests.engines.clickhouse.test_markers import GOOD, make
from tests.engines.clickhouse.unstoppable import MUTATION, QUERY, unstoppable
from tests.servers.available import available
from tests.support.bounded import BUSY, within
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

Describe = Callable[..., Connection]


@contextmanager
def stalling(adapter: ClickHouseAdapter, moment: int, port: int = 0) -> Iterator[Proxy]:
    """A relay that lets so many messages through, none of whose answers it returns after that."""
    with Proxy(adapter.server.host, port or adapter.server.port, moment, stalls=True) as proxy:
        if moment == 0:
            proxy.stalled.set()
        yield proxy


def messages(adapter: ClickHouseAdapter, connection: Connection, work: Callable[[Handler], object]) -> int:
    with HttpProxy(adapter.server, None) as proxy, connect(connection._replace(port=proxy.port)) as handler:
        work(handler)
        return proxy.messages


def everything(handler: Handler) -> None:
    """All that a sync does before it changes anything, and a change."""
    user = handler.connection.roster + "bob"
    handler.missing_privileges(["web"])
    handler.acquire_sync_lock()
    existing = handler.get_existing_users()
    handler.get_existing_databases()
    handler.check_passwords([User(user, GOOD, 1)], existing)
    handler.warnings()
    handler.prepare()
    handler.update_user_password(user, GOOD)


def test_a_server_that_is_silent_at_any_moment_ends_the_run(
    adapter: ClickHouseAdapter, describe: Describe, handler: Handler, prefix: str
) -> None:
    """C1: at the login, while it reads, checks passwords, takes the lock and changes; server and key are named."""
    make(handler, prefix + "bob")
    total = messages(adapter, describe(), everything)
    for moment in {0, 1, 2, *random.sample(range(3, total), 5)}:
        while not (error := error_of(adapter, describe(connect_timeout=1, timeout=1), moment)):
            moment -= 1  # this run looked less often whether the lock was there
        assert isinstance(error, Stalled), moment
        assert "timeout` in connections.yaml" in str(error), moment


def error_of(adapter: ClickHouseAdapter, connection: Connection, moment: int) -> ConnectError | None:
    """Let a server fall silent after so many messages of a run; no error if the run was over before.

    Raises every error that does not name the server.
    """
    with stalling(adapter, moment) as proxy, within(8):
        try:
            with connect(connection._replace(port=proxy.port)) as handler:
                everything(handler)
        except ConnectError as error:
            if f"127.0.0.1:{proxy.port}" not in str(error):
                raise
            return error
    return None


def test_silence_in_the_handshake_of_tls(adapter: ClickHouseAdapter, describe: Describe) -> None:
    """C1: connect_timeout bounds TLS, too."""
    if not isinstance(adapter.server, ClickHouse):
        pytest.skip("the HTTPS port of this server is not known")
    tls = Tls("verify-full", str(adapter.server.ca))
    for moment in (0, 1, 2):
        with stalling(adapter, moment, adapter.server.https_port) as proxy, within(5):
            connection = describe(host="localhost", port=proxy.port, tls=tls, connect_timeout=1)
            with pytest.raises(Stalled, match="connect_timeout"):
                connect(connection)


@contextmanager
def dripping() -> Iterator[int]:
    """A server that never ends its answer, nor stops sending: no silence is long enough for a socket's timeout."""
    over = threading.Event()

    def drip(client: socket.socket) -> None:
        with suppress(OSError), client:
            client.sendall(b"HTTP/1.1 200 OK\r\nX-Never: ")
            while not over.wait(0.1):
                client.sendall(b"x")

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        over.set()


def test_a_server_that_never_ends_its_answer(describe: Describe) -> None:
    """C1: connect_timeout is for the whole login, not for each byte of it."""
    with dripping() as port, within(5), pytest.raises(Stalled, match="connect_timeout"):
        connect(describe(port=port, connect_timeout=1))


def test_many_logins_of_a_silent_server_end_together(
    adapter: ClickHouseAdapter, describe: Describe, handler: Handler, prefix: str
) -> None:
    """C1: not one after the other."""
    users = [User(make(handler, f"{prefix}u{number}"), GOOD, number) for number in range(20)]
    connection = describe(connect_timeout=1)
    existing = handler.get_existing_users()

    def check(handler: Handler) -> None:
        handler.check_passwords(users, existing)

    silent = messages(adapter, connection, lambda handler: None) + 3  # two queries, and the first login
    with (
        HttpProxy(adapter.server, silent, stalls=True) as proxy,
        connect(connection._replace(port=proxy.port)) as slow,
        within(5),
        pytest.raises(Stalled, match="connect_timeout"),
    ):
        check(slow)


@contextmanager
def reading_for_long(adapter: ClickHouseAdapter, table: str) -> Iterator[None]:
    """A query of somebody else, which DROP ... SYNC waits for."""
    wire = http.client.HTTPConnection(adapter.server.host, adapter.server.port)
    settings = "max_block_size = 1, function_sleep_max_microseconds_per_block = 0, max_threads = 1"
    text = f"SELECT sleepEachRow(1), n FROM {table} SETTINGS {settings}"
    login = {"X-ClickHouse-User": adapter.server.admin_user, "X-ClickHouse-Key": adapter.server.admin_password}
    wire.request("POST", "/?query_id=dbroster-test-reader", text.encode(), login)
    running = "SELECT query_id FROM system.processes WHERE query_id = 'dbroster-test-reader'"
    deadline = time.monotonic() + 20
    while "dbroster-test-reader" not in adapter._names(running):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield
    adapter._do("KILL QUERY WHERE query_id = 'dbroster-test-reader' SYNC")
    wire.close()


def test_a_drop_does_not_wait_for_ever_for_somebody_elses_query(
    adapter: ClickHouseAdapter, describe: Describe, handler: Handler, prefix: str
) -> None:
    """C1: DROP DATABASE ... SYNC would; the database is gone, and the note says that its files are not."""
    bob = make(handler, prefix + "bob")
    web = f"{bob}_web"
    adapter._do(f"CREATE TABLE {quoted(web)}.n (n UInt64) ENGINE = MergeTree ORDER BY n")
    adapter._do(f"INSERT INTO {quoted(web)}.n SELECT number FROM numbers(600)")
    with reading_for_long(adapter, f"{quoted(web)}.n"), connect(describe(timeout=1)) as hasty, within(10):
        (outcome,) = hasty.perform_all([Action(Verb.DROP_DATABASE, bob, web)])
    assert outcome.status is Status.DONE
    assert "its files are not yet" in (outcome.note or "")
    assert web not in adapter.databases()


def test_a_query_that_can_not_be_broken_off_keeps_no_drop_waiting(tmp_path: Path) -> None:
    """J1, B4: the leaver's own, which would have ended every run; an archive fails at once, and names it."""
    query = "SELECT count() FROM {table} WHERE {slow} = 3"
    with available(ClickHouse) as server:
        adapter = ClickHouseAdapter(server)
        connection = adapter.connection(tmp_path, "s")
        with connect(connection) as handler:
            handler.prepare()
            bob = make(handler, "bob")
        with (
            unstoppable(adapter, bob, GOOD, query, QUERY.format(bob), server.kill),
            connect(connection._replace(timeout=2)) as hasty,
        ):
            hasty.lock_user(bob)
            told = rf"can't break off the query \S+ of {bob}, at work since"
            with within(8), pytest.raises(OperationError, match=told):
                hasty.archiver().close(bob, f"{bob}_web")
            with within(8):
                (outcome,) = hasty.perform_all([Action(Verb.DROP_DATABASE, bob, f"{bob}_web")])
            assert outcome.status is Status.DONE
            assert f"of {bob}, at work since" in (outcome.note or "")
            assert f"{bob}_web" not in adapter.databases()
        adapter.close()


def test_a_mutation_that_can_not_be_broken_off_fails_its_database_only(
    adapter: ClickHouseAdapter, describe: Describe, handler: Handler, prefix: str
) -> None:
    """J1, B4, C1: DROP itself waits for it; the message names it, and the session does the next user's."""
    bob, ann = make(handler, prefix + "bob"), make(handler, prefix + "ann")
    change = "ALTER TABLE {table} UPDATE y = {slow} WHERE 1"
    plan = [Action(Verb.DROP_DATABASE, user, f"{user}_web") for user in (bob, ann)]
    with (
        unstoppable(adapter, bob, GOOD, change, MUTATION.format(bob)),
        connect(describe(timeout=2)) as hasty,
        within(12),
    ):
        his, hers = hasty.perform_all(plan)
        assert (his.status, hers.status) == (Status.FAILED, Status.DONE)
        assert "has not finished dropping it within 2 s" in (his.error or "")
        assert "a mutation of its table t" in (his.error or "")
    wait_until(lambda: adapter._do(MUTATION.format(bob)).strip() == "0")
    handler.drop_database(bob, f"{bob}_web")
    assert f"{bob}_web" not in adapter.databases()


def test_whatever_is_waited_for_can_be_broken_off(describe: Describe) -> None:
    """C1: by another thread, at once; afterwards nothing is begun any more."""
    with connect(describe()) as handler:
        threading.Timer(0.5, handler.abort).start()
        session = handler._session  # type: ignore[attr-defined]  # the handler itself never waits for so long
        with within(3), pytest.raises(ConnectError, match="was broken off"):
            session.rows("SELECT sleep(3), sleep(3)")
        with within(1), pytest.raises(ConnectError):
            handler.get_existing_users()


def test_a_run_hardly_waits_for_the_lock_of_the_one_before(describe: Describe) -> None:
    """C1: which the server ends, when it looks whether the connection is still there."""
    waited = 0.0
    for _ in range(8):
        with connect(describe()) as handler:
            began = time.monotonic()
            handler.acquire_sync_lock()
            waited += time.monotonic() - began
    assert waited < 3 * BUSY  # it was more than a second each time


def test_a_wrong_password_is_no_silence(describe: Describe) -> None:
    """C1: a refusal comes at once, and is told as one."""
    with within(3), pytest.raises(ConnectError) as caught:
        connect(describe(password=Secret("Wrong-1"), connect_timeout=1))
    assert not isinstance(caught.value, Stalled)


def test_what_is_renamed_while_another_drop_takes_its_time_stays(
    adapter: ClickHouseAdapter, describe: Describe, handler: Handler, prefix: str
) -> None:
    """J9, A2: what was proven before a batch of drops began had long changed when the last one came."""
    bob, cy = make(handler, prefix + "bob"), make(handler, prefix + "cy")
    slow, taken = f"{bob}_web", f"{cy}_web"
    adapter._do(f"CREATE TABLE {quoted(slow)}.n (n UInt64) ENGINE = MergeTree ORDER BY n")
    adapter._do(f"INSERT INTO {quoted(slow)}.n SELECT number FROM numbers(600)")

    def exchange() -> None:
        wait_until(lambda: slow not in adapter.databases())
        adapter._do(f"RENAME DATABASE {quoted(taken)} TO {quoted(f'{taken}_kept')}")
        adapter._do(f"CREATE DATABASE {quoted(taken)}")

    with reading_for_long(adapter, f"{quoted(slow)}.n"), connect(describe(timeout=6)) as hasty:
        dba = threading.Thread(target=exchange)
        dba.start()
        plan = [Action(Verb.DROP_DATABASE, user, f"{user}_web") for user in (bob, cy)]
        first, second = hasty.perform_all(plan)
        dba.join()
    assert (first.status, second.status) == (Status.DONE, Status.FAILED)
    assert "is not proven to be" in (second.error or "")
    assert {taken, f"{taken}_kept"} <= adapter.databases()


def test_a_user_who_takes_all_places_is_named_with_what_ends_that(tmp_path: Path) -> None:
    """J6, C1: the statements that are told let dbroster in, and keep the user from doing it again."""
    with available(lambda: ClickHouse(options={"max_concurrent_queries": "12"})) as server:
        adapter = ClickHouseAdapter(server)
        connection = adapter.connection(tmp_path, "s")
        with connect(connection) as handler:
            handler.prepare()
            bob = make(handler, "bob")
        waits: list[http.client.HTTPConnection] = []

        def is_full() -> bool:
            waits.append(crowding(adapter, bob))
            return int(adapter._do(f"SELECT count() FROM system.processes WHERE user = '{bob}'")) == 12

        wait_until(is_full)
        with pytest.raises(ConnectError, match=f"{bob} runs 12 of them") as refused:
            connect(connection)
        end, limit = (text.split(": ")[1] for text in str(refused.value).split("; ")[2:4])
        adapter._do(end)
        adapter._do(limit.rstrip(";"))
        with connect(connection) as handler:
            assert handler.get_existing_users()[bob].managed
        for wire in waits:
            wire.close()
        with pytest.raises(Refused, match="max_concurrent_queries_for_user"):
            adapter.ask(bob, GOOD.reveal(), "SELECT 1 SETTINGS max_concurrent_queries_for_user = 100")
        adapter.close()


def crowding(adapter: ClickHouseAdapter, user: str) -> http.client.HTTPConnection:
    wire = http.client.HTTPConnection(adapter.server.host, adapter.server.port)
    login = {"X-ClickHouse-User": user, "X-ClickHouse-Key": GOOD.reveal()}
    wire.request("POST", "/", b"SELECT sleepEachRow(1) FROM numbers(600) SETTINGS max_block_size = 1", login)
    return wire
