"""Moving the tables of a database into another one, table by table: none of their rows is read or written.

A table stays what it is, with its parts and what is not done yet. What names the database in words would lose it.
"""

import re
from collections.abc import Iterable, Iterator

from dbroster.engines.clickhouse.access.row_policies import read_policies
from dbroster.engines.clickhouse.archive.contents import read_detached
from dbroster.engines.clickhouse.options import ClickHouseOptions
from dbroster.engines.clickhouse.removal.running_queries import PATIENCE, left_after
from dbroster.engines.clickhouse.session import Session, from_hex, identifier, qualified
from dbroster.errors import OperationError

NEEDED = ("SELECT", "INSERT", "CREATE TABLE", "DROP TABLE")
"""What RENAME TABLE asks of the admin."""

_ENGINE = "SELECT engine FROM system.databases WHERE name IN ({databases}) AND engine != 'Atomic' LIMIT 1"
_TABLES = """
    SELECT hex(name) FROM system.tables WHERE database = {database} AND NOT is_temporary ORDER BY name"""
_FIXED = """
    SELECT hex(name), engine FROM system.tables
    WHERE database = {database} AND (endsWith(engine, 'View') OR engine = 'Dictionary') ORDER BY name"""
# the statement that makes a table names its own database once
_NAMING = """
    SELECT hex(database), hex(name) FROM system.tables
    WHERE database NOT IN ({broken}) AND countMatches(create_table_query, {word}) > (database = {database})
    ORDER BY database, name"""
_WAITING = "SELECT 1 FROM system.asynchronous_inserts WHERE database = {database} LIMIT 1"


def obstacles(session: Session, databases: Iterable[str]) -> Iterator[str]:
    """Say what keeps the tables of these databases from being moved."""
    if ClickHouseOptions.of(session.connection).cluster:
        yield "on a cluster dbroster moves no tables: archive them with the cluster's own BACKUP, remove, add, RESTORE"
        return
    for database in databases:
        yield from _obstacles(session, database)


def _obstacles(session: Session, database: str) -> Iterator[str]:
    for (engine,) in session.rows(_ENGINE, databases=[database]):
        yield f"{database} is of the engine {engine}, and tables move between databases of the engine Atomic only"
    fixed = {(database, from_hex(name)): engine for name, engine in session.rows(_FIXED, database=database)}
    rows = session.rows(_NAMING, database=database, word=rf"\b{re.escape(database)}\b")
    naming = {(from_hex(place), from_hex(name)) for place, name in rows}
    for (_, name), engine in fixed.items():
        yield f"{database}.{name} is a {engine}, which does not move: drop it, and make it again afterwards"
    for place, name in sorted(naming - fixed.keys()):
        text = f"{place}.{name} names {database} in its definition, which does not change with it"
        yield f"{text}: drop it, and make it again afterwards"
    for name, _ in read_detached(session, database):
        place = qualified(database, name)
        yield f"{database}.{name} is detached, and would stay behind: ATTACH TABLE {place}, or drop it"
    for policy in read_policies(session, database):
        place = f"{identifier(database)}.{identifier(policy.table) if policy.table else '*'}"
        yield f"a row policy stays behind: DROP ROW POLICY {identifier(policy.name)} ON {place}, and make it again"


def move(session: Session, database: str, target: str) -> None:
    """Move all that is still there. Raises OperationError, and what has been moved by then stays moved."""
    if left_after(min(PATIENCE, session.connection.timeout), lambda: session.rows(_WAITING, database=database)):
        raise OperationError(f"INSERTs into {database} wait in the server's memory (system.asynchronous_inserts)")
    for (name,) in session.rows(_TABLES, database=database):
        table = from_hex(name)
        session.run(f"RENAME TABLE {qualified(database, table)} TO {qualified(target, table)}")
    if session.rows(_TABLES, database=database) or read_detached(session, database):
        raise OperationError(f"there are tables in {database} again, so it is not dropped; run this again")
