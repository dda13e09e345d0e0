"""What a user of a MySQL or MariaDB database begins with; which of the two it is, no file tells."""

from collections.abc import Mapping
from shlex import join

from dbroster.engines.addresses import encoded, login, place, query
from dbroster.engines.mysql.options import MySQLOptions
from dbroster.model.connection import Connection
from dbroster.model.way import ClientFile, Visitor, Way

_MODES = {"disable": "DISABLED", "require": "REQUIRED", "verify-ca": "VERIFY_CA", "verify-full": "VERIFY_IDENTITY"}
_MARIADB = {
    "disable": ["--skip-ssl"],
    "require": ["--ssl", "--skip-ssl-verify-server-cert"],
    "verify-ca": ["--ssl", "--skip-ssl-verify-server-cert"],
    "verify-full": ["--ssl", "--ssl-verify-server-cert"],
}
"""What MariaDB's client skips is the name: who signed the certificate, it checks wherever an authority is named."""


def way(connection: Connection, visitor: Visitor) -> Way:
    """Return it for one database; `connection` is as users make it."""
    ca = [f"--ssl-ca={connection.tls.ca}"] if connection.tls.ca else []
    mode = connection.tls.mode or ""
    mysql = [f"--ssl-mode={_MODES[mode]}"] if mode else []
    if mode == "disable":
        mysql.append("--get-server-public-key")
    hosts = MySQLOptions.of(connection).hosts
    return Way.to(
        connection,
        visitor,
        _uri(connection, visitor),
        {
            "mysql": _command("mysql", connection, visitor, [*mysql, *ca]),
            "mariadb": _command("mariadb", connection, visitor, [*_MARIADB.get(mode, []), *ca]),
        },
        ClientFile(".my.cnf", _group(connection, visitor)),
        () if hosts == ("%",) else (f"the account is for clients at {', '.join(hosts)} only",),
    )


def _where(connection: Connection) -> Mapping[str, str]:
    if connection.host.startswith("/"):
        return {"socket": connection.host}
    return {"host": connection.host, "port": str(connection.port), "protocol": "tcp"}


def _command(program: str, connection: Connection, visitor: Visitor, tls: list[str]) -> str:
    where = [f"--{key}={value}" for key, value in _where(connection).items()]
    return join([program, *where, *tls, f"--user={visitor.user}", "-p", visitor.database])


def _group(connection: Connection, visitor: Visitor) -> str:
    """Return the server's group: it is for all databases there, so none of them stands in it."""
    mode, ca = connection.tls.mode or "", connection.tls.ca
    tls = {"ssl-ca": ca} if ca else {}
    values = {**_where(connection), **tls, "user": visitor.user, "password": visitor.told}
    lines = [f"{key}={_quoted(value)}" for key, value in values.items()]
    # each of the two clients passes over what only the other one knows
    lines += [f"loose-ssl-mode={_MODES[mode]}"] if mode else []
    lines += [f"loose-{option.removeprefix('--')}" for option in _MARIADB.get(mode, []) if option != "--ssl"]
    name = f"client_{connection.server}"
    return "\n".join([f"# use it with: --defaults-group-suffix=_{connection.server} DATABASE", f"[{name}]", *lines, ""])


def _quoted(text: str) -> str:
    """Return a value for an option file: in quotes, # begins no comment."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _uri(connection: Connection, visitor: Visitor) -> str:
    socket = connection.host if connection.host.startswith("/") else None
    where = "localhost" if socket else place(connection.host, connection.port)
    options = {"unix_socket": socket, "ssl-mode": _MODES.get(connection.tls.mode or ""), "ssl-ca": connection.tls.ca}
    return f"mysql://{login(visitor)}{where}/{encoded(visitor.database)}{query(options)}"
