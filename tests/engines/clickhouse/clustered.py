"""A real cluster of two nodes, an admin with the documented privileges and no more, and what people do at each node."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dbroster.config import Connection
from servers import ClickHouseCluster, ClusterKind, Missing
from tests.conftest import everything_is_required
from tests.contract.adapter_clickhouse import ClickHouseAdapter, literal, quoted
from tests.e2e.site import Site

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
