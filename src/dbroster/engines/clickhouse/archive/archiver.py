"""Archives of ClickHouse databases: a zip file with the CREATE statements and each table's rows in the Native format.

BACKUP would need a place in the server's configuration; this needs nothing but SELECT. Rows go from the server into
the file, and back, without being held in memory. A materialized view's own rows are those that it shows.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import IO, ClassVar

from dbroster.archive import Archive, Draft
from dbroster.engines.clickhouse.access.grants import read_grants
from dbroster.engines.clickhouse.archive.contents import (
    Table,
    left_out,
    read_detached,
    read_tables,
    refuse_cut,
    undone,
    without_refresh,
)
from dbroster.engines.clickhouse.archive.statements import constraints
from dbroster.engines.clickhouse.archive.streams import Http
from dbroster.engines.clickhouse.beforehand.server_checks import ServerRules
from dbroster.engines.clickhouse.options import ClickHouseOptions
from dbroster.engines.clickhouse.removal.outside_views import put_away
from dbroster.engines.clickhouse.removal.running_queries import PATIENCE, end_queries, left_after, refuse_beside
from dbroster.engines.clickhouse.session import (
    IF_BROKEN,
    Session,
    fixed_setting,
    identifier,
    literal,
    qualified,
    writable,
)
from dbroster.engines.zip_archiver import ZipArchiver, member, write_text
from dbroster.errors import OperationError, Stalled
from dbroster.model.roster import User

_TABLES, _ROWS = "tables.json", ".native"
_NOT_THERE = ("390", "57")
"""Errors of ATTACH for a table that is not there, or another one is there by now."""

_IN_USE = "still used by some query"

_OVER_ITSELF = "269"
_NO_TABLE = ("80", "520")
"""Errors of ATTACH and DETACH for a dictionary."""

_VIOLATED = "469"
_LOCKED = """
    SELECT name FROM system.settings WHERE type = 'Bool' AND value = '0' AND NOT readonly AND (
        match(name, '^allow_(experimental|suspicious)_.*(codecs|expressions|index|indices|key|table|view)$')
        OR match(name, '^(allow_(experimental|suspicious)|enable)_.*(statistics?|type64|types?)$')
        OR name = 'allow_materialized_view_with_bad_select')
    FORMAT TabSeparated"""
"""Settings that only let a user make tables of rare kinds, and that this user may change."""

_UNREAD = ("allow_materialized_view_with_bad_select",)
"""That one is the last resort: a view that is made before what it reads would see the rows of that come back."""

_DEFAULTS = (
    "SELECT name, default_kind FROM system.columns"
    " WHERE database = {database} AND table = {table} AND default_kind IN ('DEFAULT', 'MATERIALIZED')"
)

_UNKNOWN = f"{IF_BROKEN}SELECT '' WHERE '' NOT IN ({{broken}}, '')"
"""The server shows no change of any table then."""

_STUCK = f"""
    SELECT command FROM system.mutations WHERE database = {{database}} AND table = {{table}} AND NOT is_done
    {_UNKNOWN}"""  # noqa: S608 - a constant

_GOING_ON = f"""
    SELECT 1 FROM system.mutations WHERE database = {{database}} AND NOT is_done AND latest_fail_reason = '' LIMIT 1
    {_UNKNOWN}"""  # noqa: S608 - a constant

_RESETS = r"""
    SELECT name, default FROM system.settings WHERE changed AND (
        match(name, '^(additional|apply|force|parallel_replica|output_format_native|input_format_allow_errors)_')
        OR match(name, 'overflow_mode|^max_(rows|bytes|columns|partitions)_(to|in)_|^min_execution_speed')
        OR match(name, '^max_(execution_time|execution_speed|estimated_execution_time|result_|parallel_replicas)')
        OR match(name, '^(limit|offset|final|extremes|use_query_cache|low_cardinality_allow_in_native_format)$'))"""
"""Settings that a profile has changed, and that leave rows out, keep tables from being read, or change the file."""

_IN_ORDER = ("Replacing", "Collapsing", "Coalescing", "Log", "Memory")
"""In the names of engines where the order of rows means something: which of two is the newer one."""


class ClickHouseArchiver(ZipArchiver):
    """Archives and restores over HTTP; no program and no server setting is needed."""

    method: ClassVar[str] = "CREATE statements and Native files"

    def __init__(self, session: Session, server: ServerRules) -> None:
        super().__init__(session.connection)
        self._session = session
        self._server = server
        self._away: str | None = None
        """What `close` has put away, for the case that nothing comes of the archive."""

    def missing(self) -> list[str]:
        """A query that can't be ended may go on writing; and on a cluster one node's rows are not all.

        So nothing is archived on a cluster at all.
        """
        if ClickHouseOptions.of(self.connection).cluster:
            return ["with `cluster` set, one node holds only a part of the rows: archive with the cluster's own BACKUP"]
        return self._server.missing_to_end_queries()

    def close(self, user: str, database: str) -> None:
        """Take all privileges of the roster's users on the database; its comment goes on saying whose it is."""
        self._away = put_away(self._session, user, database)
        holders = read_grants(self._session, [database], few=True).on(database)
        for name in holders:
            self._server.revoke(name, database)
        end_queries(self._session, {user, *holders}, self.connection.timeout)

    def losses(self, database: str) -> Iterator[str]:
        """Name rows that nobody can read, secrets that the server hides, and what stands outside of tables."""
        yield from left_out(self._session, database)

    def dump(self, user: str, database: str, draft: Draft) -> None:
        """Write how everything is made, then the rows of each table, as many as the server says it has sent.

        Detached tables come back first, since nobody can read them, and what a Buffer holds goes where it belongs. If
        there is no archive, those that were detached for good are so again.
        """
        mark = f"dbroster-archive-{database.encode().hex()}-"
        refuse_beside(self._session, mark)
        try:
            self._dump(self._http(mark), user, database, draft)
        except Stalled:
            self._session.run(f"KILL QUERY WHERE startsWith(query_id, {literal(mark)}) ASYNC")
            raise

    def _dump(self, http: Http, user: str, database: str, draft: Draft) -> None:
        draft.settings["detached"] = self._attach(http, database)
        try:
            tables = [table for table in read_tables(self._session, database) if table.statement or table.columns]
            put_away(self._session, user, database)  # they were only to be seen; their rows are in tables of their own
            self._write_tables(http, database, tables, draft)
        except OperationError as error:
            list(self._put_away(http, draft.settings["detached"], database))
            text = "; ".join(filter(None, (str(error), self._away)))
            raise OperationError(text, error.code, retryable=error.retryable) from None

    def _write_tables(self, http: Http, database: str, tables: list[Table], draft: Draft) -> None:
        self._await_changes(database)
        for table in (table for table in tables if table.engine == "Buffer"):
            _empty(http, qualified(database, table.name))
        with self._writing(draft, database) as file:
            content = {"database": database, "tables": [asdict(table) for table in tables]}
            write_text(file, f"{database}/{_TABLES}", json.dumps(content, indent=1))
            for table in (table for table in tables if table.columns):
                with file.open(member(database, table.name) + _ROWS, "w", force_zip64=True) as target:
                    draft.counts[table.name] = self._read(http, database, table, target)
        refuse_cut(self._session, database, tables, draft.counts, lambda name: _deleted(http, database, name))

    def _await_changes(self, database: str) -> None:
        """Wait a while for changes that the server works on. Its owner may have made one that is never done."""
        left_after(min(PATIENCE, self.connection.timeout / 2), lambda: self._session.rows(_GOING_ON, database=database))
        if left := "; ".join(undone(self._session, database)):
            self.note = f"the archive may not hold {left}"

    def _read(self, http: Http, database: str, table: Table, target: IO[bytes]) -> int:
        """Read a table's rows. An owner may have given a column a default that can't be worked out for old rows."""
        try:
            return http.read(_selection(database, table), target)
        except OperationError as error:
            text = f"the table {database}.{table.name} can't be read: {error}"
            if setting := fixed_setting(str(error)):
                raise OperationError(f"{text}; {writable(self.connection.username, setting)}", error.code) from None
            place = qualified(database, table.name)
            columns = self._session.rows(_DEFAULTS, database=database, table=table.name)
            cures = [f"ALTER TABLE {place} MODIFY COLUMN {identifier(c)} REMOVE {k}" for c, k in columns]
            advice = f"; if that is because of a column's default, take it away: {'; '.join(cures)}" if cures else ""
            stuck = [command for (command,) in self._session.rows(_STUCK, database=database, table=table.name)]
            advice += (
                f"; changes of it that are not done: {'; '.join(stuck)}: end them by KILL MUTATION" if stuck else ""
            )
            raise OperationError(f"{text}{advice}; or give its rows up: DROP TABLE {place};", error.code) from None

    def _attach(self, http: Http, database: str) -> list[str]:
        """Attach what was detached, and return what was so for good, which a restore detaches again."""
        detached = read_detached(self._session, database)
        for name, lasting in detached:
            try:
                self._is_detached(http, database, name, lasting=lasting)
            except OperationError as error:
                raise OperationError(
                    f"the table {name} is detached, so it can't be archived, and it can't be attached: {error}; "
                    f"attach or drop it by hand: ATTACH TABLE {qualified(database, name)}"
                ) from None
        return [name for name, lasting in detached if lasting]

    def _is_detached(self, http: Http, database: str, name: str, *, lasting: bool) -> bool:
        """Attach a table, if it is there: 24.8 lists tables that were dropped among those that are detached."""
        try:
            self._attach_again(http, database, name)
        except OperationError as error:
            if error.code in _NOT_THERE and not lasting:
                return False
            raise
        return True

    def _attach_again(self, http: Http, database: str, name: str) -> None:
        """Attach a table, as soon as nobody is at work in it any more who was so when it was detached."""

        def used() -> OperationError | None:
            try:
                _ask_of(http, "ATTACH", database, name)
            except OperationError as error:
                if _IN_USE not in str(error):
                    raise
                return error
            return None

        if error := left_after(min(PATIENCE, self.connection.timeout / 2), used):
            raise error

    def is_empty(self, user: User, database: str) -> bool:
        """Look for tables, as the user, and for detached ones, as the admin."""
        # not EXISTS, which 25.8 answers wrongly for system.tables (ClickHouse issue 86415)
        query = f"SELECT count() FROM system.tables WHERE database = {literal(database)}"  # noqa: S608 - quoted
        there = int(self._as_user(user).ask(f"{query} FORMAT TabSeparated"))
        return not there and not any(
            lasting or self._is_detached(self._http(), database, name, lasting=False)
            for name, lasting in read_detached(self._session, database)
        )

    def restore(self, archive: Archive, user: User, database: str) -> None:
        """Make tables with their rows, then views one after the other with theirs; all as the user.

        In this order no view sees the rows that are brought back, and takes them in a second time. What can't be made
        or filled keeps nothing else away.
        """
        if archive.manifest.database != database:
            text = f"the statements in it name the database {archive.manifest.database}, so it can't become {database}"
            raise OperationError(text)
        http = self._as_user(user)
        with self._reading(archive) as (file, failures):
            content = json.loads(file.read(f"{database}/{_TABLES}"))
            tables = [Table(**{**table, "columns": tuple(table["columns"])}) for table in content["tables"]]
            for views in (False, True):
                chosen = [table for table in tables if table.is_view is views]
                failures += self._make(http, file, archive, database, chosen)
            failures += self._put_away(http, archive.manifest.settings.get("detached", []), database)

    def _put_away(self, http: Http, names: Iterable[str], database: str) -> Iterator[str]:
        """Detach what was so for good; yield what can't be."""
        for name in names:
            try:
                _ask_of(http, "DETACH", database, name, " PERMANENTLY")
            except OperationError as error:
                yield f"{name} is not detached: {error}"

    def _make(
        self, http: Http, file: zipfile.ZipFile, archive: Archive, database: str, tables: list[Table]
    ) -> list[str]:
        """Make what can be made, again and again: one may need another that comes later. Return what can't be."""
        waiting, failures = list(tables), []
        unlocked = dict.fromkeys(http.ask(_LOCKED).split(), "1")
        unread = {name: unlocked.pop(name) for name in _UNREAD if name in unlocked}
        while waiting:
            left: dict[str, str] = {}
            for table in waiting:
                try:
                    http.ask(without_refresh(table), unlocked)
                except OperationError as error:
                    left[table.name] = f"{table.name}: {error}"
                    continue
                try:
                    self._fill(http, file, archive, database, table)
                except OperationError as error:
                    failures.append(f"the rows of {table.name}: {error}")
            if len(left) == len(waiting):
                if not unread:
                    return [*failures, *left.values()]
                unlocked, unread = {**unlocked, **unread}, {}
            waiting = [table for table in waiting if table.name in left]
        return failures

    def _fill(self, http: Http, file: zipfile.ZipFile, archive: Archive, database: str, table: Table) -> None:
        if not table.columns:
            return
        try:
            number = self._write(http, file, database, table)
        except OperationError as error:
            if error.code != _VIOLATED:
                raise
            number = self._write_unchecked(http, file, database, table)
        wanted = archive.manifest.counts.get(table.name, 0)
        if number != wanted:
            raise OperationError(f"{database}.{table.name} has got {number} rows, but {wanted} are in the archive")

    def _write(self, http: Http, file: zipfile.ZipFile, database: str, table: Table) -> int:
        with file.open(member(database, table.name) + _ROWS) as rows:
            return http.write(f"INSERT INTO {qualified(database, table.name)} ({_listed(table)}) FORMAT Native", rows)

    def _write_unchecked(self, http: Http, file: zipfile.ZipFile, database: str, table: Table) -> int:
        """Rows from before a constraint was added need not fulfil it; nor does the server look when it is added."""
        made, place = constraints(table.statement), qualified(database, table.name)
        http.ask(f"TRUNCATE TABLE {place}")
        http.ask(f"ALTER TABLE {place} {', '.join(f'DROP CONSTRAINT {name}' for name in made)}")
        try:
            return self._write(http, file, database, table)
        finally:
            http.ask(f"ALTER TABLE {place} {', '.join(f'ADD {text}' for text in made.values())}")

    def _http(self, mark: str = "") -> Http:
        """The admin's statements, that read with no setting of a profile which would leave rows out."""
        resets = dict(self._session.rows(_RESETS))
        return Http(self._session, *self._session.account, resets, mark)

    def _as_user(self, user: User) -> Http:
        return Http(self._session, user.name, user.password.reveal())


