"""Since when an account is locked: ClickHouse has no place for it but the name of a role that the account is given.

The role, `dbroster:ROSTER:locked:TIME`, has no privileges; all accounts that are locked in the same second share it.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from dbroster.engines.clickhouse.session import Session, identifier
from dbroster.plan.grace_period import read_stamp, stamp

_INFIX = ":locked:"
NEEDED = ("CREATE ROLE", "ROLE ADMIN")
"""Privileges that it takes."""

_UNUSED = """
    SELECT name FROM system.roles WHERE startsWith(name, {prefix})
        AND name NOT IN (SELECT granted_role_name FROM system.role_grants)"""


def locked_since(roles: Iterable[str]) -> datetime | None:
    """Return the last of the times that the names of roles end with."""
    return max(filter(None, (read_stamp(role.partition(_INFIX)[2]) for role in roles)), default=None)


def server_time(session: Session) -> datetime:
    """Return the time by the server's clock."""
    ((seconds,),) = session.rows("SELECT toUnixTimestamp(now())")
    return datetime.fromtimestamp(seconds, UTC)


def set_date(session: Session, user: str, since: datetime, marker_role: str, cluster: str) -> None:
    """Note since when the account is locked."""
    role = identifier(f"{marker_role}{_INFIX}{stamp(since)}")
    session.run(f"CREATE ROLE IF NOT EXISTS {role}{cluster}")
    session.run(f"GRANT{cluster} {role} TO {identifier(user)}")


def forget_dates(session: Session, user: str, roles: Iterable[str], cluster: str) -> None:
    """Take the dates away: an account without one is never removed by its date."""
    for role in roles:
        session.run(f"REVOKE{cluster} {identifier(role)} FROM {identifier(user)}")


def drop_unused(session: Session, marker_role: str, cluster: str) -> None:
    """Drop the roles that no account has any more."""
    for (role,) in session.union(_UNUSED, prefix=f"{marker_role}{_INFIX}"):
        session.run(f"DROP ROLE IF EXISTS {identifier(role)}{cluster}")
