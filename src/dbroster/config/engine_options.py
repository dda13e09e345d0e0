"""The keys of connections.yaml that only one engine has, with their defaults."""

import re
from collections.abc import Mapping
from typing import Any

from dbroster.config.typed_values import Section
from dbroster.model.connection import SRV
from dbroster.model.loopback import is_address, is_loopback
from dbroster.model.names import did_you_mean

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


_HOST = re.compile(r"[^\s,:/@\[\]?#=]+")
_WITH_PORT = re.compile(r"(\[[^\[\]]+\]|[^:/@\[\]]+):(\d+)", re.ASCII)

_URI_NEVER = {
    "tls": "set the key `tls`",
    "ssl": "set the key `tls`",
    "directConnection": "changes have to find the primary",
    "loadBalanced": "changes have to find the primary",
    "readPreference": "what is read from a secondary may be old",
    "authMechanism": "it follows from `password` and `tls.cert`",
}


def host_of(section: Section, options: Mapping[str, Any]) -> str:
    """Return `host`; where `uri` stands for it, the host in there that is farthest away."""
    if "uri" not in options:
        return _one_host(section)
    host = section.value("host")
    if section.value("uri") is None:
        if host is None:
            section.problem("host", "one of host and uri must be set")
            return ""
        return _one_host(section)
    for key in ("host", "port"):
        if section.value(key) is not None:
            section.problem(key, "can't be set beside uri, which names hosts and ports itself")
    hosts = uri_hosts(options["uri"])
    return next((host for host in hosts if not is_loopback(host)), hosts[0])


def _one_host(section: Section) -> str:
    """Return `host`: one name, address or socket, without a port; drivers take more, and then choose by themselves."""
    host = section.text("host")
    if not host or host.startswith("/"):
        if not host and isinstance(section.value("host"), str):
            section.problem("host", "must not be empty")
        return host
    if is_address(host):
        return host
    if with_port := _WITH_PORT.fullmatch(host):
        section.problem(
            "host", f"must not contain a port; set host: {with_port[1].strip('[]')} and port: {with_port[2]}"
        )
    elif "://" in host:
        section.problem("host", "expected a name or an address, without a scheme like https://")
    elif not _HOST.fullmatch(host):
        section.problem("host", "expected one name, address (IPv6 without brackets) or path of a socket")
    return host


def uri_hosts(uri: str) -> list[str]:
    """Return the hosts of a connection string, without their ports."""
    hosts = uri.partition("://")[2].partition("/")[0].partition("?")[0].split(",")
    return [host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0] for host in hosts]


def _uri(section: Section, key: str) -> str:
    """Return MongoDB's connection string: nothing but hosts and what has no key of its own."""
    uri = section.text(key, "")
    if not uri:
        if section.value(key) is not None:
            section.problem(key, "must not be empty")
        return ""
    if not uri.startswith(("mongodb://", SRV)) or not all(uri_hosts(uri)):
        section.problem(key, "expected mongodb://HOST:PORT,.../?replicaSet=NAME")
    elif "@" in uri:  # it would be shown wherever options are
        section.problem(key, "must not contain a login: put that into `username` and `password`")
    elif found := next((o for o in _URI_NEVER if re.search(rf"[?&]{o}\w*=", uri, re.IGNORECASE)), None):
        section.problem(key, f"must not contain {found}: {_URI_NEVER[found]}")
    else:
        return uri
    return ""


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
