"""What a run will do: actions, and what stands in their way."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from dbroster.model.problems import Problem
from dbroster.passwords.secret import Secret


class Verb(StrEnum):
    """What an action does; the order is the order of the phases of a run."""

    CREATE_USER = "create_user"
    ADOPT = "adopt"
    UPDATE_PASSWORD = "update_password"  # noqa: S105 - a verb
    CREATE_DATABASE = "create_database"
    GRANT_PRIVILEGES = "grant_privileges"
    LOCK_USER = "lock_user"
    ARCHIVE_DATABASE = "archive_database"
    DROP_DATABASE = "drop_database"
    DROP_USER = "drop_user"
    RESTORE_DATABASE = "restore_database"
    RENAME_USER = "rename_user"
    MOVE_DATABASE = "move_database"


REMOVALS = (Verb.LOCK_USER, Verb.ARCHIVE_DATABASE, Verb.DROP_DATABASE, Verb.DROP_USER)
"""What takes away, in its order."""

NEW_USER = "in users.txt, not on the server"
NOT_LISTED = "not in users.txt"
OTHER_PASSWORD = "the password differs"  # noqa: S105 - a reason
TAKEN_BACK = "taken back: this new user could not be completed"
"""Reasons of actions that a report need not repeat, or must know."""


class Action(NamedTuple):
    """One change to one object; `reason` tells why, for people."""

    verb: Verb
    user: str
    database: str | None = None
    password: Secret | None = None
    reason: str = ""


class Conflict(NamedTuple):
    """A foreign object stands where the roster wants one of its own; the user is left alone."""

    user: str
    text: str


class Plan(NamedTuple):
    """What a run will do, and the counts that the guard judges it by; `new_users` have no account at all so far.

    `obstacles`: by the place of an action, why the server must refuse it, so that it is not even tried.
    `reservations`: why its removals need `--max-removals`, however few they are (a user who seems to be renamed).
    """

    actions: tuple[Action, ...] = ()
    new_users: frozenset[str] = frozenset()
    conflicts: tuple[Conflict, ...] = ()
    problems: tuple[Problem, ...] = ()
    managed_users: int = 0
    managed_databases: int = 0
    unchanged: int = 0
    obstacles: Mapping[int, str] = {}
    reservations: tuple[str, ...] = ()

    def of(self, *verbs: Verb) -> list[Action]:
        """Return the actions of these verbs."""
        return [action for action in self.actions if action.verb in verbs]

    @property
    def leavers(self) -> set[str]:
        """Names of the accounts that are removed; every one of them is locked or dropped."""
        return {action.user for action in self.of(Verb.LOCK_USER, Verb.DROP_USER)}
