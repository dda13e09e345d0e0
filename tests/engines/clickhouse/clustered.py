"""A real cluster of two nodes, an admin with the documented privileges and no more, and what people do at each node."""

import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from urllib3.exceptions import HTTPError

from dbroster.model.connection import Connection
from servers import ClickHouseCluster, ClusterKind, Missing
from servers.clickhouse_cluster import Node
from tests.conftest import everything_is_required
from tests.contract.adapters import Refused
from tests.e2e.site import PASSWORD, Site
from tests.engines.clickhouse.adapter import ClickHouseAdapter, literal, quoted
from tests.support.waiting import wait_until

_numbers = itertools.count(1)
ADMIN, ADMIN_PASSWORD = "dbroster", "Admins-own-9-lantern"
CLUSTER = "both"
KINDS = {
    "local": ClusterKind(),
    "replicated": ClusterKind(replicated=True),
    "shards": ClusterKind(shards=True),
    "tls": ClusterKind(replicated=True, shards=True, tls=True),
}


class NodeAdapter(ClickHouseAdapter):
    """One node, for by-hand work there; dbroster comes to it as its own admin, for the whole cluster."""

    def section(self) -> dict[str, object]:
        login = {"username": ADMIN, "password": ADMIN_PASSWORD}
        return {**super().section(), **login, "cluster": CLUSTER, "connect_timeout": 5, "timeout": 20}

    def do(self, statement: str) -> str:
        """A statement on this node only."""
        return self._do(statement)

    def log_comment(self, user: str) -> str:
        """The marker of an account on this node."""
        return self.do(
            "SELECT value FROM system.settings_profile_elements WHERE setting_name = 'log_comment'"
            f" AND user_name = {literal(user)} FORMAT TSVRaw"
        ).strip()

    def comment(self, database: str) -> str:
        """The marker of a database on this node."""
        return self.do(f"SELECT comment FROM system.databases WHERE name = {literal(database)} FORMAT TSVRaw").strip()


class Clustered:
    """A running cluster with its admin."""

    def __init__(self, cluster: ClickHouseCluster, kind: ClusterKind) -> None:
        self.cluster, self.replicated = cluster, kind.replicated
        self.nodes = cluster.nodes
        self.adapters = [NodeAdapter(node) for node in self.nodes]
        self.on = "" if kind.replicated else f" ON CLUSTER {CLUSTER}"

    def make_admin(self, roster: str) -> None:
        """As docs/engines.md says; for one roster more."""
        role = quoted(f"dbroster:{roster}")
        for statement in (
            f"CREATE USER IF NOT EXISTS {ADMIN}{self.on} IDENTIFIED BY {literal(ADMIN_PASSWORD)}",
            f"CREATE ROLE IF NOT EXISTS {role}{self.on}",
            f"GRANT{self.on} {role} TO {ADMIN} WITH ADMIN OPTION",
            f"GRANT{self.on} CREATE USER, ALTER USER, DROP USER, SHOW USERS, SHOW ROLES, SHOW DATABASES,"
            f" CREATE DATABASE, DROP DATABASE, CLUSTER, REMOTE, KILL QUERY ON *.* TO {ADMIN}",
            f"GRANT{self.on} SELECT, INSERT, ALTER TABLE, ALTER VIEW, CREATE TABLE, CREATE VIEW, DROP TABLE,"
            f" DROP VIEW, TRUNCATE, OPTIMIZE, SHOW{self._check}, UNDROP TABLE, dictGet ON *.* TO {ADMIN}"
            " WITH GRANT OPTION",
        ):
            self.adapters[0].do(statement)

    @property
    def _check(self) -> str:
        """Older servers have no such privilege."""
        known = self.adapters[0].do("SELECT count() FROM system.privileges WHERE toString(privilege) = 'CHECK'")
        return ", CHECK" if known.strip() != "0" else ""

    def connection(self, directory: Path, roster: str, node: int = 0) -> Connection:
        """How dbroster comes to a node."""
        return self.adapters[node].connection(directory, roster)

    def accounts(self, prefix: str) -> list[set[str]]:
        """Of each node."""
        return [{name for name in adapter.accounts() if name.startswith(prefix)} for adapter in self.adapters]

    def databases(self, prefix: str) -> list[set[str]]:
        """Of each node."""
        return [{name for name in adapter.databases() if name.startswith(prefix)} for adapter in self.adapters]

    def at_home(self, site: Site) -> None:
        """Every user of the roster writes into each own database on each node, and reaches no other user's."""
        for adapter in self.adapters:
            for user, password in site.roster.items():
                for owner in site.roster:
                    for template in ("tools", "web"):
                        may = adapter.can_write(user, password, f"{owner}_{template}")
                        assert may is (owner == user), f"{user} in {owner}_{template} at {adapter.server.port}"

    def close(self) -> None:
        """End what the adapters have opened."""
        for adapter in self.adapters:
            adapter.close()


