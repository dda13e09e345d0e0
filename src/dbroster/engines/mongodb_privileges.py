"""What the admin account of MongoDB needs for a sync, and the commands that give it what it lacks."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from dbroster.engines.mongodb_session import ADMIN, Session
from dbroster.errors import OperationError

_ROLE = "dbrosterAdmin"
_CLUSTER: dict[str, Any] = {"cluster": True}
_ALL: dict[str, Any] = {"db": "", "collection": ""}
_USERS: dict[str, Any] = {"db": ADMIN, "collection": "system.users"}

Privileges = list[tuple[dict[str, Any], tuple[str, ...]]]


def needed(auth_database: str) -> Privileges:
    """List what a sync needs; roles can be given only on all databases, since those of new users don't exist yet."""
    return [
        (_USERS, ("find",)),
        (_ALL, ("createCollection", "dropDatabase", "grantRole", "revokeRole", "dropUser", "dropRole")),
        (
            {"db": auth_database, "collection": ""},
            ("createUser", "changePassword", "changeCustomData", "setAuthenticationRestriction"),
        ),
        (_CLUSTER, ("listDatabases", "killAnySession", "inprog")),
    ]


def own_privileges(session: Session) -> list[Mapping[str, Any]]:
    """Ask what the admin may do; empty where access control is off, though everything is allowed there."""
    status = session.command(ADMIN, {"connectionStatus": 1, "showPrivileges": True})
    found: list[Mapping[str, Any]] = status["authInfo"]["authenticatedUserPrivileges"]
    return found


def access_control_is_off(session: Session, privileges: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the server lets everybody do everything: then even an admin without rights can read the accounts."""
    if list(privileges):
        return False
    try:
        session.find_accounts({"user": ""}, {"_id": 1}, 1)
    except OperationError:
        return False
    return True


def statements(privileges: Iterable[Mapping[str, Any]], admin: str, auth_database: str) -> list[str]:
    """Return the commands that give the admin everything, when anything is missing."""
    have = list(privileges)
    if all(_has(have, resource, action) for resource, actions in needed(auth_database) for action in actions):
        return []
    wanted = [{"resource": resource, "actions": list(actions)} for resource, actions in needed(auth_database)]
    create = {"createRole": _ROLE, "privileges": wanted, "roles": []}
    grant = {"grantRolesToUser": admin, "roles": [{"role": _ROLE, "db": ADMIN}]}
    return [f'db.getSiblingDB("{ADMIN}").runCommand({json.dumps(command)})' for command in (create, grant)]


def _has(privileges: Iterable[Mapping[str, Any]], resource: Mapping[str, Any], action: str) -> bool:
    return any(action in entry["actions"] and _covers(entry["resource"], resource) for entry in privileges)


def _covers(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether rights on one resource are rights on another (manual, "Resource Document")."""
    if given == wanted or given.get("anyResource"):
        return True
    return given == _ALL and wanted.get("collection") == ""
