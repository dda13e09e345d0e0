"""Dropping a database, and what keeps a server from it: objects that depend on its tables, and views that run on."""

from collections.abc import Iterator, Sequence

from dbroster.engines.clickhouse.removal.outside_views import put_away
from dbroster.engines.clickhouse.removal.running_queries import PATIENCE, at_work, clear_queue, left_after
from dbroster.engines.clickhouse.session import HAS_DEPENDENTS, Session, identifier, qualified
from dbroster.engines.clickhouse.state import read_databases
from dbroster.errors import ConnectError, OperationError, Stalled

_FIXED = (25,)
"""The first version in which DROP ends a refresh that runs."""

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

    def __init__(self, session: Session) -> None:
        self._session = session
        self._connection = session.connection
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

    def drop(self, user: str, database: str) -> str | None:
        """Drop a database that is this user's, wait until its tables are gone, and return what has to be known of it.

        What depends on it in other databases of the same user does not keep it: that would let users keep their own.
        Tables elsewhere that may hold one of its tables are not waited for: ClickHouse would do that for ever.
        If it stays, its views on tables of others are put away. Raises ConnectError, OperationError.
        """
        try:
            return self._drop(user, database)
        except OperationError as error:
            away = put_away(self._session, user, database)
            text = "; ".join(filter(None, (str(error), away)))
            raise OperationError(text, error.code, retryable=error.retryable) from None

    def _drop(self, user: str, database: str) -> str | None:
        if reason := next((text for _, text in endless(self._session, [database])), None):
            raise OperationError(reason)
        holders = self._session.rows(_HOLDERS, engines=HOLDING, database=database)
        # nor in the queue of a cluster, where everything else would wait behind it
        wait = "" if holders or self._session.databases_on else " SYNC"
        statement = f"DROP DATABASE IF EXISTS {identifier(database)}{self._session.databases_on}{wait}"
        try:
            note = self._run(user, database, statement)
        except OperationError as error:
            if error.code != HAS_DEPENDENTS:
                raise
            if reason := next((text for _, text in needed(self._session, {database: user})), None):
                raise OperationError(reason, error.code) from None
            note = self._run(user, database, statement, check_table_dependencies="0")
        drops = "; ".join(f"DROP TABLE {qualified(*holder)} SYNC" for holder in holders)
        return _HELD.format(drops) if drops else note

    def _run(self, user: str, database: str, statement: str, **settings: str) -> str | None:
        if self._session.cluster:
            clear_queue(self._session, user, database, self._connection.timeout)
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
        if left_after(seconds, lambda: self._session.rows(_THERE, database=database)):
            raise OperationError(
                f"the server has not finished dropping it within {self._connection.timeout} s"
                f"{at_work(self._session, user, database)}; run again later, or restart the server"
            )
        return f"it is gone, but its files are not yet{at_work(self._session, user, database)}; the server removes them"


def needed(session: Session, owners: dict[str, str]) -> Iterator[tuple[str, str]]:
    """For each of these databases, with its user: what of somebody else depends on one of its tables."""
    rows = session.union(_DEPENDENTS, databases=list(owners))
    others = read_databases(session, sorted({row[2] for row in rows})) if rows else {}
    for database, table, place, name in rows:
        other = others.get(place)
        if other is None or other.owner != owners[database]:
            engines = session.union(_ENGINE, database=place, table=name)
            kind = "DICTIONARY" if engines == [("Dictionary",)] else "TABLE"
            yield (
                database,
                f"{place}.{name} depends on its table {table}, and is not {owners[database]}'s; drop that first: "
                f"DROP {kind} {qualified(place, name)} SYNC;",
            )


def endless(session: Session, databases: Sequence[str]) -> Iterator[tuple[str, str]]:
    """For each of these databases: a refreshable view that runs, where DROP would wait for it for ever."""
    if session.release >= _FIXED:
        return
    for database, view in session.union(_REFRESHING, databases=databases):
        yield (
            database,
            f"its refreshable view {view} is running, and ClickHouse {session.version} would wait for that for ever; "
            "restart the server, or install 25 or newer, and run dbroster again",
        )
