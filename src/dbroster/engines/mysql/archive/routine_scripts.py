"""Routines, triggers and events that the dump programs write so that they can't come back; here they are written.

Where `;;` stands in an event, the programs' search for a delimiter never ends. MySQL's writes the delimiter into a
comment at the end of a text. And they write each of them in the
character set of who has made it, of which the client knows nothing: where a byte of a character may be a backslash or a
quote, it takes a part of a text for statements.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

from dbroster.engines.mysql.session import Session, identifier, literal

MISREAD = ("big5", "cp932", "gb18030", "gbk", "sjis")
"""Character sets that a client may have, and in which a byte of a character may be a backslash."""

_ENDLESS = ";;"
# `commented`: there may be a comment at the end, behind which MySQL's program would write the delimiter
_CODE = """
    SELECT {kind} AS kind, {of}_NAME AS name, CHARACTER_SET_CLIENT AS charset,
        SUBSTRING_INDEX({text}, '\n', -1) REGEXP '--|#' AS commented
    FROM information_schema.{of}S WHERE {of}_SCHEMA = %s ORDER BY {order}"""
_KINDS = {
    "routines": {"kind": "ROUTINE_TYPE", "text": "ROUTINE_DEFINITION", "order": "ROUTINE_TYPE, ROUTINE_NAME"},
    "triggers": {"kind": "'TRIGGER'", "text": "ACTION_STATEMENT", "order": "EVENT_OBJECT_TABLE, ACTION_ORDER"},
    "events": {"kind": "'EVENT'", "text": "EVENT_DEFINITION", "order": "EVENT_NAME"},
}

_MODES = ("sql_mode", "time_zone", "collation_connection")

Made = Mapping[str, Any]
"""A row of SHOW CREATE."""


class Scripts(NamedTuple):
    """What comes before the tables and what comes behind their rows, and what the dump program has to leave out."""

    before: bytes
    behind: bytes
    skipped: Sequence[str]


def scripts(session: Session, database: str) -> Scripts:
    """Return all routines, triggers or events of a database, of each kind of which the dump program must write none."""
    parts: dict[str, bytes] = {}
    for kind, words in _KINDS.items():
        rows = session.rows(_CODE.format(of=kind[:-1].upper(), **words), database)
        misread = any(row["charset"] in MISREAD or row["commented"] for row in rows)
        if not (misread or kind == "events"):
            continue
        made = list(_made(session, database, rows))
        if misread or any(_ENDLESS in _text(each) for each in made):
            parts[kind] = script_of(made)
    before = parts.get("routines", b"") + parts.get("events", b"")
    return Scripts(before, parts.get("triggers", b""), [f"--skip-{kind}" for kind in parts])


def _made(session: Session, database: str, rows: Sequence[Made]) -> Iterator[Made]:
    for row in rows:
        name = f"{identifier(database)}.{identifier(row['name'])}"
        yield from session.rows(f"SHOW CREATE {row['kind']} {name}")


def _text(made: Made) -> str:
    return str(next(text for key, text in made.items() if key.startswith("Create ") or key == "SQL Original Statement"))


def script_of(made: Sequence[Made]) -> bytes:
    """Statements for the client program that make these again; a dump that follows sets its own modes."""
    return "".join(map(_script, made)).encode("utf-8", "surrogateescape")


def _script(made: Made) -> str:
    text = _text(made)
    delimiter = next(sign for length in count(2) if (sign := "$" * length) not in text)
    modes = (f"{name} = {literal(str(made[name]))}" for name in _MODES if name in made)
    collation = identifier(made["Database Collation"])  # that of parameters and variables without one
    return (
        f"ALTER DATABASE COLLATE {collation};\nSET NAMES utf8mb4;\nSET {', '.join(modes)};\n"
        f"DELIMITER {delimiter}\n{text}\n{delimiter}\nDELIMITER ;\n"
    )
