"""What is in a MySQL or MariaDB database that decides how it is archived. Nothing of a user's is run for that."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

from dbroster.engines.mysql.archive.routine_scripts import MISREAD
from dbroster.engines.mysql.removal import dependencies
from dbroster.engines.mysql.session import Session, identifier
from dbroster.errors import ConnectError, OperationError

BLOCK = 1024
MAX_PACKET = 1024 * 1024 * 1024
"""Bytes; max_allowed_packet is a multiple of the former, and at most the latter."""

_CHUNK = 1024 * 1024
_INSERT = re.compile(rb"INSERT INTO (`(?:[^`\n]|``)*`?)")
"""The name as far as it stands in the first line."""
_UNREADABLE = frozenset({"1168", "1356", "1449", "1814"})
"""A MERGE table or a view whose tables, functions or definer are gone, and a table whose tablespace was discarded."""

_UNREADABLE_VIEW = frozenset({"1142", "1143", "1370", "1792"})
"""A view that does more than read as soon as it is opened."""

_ALL_OF_UNICODE = ("utf8mb4", "utf8mb3", "utf8", "latin1")
"""Character sets of which nothing is lost on the way through UTF-8."""

_ELSEWHERE = frozenset({"FEDERATED", "SPIDER"})
"""Engines whose rows are on another server, which may be silent: no dump program writes them."""

_WITH_ROWS = ("BASE TABLE", "SYSTEM VERSIONED")
_OF_OTHERS = frozenset({"MRG_MYISAM", "OQGRAPH"})
"""Engines whose rows are those of other tables of the database."""

_TABLES = """
    SELECT TABLE_NAME AS name, TABLE_TYPE AS type, ENGINE AS engine FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = %s"""
_BY_TRANSACTIONS = """
    SELECT 1 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s
    AND GENERATION_EXPRESSION = 'ROW START' AND DATA_TYPE = 'bigint' LIMIT 1"""
_VIEWS = (
    "SELECT TABLE_NAME AS name, CHARACTER_SET_CLIENT AS charset FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s"
)
_TEXTS = """
    SELECT c.TABLE_NAME AS name FROM information_schema.COLUMNS c JOIN information_schema.TABLES t
    USING (TABLE_SCHEMA, TABLE_NAME) WHERE c.TABLE_SCHEMA = %s AND TABLE_TYPE <> 'VIEW'
    AND CHARACTER_SET_NAME IS NOT NULL AND CHARACTER_SET_NAME NOT IN %s"""
_SEQUENCES = f"{_TABLES} AND TABLE_TYPE = 'SEQUENCE'"
_COLUMNS = """
    SELECT TABLE_NAME AS name, COLUMN_NAME AS col, DATA_TYPE AS type, GENERATION_EXPRESSION AS made,
        CHARACTER_SET_NAME IS NOT NULL AND CHARACTER_SET_NAME NOT IN %s AS odd
    FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME IN (
        SELECT TABLE_NAME FROM information_schema.TABLES
        JOIN information_schema.COLUMNS USING (TABLE_SCHEMA, TABLE_NAME)
        WHERE TABLE_SCHEMA = %s AND TABLE_TYPE <> 'VIEW' AND DATA_TYPE IN ('float', 'json'))
    ORDER BY TABLE_NAME, ORDINAL_POSITION"""
_DATES = ("row_start", "row_end")
_POWERFUL = """
    SELECT ROUTINE_SCHEMA AS db, ROUTINE_NAME AS name FROM information_schema.ROUTINES
    WHERE ROUTINE_TYPE <> 'PROCEDURE' AND SECURITY_TYPE = 'INVOKER'
    AND ROUTINE_SCHEMA NOT IN ('sys', 'mysql', 'performance_schema') LIMIT 1"""
_CHARACTER_SET = """
    SELECT DEFAULT_CHARACTER_SET_NAME AS charset, DEFAULT_COLLATION_NAME AS collation
    FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s"""


Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Contents:
    """What of a database needs care.

    `broken` says why a table or view can't be read, `definitions` how it was made, as far as the server tells.
    `foreign`: objects with the account that has defined them, when that is not the database's user. `filled`: tables
    that have rows of their own, with their engines.
    """

    database: str
    broken: Mapping[str, str]
    definitions: Mapping[str, str]
    versioned: Sequence[str]
    by_transactions: Sequence[str]
    foreign: Sequence[tuple[str, str]]
    filled: Mapping[str, str]
    tables: Sequence[str]
    views: Sequence[str]


@dataclass(frozen=True, slots=True)
class Special:
    """Tables that a dump program would write so that something is lost.

    `sequences`: what other tables may need. `texts`: what Unicode does not know may be in their texts. `exactly`: those
    with numbers that the server shows with few digits, and the condition that makes the dump program select all.
    """

    sequences: Sequence[str]
    texts: Sequence[str]
    exactly: Mapping[str, str]


@contextmanager
def only_reading(session: Session) -> Iterator[None]:
    """Let nothing be written meanwhile, whatever a view runs when it is opened."""
    session.rows("START TRANSACTION READ ONLY")
    try:
        yield
    finally:
        with suppress(ConnectError):  # it has ended the transaction, and is told by what has broken the connection
            session.rows("ROLLBACK")


def powerful(session: Session) -> str | None:
    """Name a function of a user's that works with the rights of whoever opens a view, if there is one."""
    found = session.rows(_POWERFUL)
    return f"{found[0]['db']}.{found[0]['name']}" if found else None


