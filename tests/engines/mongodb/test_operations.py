"""What a leaver has under way when he is locked out: on any member of a set, in a session or in none."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from pymongo import MongoClient, WriteConcern
from pymongo.errors import PyMongoError

from servers import MongoReplicaSet
from tests.engines.mongodb.conftest import PASSWORD, Site, opened
from tests.support.waiting import wait_until

READING = {"find": "c", "filter": {"$where": "while (true) {}"}}
_SLOWLY = {"body": "function() { sleep(20); return 'x'.repeat(200000) }", "args": [], "lang": "js"}
WRITING = {
    "aggregate": 1,
    "pipeline": [
        {"$documents": [{"a": 1}]},
        {"$set": {"i": {"$range": [0, 3_000_000]}}},
        {"$unwind": "$i"},
        {"$set": {"_id": "$i", "i": {"$function": _SLOWLY}}},
        {"$merge": {"into": "back"}},
    ],
    "cursor": {},
}
"""It needs no collection, and makes one, and its database, again and again."""


def send(site: Site, port: int, command: dict[str, Any], *, in_session: bool) -> None:
    """Let bob's client send a command, as those do that know nothing of sessions."""
    login: dict[str, Any] = {"username": site.bob, "password": PASSWORD, "directConnection": True}
    with MongoClient[dict[str, Any]](site.server.host, port, **login) as client:
        if in_session:
            client[site.web].command(command)
        else:
            with client._conn_for_writes(None, "test") as connection:
                anywhere = {"$readPreference": {"mode": "primaryPreferred"}}
                connection.command(site.web, {**command, **anywhere}, session=None, client=client)


def at_work(site: Site, port: int) -> bool:
    login: dict[str, Any] = {"username": site.server.admin_user, "password": site.server.admin_password}
    with MongoClient[dict[str, Any]](site.server.host, port, directConnection=True, **login) as dba:
        found = dba.admin.command({"currentOp": 1, "effectiveUsers.user": site.bob})
        return bool(found["inprog"])


@contextmanager
def under_way(site: Site, port: int, command: dict[str, Any], *, in_session: bool) -> Iterator[Future[None]]:
    site.dba[site.web].c.insert_one({})
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(send, site, port, command, in_session=in_session)
        try:
            wait_until(lambda: running.done() or at_work(site, port))
            assert not running.done()
            yield running
        finally:
            site.dba.admin.command("killAllSessions", [])
            for operation in site.dba.admin.command({"currentOp": 1, "effectiveUsers.user": site.bob})["inprog"]:
                site.dba.admin.command({"killOp": 1, "op": operation["opid"]})


@pytest.mark.parametrize("command", [READING, WRITING])
def test_an_operation_without_a_session_is_ended(site: Site, command: dict[str, Any]) -> None:
    """L11, B3, M1: it went on after its account was dropped, and what wrote brought the dropped database back."""
    if command is WRITING and site.dba.server_info()["versionArray"] < [6]:
        command = READING  # $documents came with 6.0
    with site.handler() as handler:
        site.make(handler)
        with under_way(site, site.server.port, command, in_session=False) as running:
            handler.lock_user(site.bob)
            assert isinstance(running.exception(timeout=60), PyMongoError)
            assert not at_work(site, site.server.port)
        handler.drop_database(site.bob, site.web)
        handler.drop_user(site.bob)
        assert site.web not in site.dba.list_database_names()


@pytest.mark.parametrize("in_session", [True, False])
def test_what_runs_on_another_member_is_ended(*, in_session: bool) -> None:
    """L10, B3: sessions were ended on the primary only, so a leaver's query on a secondary went on for ever."""
    with MongoReplicaSet(members=3) as server, opened(server) as site, site.handler() as handler:
        handler.acquire_sync_lock()
        site.make(handler)
        everywhere = site.dba.get_database(site.web, write_concern=WriteConcern(w=3))
        everywhere.c.insert_one({})  # so each member knows the account by now
        (other, _) = [node.port for node in server.nodes if node.port != server.port]
        with under_way(site, other, READING, in_session=in_session) as running:
            handler.lock_user(site.bob)
            assert isinstance(running.exception(timeout=60), PyMongoError)
