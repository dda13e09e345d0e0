"""The statements that make MySQL's and MariaDB's admin."""

import socket
from collections.abc import Sequence
from contextlib import suppress
from shlex import quote

from dbroster.engines.mysql.access.admin_privileges import (
    FINE_TABLES,
    MARIADB,
    MYSQL,
    READS,
    Held,
    Wording,
    missing_grants,
    template_pattern,
)
from dbroster.engines.mysql.options import MySQLOptions
from dbroster.engines.mysql.session import account, identifier, literal
from dbroster.model.admin_script import AdminScript
from dbroster.model.connection import Connection

_PATIENCE = 3.0
_PROTOCOL = 10


def assumed(connection: Connection, templates: Sequence[str], password: str, called: str) -> AdminScript:
    """The script for a server that dbroster can't log in to: by its greeting, or by what the product was called."""
    version = _greeting(connection)
    mariadb = "MariaDB" in version or (not version and called != "mysql")
    wording = MARIADB if mariadb else MYSQL
    number = version.removeprefix("5.5.5-").partition("-")[0] or wording.newest  # MariaDB's prefix for old clients
    return script(connection, templates, password, wording, number, (connection.username, "%"))


def _greeting(connection: Connection) -> str:
    """Return the version that the server tells before any login; nothing where it tells none."""
    local = connection.host.startswith("/")
    with suppress(OSError), socket.socket(socket.AF_UNIX) if local else _dial(connection) as way:
        if local:
            way.settimeout(_PATIENCE)
            way.connect(connection.host)
        data = way.recv(128)
        if data[4:5] == bytes([_PROTOCOL]):
            return data[5:].partition(b"\0")[0].decode("ascii", "replace")
    return ""


def _dial(connection: Connection) -> socket.socket:
    return socket.create_connection((connection.host, connection.port), _PATIENCE)


def script(
    connection: Connection,
    templates: Sequence[str],
    password: str,
    wording: Wording,
    version: str,
    admin: tuple[str, str],
    *,
    literally: bool = False,
) -> AdminScript:
    """The script for a server; `literally`: patterns of database names don't count there (partial_revokes)."""
    options, who = MySQLOptions.of(connection), account(*admin)
    readable = [f"GRANT SELECT ON mysql.{table} TO {who};" for table in wording.tables]
    granted = missing_grants(Held(), who, options.privileges, templates, literal=literally)
    more = {
        "end the sessions of users who leave": [f"GRANT PROCESS, {wording.ending} ON *.* TO {who};"],
        "see grants on single tables and routines": [f"GRANT SELECT ON mysql.{name} TO {who};" for name in FINE_TABLES],
    }
    if connection.removals.archive_dir:
        more["archive databases before they are dropped"] = [
            f"GRANT {wording.routines} TO {who};",
            *_reading(options, templates, who, literally=literally),
        ]
    encrypted = " REQUIRE SSL" if connection.tls.mode not in (None, "disable") else ""
    return AdminScript(
        f"{wording.product} {version}",
        f"CREATE USER IF NOT EXISTS {who} IDENTIFIED BY {literal(password)}{encrypted};",
        [*readable, *granted],
        more,
        f"{wording.client} {_address(connection)} -u root -p",
        local=_without_password(connection, wording.client),
    )


def _reading(options: MySQLOptions, templates: Sequence[str], who: str, *, literally: bool) -> list[str]:
    """What an archive reads by, and users may lack by `privileges`."""
    lacking = ", ".join(sorted(READS - set(options.privileges)))
    places = ["*"] if literally else [identifier(template_pattern(template)) for template in templates]
    return [f"GRANT {lacking} ON {place}.* TO {who} WITH GRANT OPTION;" for place in places] if lacking else []


def _without_password(connection: Connection, client: str) -> str:
    """Return what root of the machine types, where the client finds this very server by itself."""
    if connection.host.startswith("/"):
        return f"sudo {client} {_address(connection)}"
    return f"sudo {client}" if connection.port == MySQLOptions.default_port else ""


def _address(connection: Connection) -> str:
    if connection.host.startswith("/"):
        return f"-S {quote(connection.host)}"
    return f"-h {quote(connection.host)} -P {connection.port}"
