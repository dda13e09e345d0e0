"""What the admin account of MongoDB needs for a sync, the commands that give it what it lacks, and who else has power.

A role outside the database `admin` reaches its own database only: the server refuses any other privilege in it (manual,
"Role-Based Access Control"). So power over the server, or over somebody else's database, always is a role on `admin`,
or on the database itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pymongo
from pymongo import MongoClient

from dbroster.engines.mongodb.accounts import Document
from dbroster.engines.mongodb.session import (
    ADMIN,
    EXTERNAL,
    UNAUTHORIZED,
    Session,
    close_client,
    parameters,
    translated,
)
from dbroster.engines.mongodb.state import MARKER, shell_command
from dbroster.errors import ConnectError, OperationError, ServerError, Stalled
from dbroster.model.connection import Connection

ROLE = "dbrosterAdmin"
READER = {"role": "readAnyDatabase", "db": ADMIN}
"""What an archive needs."""

_CLUSTER: dict[str, Any] = {"cluster": True}
_ALL: dict[str, Any] = {"db": "", "collection": ""}
_USERS: dict[str, Any] = {"db": ADMIN, "collection": "system.users"}
_LOGIN = {"username", "password", "authSource", "authMechanism"}
_SHOWN, _LETTERS = 5, 40  # of roles that a person is told
_NO_ADMINS = frozenset({
    "read", "readWrite", "dbAdmin", "readAnyDatabase", "readWriteAnyDatabase", "dbAdminAnyDatabase", "backup",
    "clusterMonitor", "clusterManager", "clusterAdmin", "hostManager", "enableSharding", "directShardOperations",
    "queryableBackup",
})  # fmt: skip
"""Built-in roles on `admin` by which nobody can make accounts."""

Resource = Mapping[str, Any]
Privileges = list[tuple[Resource, tuple[str, ...]]]


def needed(auth_database: str) -> Privileges:
    """List what a sync needs; roles can be given only on all databases, since those of new users don't exist yet."""
    return [
        (_USERS, ("find",)),
        (_ALL, ("createCollection", "dropDatabase", "grantRole", "revokeRole", "dropUser", "dropRole")),
        (
            _accounts(auth_database),
            ("createUser", "changePassword", "changeCustomData", "setAuthenticationRestriction"),
        ),
        (_CLUSTER, ("listDatabases", "killAnySession", "killop", "inprog")),
    ]


@dataclass(frozen=True, slots=True)
class Rights:
    """What the admin may do; nothing at all where access control is off, though everything is allowed there."""

    admin: Mapping[str, str]
    """Name and authentication database."""
    privileges: list[Mapping[str, Any]]
    has_role: bool
    """Whether the admin has the role that `statements` would create."""
    told: bool = True
    """Whether the server could say it; what it can't say is taken for granted."""

    def statements(self, auth_database: str) -> list[str]:
        """Return the commands that give the admin everything, when anything is missing."""
        missing = self._missing(auth_database) if self.told else []
        if not missing:
            return []
        if self.has_role:
            return [shell_command(ADMIN, {"grantPrivilegesToRole": ROLE, "privileges": _documents(missing)})]
        create = role_with_privileges(auth_database, exists=False)
        grant = {"grantRolesToUser": self.admin["user"], "roles": [admin_role()]}
        return [shell_command(ADMIN, create), shell_command(self.admin["db"], grant)]

    def untold(self, session: Session) -> list[str]:
        """Say who has given the admin so many roles that the server can't list them."""
        if self.told:
            return []
        roles: list[dict[str, str]] = []
        with suppress(ServerError, OperationError):
            held = (session.find_account(session.admin) or {}).get("roles", ())
            roles = [role for role in held if role["db"] != ADMIN]
        shown = ", ".join(f"{role['role'][:_LETTERS]}@{role['db']}" for role in roles[:_SHOWN]) or "them through a role"
        return [
            "the admin has too many roles for the server to tell them, so what it may do was not checked; whoever owns "
            f"a database (dbOwner, userAdmin) can give its roles to anybody, and has given {shown}: take that away"
        ]

    def _missing(self, auth_database: str) -> Privileges:
        missing = []
        for resource, actions in needed(auth_database):
            lacking = tuple(action for action in actions if not self._has(resource, action))
            if resource is _USERS and self._has(_accounts(auth_database), "viewUser"):
                continue  # slower, and doesn't show whom somebody else has shut out, but enough
            if lacking:
                missing.append((resource, lacking))
        return missing

    def _has(self, resource: Resource, action: str) -> bool:
        return any(action in entry["actions"] and _covers(entry["resource"], resource) for entry in self.privileges)


