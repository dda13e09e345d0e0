"""Tables of one user that show another's: what ClickHouse lets through although no privilege allows it.

Tried on 25.8 and 24.8: a table of the engine Buffer reads and writes, and a table made by loop() reads, any table of
the server; 24.8 does not look behind Merge either. Engines can be withheld, the functions loop() and joinGet() can't.
Nor can disks: `disk(...)` in the SETTINGS of a table is checked for CREATE at most (merge_tree_disk), not for ATTACH.
"""

import re
from collections.abc import Collection, Iterator, Mapping

from dbroster.engines.clickhouse.access.powers import Powers
from dbroster.engines.clickhouse.access.replica_paths import ENGINE, REPLICAS, misplaced
from dbroster.engines.clickhouse.session import IF_BROKEN, Session, identifier

_DISK = "a disk"
# by the statement: a server that is asked for a table's storage policy waits for every disk that is being made just now
_OF_TABLES = f"""
    SELECT database, name, if(engine IN ({{engines}}), engine, '{_DISK}'), engine_full FROM system.tables
    WHERE database NOT IN ({{broken}}, 'system', 'information_schema', 'INFORMATION_SCHEMA')
        AND (engine IN ({{engines}})
            OR match(engine_full, '\\\\b(disk\\\\s*=\\\\s*disk\\\\(|storage_policy\\\\s*=\\\\s*''__)'))"""  # noqa: S608 - constants
_TABLES = f"{_OF_TABLES} UNION ALL {REPLICAS}{IF_BROKEN}{_OF_TABLES}"
_MERGE_LOOKS = "25.8"
"""From here on Merge shows only what its reader may read; 25.1 to 25.7 were not tried."""
_TARGET = re.compile(r"\w+\((REGEXP\()?'((?:[^'\\]|\\.)*)'")
_ESCAPED = re.compile(r"\\(.)")
_ENGINES = "TABLE ENGINE"


def reaching(session: Session, owners: Mapping[str, str | None]) -> Iterator[str]:
    """Name each table of a roster user that gets at what is others', in one query."""
    engines = ["Buffer", "Loop", *(["Merge"] if _numbers(session.version) < _numbers(_MERGE_LOOKS) else [])]
    nodes = session.everywhere(_TABLES, engines=engines)
    paths = [{(database, table): path for database, table, kind, path in rows if kind == ENGINE} for rows in nodes]
    yield from misplaced(paths, session.cluster, owners)
    for database, table, engine, definition in sorted({row for rows in nodes for row in rows if row[2] != ENGINE}):
        user = owners.get(database)
        if user is None:
            continue
        if engine == _DISK:
            yield _of_own_disk(user, database, table)
        elif place := _place(definition, user, owners):
            yield (
                f"the table {table} in {user}'s database {database} gets at {place}, since the server checks no "
                f"privilege behind the engine {engine}; to end that: DROP TABLE {identifier(database)}."
                f"{identifier(table)};"
            )


def _of_own_disk(user: str, database: str, table: str) -> str:
    place = f"{identifier(database)}.{identifier(table)}"
    return (
        f"the table {table} in {user}'s database {database} lies on a disk that its SETTINGS make, which may be any "
        "directory of the server, for no privilege is asked; a DROP, dbroster's too, deletes what it has there. To see "
        f"the kind of disk: SHOW CREATE TABLE {place}; to end that: DROP TABLE {place};"
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


def _place(definition: str, user: str, owners: Mapping[str, str | None]) -> str | None:
    """What a table gets at, by its engine's first argument; None for the user's own, or nothing."""
    found = _TARGET.match(definition)
    if found is None:  # newer servers don't show what a table by loop() reads
        return "a table that the server does not name"
    name = _ESCAPED.sub(r"\1", found[2])
    if found[1]:
        return f"the databases {name}"
    if not name or owners.get(name) == user:
        return None
    owner = owners.get(name)
    return f"{owner}'s database {name}" if owner else f"the database {name}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])
