"""What a user of a PostgreSQL database begins with."""

import re
from shlex import quote

from dbroster.engines.addresses import encoded, login, place, query
from dbroster.model.connection import Connection
from dbroster.model.way import ClientFile, Visitor, Way


def way(connection: Connection, visitor: Visitor) -> Way:
    """Return it for one database; `connection` is as users make it."""
    command = f"psql {quote(_uri(connection, visitor._replace(password=None)))}"
    place_in_file = (connection.host, str(connection.port), visitor.database, visitor.user, visitor.told)
    line = ":".join(re.sub(r"([\\:])", r"\\\1", field) for field in place_in_file)
    return Way.to(
        connection,
        visitor,
        _uri(connection, visitor),
        {"psql": command},
        ClientFile(".pgpass", f"{line}\n"),
        ("sslrootcert=system needs libpq 16 or newer",) if _trusting(connection) else (),
    )


def _trusting(connection: Connection) -> bool:
    """Whether the certificate is checked against the authorities that the user's machine trusts."""
    return connection.tls.mode == "verify-full" and not connection.tls.ca


def _uri(connection: Connection, visitor: Visitor) -> str:
    socket = connection.host.startswith("/")
    where = "" if socket else place(connection.host, connection.port)
    options = {"host": connection.host, "port": str(connection.port)} if socket else {}
    tls = {
        "sslmode": connection.tls.mode,
        "sslrootcert": connection.tls.ca or ("system" if _trusting(connection) else None),
    }
    return f"postgresql://{login(visitor)}{where}/{encoded(visitor.database)}{query({**options, **tls})}"
