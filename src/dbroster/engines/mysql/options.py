"""Keys of connections.yaml that only MySQL and MariaDB have."""

from dbroster.model.connection import EngineOptions
from dbroster.settings.keys import Choice, Text, Texts, Words

PRIVILEGES = (
    "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "REFERENCES", "INDEX", "ALTER",
    "CREATE TEMPORARY TABLES", "LOCK TABLES", "EXECUTE", "CREATE VIEW", "SHOW VIEW", "CREATE ROUTINE",
    "ALTER ROUTINE", "EVENT", "TRIGGER",
)  # fmt: skip


class MySQLOptions(EngineOptions):
    """What a `mysql` section may say besides the keys that all have."""

    product = "MySQL and MariaDB"
    default_port = 3306

    hosts = Texts(
        ("%",),
        "each user gets one account per host, with the same password and grants. A host that is taken out: those "
        "accounts are dropped, and each counts as one removal",
    )
    auth_plugin = Choice(
        "auto",
        ("auto", "caching_sha2_password", "mysql_native_password", "ed25519"),
        "`caching_sha2_password`, `mysql_native_password`, `ed25519`; `auto` is `caching_sha2_password` on MySQL and "
        "`mysql_native_password` on MariaDB. Used when a password is set; accounts whose password is right are not "
        "converted",
    )
    privileges = Words(
        PRIVILEGES,
        PRIVILEGES,
        "what users get on their databases; names of that list. Leave `CREATE`, `ALTER` or `DROP` in it, or databases "
        "can't be proven to be a user's and are never dropped",
        shown=f"{len(PRIVILEGES)}, see below",
    )
    charset = Text("utf8mb4", "of new databases")


OPTIONS = MySQLOptions
