"""Archives of ClickHouse databases: a zip file with the CREATE statements and each table's rows in the Native format.

BACKUP would need a place in the server's configuration; this needs nothing but SELECT. Rows go from the server into
the file, and back, without being held in memory. A materialized view's own rows are those that it shows; columns that
are MATERIALIZED are computed again.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any, ClassVar
from urllib.parse import quote, urlencode

import urllib3

from dbroster.archive import Archive, Draft
from dbroster.config import Connection
from dbroster.engines import tls
from dbroster.engines.archiver import Archiver
from dbroster.engines.clickhouse_facts import Facts
from dbroster.engines.clickhouse_grants import read_grants
from dbroster.engines.clickhouse_session import Session, identifier, literal
from dbroster.errors import ConnectError, OperationError
from dbroster.model import User
from dbroster.secret import scrub

_TABLES = "tables.json"
_CHUNK = 1024 * 1024
_TIMEOUT = 3600  # seconds without a byte; the server sends nothing before a table is read
_SHOWN = 400  # characters of a server's error

_DESCRIBED = """
    SELECT name, engine, create_table_query, toUInt8(has_own_data), concat('.inner_id.', toString(uuid))
    FROM system.tables WHERE database = {database} AND NOT is_temporary ORDER BY name"""
_COLUMNS = """
    SELECT table, name FROM system.columns
    WHERE database = {database} AND default_kind IN ('', 'DEFAULT') ORDER BY table, position"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view: how it is made, and which columns of it are archived; none if it holds no rows of its own."""

    name: str
    statement: str
    is_view: bool
    columns: tuple[str, ...] = ()


class ClickHouseArchiver(Archiver):
    """Archives and restores over HTTP; no program and no server setting is needed."""

    extension: ClassVar[str] = "zip"
    method: ClassVar[str] = "CREATE statements and Native files"

    def __init__(self, connection: Connection, session: Session, facts: Facts) -> None:
        super().__init__(connection)
        self._session = session
        self._facts = facts

    def missing(self) -> list[str]:
        """A query that can't be ended may go on writing; and on a cluster one node's rows are not all.

        So nothing is archived on a cluster at all.
        """
        if self.connection.options.get("cluster"):
            return ["with `cluster` set, one node holds only a part of the rows: archive with the cluster's own BACKUP"]
        return self._facts.missing_to_end_queries()

    def close(self, user: str, database: str) -> None:
        """Take all privileges of the roster's users on the database; its comment goes on saying whose it is."""
        holders = read_grants(self._session, self.connection.roster, [database], few=True).on(database)
        for name in holders:
            self._facts.revoke(name, database)
        for name in {user, *holders}:
            self._session.run(f"KILL QUERY WHERE user = {literal(name)} SYNC")

    def dump(self, user: str, database: str, draft: Draft) -> None:  # noqa: ARG002 - only PostgreSQL's needs it
        """Write how everything is made, then the rows of each table, counted again by the server."""
        tables = _read_tables(self._session, database)
        connection = self.connection
        http = _Http(self._session.url, connection, connection.username, _text(connection.password))
        with zipfile.ZipFile(draft.file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            content = {"database": database, "tables": [asdict(table) for table in tables]}
            file.writestr(f"{database}/{_TABLES}", json.dumps(content, indent=1, ensure_ascii=False))
            for table in (table for table in tables if table.columns):
                with file.open(_member(database, table.name), "w", force_zip64=True) as target:
                    http.read(_selected(database, table, _listed(table), "Native"), target)
                draft.counts[table.name] = int(http.ask(_selected(database, table, "count()", "TabSeparated")))
        draft.file.flush()
        with zipfile.ZipFile(draft.path) as written:
            if damaged := written.testzip():
                raise OperationError(f"the archive of {database} can't be read again: {damaged}")

    def is_empty(self, user: User, database: str) -> bool:
        """Count tables, as the user: servers answer 0 to EXISTS over system.tables (ClickHouse #86415)."""
        query = f"SELECT count() FROM system.tables WHERE database = {literal(database)}"  # noqa: S608 - quoted
        return self._as_user(user).ask(f"{query} FORMAT TabSeparated").strip() == b"0"

    def restore(self, archive: Archive, user: User, database: str) -> None:
        """Make tables with their rows, then views one after the other with theirs; all as the user.

        In this order no view sees the rows that are brought back, and takes them in a second time.
        """
        if archive.manifest.database != database:
            text = f"the statements in it name the database {archive.manifest.database}, so it can't become {database}"
            raise OperationError(text)
        http = self._as_user(user)
        try:
            with zipfile.ZipFile(archive.path) as file:
                content = json.loads(file.read(f"{database}/{_TABLES}"))
                tables = [Table(**{**table, "columns": tuple(table["columns"])}) for table in content["tables"]]
                for views in (False, True):
                    self._make(http, file, database, [table for table in tables if table.is_view is views])
        except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError) as error:
            raise OperationError(f"{archive.path} can't be read: {type(error).__name__}") from None
        for table in tables:
            number = archive.manifest.counts.get(table.name, 0)
            there = int(http.ask(_selected(database, table, "count()", "TabSeparated"))) if table.columns else 0
            if there != number:
                raise OperationError(f"{database}.{table.name} has {there} rows now, but {number} in the archive")

    def _make(self, http: "_Http", file: zipfile.ZipFile, database: str, tables: list[Table]) -> None:
        """Make what can be made, again and again: one may need another that comes later."""
        waiting = list(tables)
        while waiting:
            left, failure = [], None
            for table in waiting:
                try:
                    http.ask(table.statement)
                except OperationError as error:
                    left.append(table)
                    failure = error
                    continue
                if table.columns:
                    with file.open(_member(database, table.name)) as rows:
                        http.write(f"INSERT INTO {_place(database, table)} ({_listed(table)}) FORMAT Native", rows)
            if failure and len(left) == len(waiting):
                raise failure
            waiting = left

    def _as_user(self, user: User) -> "_Http":
        return _Http(self._session.url, self.connection, user.name, user.password.reveal())


