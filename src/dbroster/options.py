"""The keys of connections.yaml that only one engine has, with their defaults."""

from typing import Any

from dbroster.names import did_you_mean
from dbroster.section import Section

MYSQL_PRIVILEGES = (
    "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "REFERENCES", "INDEX", "ALTER",
    "CREATE TEMPORARY TABLES", "LOCK TABLES", "EXECUTE", "CREATE VIEW", "SHOW VIEW", "CREATE ROUTINE",
    "ALTER ROUTINE", "EVENT", "TRIGGER",
)  # fmt: skip

CLICKHOUSE_PRIVILEGES = (
    "SELECT", "INSERT", "ALTER TABLE", "ALTER VIEW", "CREATE TABLE", "CREATE VIEW", "DROP TABLE", "DROP VIEW",
    "TRUNCATE", "OPTIMIZE", "SHOW", "CHECK", "UNDROP TABLE", "DICTGET",
)  # fmt: skip

# Only when asked for: a dictionary reads with the server's own access to the network and to other accounts.
CLICKHOUSE_MORE_PRIVILEGES = ("CREATE DICTIONARY", "DROP DICTIONARY")


def _uri(section: Section, key: str) -> str:
    """Return MongoDB's connection string; a password in it would be shown wherever options are."""
    uri = section.text(key, "")
    if uri and not uri.startswith(("mongodb://", "mongodb+srv://")):
        section.problem(key, "expected mongodb://HOST:PORT,.../?replicaSet=NAME")
    elif "@" in uri:
        section.problem(key, "must not contain a login: put that into `username` and `password`")
        return ""
    return uri


def _known_texts(section: Section, key: str, usual: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """Return a list of known texts, whose case matters."""
    texts = section.texts(key, usual)
    for text in texts:
        if text not in usual + more:
            section.problem(key, f"unknown: {text}{did_you_mean(text, usual + more)}")
    return texts


def _text_or_off(section: Section, key: str, default: str) -> str:
    """Return a text, or an empty one for `false`."""
    return "" if section.value(key) is False else section.text(key, default)


OPTIONS: dict[str, dict[str, Any]] = {
    "mysql": {
        "hosts": lambda section, key: section.texts(key, ("%",)),
        "auth_plugin": lambda section, key: section.choice(
            key, "auto", ("auto", "caching_sha2_password", "mysql_native_password", "ed25519")
        ),
        "privileges": lambda section, key: section.words(key, MYSQL_PRIVILEGES),
        "charset": lambda section, key: section.text(key, "utf8mb4"),
    },
    "postgresql": {
        "maintenance_database": lambda section, key: section.text(key, "postgres"),
        "connection_limit": lambda section, key: section.integer(key, -1, -1, 100_000),
        "encoding": lambda section, key: section.text(key, "UTF8"),
        "locale": lambda section, key: section.text(key, ""),
    },
    "clickhouse": {
        "cluster": lambda section, key: section.text(key, ""),
        "database_engine": lambda section, key: section.text(key, ""),
        "privileges": lambda section, key: section.words(
            key, CLICKHOUSE_PRIVILEGES + CLICKHOUSE_MORE_PRIVILEGES, CLICKHOUSE_PRIVILEGES
        ),
        "http_path": lambda section, key: section.text(key, ""),
    },
    "mongodb": {
        "uri": lambda section, key: _uri(section, key),
        "auth_database": lambda section, key: section.text(key, "admin"),
        "roles": lambda section, key: _known_texts(section, key, ("readWrite", "dbAdmin"), ("read",)),
        "mechanisms": lambda section, key: _known_texts(section, key, ("SCRAM-SHA-256",), ("SCRAM-SHA-1",)),
        "marker_collection": lambda section, key: _text_or_off(section, key, "_dbroster"),
        "allow_plaintext_transport": lambda section, key: section.flag(key, default=False),
    },
}
"""What each engine's section may hold besides the keys that all have; read as (section, key) -> value."""