def _empty(http: Http, buffer: str) -> None:
    """Hand a Buffer's rows over to its table; one over itself never has any."""
    try:
        http.ask(f"OPTIMIZE TABLE {buffer}")
    except OperationError as error:
        if error.code != _OVER_ITSELF:
            text = f"the Buffer {buffer} can't hand its rows over to its table: {error}"
            raise OperationError(
                f"{text}; mend that, or give these rows up: DROP TABLE {buffer};", error.code
            ) from None


def _ask_of(http: Http, verb: str, database: str, name: str, rest: str = "") -> None:
    """Perform a statement on a table, a view, or a dictionary, which the server does not list as such."""
    place = f"{qualified(database, name)}{rest}"
    try:
        http.ask(f"{verb} TABLE {place}")
    except OperationError as error:
        if error.code not in _NO_TABLE:
            raise
        http.ask(f"{verb} DICTIONARY {place}")


def _deleted(http: Http, database: str, name: str) -> int:
    """Rows that are deleted, but still there."""
    query = f"SELECT count() FROM {qualified(database, name)} WHERE _row_exists = 0"  # noqa: S608 - quoted
    return http.number(f"{query} SETTINGS apply_deleted_mask = 0 FORMAT TabSeparated")


def _listed(table: Table) -> str:
    return ", ".join(map(identifier, table.columns))


def _selection(database: str, table: Table) -> str:
    threads = " SETTINGS max_threads = 1" if any(part in table.engine for part in _IN_ORDER) else ""
    return f"SELECT {_listed(table)} FROM {qualified(database, table.source)}{threads} FORMAT Native"  # noqa: S608 - quoted
