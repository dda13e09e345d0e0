"""What is in databases that accounts and other databases depend on."""

from collections.abc import Collection
from typing import Any

from dbroster.engines.mysql.session import Session

_DEFINED = {"view": ("VIEWS", "TABLE"), "trigger": ("TRIGGERS", "TRIGGER"), "routine": ("ROUTINES", "ROUTINE"),
            "event": ("EVENTS", "EVENT")}  # fmt: skip
_REFERRING = """
    SELECT UNIQUE_CONSTRAINT_SCHEMA AS target, CONSTRAINT_SCHEMA AS db, TABLE_NAME AS name, CONSTRAINT_NAME AS rule
        FROM information_schema.REFERENTIAL_CONSTRAINTS
        WHERE UNIQUE_CONSTRAINT_SCHEMA IN %s AND CONSTRAINT_SCHEMA <> UNIQUE_CONSTRAINT_SCHEMA"""

KEYS = "tables of other databases refer to it by foreign keys ({}); drop those keys first"
"""Why a database can't be dropped: the server refuses it, or drops a part of it."""


def defined_by(session: Session, definers: Collection[str]) -> list[dict[str, Any]]:
    """Find what has one of these accounts as its DEFINER."""
    return _defined(session, "DEFINER IN %s", tuple(definers))


def defined_in(session: Session, database: str) -> list[dict[str, Any]]:
    """Find what of a database has a DEFINER."""
    return _defined(session, "{0}_SCHEMA = %s", database)


def _defined(session: Session, condition: str, value: object) -> list[dict[str, Any]]:
    parts = [
        f"SELECT '{kind}' AS kind, {prefix}_SCHEMA AS db, {prefix}_NAME AS name, DEFINER AS definer "  # noqa: S608 - constants
        f"FROM information_schema.{table} WHERE {condition.format(prefix)}"
        for kind, (table, prefix) in _DEFINED.items()
    ]
    return session.rows(" UNION ALL ".join(parts), *[value] * len(parts))


def referring(session: Session, databases: Collection[str]) -> list[dict[str, Any]]:
    """Find the foreign keys of tables of other databases that refer to these."""
    return session.rows(_REFERRING, tuple(databases)) if databases else []
