"""Replicated tables of roster users at places in ZooKeeper that are others': the server asks for no privilege there.

Who names the path of another's table gets a replica of it, with all its rows, to be changed at will. Who names one in
the queue of statements ON CLUSTER, behind all others, keeps every node from performing any (tried on 25.8).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from dbroster.engines.clickhouse.cluster.nodes import Cluster
from dbroster.engines.clickhouse.session import identifier

ENGINE = "a path"
REPLICAS = f"""
    SELECT database, table, '{ENGINE}', if(zookeeper_name = 'default', '', zookeeper_name || ':') || zookeeper_path
    FROM system.replicas"""  # noqa: S608 - a constant
"""Finds every replicated table of a server, with its path where the queries for tables have their engine's text."""

Table = tuple[str, str]


def misplaced(
    nodes: Sequence[Mapping[Table, str]], cluster: Cluster | None, owners: Mapping[str, str | None]
) -> Iterator[str]:
    """Name tables that are replicas of another user's, and those in the queue; `nodes`: of each, tables with paths."""
    for node, paths in zip(cluster.nodes if cluster else [""], nodes, strict=True):
        for (database, table), path in sorted(paths.items()) if cluster else ():
            if owners.get(database) and "/query-" in path:
                yield _queued(node, owners[database] or "", database, table, path)
    together: defaultdict[str, set[Table]] = defaultdict(set)
    for paths in nodes:
        for place, path in paths.items():
            together[path].add(place)
    for path, tables in sorted(together.items()):
        if len({owners.get(database) for database, _ in tables}) > 1:
            yield _shared(path, sorted(tables))


def _queued(node: str, user: str, database: str, table: str, path: str) -> str:
    return (
        f"the table {table} in {user}'s database {database} on the node {node} has the path {path} in ZooKeeper; if "
        "that is in the queue of statements ON CLUSTER, no node performs any, and no run can change anything. To end "
        f"that, on this node: DROP TABLE {_name(database, table)} SYNC; then see that ZooKeeper has no query-... of "
        "that number any more, and restart all nodes"
    )


def _shared(path: str, tables: Sequence[Table]) -> str:
    drops = " or ".join(f"DROP TABLE {_name(*table)} SYNC;" for table in tables)
    names = ", ".join(f"{database}.{table}" for database, table in tables)
    return (
        f"the tables {names} of different users are replicas of each other, since they have the same path in ZooKeeper "
        f"({path}), so who has one reads and changes the rows of all; drop the one that has no right to them: {drops}"
    )


def _name(database: str, table: str) -> str:
    return f"{identifier(database)}.{identifier(table)}"