def look(session: Session, database: str, *, views: bool = True) -> Contents:
    """Look at each table and view once. Raises OperationError for what can't be read and is not known to be broken."""
    with only_reading(session):
        return _look(session, database, views=views)


def _look(session: Session, database: str, *, views: bool) -> Contents:
    tables = session.rows(_TABLES, database)
    misread = {row["name"] for row in session.rows(_VIEWS, database) if row["charset"] in MISREAD}
    broken, definitions, filled = {}, {}, {}
    for row in tables:
        name, view = row["name"], row["type"] == "VIEW"
        if view and not views:
            continue
        elsewhere = row["engine"] in _ELSEWHERE
        reason: str | None
        if elsewhere:
            reason = f"its rows are elsewhere, as those of any table of {row['engine']}"
        elif name in misread:
            reason = "it was made in a character set that the dump programs misread"
        else:
            reason, has_rows = _read(session, database, name, view=view)
            if has_rows and row["type"] in _WITH_ROWS and row["engine"].upper() not in _OF_OTHERS:
                filled[name] = row["engine"]
        if reason:
            broken[name] = reason
            definitions[name] = "" if elsewhere else _definition(session, database, name)
    versioned = [row["name"] for row in tables if row["type"] == "SYSTEM VERSIONED"]
    by_transactions = [name for name in versioned if session.rows(_BY_TRANSACTIONS, database, name)]
    foreign = [
        (f"the {row['kind']} {row['name']}", row["definer"])
        for row in dependencies.defined_in(session, database)
        if row["name"] not in broken
        and not database.lower().startswith(row["definer"].rpartition("@")[0].lower() + "_")
    ]
    by_kind = [[row["name"] for row in tables if (row["type"] == "VIEW") is views] for views in (False, True)]
    return Contents(database, broken, definitions, versioned, by_transactions, foreign, filled, *by_kind)


def special(session: Session, database: str, with_history: Collection[str]) -> Special:
    """Look for the tables that need more care; `with_history` are those whose history is written, too."""
    with only_reading(session):
        columns: defaultdict[str, list[Row]] = defaultdict(list)
        for row in session.rows(_COLUMNS, _ALL_OF_UNICODE, database, database):
            columns[row["name"]].append(row)
        exactly = {name: _exactly(name, rows, history=name in with_history) for name, rows in columns.items()}
        texts = {row["name"] for row in session.rows(_TEXTS, database, _ALL_OF_UNICODE)}
        return Special(
            [row["name"] for row in session.rows(_SEQUENCES, database)],
            sorted(texts - {name for name, rows in columns.items() if _has_json(rows)}),
            {name: condition for name, condition in exactly.items() if condition},
        )


