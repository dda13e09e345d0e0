"""What a user of a ClickHouse database begins with."""

from shlex import join

from dbroster.engines.addresses import login, place, query
from dbroster.engines.clickhouse.options import ClickHouseOptions
from dbroster.model.connection import Connection
from dbroster.model.way import Visitor, Way

NATIVE, NATIVE_TLS = 9000, 9440
"""Where clickhouse-client connects, unless it is said: it does not speak HTTP."""


def way(connection: Connection, visitor: Visitor) -> Way:
    """Return it for one database; `connection` is as users make it."""
    ca = connection.tls.ca
    return Way.to(
        connection,
        visitor,
        _uri(connection, visitor),
        {"clickhouse-client": _command(connection, visitor)},
        notes=(f"clickhouse-client takes {ca} only as openSSL.client.caConfig of its config.xml",) if ca else (),
    )


def _secure(connection: Connection) -> bool:
    return connection.tls.mode not in (None, "disable")


def client(connection: Connection) -> list[str]:
    """Return the words of clickhouse-client that say where the server is."""
    port = ClickHouseOptions.of(connection).native_port or (NATIVE_TLS if _secure(connection) else NATIVE)
    tls = ["--secure"] if _secure(connection) else []
    if connection.tls.mode == "require":
        tls.append("--accept-invalid-certificate")
    return ["clickhouse-client", f"--host={connection.host}", f"--port={port}", *tls]


def _command(connection: Connection, visitor: Visitor) -> str:
    return join([*client(connection), f"--user={visitor.user}", f"--database={visitor.database}", "--ask-password"])


def _uri(connection: Connection, visitor: Visitor) -> str:
    """The address for HTTP, as curl and drivers take it."""
    scheme = "https" if _secure(connection) else "http"
    path = ClickHouseOptions.of(connection).http_path.strip("/")
    where = f"{place(connection.host, connection.port)}/{f'{path}/' if path else ''}"
    return f"{scheme}://{login(visitor)}{where}{query({'database': visitor.database})}"
