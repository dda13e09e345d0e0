"""Which accounts of MongoDB have power beyond their own databases.

A role outside the database `admin` reaches its own database only: the server refuses any other privilege in it (manual,
"Role-Based Access Control"). So power over the server, or over somebody else's database, always is a role on `admin`,
or on the database itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dbroster.engines.mongodb.session import ADMIN, EXTERNAL, Session
from dbroster.errors import OperationError

_NO_ADMINS = frozenset({
    "read", "readWrite", "dbAdmin", "readAnyDatabase", "readWriteAnyDatabase", "dbAdminAnyDatabase", "backup",
    "clusterMonitor", "clusterManager", "clusterAdmin", "hostManager", "enableSharding", "directShardOperations",
    "queryableBackup",
})  # fmt: skip
"""Built-in roles on `admin` by which nobody can make accounts."""

MARKER = "dbroster"


def could_be_admin(session: Session, users: Sequence[Mapping[str, str]]) -> bool:
    """Whether one of these accounts could be a sync's admin: an account of some roster never is."""
    return any(_could(session, {"user": who["user"], "db": who["db"]}) for who in users)


def _could(session: Session, who: Mapping[str, str]) -> bool:
    try:
        account = session.find_account(who)
    except OperationError:
        # An admin who sees only the auth database: accounts elsewhere are made by DBAs, but for those that owners of
        # databases make in their own.
        return who["db"] in (ADMIN, EXTERNAL)
    if account is None or MARKER in (account.get("customData") or {}):
        return False
    return makes_accounts(account.get("roles", ()))


def makes_accounts(roles: Iterable[Mapping[str, Any]]) -> bool:
    """Whether there may be a role among these that lets its holder make accounts; of a custom one it is assumed."""
    return any(role["db"] == ADMIN and role["role"] not in _NO_ADMINS for role in roles)
