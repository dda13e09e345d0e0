"""How a user stands on one server: what is there, what is missing, and what a sync would do about it."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from dbroster.model.plan import Verb
from dbroster.model.problems import Problem
from dbroster.model.state import PasswordCheck


class AccountState(StrEnum):
    """What stands where a user's account shall be. `UNUSABLE`: open, but nobody can log in; `REMOVED`: not wanted."""

    OPEN = "open"
    LOCKED = "locked"
    UNUSABLE = "unusable"
    INCOMPLETE = "incomplete"
    MISSING = "missing"
    FOREIGN = "foreign"
    REMOVED = "removed"


class Databases(NamedTuple):
    """A user's databases by their names.

    `closed`: the user's, but not open as they shall be. `foreign`: not the user's, under a name that the user wants.
    `left`: what an earlier removal of the user has left behind.
    """

    there: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def found(self) -> tuple[str, ...]:
        """All that are or were the user's."""
        return (*self.there, *self.surplus, *self.closed, *self.left)


class Pending(NamedTuple):
    """What a sync would do for a user, and why; `obstacle`: why it would not be done.

    `name`: the database, or the part of the account that is meant; None for the account.
    """

    verb: Verb
    name: str | None
    reason: str
    obstacle: str | None = None


class Change(NamedTuple):
    """What dbroster has changed last, by the audit log."""

    when: datetime
    action: str
    database: str | None = None


class Standing(NamedTuple):
    """One user on one server.

    `listed`: whether a line of users.txt names the user. `note`: what has to be known of the account. `kept_until`:
    when the days of grace end. `problems`: warnings, too. `sizes`: bytes of each database, where they were asked for
    and the server tells them.
    """

    user: str
    listed: bool
    account: AccountState
    note: str | None = None
    locked_since: datetime | None = None
    kept_until: datetime | None = None
    password: PasswordCheck | None = None
    databases: Databases = Databases()
    pending: tuple[Pending, ...] = ()
    problems: tuple[Problem, ...] = ()
    change: Change | None = None
    sizes: Mapping[str, int] | None = None

    @property
    def in_step(self) -> bool:
        """Whether a sync would change nothing, and nothing has to be mended."""
        return not (self.pending or any(not problem.warning for problem in self.problems))
