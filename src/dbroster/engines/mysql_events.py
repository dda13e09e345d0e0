"""Events that the dump programs can't write: where `;;` stands in one, their search for a delimiter never ends."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from dbroster.engines.mysql_session import Session, identifier, literal

_ENDLESS = ";;"
_NAMES = "SELECT EVENT_NAME AS name FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s ORDER BY EVENT_NAME"

Event = Mapping[str, Any]
"""A row of SHOW CREATE EVENT."""


def unwritten_events(session: Session, database: str) -> list[Event]:
    """Return all events of a database if the dump program must not write them; else none."""
    names = [row["name"] for row in session.rows(_NAMES, database)]
    events: list[Event] = [
        row for name in names for row in session.rows(f"SHOW CREATE EVENT {identifier(database)}.{identifier(name)}")
    ]
    return events if any(_ENDLESS in event["Create Event"] for event in events) else []


def script_of(events: Sequence[Event]) -> bytes:
    """Statements for the client program that make these events; a dump that follows sets its own modes."""
    return "".join(map(_script, events)).encode("utf-8", "surrogateescape")


def _script(event: Event) -> str:
    text = str(event["Create Event"])
    delimiter = next(sign for length in count(2) if (sign := "$" * length) not in text)
    modes = {name: literal(str(event[name])) for name in ("sql_mode", "time_zone", "collation_connection")}
    return (
        f"SET NAMES utf8mb4;\nSET {', '.join(f'{name} = {value}' for name, value in modes.items())};\n"
        f"DELIMITER {delimiter}\n{text}\n{delimiter}\nDELIMITER ;\n"
    )
