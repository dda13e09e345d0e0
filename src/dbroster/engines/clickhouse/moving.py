"""Moving the tables of a database into another one, table by table: none of their rows is read or written.

A table stays what it is, with its parts and what is not done yet. What names the database in words would lose it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

from dbroster.engines.clickhouse.access.row_policies import read_policies
from dbroster.engines.clickhouse.archive.contents import read_detached
from dbroster.engines.clickhouse.beforehand.server_checks import ServerRules
from dbroster.engines.clickhouse.options import ClickHouseOptions
from dbroster.engines.clickhouse.removal.ownership import Ownership
from dbroster.engines.clickhouse.removal.running_queries import PATIENCE, left_after
from dbroster.engines.clickhouse.session import ROLE_PREFIX, Session, from_hex, identifier, literal, qualified
from dbroster.engines.renamer import Archiving, Renamer, given_elsewhere
from dbroster.errors import OperationError
from dbroster.model.roster import User

_NEEDED = ("SELECT", "INSERT", "CREATE TABLE", "DROP TABLE")
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
_GIVEN = """
    SELECT DISTINCT access_type || ' ON ' || ifNull(database, '*') FROM system.grants
    WHERE user_name = {user} AND ifNull(database, '') NOT IN ({databases})
    UNION ALL SELECT 'the role ' || granted_role_name FROM system.role_grants
    WHERE user_name = {user} AND NOT startsWith(granted_role_name, {prefix})"""
_WAITING = "SELECT 1 FROM system.asynchronous_inserts WHERE database = {database} LIMIT 1"


class ClickHouseRenamer(Renamer):
    """Moves tables; an archive can't become a database of another name here."""

    copies: ClassVar[bool] = False

    def __init__(self, handler: Archiving, session: Session, server: ServerRules, ownership: Ownership) -> None:
        super().__init__(handler)
        self._session, self._server, self._ownership = session, server, ownership

    def obstacles(self, user: str, databases: Sequence[str]) -> Iterator[str]:
        """Say what keeps tables from being moved, and what an account has that a new one would not have."""
        if ClickHouseOptions.of(self._session.connection).cluster:
            yield "on a cluster dbroster moves no tables: archive them with its own BACKUP, remove, add, RESTORE"
            return
        yield from given_elsewhere(user, [*self._given(user, databases)])
        if databases and (lacking := self._server.tree.lacking(_NEEDED, self._server.wanted)):
            yield f"tables are moved with {', '.join(lacking)}, which `privileges` in connections.yaml lacks"
        for database in databases:
            yield from _obstacles(self._session, database)

    def _given(self, user: str, databases: Sequence[str]) -> Iterator[str]:
        rows = self._session.rows(_GIVEN, user=user, databases=databases or [""], prefix=ROLE_PREFIX)
        yield from sorted(text for (text,) in rows)
        if end := self._ownership.end(user):
            yield f"VALID UNTIL {literal(end)}"

    def move(self, user: str, database: str, receiver: User, name: str) -> None:
        """Move all that is still there: each table is in one of the two databases all the time."""
        if not (self._ownership.own(user, database) and self._ownership.own(receiver.name, name)):
            raise OperationError(f"{database} or {name} is not there any more")
        session = self._session
        if left_after(min(PATIENCE, session.connection.timeout), lambda: session.rows(_WAITING, database=database)):
            raise OperationError(f"INSERTs into {database} wait in the server's memory (system.asynchronous_inserts)")
        for (told,) in session.rows(_TABLES, database=database):
            table = from_hex(told)
            session.run(f"RENAME TABLE {qualified(database, table)} TO {qualified(name, table)}")
        if session.rows(_TABLES, database=database) or read_detached(session, database):
            raise OperationError(f"there are tables in {database} again, so it is not dropped; run this again")


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
