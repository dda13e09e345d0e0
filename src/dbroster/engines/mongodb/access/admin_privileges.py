"""What the admin account of MongoDB needs for a sync, and the commands that give it what it lacks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dbroster.engines.mongodb.session import ADMIN, Session
from dbroster.engines.mongodb.state import shell_command

ROLE = "dbrosterAdmin"
_CLUSTER: dict[str, Any] = {"cluster": True}
_ALL: dict[str, Any] = {"db": "", "collection": ""}
_USERS: dict[str, Any] = {"db": ADMIN, "collection": "system.users"}

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

    def statements(self, auth_database: str) -> list[str]:
        """Return the commands that give the admin everything, when anything is missing."""
        missing = self._missing(auth_database)
        if not missing:
            return []
        if self.has_role:
            return [shell_command(ADMIN, {"grantPrivilegesToRole": ROLE, "privileges": _documents(missing)})]
        create = {"createRole": ROLE, "privileges": _documents(needed(auth_database)), "roles": []}
        grant = {"grantRolesToUser": self.admin["user"], "roles": [{"role": ROLE, "db": ADMIN}]}
        return [shell_command(ADMIN, create), shell_command(self.admin["db"], grant)]

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


def own_rights(session: Session) -> Rights:
    """Ask what the admin may do."""
    status = session.command(ADMIN, {"connectionStatus": 1, "showPrivileges": True})["authInfo"]
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
