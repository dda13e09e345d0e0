"""Keys of connections.yaml that only PostgreSQL has."""

from dbroster.model.connection import EngineOptions
from dbroster.settings.keys import Number, Text

NAME_BYTES = 63
"""Longer names are cut without an error, so that a DROP would hit another object (manual, "Lexical Structure")."""


class PostgreSQLOptions(EngineOptions):
    """What a `postgresql` section may say besides the keys that all have."""

    product = "PostgreSQL"
    default_port = 5432

    maintenance_database = Text(
        "postgres", "where the admin connects to; dbroster's admin never enters a user's database"
    )
    connection_limit = Number(
        -1, -1, 100_000, "sessions per database, -1 for no limit, up to 100000; a difference is mended"
    )
    encoding = Text("UTF8", "of new databases")
    locale = Text("", "of new databases; must fit the encoding", shown="the server's")

    def refuse_user(self, name: str, /) -> str | None:
        """Refuse names that PostgreSQL reserves or would cut."""
        if name.startswith("pg_") or name in ("public", "none"):
            return f"PostgreSQL reserves the role name {name!r}"
        return _too_long("role", name)

    def refuse_database(self, name: str, /) -> str | None:
        """Refuse names that PostgreSQL would cut."""
        return _too_long("database", name)


def _too_long(kind: str, name: str) -> str | None:
    size = len(name.encode())
    too_long = f"the {kind} name {name!r} has {size} bytes; PostgreSQL cuts it at {NAME_BYTES}"
    return too_long if size > NAME_BYTES else None


OPTIONS = PostgreSQLOptions