def _has_json(rows: Sequence[Row]) -> bool:
    """MySQL takes no JSON back in the bytes of a dump."""
    return any(row["type"] == "json" for row in rows)


def _exactly(table: str, rows: Sequence[Row], *, history: bool) -> str | None:
    """Make the dump program select all that is in a table, if it would not do so by itself.

    As the sum with a DOUBLE, in a union, a FLOAT is written with all its digits, and not with six. With JSON in the
    table, texts that may be no Unicode are selected as bytes.
    """
    bytes_too = _has_json(rows)

    def selected(row: Row) -> str:
        name = identifier(row["col"])
        if row["type"] == "float":
            return f"{name} + 0e0"
        return f"CAST({name} AS BINARY)" if bytes_too and row["odd"] else name

    listed = [selected(row) for row in rows]
    if listed == [identifier(row["col"]) for row in rows]:
        return None
    if history and not any(row["made"] == "ROW START" for row in rows):  # else it is a column like others
        listed += _DATES
    return (
        f"0 UNION ALL SELECT {', '.join(listed)} FROM {identifier(table)}"  # noqa: S608 - quoted
        f"{' FOR SYSTEM_TIME ALL' * history}"
    )


def _read(session: Session, database: str, name: str, *, view: bool) -> tuple[str | None, bool]:
    """Read one row of a table, and the columns of a view: to read its rows would run its user's functions.

    Return why that can't be done, and whether the table has rows.
    """
    place = f"{identifier(database)}.{identifier(name)}"
    try:
        found = session.rows(f"SHOW FIELDS FROM {place}" if view else f"SELECT 1 FROM {place} LIMIT 1")  # noqa: S608
    except OperationError as error:
        if error.code in _UNREADABLE or (view and error.code in _UNREADABLE_VIEW):
            return str(error), False
        raise
    return None, bool(found)


def _definition(session: Session, database: str, name: str) -> str:
    try:
        (row,) = session.rows(f"SHOW CREATE TABLE {identifier(database)}.{identifier(name)}")
    except OperationError:
        return ""
    return str(row.get("Create View") or row.get("Create Table") or "")


def character_set(session: Session, database: str) -> list[str]:
    """The character set and the collation of a database."""
    (row,) = session.rows(_CHARACTER_SET, database)
    return [row["charset"], row["collation"]]


def set_character_set(session: Session, database: str, wanted: Sequence[str] | None) -> None:
    """Give a database the character set and the collation that it had."""
    if wanted and character_set(session, database) != list(wanted):
        charset, collation = map(identifier, wanted)
        session.run(f"ALTER DATABASE {identifier(database)} CHARACTER SET {charset} COLLATE {collation}")


def longest_statement(file: IO[bytes]) -> int:
    """Bytes of the longest statement of a dump. In its texts a line end is written as `\\n`, so `;` ends statements."""
    longest = start = at = 0
    last = b""
    while chunk := file.read(_CHUNK):
        data, base = last + chunk, at - len(last)
        found = data.find(b";\n")
        while found >= 0:
            longest, start = max(longest, base + found - start), base + found + 2
            found = data.find(b";\n", found + 2)
        at += len(chunk)
        last = chunk[-1:]
    return max(longest, at - start)


def without_rows(file: IO[bytes], filled: Collection[str]) -> list[str]:
    """Return the tables that have rows, of which a dump has none: some engines' rows no program writes."""
    file.seek(0)
    written = {found[1] for line in file if (found := _INSERT.match(line))}
    return sorted(name for name in filled if _first_line(identifier(name)) not in written)


def _first_line(quoted: str) -> bytes:
    return quoted.encode().split(b"\n")[0]