@contextmanager
def started(kind: ClusterKind) -> Iterator[Clustered]:
    """Start one; what is missing skips or fails the test that asked for it."""
    try:
        cluster = ClickHouseCluster(kind)
    except Missing as missing:
        if everything_is_required():
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
    with cluster:
        clustered = Clustered(cluster, kind)
        try:
            yield clustered
        finally:
            clustered.close()


def site_on(cluster: Clustered, directory: Path, node: int = 0) -> Site:
    prefix = f"cl{next(_numbers)}q"
    cluster.make_admin(prefix)
    return Site(cluster.adapters[node], directory / "config", prefix)


def hidden(cluster: Clustered, *texts: str) -> None:
    """No log of any node, nor ZooKeeper or the queue of statements, has one of these."""
    queues = [adapter.do("SELECT query FROM system.distributed_ddl_queue") for adapter in cluster.adapters]
    assert all(queues), "the queue is not empty, so that its silence proves something"
    stored = cluster.cluster.keeper.stored()
    assert stored
    for text in texts:
        assert not any(text in queue for queue in queues)
        assert text.encode() not in stored
        assert not any(node.logs_contain(text) for node in cluster.nodes)


@contextmanager
def frozen(node: Node) -> Iterator[None]:
    node.freeze()
    try:
        yield
    finally:
        node.thaw()


def brought_in_step(cluster: Clustered, site: Site, gone: str) -> None:
    """The next run, with the node back: pending, done, nothing; who had to go is on no node."""
    site.pending("--max-removals", "all")
    site.sync("--max-removals", "all")
    site.in_step()
    assert not any(gone in found for found in cluster.accounts(site.prefix))
    assert not any(name.startswith(gone) for found in cluster.databases(site.prefix) for name in found)
    cluster.at_home(site)


@contextmanager
def silent_disk(adapter: NodeAdapter, user: str) -> Iterator[str]:
    """A CREATE of a user's that waits for a disk, for more than five seconds, by its id."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        place, query = f"http://127.0.0.1:{nobody.getsockname()[1]}/bucket/p/", f"{user}-disk"
        disk = f"disk(type = s3, endpoint = '{place}', access_key_id = 'a', secret_access_key = 'b')"
        table = f"{quoted(f'{user}_web')}.s (x String) ENGINE = MergeTree ORDER BY x SETTINGS disk = {disk}"
        thread = threading.Thread(target=suppressed, args=(adapter, user, f"CREATE TABLE {table}", query), daemon=True)
        thread.start()
        older = f"SELECT query_id FROM system.processes WHERE query_id = '{query}' AND elapsed > 5"
        wait_until(lambda: adapter.do(older).strip() == query)
        yield query


def suppressed(adapter: NodeAdapter, user: str, statement: str, query: str) -> None:
    with suppress(Refused, OSError, HTTPError):
        adapter.ask(user, PASSWORD, statement, query_id=query)
