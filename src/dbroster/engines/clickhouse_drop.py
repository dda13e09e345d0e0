"""Dropping a database, and what keeps a server from it: objects that depend on its tables, and views that run on."""

from collections.abc import Iterator, Sequence

from dbroster.engines.clickhouse_session import HAS_DEPENDENTS, Session, identifier
from dbroster.engines.clickhouse_state import read_databases
from dbroster.errors import OperationError

_FIXED = 25
"""The first major version in which DROP ends a refresh that runs."""

_DEPENDENTS = """
    SELECT database, name, dependent.1 AS place, dependent.2 AS table FROM system.tables
    ARRAY JOIN arrayZip(loading_dependent_database, loading_dependent_table) AS dependent
    WHERE database IN ({databases}) AND dependent.1 != database ORDER BY database, name, dependent"""
_ENGINE = "SELECT engine FROM system.tables WHERE database = {database} AND name = {table}"
HOLDING = ("Loop", "StorageProxy")
"""The engines of tables that loop(), mergeTreeIndex() and mergeTreeProjection() make: they keep what they read.

Other functions make a StorageProxy, too, and the server does not tell which (tried on 24.8 and 25.8).
"""

_HOLDERS = """
    SELECT database, name FROM system.tables WHERE engine IN ({engines}) AND database != {database}
    ORDER BY database, name LIMIT 5"""
_HELD = (
    "if one of these tables reads it, its rows stay on the disk, and readable there, until that is dropped or the "
    "server restarts: {};"
)
_REFRESHING = """
    SELECT database, view FROM system.view_refreshes
    WHERE database IN ({databases}) AND status = 'Running' ORDER BY database, view"""


def drop_database(session: Session, roster: str, user: str, database: str, cluster: str) -> str | None:
    """Drop a database that is this user's, and wait until its tables are gone; return what has to be known of it.

    What depends on it in other databases of the same user does not keep it: that would let users keep their own.
    Tables elsewhere that may hold one of its tables are not waited for: ClickHouse would do that for ever.
    Raises ConnectError, OperationError.
    """
    if reason := next((text for _, text in endless(session, [database])), None):
        raise OperationError(reason)
    holders = session.rows(_HOLDERS, engines=HOLDING, database=database)
    wait = "" if holders else " SYNC"
    statement = f"DROP DATABASE IF EXISTS {identifier(database)}{cluster}{wait}"
    try:
        session.run(statement)
    except OperationError as error:
        if error.code != HAS_DEPENDENTS:
            raise
        if reason := next((text for _, text in needed(session, roster, {database: user})), None):
            raise OperationError(reason, error.code) from None
        session.run(statement, check_table_dependencies="0")
    drops = "; ".join(f"DROP TABLE {identifier(place)}.{identifier(table)} SYNC" for place, table in holders)
    return _HELD.format(drops) if drops else None


def needed(session: Session, roster: str, owners: dict[str, str]) -> Iterator[tuple[str, str]]:
    """For each of these databases, with its user: what of somebody else depends on one of its tables."""
    rows = session.union(_DEPENDENTS, databases=list(owners))
    others = read_databases(session, roster, sorted({row[2] for row in rows})) if rows else {}
    for database, table, place, name in rows:
        other = others.get(place)
        if other is None or other.owner != owners[database]:
            engines = session.union(_ENGINE, database=place, table=name)
            kind = "DICTIONARY" if engines == [("Dictionary",)] else "TABLE"
            yield (
                database,
                f"{place}.{name} depends on its table {table}, and is not {owners[database]}'s; drop that first: "
                f"DROP {kind} {identifier(place)}.{identifier(name)} SYNC;",
            )


def endless(session: Session, databases: Sequence[str]) -> Iterator[tuple[str, str]]:
    """For each of these databases: a refreshable view that runs, where DROP would wait for it for ever."""
    if int(session.version.split(".")[0]) >= _FIXED:
        return
    for database, view in session.union(_REFRESHING, databases=databases):
        yield (
            database,
            f"its refreshable view {view} is running, and ClickHouse {session.version} would wait for that for ever; "
            "restart the server, or install 25 or newer, and run dbroster again",
        )