def _text(password: Any) -> str:
    return password.reveal() if password else ""


def _member(database: str, table: str) -> str:
    return f"{database}/{quote(table, safe='')}.native"


def _place(database: str, table: Table) -> str:
    return f"{identifier(database)}.{identifier(table.name)}"


def _listed(table: Table) -> str:
    return ", ".join(map(identifier, table.columns))


def _selected(database: str, table: Table, what: str, form: str) -> str:
    return f"SELECT {what} FROM {_place(database, table)} FORMAT {form}"  # noqa: S608 - quoted


def _read_tables(session: Session, database: str) -> list[Table]:
    """Tables and views; a view's inner table is left out, since the view shows its rows and makes it again."""
    columns: dict[str, list[str]] = {}
    for table, column in session.rows(_COLUMNS, database=database):
        columns.setdefault(table, []).append(column)
    found = session.rows(_DESCRIBED, database=database)
    names = {name for name, *_ in found}
    inner = {name: _inner(name, by_uuid) & names for name, engine, _, _, by_uuid in found if engine.endswith("View")}
    left_out = set().union(*inner.values())
    return [
        Table(
            name,
            statement,
            is_view=name in inner,
            columns=tuple(columns.get(name, ())) if own_data or inner.get(name) else (),
        )
        for name, _, statement, own_data, _ in found
        if name not in left_out
    ]


def _inner(view: str, by_uuid: str) -> set[str]:
    """Names that the table with a materialized view's own rows may have, depending on the database's engine."""
    return {f".inner.{view}", by_uuid}


class _Http:
    """Statements of one account over HTTP, with rows that go by in pieces."""

    def __init__(self, url: str, connection: Connection, user: str, password: str) -> None:
        self._url, self._secrets = url, [password]
        self._headers = urllib3.make_headers(basic_auth=f"{user}:{password}".encode().decode("latin-1"))
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=connection.connect_timeout, read=_TIMEOUT),
            retries=False,
            ssl_context=tls.context(connection.tls),
        )

    def ask(self, statement: str) -> bytes:
        """Perform a statement and return the answer."""
        return self._send(statement.encode(), {}).data

    def read(self, statement: str, target: IO[bytes]) -> None:
        """Write the answer of a query into a file; the server sends it when it is sure of it."""
        answer = self._send(statement.encode(), {"wait_end_of_query": "1"}, preload_content=False)
        try:
            for chunk in answer.stream(_CHUNK, decode_content=True):
                target.write(chunk)
        except urllib3.exceptions.HTTPError as error:
            raise ConnectError(f"the connection to ClickHouse broke: {type(error).__name__}") from None
        finally:
            answer.release_conn()

    def write(self, statement: str, source: IO[bytes]) -> None:
        """Insert rows from a file. An empty one is none: the server would refuse it."""
        first = source.read(_CHUNK)
        if first:
            self._send(_chunks(first, source), {"query": statement})

    def _send(self, body: Any, parameters: Mapping[str, str], **how: Any) -> urllib3.BaseHTTPResponse:
        url = f"{self._url}?{urlencode(parameters)}"
        try:
            answer = self._pool.request("POST", url, body=body, headers=self._headers, **how)
            if answer.status != 200:
                text = scrub(answer.data.decode(errors="replace"), self._secrets)[:_SHOWN]
                raise OperationError(f"ClickHouse has refused it: {' '.join(text.split())}", str(answer.status))
        except urllib3.exceptions.HTTPError as error:
            raise ConnectError(f"no answer from ClickHouse: {type(error).__name__}") from None
        return answer


def _chunks(first: bytes, source: IO[bytes]) -> Iterator[bytes]:
    yield first
    while chunk := source.read(_CHUNK):
        yield chunk
