"""Roles that accounts of the roster have besides the one that marks them: their DBA's, and those that date a lock.

ClickHouse has no place for since when an account is locked, but the name of a role that the account is given:
`dbroster:ROSTER:locked:TIME`. It has no privileges; all accounts that are locked in the same second share it.

No lock of an account ends a native session that is open: it goes on with the roles that a DBA has given, since HOST
NONE and DEFAULT ROLE NONE count for new sessions only. What is revoked is gone at once.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from dbroster.engines.clickhouse.account import Account
from dbroster.engines.clickhouse.session import DENIED, Session, identifier
from dbroster.errors import OperationError
from dbroster.model.state import Lock
from dbroster.plan.grace_period import read_stamp, stamp

_INFIX = ":locked:"
_UNKNOWN_ROLE = "511"
_UNUSED = """
    SELECT name FROM system.roles WHERE startsWith(name, {prefix})
        AND name NOT IN (SELECT granted_role_name FROM system.role_grants)"""


# --- dates ----------------------------------------------------------------------------------------------------------


def locked_since(roles: Iterable[str]) -> datetime | None:
    """Return the last of the times that the names of roles end with."""
    return max(filter(None, (read_stamp(role.partition(_INFIX)[2]) for role in roles)), default=None)


def set_date(session: Session, user: str, since: datetime) -> None:
    """Note since when the account is locked."""
    role = f"{session.role}{_INFIX}{stamp(since)}"
    session.run(f"CREATE ROLE IF NOT EXISTS {identifier(role)}{session.accounts_on}")
    session.run(f"GRANT{session.accounts_on} {identifier(role)} TO {identifier(user)}")


def forget_dates(session: Session, user: str, dates: Iterable[str]) -> None:
    """Take the dates away: an account without one is never removed by its date."""
    for role in dates:
        _revoke(session, role, user)


def drop_unused_dates(session: Session) -> None:
    """Drop the roles that no account has any more."""
    for (role,) in session.union(_UNUSED, prefix=f"{session.role}{_INFIX}"):
        session.run(f"DROP ROLE IF EXISTS {identifier(role)}{session.accounts_on}")


# --- roles that a DBA has given --------------------------------------------------------------------------------------


def take_given(session: Session, account: Account) -> str | None:
    """Take the roles away that the admin may take; return what has to be known. Raises ConnectError, OperationError."""
    user = account.existing.name
    kept = [role for role in account.given if not _taken(session, role, user)]
    taken = [role for role in account.given if role not in kept]
    texts = [_still_given(session, user, kept)] if kept else []
    if taken:
        texts.append(
            f"dbroster took {_roles(taken)} from the account, too; if the user comes back: "
            f"GRANT{session.accounts_on} {_listed(taken)} TO {identifier(user)};"
        )
    return " ".join(texts) or None


def _taken(session: Session, role: str, user: str) -> bool:
    try:
        _revoke(session, role, user)
    except OperationError as error:
        if error.code not in (DENIED, _UNKNOWN_ROLE):
            raise
        return error.code == _UNKNOWN_ROLE
    return True


def given_to_locked(session: Session, accounts: Iterable[Account]) -> Iterator[str]:
    """Tell of each account that is locked and has such roles: the admin may not take them, or a DBA gave them since."""
    for account in accounts:
        if account.existing.managed and account.existing.lock is Lock.OURS and account.given:
            yield _still_given(session, account.existing.name, account.given)


def _still_given(session: Session, user: str, roles: Collection[str]) -> str:
    return (
        f"the account {user} is locked, but still has {_roles(roles)}, so a session that it had open can use what they "
        f"give; as another administrator: REVOKE{session.accounts_on} {_listed(roles)} FROM {identifier(user)};"
    )


def _revoke(session: Session, role: str, user: str) -> None:
    session.run(f"REVOKE{session.accounts_on} {identifier(role)} FROM {identifier(user)}")


def _roles(roles: Collection[str]) -> str:
    return f"the role{'s' * (len(roles) > 1)} {', '.join(roles)}"


def _listed(roles: Iterable[str]) -> str:
    return ", ".join(map(identifier, roles))
