"""What a user of a MongoDB database begins with."""

from shlex import quote

from dbroster.engines.addresses import encoded, login, place, query
from dbroster.engines.mongodb.options import MongoDBOptions
from dbroster.model.connection import Connection
from dbroster.model.way import Visitor, Way


def way(connection: Connection, visitor: Visitor) -> Way:
    """Return it for one database; `connection` is as users make it."""
    nameless = _uri(connection, visitor, "")
    return Way(
        connection.engine,
        connection.server,
        connection.host,
        connection.port,
        visitor,
        _uri(connection, visitor, login(visitor)),
        {"mongosh": f"mongosh {quote(nameless)} --username {quote(visitor.user)}"},
    )


def _uri(connection: Connection, visitor: Visitor, who: str) -> str:
    options = MongoDBOptions.of(connection)
    scheme, hosts, more = "mongodb://", _hosts(connection), ""
    if options.uri and not connection.handout.host:
        scheme, _, rest = options.uri.partition("://")
        scheme += "://"
        before, _, more = rest.partition("?")
        hosts = before.partition("/")[0]
    own = query({"authSource": options.auth_database, **_tls(connection)})
    return f"{scheme}{who}{hosts}/{encoded(visitor.database)}{own}{f'&{more}' if more else ''}"


def _hosts(connection: Connection) -> str:
    socket = connection.host.startswith("/")
    return encoded(connection.host) if socket else place(connection.host, connection.port)


def _tls(connection: Connection) -> dict[str, str | None]:
    mode = connection.tls.mode
    if mode in (None, "disable"):
        return {"tls": "false" if mode and connection.options.brings_tls else None}
    return {
        "tls": "true",
        "tlsCAFile": connection.tls.ca,
        "tlsAllowInvalidCertificates": "true" if mode == "require" else None,
        "tlsAllowInvalidHostnames": "true" if mode == "verify-ca" else None,
    }
