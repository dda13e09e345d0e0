"""Dropping a database, and what keeps a server from it: objects that depend on its tables, and views that run on."""

import time
from collections.abc import Iterator, Sequence

from dbroster.engines.clickhouse.removal.running_queries import PATIENCE, at_work
from dbroster.engines.clickhouse.removal.statement_queue import clear
from dbroster.engines.clickhouse.session import HAS_DEPENDENTS, Session, identifier
from dbroster.engines.clickhouse.state import read_databases
from dbroster.errors import ConnectError, OperationError, Stalled
from dbroster.model.connection import Connection

_FIXED = 25
"""The first major version in which DROP ends a refresh that runs."""

_DEPENDENTS = """
    SELECT database, name, dependent.1 AS place, dependent.2 AS table FROM system.tables
    ARRAY JOIN arrayZip(loading_dependent_database, loading_dependent_table) AS dependent
    WHERE database IN ({databases}) AND database NOT IN ({broken}) AND dependent.1 != database
    ORDER BY database, name, dependent"""
_ENGINE = "SELECT engine FROM system.tables WHERE database = {database} AND name = {table}"
HOLDING = ("Loop", "StorageProxy")
"""The engines of tables that loop(), mergeTreeIndex() and mergeTreeProjection() make: they keep what they read.

Other functions make a StorageProxy, too, and the server does not tell which (tried on 24.8 and 25.8).
"""

_PAUSE = 0.5  # seconds
_THERE = "SELECT 1 FROM system.databases WHERE name = {database}"
_HOLDERS = """
    SELECT database, name FROM system.tables WHERE engine IN ({engines}) AND database NOT IN ({broken}, {database})
    ORDER BY database, name LIMIT 5"""
_HELD = (
    "if one of these tables reads it, its rows stay on the disk, and readable there, until that is dropped or the "
    "server restarts: {};"
)
_REFRESHING = """
    SELECT database, view FROM system.view_refreshes
    WHERE database IN ({databases}) AND status = 'Running' ORDER BY database, view"""


class Drops:
    """Drops databases over a connection of its own: one that the server does not finish with costs only that."""

    def __init__(self, session: Session, connection: Connection) -> None:
        self._session = session
        self._connection = connection
        self._apart: Session | None = None

    def close(self) -> None:
        """End the own connection; never raises."""
        if self._apart:
            self._apart.close()
        self._apart = None

    def abort(self) -> None:
        """Break off whatever is waited for; callable from any thread, never raises, never blocks."""
        if apart := self._apart:
            apart.abort()

    def drop(self, user: str, database: str, cluster: str) -> str | None:
        """Drop a database that is this user's, wait until its tables are gone, and return what has to be known of it.

        What depends on it in other databases of the same user does not keep it: that would let users keep their own.
        Tables elsewhere that may hold one of its tables are not waited for: ClickHouse would do that for ever.
        Raises ConnectError, OperationError.
        """
        if reason := next((text for _, text in endless(self._session, [database])), None):
            raise OperationError(reason)
        holders = self._session.rows(_HOLDERS, engines=HOLDING, database=database)
        # nor in the queue of a cluster, where everything else would wait behind it
        wait = "" if holders or cluster else " SYNC"
        statement = f"DROP DATABASE IF EXISTS {identifier(database)}{cluster}{wait}"
        try:
            note = self._run(user, database, statement)
        except OperationError as error:
            if error.code != HAS_DEPENDENTS:
                raise
            roster = self._connection.roster
            if reason := next((text for _, text in needed(self._session, roster, {database: user})), None):
                raise OperationError(reason, error.code) from None
            note = self._run(user, database, statement, check_table_dependencies="0")
        drops = "; ".join(f"DROP TABLE {identifier(place)}.{identifier(table)} SYNC" for place, table in holders)
        return _HELD.format(drops) if drops else note

    def _run(self, user: str, database: str, statement: str, **settings: str) -> str | None:
        if self._session.cluster:
            clear(self._session, user, database, self._connection.timeout)
            self._session.run(statement, **settings)
            return None
        limit = min(int(PATIENCE), self._connection.timeout)
        self._apart = self._apart or Session(self._connection._replace(timeout=limit))
        try:
            self._apart.run(statement, **settings)
        except ConnectError as error:
            self.close()
            if not isinstance(error, Stalled):
                raise
            return self._await_end(user, database, self._connection.timeout - limit)
        return None

    def _await_end(self, user: str, database: str, seconds: float) -> str:
        """Wait until a database is gone, while the server goes on with it. Raises OperationError where it stays."""
        deadline = time.monotonic() + seconds
        while self._session.rows(_THERE, database=database):
            if time.monotonic() > deadline:
                raise OperationError(
                    f"the server has not finished dropping it within {self._connection.timeout} s"
                    f"{at_work(self._session, user, database)}; run again later, or restart the server"
                )
            time.sleep(_PAUSE)
        return f"it is gone, but its files are not yet{at_work(self._session, user, database)}; the server removes them"


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
