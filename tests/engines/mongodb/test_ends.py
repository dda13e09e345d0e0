"""Invariant 11: every wait has an end, and whoever is broken off or closed does not wait either."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import pytest
from pymongo import MongoClient
from pymongo.errors import ConnectionFailure

from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.mongodb.session import close_client, parameters
from dbroster.errors import ConnectError, OperationError, ServerError, Stalled
from dbroster.model.connection import Connection, Tls
from dbroster.passwords.secret import Secret
from servers import MongoDB, MongoReplicaSet
from tests.engines.mongodb.conftest import PASSWORD, Client, Site, opened
from tests.servers.available import available
from tests.support.bounded import within
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until


@contextmanager
def standing_still(*servers: MongoDB) -> Iterator[None]:
    pids = [server.process.pid for server in servers if server.process]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def limited(connection: Connection, port: int) -> Connection:
    return connection._replace(port=port, connect_timeout=1, timeout=1)


def messages_of_login(site: Site) -> int:
    with Proxy(site.server.host, site.server.port, None) as proxy, connect(site.connection()._replace(port=proxy.port)):
        return proxy.messages


def test_a_server_that_is_silent_at_any_moment_of_the_login(site: Site) -> None:
    """C1: before the greeting, in TLS, and while the admin logs in."""
    total = messages_of_login(site)
    for moment in range(total):
        with Proxy(site.server.host, site.server.port, moment, stalls=True) as proxy:
            if moment == 0:
                proxy.stalled.set()
            with within(4):
                error = error_of_login(limited(site.connection(), proxy.port))
            if error or moment < total - 2:  # on each of two connections two messages of a handshake may come as one
                assert re.search(f"127.0.0.1:{proxy.port}.*connect_timeout", str(error)), moment


def error_of_login(connection: Connection) -> Stalled | None:
    try:
        connect(connection).close()
    except Stalled as error:
        return error
    return None


def test_a_server_that_takes_no_changes_any_more(site: Site) -> None:
    """C1: it answers, but a backup (fsyncLock) keeps every change waiting."""
    connection = site.connection()._replace(timeout=1)
    with site.handler() as handler:
        site.make(handler)
    site.dba.admin.command({"fsync": 1, "lock": True})
    try:
        for change in ("create_user", "lock_user", "drop_database"):
            arguments = {"create_user": (f"{site.bob}2", Secret(PASSWORD)), "drop_database": (site.bob, site.web)}
            with connect(connection) as handler, within(5), pytest.raises(Stalled, match="timeout"):
                getattr(handler, change)(*arguments.get(change, (site.bob,)))
    finally:
        site.dba.admin.command({"fsyncUnlock": 1})
    with connect(connection) as handler:
        handler.create_user(f"{site.bob}2", Secret(PASSWORD))
        handler.drop_user(f"{site.bob}2")


def test_a_server_process_that_stands_still(mongodb_server: object) -> None:
    """C1: each kind of step ends with the server named, and closing the connection does not wait."""
    with MongoDB() as server, opened(server) as site:
        connection = limited(site.connection(), server.port)
        for step in ("get_existing_users", "acquire_sync_lock", "now", "warnings"):
            handler = connect(connection)
            with standing_still(server):
                with within(6), pytest.raises(ConnectError, match=f"127.0.0.1:{server.port}"):
                    getattr(handler, step)()
                with within(1):
                    handler.close()


def test_nobody_says_goodbye_to_a_server_that_has_gone(site: Site) -> None:
    """C1: the driver would look for it until it is back, only to end what it has forgotten."""
    with Proxy(site.server.host, site.server.port, None) as proxy:
        given = {**parameters(site.connection()._replace(port=proxy.port), ""), "heartbeatFrequencyMS": 500}
        client: Client = MongoClient(**given)
        client.admin.command("ping")
        proxy.cut()
        wait_until(lambda: not client.topology_description.known_servers, 60)
        with within(0.3):  # it would take a second
            close_client(client)


def test_a_connection_that_waits_is_broken_off(mongodb_server: object) -> None:
    """C1: by another thread, at once, however long it might have waited."""
    with MongoDB() as server, opened(server) as site, ThreadPoolExecutor(1) as pool:
        handler = connect(site.connection())
        with standing_still(server):
            waiting = pool.submit(handler.get_existing_users)
            with pytest.raises(TimeoutError):
                waiting.result(0.3)
            with within(2):
                handler.abort()
                assert isinstance(waiting.exception(), ConnectError)
            with within(1):
                with pytest.raises(ConnectError):
                    handler.now()
                handler.close()


def test_a_wait_in_the_middle_of_a_cursor_leaves_no_traceback(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    """C1: the driver would print one when it can't tell a silent server that nobody reads on."""
    collection = site.dba[site.web].many
    collection.insert_many({"text": "x" * 1000} for _ in range(3000))
    with Proxy(site.server.host, site.server.port, None, stalls=True) as proxy:
        handler = connect(limited(site.connection(), proxy.port))
        session = handler._session  # type: ignore[attr-defined]
        batches = session.client[site.web].many.find_raw_batches(batch_size=1000)
        next(batches)
        proxy.arm(1)
        with within(6), pytest.raises(ConnectError, match=r"127\.0\.0\.1"), session.talking():
            list(batches)
        with within(1):
            handler.close()
    sys.stderr.flush()
    assert "Traceback" not in capfd.readouterr().err
    site.dba.drop_database(site.web)


def make_at_last(site: Site, handler: Handler) -> None:
    """The other member may have followed the silent one, and needs a moment to follow the primary."""
    while True:
        with suppress(OperationError):
            site.make(handler)
            return


def change_until_it_fails(site: Site, handler: Handler) -> None:
    while True:
        with suppress(OperationError):
            handler.lock_user(site.bob)
            handler.update_user_password(site.bob, Secret(PASSWORD))


def test_members_that_stand_still_hold_nobody_up(mongodb_server: object) -> None:
    """C1: with one of three members silent a sync goes on; with two, it ends."""
    with MongoReplicaSet(members=3) as server, opened(server) as site:
        primary = server.primary()
        others = [node for node in server.nodes if node is not primary]
        connection = site.connection()._replace(connect_timeout=2, timeout=5)
        with standing_still(others[0]), connect(connection) as handler:
            with within(5):
                handler.acquire_sync_lock()
            with within(30):
                make_at_last(site, handler)
        with connect(connection) as handler, standing_still(*others):
            with within(30), pytest.raises(ServerError):
                change_until_it_fails(site, handler)
            with within(2):
                handler.close()
        server.start()
        with connect(site.connection()._replace(port=server.port)) as handler:
            handler.lock_user(site.bob)
            handler.drop_database(site.bob, site.web)
            handler.drop_user(site.bob)


def test_a_server_whose_connections_are_all_taken_is_named_with_the_cure() -> None:
    """L9, C8: a leaver kept every sync out for as long as he liked, and the error spoke of an SSL handshake only."""
    with available(lambda: MongoDB(options={"maxConns": "12"})) as server, ExitStack() as stack:
        with opened(server) as site, site.handler() as handler:
            site.make(handler)
            connection = site.connection()
        while True:
            client = stack.enter_context(site.login(site.bob, PASSWORD, directConnection=True))
            try:
                client[site.web].command("ping")
            except ConnectionFailure:
                break
        for tls in (connection.tls, Tls("disable")):
            with pytest.raises(ConnectError, match="maxIncomingConnectionsOverride"):
                connect(connection._replace(tls=tls, connect_timeout=3))
