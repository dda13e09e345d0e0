"""Names that PostgreSQL can't carry, and why, and how a name is written in a statement for people."""

NAME_BYTES = 63
"""Longer names are cut without an error, so that a DROP would hit another object (manual, "Lexical Structure")."""


def refuse_role(name: str) -> str | None:
    """Refuse names that PostgreSQL reserves or would cut."""
    if name.startswith("pg_") or name in ("public", "none"):
        return f"PostgreSQL reserves the role name {name!r}"
    return _too_long("role", name)


def refuse_database(name: str) -> str | None:
    """Refuse names that PostgreSQL would cut."""
    return _too_long("database", name)


def quoted(name: str) -> str:
    """Write a name as a statement for people needs it."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _too_long(kind: str, name: str) -> str | None:
    size = len(name.encode())
    return (
        f"the {kind} name {name!r} has {size} bytes; PostgreSQL cuts it at {NAME_BYTES}" if size > NAME_BYTES else None
    )
