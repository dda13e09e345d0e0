"""The statements that change PostgreSQL, each with its names and texts quoted by the driver."""

from collections.abc import Iterable, Sequence

from psycopg import sql

from dbroster.engines.postgresql.access.markers import SETTING, Claim, Marker
from dbroster.engines.postgresql.session import MEMBERSHIP_OPTIONS, stated
from dbroster.engines.postgresql.state import DatabaseState

_text = sql.Literal


def create_role(marker: Marker, verifier: str) -> list[sql.Composable]:
    """Create a role that may do nothing but log in, with its marker."""
    powerless = sql.SQL("NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS")
    create = stated("CREATE ROLE {} LOGIN {} PASSWORD {}", marker.user, powerless, _text(verifier))
    return [create, mark_role(marker)]


def mark_role(marker: Marker) -> sql.Composable:
    """Put the marker on a role."""
    return stated("COMMENT ON ROLE {} IS {}", marker.user, _text(str(marker)))


def set_password(user: str, verifier: str) -> sql.Composable:
    """Set a role's password. Attributes that don't change are left out: even to repeat one needs more privileges."""
    return stated("ALTER ROLE {} PASSWORD {}", user, _text(verifier))


def let_log_in(marker: Marker) -> list[sql.Composable]:
    """Forbid a role to log in where its marker says that it is locked, and so that it was us; else allow it."""
    return [stated("ALTER ROLE {} NOLOGIN" if marker.locked else "ALTER ROLE {} LOGIN", marker.user), mark_role(marker)]


def close_database(database: str, roles: Iterable[str]) -> sql.Composable:
    """Take all privileges on a database, and what was made of them; '' is everybody."""
    listed = sql.SQL(", ").join(sql.Identifier(role) if role else sql.SQL("PUBLIC") for role in roles)
    return stated("REVOKE ALL ON DATABASE {} FROM {} CASCADE", database, listed)


def let_admin_in(database: str, *, superuser: bool) -> list[sql.Composable]:
    """Open what an owner may have shut, for the admin alone."""
    enter = [] if superuser else [stated("GRANT CONNECT ON DATABASE {} TO CURRENT_USER", database)]
    return [*enter, stated("ALTER DATABASE {} WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1", database)]


def give_membership(role: str, version: int) -> sql.Composable:
    """Let the admin act for a user, as owning and handing over databases needs.

    Before PostgreSQL 16 with ADMIN OPTION, too: an upgrade to 16 takes away what CREATEROLE reached without it.
    """
    options = sql.SQL("INHERIT TRUE, SET TRUE" if version >= MEMBERSHIP_OPTIONS else "ADMIN OPTION")
    return stated("GRANT {} TO CURRENT_USER WITH {}", role, options)


def create_database(claim: Claim, encoding: str, locale: str) -> sql.Composable:
    """Create a database that nobody can enter; from template0, since any session in template1 would block it.

    Its connection limit says that dbroster has begun it and not finished it.
    """
    return stated(
        "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING {}{} ALLOW_CONNECTIONS false CONNECTION LIMIT {}",
        claim.database,
        claim.user,
        _text(encoding),
        stated(" LOCALE {}", _text(locale)) if locale else sql.SQL(""),
        _text(claim.limit),
    )


def claim_database(role: str, claim: Claim) -> sql.Composable:
    """Write down whose a database is, where its owner can't reach it."""
    return stated("ALTER ROLE {} IN DATABASE {} SET {} = {}", role, claim.database, sql.SQL(SETTING), _text(str(claim)))


def comment_database(claim: Claim) -> sql.Composable:
    """Write down whose a database is, where people see it."""
    return stated("COMMENT ON DATABASE {} IS {}", claim.database, _text(str(claim)))


def finish_database(role: str, claim: Claim, state: DatabaseState, limit: int, version: int) -> list[sql.Composable]:
    """Take a database away from everybody but its owner, mark it, and open it."""
    opened = "ALTER DATABASE {} WITH ALLOW_CONNECTIONS true CONNECTION LIMIT {} IS_TEMPLATE false"
    return [
        close_database(claim.database, ["", *state.strangers]),
        stated("GRANT ALL ON DATABASE {} TO {}", claim.database, claim.user),
        *(take_membership(claim.user, member, grantor, version) for member, grantor in state.members),
        comment_database(claim),
        claim_database(role, claim),
        stated(opened, claim.database, _text(limit)),
    ]


def take_membership(role: str, member: str, grantor: str, version: int) -> sql.Composable:
    """Take a role away from a member; since PostgreSQL 16 only what one grantor gave."""
    by = stated(" GRANTED BY {}", grantor) if version >= MEMBERSHIP_OPTIONS else sql.SQL("")
    return stated("REVOKE {} FROM {}{} CASCADE", role, member, by)


def drop_database(database: str, *, force: bool = True) -> sql.Composable:
    """Drop a database, with force ending the sessions in it."""
    return stated("DROP DATABASE {} WITH (FORCE)" if force else "DROP DATABASE {}", database)


def give_administration(users: Sequence[str], admin: str) -> sql.Composable:
    """For a person to run: let the admin change roles that it has not created."""
    roles = sql.SQL(", ").join(map(sql.Identifier, users))
    return stated("GRANT {} TO {} WITH ADMIN TRUE, INHERIT TRUE, SET TRUE;", roles, admin)