def admin_role() -> dict[str, str]:
    """The role as commands take it."""
    return {"role": ROLE, "db": ADMIN}


def role_with_privileges(auth_database: str, *, exists: bool) -> dict[str, object]:
    """The command that makes the role, or adds to it what a sync needs: another roster may use it, too."""
    privileges = _documents(needed(auth_database))
    if exists:
        return {"grantPrivilegesToRole": ROLE, "privileges": privileges}
    return {"createRole": ROLE, "privileges": privileges, "roles": []}


@contextmanager
def _past_a_break(session: Session) -> Iterator[None]:
    """Go on if an answer has no room for all roles: the server breaks the connection off then; 5.0 says so."""
    try:
        yield
    except Stalled:
        raise
    except (ConnectError, OperationError):
        session.command(ADMIN, {"ping": 1})


def own_rights(session: Session) -> Rights:
    """Ask what the admin may do."""
    status: Document | None = None
    for _ in range(2):  # a connection may break for another reason, once
        with _past_a_break(session):
            status = session.command(ADMIN, {"connectionStatus": 1, "showPrivileges": True})["authInfo"]
            break
    if status is None:
        return Rights(session.admin, [], has_role=True, told=False)
    has_role = {"role": ROLE, "db": ADMIN} in status["authenticatedUserRoles"]
    return Rights(status["authenticatedUsers"][0], status["authenticatedUserPrivileges"], has_role)


def _accounts(auth_database: str) -> Resource:
    return {"db": auth_database, "collection": ""}


def _documents(privileges: Privileges) -> list[dict[str, object]]:
    return [{"resource": resource, "actions": list(actions)} for resource, actions in privileges]


def _covers(given: Resource, wanted: Resource) -> bool:
    """Whether rights on one resource are rights on another (manual, "Resource Document")."""
    if given == wanted or given.get("anyResource"):
        return True
    return given == _ALL and wanted.get("collection") == ""


# --- who else has power ---------------------------------------------------------------------------------------------


def could_be_admin(session: Session, users: Sequence[Mapping[str, str]]) -> bool:
    """Whether one of these accounts could be a sync's admin: an account of some roster never is."""
    return any(_could(session, {"user": who["user"], "db": who["db"]}) for who in users)


def _could(session: Session, who: Mapping[str, str]) -> bool:
    """Whether it may have a role that lets its holder make accounts; of a custom one it is assumed."""
    try:
        account = session.find_account(who)
    except OperationError:
        # An admin who sees only the auth database: accounts elsewhere are made by DBAs, but for those that owners of
        # databases make in their own.
        return who["db"] in (ADMIN, EXTERNAL)
    if account is None or MARKER in (account.get("customData") or {}):
        return False
    return any(role["db"] == ADMIN and role["role"] not in _NO_ADMINS for role in account.get("roles", ()))


def access_control_is_off(session: Session, connection: Connection) -> bool:
    """Ask the server for its command line, which few may see; only if that tells nothing, try without a login."""
    try:
        security = session.command(ADMIN, {"getCmdLineOpts": 1})["parsed"].get("security", {})
    except OperationError as error:
        return error.code != UNAUTHORIZED and lets_everybody_in(connection)
    if security.get("authorization") == "enabled" and not security.get("transitionToAuth"):
        return False
    return lets_everybody_in(connection)


def lets_everybody_in(connection: Connection) -> bool:
    """Whether a client that has not logged in may list all databases. Raises ConnectError."""
    given = {key: value for key, value in parameters(connection, "").items() if key not in _LOGIN}
    with translated():
        client: MongoClient[Document] = MongoClient(**given)
    try:
        with translated((), f"{connection.host}:{connection.port}"), pymongo.timeout(connection.connect_timeout):
            client[ADMIN].command({"listDatabases": 1, "nameOnly": True})
    except OperationError:
        return False
    finally:
        close_client(client)
    return True
