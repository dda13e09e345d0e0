"""The statements that make PostgreSQL's admin."""

from collections.abc import Sequence
from shlex import quote

from dbroster.engines.postgresql.options import PostgreSQLOptions
from dbroster.engines.postgresql.session import MEMBERSHIP_OPTIONS, PARAMETER_GRANTS, quoted
from dbroster.model.admin_script import AdminScript
from dbroster.model.connection import Connection

_SWITCHED_OFF = ("log_statement", "log_min_duration_statement", "log_min_error_statement")


def assumed(connection: Connection, _templates: Sequence[str], password: str, _called: str) -> AdminScript:
    """The script for a server that could not be asked: what older ones don't know is for newer ones only."""
    return script(connection, password, "PostgreSQL 18", None)


def script(connection: Connection, password: str, product: str, version: int | None) -> AdminScript:
    """The script for a server of this version, by PostgreSQL's own number for it; None: let the server look."""
    admin = quoted(connection.username)
    secret = _literal(password)
    more = {
        "read the stored verifiers, so that passwords are checked without logins": [
            f"GRANT SELECT (rolname, rolpassword) ON pg_authid TO {admin};"
        ]
    }
    if version is None or version >= PARAMETER_GRANTS:
        more["keep verifiers out of the server's log"] = [
            _newer(f"GRANT SET ON PARAMETER {name} TO {admin};", PARAMETER_GRANTS, version) for name in _SWITCHED_OFF
        ]
    if version is None or version >= MEMBERSHIP_OPTIONS:
        more["get in when users have opened every connection (with reserved_connections in postgresql.conf)"] = [
            _newer(f"GRANT pg_use_reserved_connections TO {admin};", MEMBERSHIP_OPTIONS, version)
        ]
    database = PostgreSQLOptions.of(connection).maintenance_database
    return AdminScript(
        product,
        f"CREATE ROLE {admin} LOGIN CREATEROLE CREATEDB PASSWORD {secret};",
        [],
        more,
        f"psql -h {quote(connection.host)} -p {connection.port} -U postgres -d {quote(database)}",
        local=f"sudo -u postgres psql -p {connection.port} -d {quote(database)}",
    )


def _newer(statement: str, since: int, version: int | None) -> str:
    """Word a statement that only newer servers can parse; the server looks by itself where its version is unknown."""
    if version is not None:
        return statement
    look = f"IF pg_catalog.current_setting('server_version_num')::int >= {since}"
    return f"DO $dbroster$ BEGIN {look} THEN EXECUTE {_literal(statement)}; END IF; END $dbroster$;"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
