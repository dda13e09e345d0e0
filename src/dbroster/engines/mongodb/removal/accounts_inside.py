"""Accounts that are defined inside users' databases: an owner of such a database (dbOwner) can make some.

They outlive the lock of its user, and its drop: so they lose their roles, wherever these are, when its user is locked,
and get them back when that is opened again. Roles on databases of the server itself are nothing that an owner can give.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from dbroster.engines.mongodb.removal.end_operations import end_operations
from dbroster.engines.mongodb.session import Session
from dbroster.engines.mongodb.state import SYSTEM_DATABASES, UNREADABLE
from dbroster.errors import OperationError

Insider = Mapping[str, Any]
"""Name, database, and the roles that the account holds with their databases; a name alone is one on that database."""

_KEPT = "kept"
"""Roles that are not taken, and not noted."""


def insiders(session: Session, databases: Collection[str]) -> list[Insider]:
    """List the accounts that are defined in these databases; none where the admin may not look."""
    if not databases:
        return []
    # by the index that all accounts have: their id is database.name
    ranges = [{"_id": {"$gte": f"{name}.", "$lt": f"{name}/"}} for name in databases]
    try:
        found = session.find_documents({"$or": ranges}, {"_id": 0, "user": 1, "db": 1, "roles": 1})
    except OperationError:
        return []
    return [_insider(document) for document in found]


def _insider(document: Mapping[str, Any]) -> Insider:
    roles = document.get("roles", ())
    given = [role for role in roles if role["db"] not in SYSTEM_DATABASES]
    return {"user": document["user"], "db": document["db"], "roles": given, _KEPT: [r for r in roles if r not in given]}


def with_roles(found: Iterable[Insider], noted: Iterable[Insider]) -> tuple[Insider, ...]:
    """Join what was noted before with what is found now; who has no roles any more keeps those that were noted."""
    held = ({key: insider[key] for key in insider if key != _KEPT} for insider in found if insider["roles"])
    joined = {(insider["user"], insider["db"]): insider for insider in (*noted, *held)}
    return tuple(joined.values())


def shut_out(session: Session, found: Collection[Insider]) -> None:
    """Take their roles away, and end what they do; but of those that can't be named."""
    found = [insider for insider in found if insider not in nameless(found)]
    for insider in found:
        if insider["roles"]:  # not by revokeRolesFromUser, which has to name them
            session.change(insider["db"], {"updateUser": insider["user"], "roles": insider[_KEPT]})
    if found:
        who = [{"user": insider["user"], "db": insider["db"]} for insider in found]
        end_operations(session, who)


def nameless(found: Collection[Insider]) -> list[Insider]:
    """Those whose names are no UTF-8, so that the driver can't send them."""
    return [insider for insider in found if UNREADABLE in insider["user"]]


def left_in(found: Collection[Insider]) -> Iterator[str]:
    """Say of those that can't be named how their roles are taken."""
    for place in sorted({insider["db"] for insider in nameless(found)}):
        yield (
            f"accounts in {place} whose names are no UTF-8 keep their roles until it is dropped; to drop all that are "
            f'defined in it: db.getSiblingDB("{place}").dropAllUsers()'
        )


def let_in(session: Session, noted: Iterable[Insider]) -> None:
    """Give the roles back that `shut_out` has taken, to those who are still there."""
    for insider in noted:
        for role in insider["roles"]:
            try:
                session.change(insider["db"], {"grantRolesToUser": insider["user"], "roles": [role]})
            except OperationError:  # somebody has dropped the account, or the role, meanwhile
                continue
