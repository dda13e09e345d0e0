"""The files may change while a run waits for a server, or works: they are read again before anything is removed.

What both readings want is done. If they differ, nothing is removed: whom a run takes for a leaver may have been added
meanwhile, and be at work already.
"""

import time
from collections.abc import Callable, Sequence

from dbroster.config.connections import CONNECTIONS_FILE, USERS_COMMAND
from dbroster.errors import ConfigError
from dbroster.model.connection import Connection
from dbroster.model.plan import REMOVALS, Action
from dbroster.model.problems import Problem
from dbroster.model.roster import Roster

Again = Callable[[], tuple[Sequence[Connection], Roster]]
"""Reads all files of a run again. Raises ConfigError."""

SECONDS = 5.0
"""So long one reading holds: archives may take hours before their databases are dropped."""


class Rereading:
    """What a plan is made of, and how it is read again; without `again` it never changes."""

    def __init__(self, connection: Connection, roster: Roster, again: Again | None = None) -> None:
        self.connection, self.roster, self.again = connection, roster, again
        self._read_at: float | None = None
        self._changed: str | None = None

    def before(self, actions: Sequence[Action]) -> Roster:
        """Return the roster for these actions: the same one, or what the files still say of it.

        A program is not run again for what takes nothing away: it may ask for a touch of a key.
        """
        removes = any(action.verb in REMOVALS for action in actions)
        if not actions or self.again is None or (self.roster.file == USERS_COMMAND and not removes):
            return self.roster
        now, problem = self._differing()
        if problem is None:
            return self.roster
        return _common(self.roster, now).doubted(problem, "the files changed meanwhile")

    def forbids_removal(self) -> str | None:
        """Say why nothing may be removed from now on."""
        recent = self._read_at is not None and time.monotonic() - self._read_at < SECONDS
        if self._changed is None and self.again is not None and not recent:
            self._differing()
        return self._changed

    def _differing(self) -> tuple[Roster, Problem | None]:
        self._read_at = time.monotonic()
        now, problem = self._judged()
        self._changed = problem.text if problem else None
        return now, problem

    def _judged(self) -> tuple[Roster, Problem | None]:
        try:
            (connection,), now = self.again() if self.again else ((self.connection,), self.roster)
        except ConfigError as error:
            reason = error.problems[0].text
            text = f"the files changed meanwhile, run again: they can't be used any more ({reason}), so nothing is done"
            return Roster(), Problem(text)
        names = ", ".join(self._changes(connection, now))
        text = f"{names} changed meanwhile, run again: only what was and is wanted is done, and nothing is removed"
        return now, Problem(text) if names else None

    def _changes(self, connection: Connection, now: Roster) -> list[str]:
        """Name the files that are not what they were."""
        then, found = self.roster, []
        if (then.file, then.users, then.mentioned) != (now.file, now.users, now.mentioned):
            found.append(now.file)
        if then.templates != now.templates:
            found.append(f"{self.connection.engine}_databases.txt")
        if connection != self.connection:
            found.append(CONNECTIONS_FILE)
        return found or (["a file"] if then != now else [])


def _common(then: Roster, now: Roster) -> Roster:
    """Return what two readings agree on: users with one password, and templates."""
    passwords = {name: user.password for name, user in now.users.items()}
    stale = {name for name, user in then.users.items() if passwords.get(name) != user.password}
    templates = tuple(name for name in then.templates if name in now.templates)
    return then.without(stale, ())._replace(templates=templates)
