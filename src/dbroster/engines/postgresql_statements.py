"""The statements that change PostgreSQL, each with its names and texts quoted by the driver."""

from collections.abc import Sequence
from typing import LiteralString

from psycopg import sql

from dbroster.engines.postgresql_state import DatabaseState, Marker

MEMBERSHIP_OPTIONS = 160000
"""Since PostgreSQL 16 a membership has its own SET and INHERIT options, and CREATEROLE reaches own roles only."""

_SQL = sql.SQL
_name = sql.Identifier
_text = sql.Literal


def create_role(marker: Marker, verifier: str) -> list[sql.Composable]:
    """Create a role that may do nothing but log in, with its marker."""
    powerless = _SQL("NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS")
    create = _SQL("CREATE ROLE {} LOGIN {} PASSWORD {}").format(_name(marker.user), powerless, _text(verifier))
    return [create, mark_role(marker)]


def mark_role(marker: Marker) -> sql.Composable:
    """Put the marker on a role."""
    return _SQL("COMMENT ON ROLE {} IS {}").format(_name(marker.user), _text(str(marker)))


def set_password(user: str, verifier: str) -> sql.Composable:
    """Set a role's password. Attributes that don't change are left out: even to repeat one needs more privileges."""
    return _SQL("ALTER ROLE {} PASSWORD {}").format(_name(user), _text(verifier))


def shut_role(marker: Marker) -> list[sql.Composable]:
    """Forbid a role to log in; the marker says that it was us."""
    return [_SQL("ALTER ROLE {} NOLOGIN").format(_name(marker.user)), mark_role(marker)]


def open_role(marker: Marker) -> list[sql.Composable]:
    """Let a role log in that `shut_role` has shut."""
    return [_SQL("ALTER ROLE {} LOGIN").format(_name(marker.user)), mark_role(marker)]


def drop_role(user: str) -> sql.Composable:
    """Drop a role."""
    return _SQL("DROP ROLE {}").format(_name(user))


def give_membership(user: str, version: int) -> sql.Composable:
    """Let the admin act for a user, as owning and handing over databases needs."""
    options = _SQL(" WITH INHERIT TRUE, SET TRUE" if version >= MEMBERSHIP_OPTIONS else "")
    return _SQL("GRANT {} TO CURRENT_USER{}").format(_name(user), options)


def create_database(user: str, database: str, encoding: str, locale: str) -> sql.Composable:
    """Create a database that nobody can enter; from template0, since any session in template1 would block it."""
    return _SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING {}{} ALLOW_CONNECTIONS false").format(
        _name(database),
        _name(user),
        _text(encoding),
        _SQL(" LOCALE {}").format(_text(locale)) if locale else _SQL(""),
    )


def own_database(user: str, database: str) -> sql.Composable:
    """Make the user the owner of a database."""
    return _SQL("ALTER DATABASE {} OWNER TO {}").format(_name(database), _name(user))


def finish_database(marker: Marker, state: DatabaseState, limit: int) -> list[sql.Composable]:
    """Take a database away from everybody but its owner, mark it, and open it."""
    database, owner = _name(state.existing.name), _name(marker.user)
    others = _SQL(", ").join([_SQL("PUBLIC"), *map(_name, state.strangers)])
    return [
        _SQL("REVOKE ALL ON DATABASE {} FROM {} CASCADE").format(database, others),
        _SQL("GRANT ALL ON DATABASE {} TO {}").format(database, owner),
        *(_SQL("REVOKE {} FROM {}").format(owner, _name(member)) for member in state.members),
        _SQL("COMMENT ON DATABASE {} IS {}").format(database, _text(str(marker))),
        _SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true CONNECTION LIMIT {}").format(database, _text(limit)),
    ]


def drop_database(database: str) -> sql.Composable:
    """Drop a database, ending the sessions in it."""
    return _SQL("DROP DATABASE {} WITH (FORCE)").format(_name(database))


def give_attributes(admin: str, attributes: Sequence[LiteralString]) -> sql.Composable:
    """For a person to run: give the admin what it lacks."""
    return _SQL("ALTER ROLE {} {};").format(_name(admin), _SQL(" ".join(attributes)))


def give_administration(user: str, admin: str) -> sql.Composable:
    """For a person to run: let the admin change a role that it has not created."""
    return _SQL("GRANT {} TO {} WITH ADMIN TRUE, INHERIT TRUE, SET TRUE;").format(_name(user), _name(admin))


def give_log_switch(admin: str) -> sql.Composable:
    """For a person to run: let the admin keep verifiers out of the log."""
    return _SQL("GRANT SET ON PARAMETER log_statement TO {};").format(_name(admin))
