"""What a user of a MongoDB database begins with."""

from shlex import quote

from dbroster.engines.addresses import encoded, login, place, query
from dbroster.engines.mongodb.options import MongoDBOptions
from dbroster.model.connection import Connection
from dbroster.model.way import Visitor, Way


def way(connection: Connection, visitor: Visitor) -> Way:
    """Return it for one database; `connection` is as users make it."""
    source = MongoDBOptions.of(connection).auth_database
    nameless = uri(connection, visitor.database, "", source)
    return Way.to(
        connection,
        visitor,
        uri(connection, visitor.database, login(visitor), source),
        {"mongosh": f"mongosh {quote(nameless)} --username {quote(visitor.user)}"},
    )


def uri(connection: Connection, database: str, who: str, source: str) -> str:
    """Return the address of a database; `who` logs in, whose account stands in the database `source`."""
    options = MongoDBOptions.of(connection)
    scheme, hosts, more = "mongodb://", _hosts(connection), ""
    if options.uri and not connection.handout.host:
        scheme, _, rest = options.uri.partition("://")
        scheme += "://"
        before, _, more = rest.partition("?")
        hosts = before.partition("/")[0]
    own = query({"authSource": source, **_tls(connection)})
    return f"{scheme}{who}{hosts}/{encoded(database)}{own}{f'&{more}' if more else ''}"


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
