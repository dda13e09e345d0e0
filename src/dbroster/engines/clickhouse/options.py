"""Keys of connections.yaml that only ClickHouse has."""

from dbroster.model.connection import EngineOptions
from dbroster.settings.keys import Number, Text, Words

PRIVILEGES = (
    "SELECT", "INSERT", "ALTER TABLE", "ALTER VIEW", "CREATE TABLE", "CREATE VIEW", "DROP TABLE", "DROP VIEW",
    "TRUNCATE", "OPTIMIZE", "SHOW", "CHECK", "UNDROP TABLE", "DICTGET",
)  # fmt: skip

# Only when asked for: a dictionary reads with the server's own access to the network and to other accounts.
MORE_PRIVILEGES = ("CREATE DICTIONARY", "DROP DICTIONARY")

NAME_BYTES = 128
"""Databases are directories, and their names take room from those of their tables; the server's own limit is higher."""

_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"


class ClickHouseOptions(EngineOptions):
    """What a `clickhouse` section may say besides the keys that all have."""

    product = "ClickHouse"
    default_port = 8123

    cluster = Text(
        "",
        "name of a cluster: all its nodes are then read together and changed `ON CLUSTER`; accounts are not where the "
        "server replicates them by itself ([engines.md](engines.md#a-cluster))",
    )
    database_engine = Text(
        "",
        "engine of new databases, put into CREATE DATABASE as it stands, such as "
        "`Replicated('/clickhouse/{database}', '{shard}', '{replica}')`",
        shown="the server's",
    )
    privileges = Words(
        PRIVILEGES,
        PRIVILEGES + MORE_PRIVILEGES,
        "what users get on their databases; names of that list, or `CREATE DICTIONARY`, `DROP DICTIONARY`, which let a "
        "user read with the server's own access to the network",
        shown=f"{len(PRIVILEGES)}, see below",
    )
    native_port = Number(
        0, 0, 65535, "where clickhouse-client connects, which only `dbroster handout` tells; 0: 9000, with TLS 9440"
    )
    http_path = Text("", "path before every request, for a proxy that serves ClickHouse below one")

    def refuse_user(self, name: str, /) -> str | None:
        """Refuse names that would leave no room for a database name."""
        return _too_long("user", name)

    def refuse_database(self, name: str, /) -> str | None:
        """Refuse names that are too long for a directory with tables in it."""
        return _too_long("database", name)


def _too_long(kind: str, name: str) -> str | None:
    """File names spell every byte but letters, digits and `_` as three (%2E)."""
    encoded = name.encode()
    size = len(encoded) + 2 * len(encoded.translate(None, _PLAIN))
    if size <= NAME_BYTES:
        return None
    return f"the {kind} name {name} has {size} bytes as a file name; at ClickHouse dbroster takes up to {NAME_BYTES}"


OPTIONS = ClickHouseOptions
