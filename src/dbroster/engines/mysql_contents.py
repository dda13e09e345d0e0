"""What is in a MySQL or MariaDB database that decides how it is archived. Nothing of a user's is run for that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from dbroster.engines.mysql_session import Session, identifier
from dbroster.errors import OperationError

BLOCK = 1024
MAX_PACKET = 1024 * 1024 * 1024
"""Bytes; max_allowed_packet is a multiple of the former, and at most the latter."""

_CHUNK = 1024 * 1024
_UNREADABLE = frozenset({"1168", "1356", "1449", "1814"})
"""A MERGE table or a view whose tables, functions or definer are gone, and a table whose tablespace was discarded."""

_TABLES = "SELECT TABLE_NAME AS name, TABLE_TYPE AS type FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s"
_BY_TRANSACTIONS = """
    SELECT DISTINCT TABLE_NAME AS name FROM information_schema.COLUMNS
    WHERE TABLE_SCHEMA = %s AND GENERATION_EXPRESSION = 'ROW START' AND DATA_TYPE = 'bigint'"""
_DEFINERS = """
    SELECT 'view' AS kind, TABLE_NAME AS name, DEFINER AS definer FROM information_schema.VIEWS
        WHERE TABLE_SCHEMA = %s
    UNION ALL SELECT 'trigger', TRIGGER_NAME, DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s
    UNION ALL SELECT 'routine', ROUTINE_NAME, DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s
    UNION ALL SELECT 'event', EVENT_NAME, DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s"""
_CHARACTER_SET = """
    SELECT DEFAULT_CHARACTER_SET_NAME AS charset, DEFAULT_COLLATION_NAME AS collation
    FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s"""


@dataclass(frozen=True, slots=True)
class Contents:
    """What of a database needs care.

    `broken` says why a table or view can't be read, `definitions` how it was made, as far as the server tells.
    `foreign`: objects with the account that has defined them, when that is not the database's user.
    """

    broken: Mapping[str, str]
    definitions: Mapping[str, str]
    versioned: Sequence[str]
    by_transactions: Sequence[str]
    foreign: Sequence[tuple[str, str]]


def look(session: Session, database: str) -> Contents:
    """Look at each table and view once. Raises OperationError for what can't be read and is not known to be broken."""
    tables = session.rows(_TABLES, database)
    broken, definitions = {}, {}
    for row in tables:
        if reason := _unreadable(session, database, row["name"], view=row["type"] == "VIEW"):
            broken[row["name"]] = reason
            definitions[row["name"]] = _definition(session, database, row["name"])
    versioned = [row["name"] for row in tables if row["type"] == "SYSTEM VERSIONED"]
    by_transactions = [row["name"] for row in session.rows(_BY_TRANSACTIONS, database)] if versioned else []
    defined = session.rows(_DEFINERS, database, database, database, database)
    foreign = [
        (f"the {row['kind']} {row['name']}", row["definer"])
        for row in defined
        if row["name"] not in broken and not database.startswith(row["definer"].rpartition("@")[0] + "_")
    ]
    return Contents(broken, definitions, versioned, by_transactions, foreign)


def _unreadable(session: Session, database: str, name: str, *, view: bool) -> str | None:
    """Read one row of a table, and the columns of a view: to read its rows would run its user's functions."""
    place = f"{identifier(database)}.{identifier(name)}"
    try:
        session.rows(f"SHOW FIELDS FROM {place}" if view else f"SELECT 1 FROM {place} LIMIT 1")  # noqa: S608 - quoted
    except OperationError as error:
        if error.code in _UNREADABLE:
            return str(error)
        raise
    return None


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
