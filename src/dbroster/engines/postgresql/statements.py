"""The statements that change PostgreSQL, each with its names and texts quoted by the driver."""

from collections.abc import Sequence
from typing import LiteralString

from psycopg import sql

from dbroster.engines.postgresql.markers import SETTING, Claim, Marker
from dbroster.engines.postgresql.session import MEMBERSHIP_OPTIONS
from dbroster.engines.postgresql.state import DatabaseState

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


def give_membership(role: str, version: int) -> sql.Composable:
    """Let the admin act for a user, as owning and handing over databases needs.

    Before PostgreSQL 16 with ADMIN OPTION, too: an upgrade to 16 takes away what CREATEROLE reached without it.
    """
    options = _SQL("INHERIT TRUE, SET TRUE" if version >= MEMBERSHIP_OPTIONS else "ADMIN OPTION")
    return _SQL("GRANT {} TO CURRENT_USER WITH {}").format(_name(role), options)


def create_marker_role(role: str) -> sql.Composable:
    """Create the role whose settings mark databases."""
    return _SQL("CREATE ROLE {} NOLOGIN").format(_name(role))


def create_database(claim: Claim, encoding: str, locale: str) -> sql.Composable:
    """Create a database that nobody can enter; from template0, since any session in template1 would block it.

    Its connection limit says that dbroster has begun it and not finished it.
    """
    return _SQL(
        "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING {}{} ALLOW_CONNECTIONS false CONNECTION LIMIT {}"
    ).format(
        _name(claim.database),
        _name(claim.user),
        _text(encoding),
        _SQL(" LOCALE {}").format(_text(locale)) if locale else _SQL(""),
        _text(claim.limit),
    )


def claim_database(role: str, claim: Claim) -> sql.Composable:
    """Write down whose a database is, where its owner can't reach it."""
    return _SQL("ALTER ROLE {} IN DATABASE {} SET {} = {}").format(
        _name(role), _name(claim.database), _SQL(SETTING), _text(str(claim))
    )


def comment_database(claim: Claim) -> sql.Composable:
    """Write down whose a database is, where people see it."""
    return _SQL("COMMENT ON DATABASE {} IS {}").format(_name(claim.database), _text(str(claim)))


def own_database(user: str, database: str) -> sql.Composable:
    """Make the user the owner of a database."""
    return _SQL("ALTER DATABASE {} OWNER TO {}").format(_name(database), _name(user))


def finish_database(role: str, claim: Claim, state: DatabaseState, limit: int, version: int) -> list[sql.Composable]:
    """Take a database away from everybody but its owner, mark it, and open it."""
    database, owner = _name(claim.database), _name(claim.user)
    others = _SQL(", ").join([_SQL("PUBLIC"), *map(_name, state.strangers)])
    return [
        _SQL("REVOKE ALL ON DATABASE {} FROM {} CASCADE").format(database, others),
        _SQL("GRANT ALL ON DATABASE {} TO {}").format(database, owner),
        *(take_membership(claim.user, member, grantor, version) for member, grantor in state.members),
        comment_database(claim),
        claim_database(role, claim),
        _SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true CONNECTION LIMIT {} IS_TEMPLATE false").format(
            database, _text(limit)
        ),
    ]


def take_membership(role: str, member: str, grantor: str, version: int) -> sql.Composable:
    """Take a role away from a member; since PostgreSQL 16 only what one grantor gave."""
    by = _SQL(" GRANTED BY {}").format(_name(grantor)) if version >= MEMBERSHIP_OPTIONS else _SQL("")
    return _SQL("REVOKE {} FROM {}{} CASCADE").format(_name(role), _name(member), by)


def forget_template(database: str) -> sql.Composable:
    """Make a database one that can be dropped."""
    return _SQL("ALTER DATABASE {} IS_TEMPLATE false").format(_name(database))


def drop_database(database: str, *, force: bool = True) -> sql.Composable:
    """Drop a database, with force ending the sessions in it."""
    return _SQL("DROP DATABASE {} WITH (FORCE)" if force else "DROP DATABASE {}").format(_name(database))


def give_attributes(admin: str, attributes: Sequence[LiteralString]) -> sql.Composable:
    """For a person to run: give the admin what it lacks."""
    return _SQL("ALTER ROLE {} {};").format(_name(admin), _SQL(" ".join(attributes)))


def give_administration(users: Sequence[str], admin: str) -> sql.Composable:
    """For a person to run: let the admin change roles that it has not created."""
    roles = _SQL(", ").join(map(_name, users))
    return _SQL("GRANT {} TO {} WITH ADMIN TRUE, INHERIT TRUE, SET TRUE;").format(roles, _name(admin))


def give_marker_role(role: str, admin: str) -> sql.Composable:
    """For a person to run: let an admin mark databases who has not created the marker role."""
    return _SQL("GRANT {} TO {} WITH ADMIN OPTION;").format(_name(role), _name(admin))
