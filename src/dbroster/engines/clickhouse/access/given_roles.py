"""Roles that a DBA has given to who is locked: a native session that is open goes on with them.

No lock of an account ends a session, and HOST NONE and DEFAULT ROLE NONE count for new ones only. What is revoked is
gone at once.
"""

from collections.abc import Iterable, Iterator

from dbroster.engines.clickhouse.account import Account
from dbroster.engines.clickhouse.session import DENIED, Session, identifier
from dbroster.errors import OperationError
from dbroster.model.state import Lock

_UNKNOWN_ROLE = "511"


def take(session: Session, account: Account, cluster: str) -> str | None:
    """Take the roles away that the admin may take; return what has to be known. Raises ConnectError, OperationError."""
    user = account.existing.name
    kept = [role for role in account.given if not _taken(session, role, user, cluster)]
    taken = [role for role in account.given if role not in kept]
    texts = [_left(user, kept, cluster)] if kept else []
    if taken:
        texts.append(
            f"dbroster took {_roles(taken)} from the account, too; if the user comes back: "
            f"GRANT{cluster} {_listed(taken)} TO {identifier(user)};"
        )
    return " ".join(texts) or None


def _taken(session: Session, role: str, user: str, cluster: str) -> bool:
    try:
        session.run(f"REVOKE{cluster} {identifier(role)} FROM {identifier(user)}")
    except OperationError as error:
        if error.code not in (DENIED, _UNKNOWN_ROLE):
            raise
        return error.code == _UNKNOWN_ROLE
    return True


def left(accounts: Iterable[Account], cluster: str) -> Iterator[str]:
    """Tell of each account that is locked and has such roles: the admin may not take them, or a DBA gave them since."""
    for account in accounts:
        if account.existing.managed and account.existing.lock is Lock.OURS and account.given:
            yield _left(account.existing.name, account.given, cluster)


def _left(user: str, roles: Iterable[str], cluster: str) -> str:
    roles = list(roles)
    return (
        f"the account {user} is locked, but still has {_roles(roles)}, so a session that it had open can use what they "
        f"give; as another administrator: REVOKE{cluster} {_listed(roles)} FROM {identifier(user)};"
    )


def _roles(roles: Iterable[str]) -> str:
    roles = list(roles)
    return f"the role{'s' * (len(roles) > 1)} {', '.join(roles)}"


def _listed(roles: Iterable[str]) -> str:
    return ", ".join(map(identifier, roles))
