"""Keys of connections.yaml that only PostgreSQL has."""

from dbroster.model.connection import EngineOptions
from dbroster.settings.keys import Number, Text


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


OPTIONS = PostgreSQLOptions
