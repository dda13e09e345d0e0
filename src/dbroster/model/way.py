"""How a user reaches one database: what `dbroster handout` tells."""

from collections.abc import Mapping
from typing import NamedTuple, Self

from dbroster.model.connection import Connection, Tls
from dbroster.passwords.secret import Secret

PLACEHOLDER = "PASSWORD"
"""What stands in a client's file for a password that is not told."""


class Visitor(NamedTuple):
    """Who wants to reach which database of a server; without a password, texts are made that ask for it."""

    user: str
    database: str
    password: Secret | None = None

    @property
    def told(self) -> str:
        """The password for a file, or what stands for it."""
        return self.password.reveal() if self.password else PLACEHOLDER


class ClientFile(NamedTuple):
    """A part of a client's own file: `name` is that of the file in the home directory."""

    name: str
    text: str


class Way(NamedTuple):
    """How a user reaches one database. `commands` ask for the password, or find it in the client's file."""

    engine: str
    server: str
    host: str
    port: int
    visitor: Visitor
    uri: str
    commands: Mapping[str, str]
    file: ClientFile | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def to(
        cls,
        connection: Connection,
        visitor: Visitor,
        uri: str,
        commands: Mapping[str, str],
        file: ClientFile | None = None,
        notes: tuple[str, ...] = (),
    ) -> Self:
        """Make one to the server of a connection."""
        where = connection.engine, connection.server, connection.host, connection.port
        return cls(*where, visitor, uri, commands, file, notes)


def public(connection: Connection) -> Connection:
    """Return the connection as users make it: they may reach the server by another name, and keep the CA elsewhere.

    Where there is a CA, the server's certificate is checked, also if the admin comes through a socket without TLS.
    """
    other, tls = connection.handout, connection.tls
    mode = tls.mode or ("verify-full" if other.ca else None)
    return connection._replace(
        host=other.host or connection.host,
        port=other.port or connection.port,
        tls=Tls(mode, other.ca or tls.ca),
    )
