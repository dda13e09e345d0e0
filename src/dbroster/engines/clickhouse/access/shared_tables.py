"""Tables of one user that show another's: what ClickHouse lets through although no privilege allows it.

Tried on 25.8 and 24.8: a table of the engine Buffer reads and writes, and a table made by loop() reads, any table of
the server; 24.8 does not look behind Merge either. Engines can be withheld, the functions loop() and joinGet() can't.
Nor can disks: `disk(...)` in the SETTINGS of a table is checked for CREATE at most (merge_tree_disk), not for ATTACH.

Nor is any privilege asked for a place in ZooKeeper. Who names the path of another's table gets a replica of it, with
all its rows, to be changed at will. Who names one in the queue of statements ON CLUSTER, behind all others, keeps every
node from performing any; and who names one among replicated accounts keeps all of them from being changed (tried on
25.8).
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from dbroster.engines.clickhouse.access.powers import Powers
from dbroster.engines.clickhouse.cluster.nodes import Cluster
from dbroster.engines.clickhouse.session import (
    IF_BROKEN,
    LEFT_AMONG_ACCOUNTS,
    Session,
    identifier,
    qualified,
    unescaped,
)

_DISK, _PATH, _ACCOUNTS = "a disk", "a path", "accounts"
_MAP = "KeeperMap"
"""The engine that keeps its rows in ZooKeeper, at a path that its first argument names."""

# by the statement: a server that is asked for a table's storage policy waits for every disk that is being made just now
_OF_TABLES = f"""
    SELECT database, name, if(engine IN ({{engines}}), engine, '{_DISK}'), engine_full FROM system.tables
    WHERE database NOT IN ({{broken}}, 'system', 'information_schema', 'INFORMATION_SCHEMA')
        AND (engine IN ({{engines}})
            OR match(engine_full, '\\\\b(disk\\\\s*=\\\\s*disk\\\\(|storage_policy\\\\s*=\\\\s*''__)'))"""  # noqa: S608 - constants
# every replicated table, with its path in the place of the engine's text
_REPLICAS = f"""
    SELECT database, table, '{_PATH}', if(zookeeper_name = 'default', '', zookeeper_name || ':') || zookeeper_path
    FROM system.replicas"""  # noqa: S608 - a constant
_PLACES = f"""
    SELECT '', '', '{_ACCOUNTS}', JSONExtractString(params, 'zookeeper_path') FROM system.user_directories
    WHERE type = 'replicated'"""  # noqa: S608 - a constant
_TABLES = f"{_OF_TABLES} UNION ALL {_REPLICAS} UNION ALL {_PLACES}{IF_BROKEN}{_OF_TABLES}"
_MERGE_LOOKS = (25, 8)
"""From here on Merge shows only what its reader may read; 25.1 to 25.7 were not tried."""
_TARGET = re.compile(r"\w+\((REGEXP\()?'((?:[^'\\]|\\.)*)'")
_ENGINES = "TABLE ENGINE"

Table = tuple[str, str]


def reaching(session: Session, owners: Mapping[str, str | None]) -> Iterator[str]:
    """Name each table of a roster user that gets at what is others', in one query."""
    engines = ["Buffer", "Loop", _MAP, *(["Merge"] if session.release < _MERGE_LOOKS else [])]
    nodes = [[_at_path(*row) for row in rows] for rows in session.everywhere(_TABLES, engines=engines)]
    paths = [{(database, table): path for database, table, kind, path in rows if kind == _PATH} for rows in nodes]
    yield from _misplaced(paths, session.cluster, owners)
    accounts = tuple({f"{place.rstrip('/')}/" for rows in nodes for *_, kind, place in rows if kind == _ACCOUNTS})
    yield from dict.fromkeys(_among_accounts(paths, accounts, owners))
    for database, table, engine, definition in sorted({row for rows in nodes for row in rows if row[2] != _PATH}):
        user = owners.get(database)
        if user is None:
            continue
        if engine == _DISK:
            yield _of_own_disk(user, database, table)
        elif target := _target(definition, user, owners):
            yield (
                f"the table {table} in {user}'s database {database} gets at {target}, since the server checks no "
                f"privilege behind the engine {engine}; to end that: DROP TABLE {qualified(database, table)};"
            )


def _at_path(database: str, table: str, kind: str, text: str) -> tuple[str, str, str, str]:
    """A row as of a replicated table, if it is of another one that whoever names its path gets at."""
    found = _TARGET.match(text) if kind == _MAP else None
    return (database, table, _PATH, f"{_MAP}:{unescaped(found[2])}") if found else (database, table, kind, text)


def _of_own_disk(user: str, database: str, table: str) -> str:
    name = qualified(database, table)
    return (
        f"the table {table} in {user}'s database {database} lies on a disk that its SETTINGS make, which may be any "
        "directory of the server, for no privilege is asked; a DROP, dbroster's too, deletes what it has there. To see "
        f"the kind of disk: SHOW CREATE TABLE {name}; to end that: DROP TABLE {name};"
    )


def _misplaced(
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
        f"that, on this node: DROP TABLE {qualified(database, table)} SYNC; then see that ZooKeeper has no query-... "
        "of that number any more, and restart all nodes"
    )


def _among_accounts(
    nodes: Iterable[Mapping[Table, str]], accounts: tuple[str, ...], owners: Mapping[str, str | None]
) -> Iterator[str]:
    for (database, table), path in (each for paths in nodes for each in sorted(paths.items())):
        if (user := owners.get(database)) and path.startswith(accounts):
            yield (
                f"the table {table} in {user}'s database {database} has the path {path} in ZooKeeper, among the "
                "accounts that the server keeps there, so it may keep all of them from being changed, and removed. To "
                f"end that: DROP TABLE {qualified(database, table)} SYNC; {LEFT_AMONG_ACCOUNTS}"
            )


def _shared(path: str, tables: Sequence[Table]) -> str:
    drops = " or ".join(f"DROP TABLE {qualified(*table)} SYNC;" for table in tables)
    names = ", ".join(f"{database}.{table}" for database, table in tables)
    return (
        f"the tables {names} of different users are replicas of each other, since they have the same path in ZooKeeper "
        f"({path}), so who has one reads and changes the rows of all; drop the one that has no right to them: {drops}"
    )


def open_engines(powers: Powers, role: str, users: Collection[str]) -> Iterator[str]:
    """Say that users may make such tables, unless they are given engines by name; `users`: who has a database."""
    by_name = _has_engines(powers.of_roles.get(role, ()))
    if by_name or all(_has_engines(powers.of_users.get(user, ())) for user in users):
        return
    yield (
        "users can get at each other's tables by the engine Buffer, unless table_engines_require_grant is true under "
        "access_control_improvements in the server's configuration; set it there, then give all users of the roster "
        f"the engines that they need: GRANT TABLE ENGINE ON MergeTree TO {identifier(role)};"
    )


def only_engines(held: Collection[tuple[str, str]]) -> bool:
    """Whether privileges are nothing but engines, which the role of a roster may give to all its users."""
    return {privilege for privilege, _ in held} <= {_ENGINES}


def _has_engines(held: Collection[tuple[str, str]]) -> bool:
    return any(privilege == _ENGINES for privilege, _ in held)


def _target(definition: str, user: str, owners: Mapping[str, str | None]) -> str | None:
    """What a table gets at, by its engine's first argument; None for the user's own, or nothing."""
    found = _TARGET.match(definition)
    if found is None:  # newer servers don't show what a table by loop() reads
        return "a table that the server does not name"
    name = unescaped(found[2])
    if found[1]:
        return f"the databases {name}"
    if not name or owners.get(name) == user:
        return None
    owner = owners.get(name)
    return f"{owner}'s database {name}" if owner else f"the database {name}"
