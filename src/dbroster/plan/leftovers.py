"""What removals leave on the server: databases that are nobody's any more. Every run tells of them.

dbroster drops only what it can prove to be a user's. A database that has lost its proof therefore stays when its user
goes, and whoever is called so later, and takes it over, gets what is in it.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from dbroster.model.plan import Plan, Verb
from dbroster.model.problems import Problem
from dbroster.model.roster import Roster
from dbroster.model.state import Actual, ExistingDatabase

if TYPE_CHECKING:
    from dbroster.audit.history import History


class Left(NamedTuple):
    """A database that a removal has left: whose it was, and what a person can do with it."""

    user: str
    database: str
    text: str


class Leftovers:
    """Looks for them on one server. `log` reads the audit log, and is asked only if there is something like that.

    `spared`: names that connections.yaml protects. `drop_words` say how a person drops a database.
    """

    def __init__(
        self,
        roster: Roster,
        actual: Actual,
        plan: Plan,
        spared: frozenset[str],
        drop_words: str,
        log: Callable[[], "History"],
    ) -> None:
        self.roster, self.actual, self.plan = roster, actual, plan
        self.spared, self.drop_words, self.log = spared, drop_words, log

    def __iter__(self) -> Iterator[Problem]:
        leavers = {action.user for action in self.plan.of(Verb.DROP_USER)}
        for database in self._staying_databases():
            _, text = self._left(database) or ("", self._staying(database, leavers))
            if text:
                yield Problem(text, warning=True)

    def of_users(self) -> Iterator[Left]:
        """Tell of each database that an earlier removal has left."""
        for database in self._staying_databases():
            if left := self._left(database):
                yield Left(left[0], database.name, left[1])

    def _staying_databases(self) -> Iterator[ExistingDatabase]:
        dropped = {action.database for action in self.plan.of(Verb.DROP_DATABASE)}
        for name, database in sorted(self.actual.databases.items()):
            if name not in self.spared and name not in dropped and not database.protected:
                yield database

    def _left(self, database: ExistingDatabase) -> tuple[str, str] | None:
        """Say whose it was, and that a removal has left it: by its own marker, or by the audit log."""
        user = database.left_by or self._of_nobody(database)
        if user is None or user in self.roster.users.keys() | self.roster.mentioned:
            return None
        history = self.log() if database.left_by is None else None
        if history and history.standing.get(database.name) != user:
            return None
        if user in self.actual.users:
            return None if self._is_told(user) else (user, _unmarked(user, database.name))
        when = history.dropped_at(user) if history else None
        if history and when is None:
            return None
        on = f" on {when:%Y-%m-%d}" if when else ""
        keep = f"or keep it: put the line of {user} back and run with --adopt {user}, or list it under `protected`"
        found = f"the database {database.name} is what was left when the account {user} was removed{on}"
        return user, f"{found}; drop it: {self.drop_words.format(database.name)} {keep}"

    def _of_nobody(self, database: ExistingDatabase) -> str | None:
        """Return whose it was by its name, if it is nobody's now and no such account is known to be anybody's."""
        if database.owner is not None or database.marked_for is not None:
            return None
        users = (database.name.removesuffix(f"_{t}") for t in self.roster.templates if database.name.endswith(f"_{t}"))
        return next((user for user in users if user and not self._is_told(user)), None)

    def _is_told(self, user: str) -> bool:
        """Whether there is such an account, and it is ours, another's, or one that is never touched."""
        found = self.actual.users.get(user)
        return found is not None and bool(found.managed or found.protected or found.roster or found.marked_for)

    def _staying(self, database: ExistingDatabase, leavers: set[str]) -> str | None:
        """Say that it stays when somebody goes who has it, or after whom it is called."""
        if database.owner is not None:
            return None
        named = (user for user in leavers for t in self.roster.templates if database.name == f"{user}_{t}")
        user = database.holder if database.holder in leavers else next(named, None)
        if user is None:
            return None
        proof = "since nothing proves that dbroster has made it"
        text = f"the database {database.name} stays when {user} is removed, {proof}"
        if not database.name.startswith(f"{user}_"):
            return f"{text}; nobody else had privileges on it"  # to read it makes nobody its owner
        return f"{text}; if nobody needs it: {self.drop_words.format(database.name)}"


def _unmarked(user: str, database: str) -> str:
    return (
        f"the account {user} stays with its database {database}, although it is not in users.txt: somebody has "
        f"taken dbroster's marker from it, so it is yours now; to let dbroster remove both, put the line of {user} "
        f"back, run with --adopt {user}, and take the line out again"
    )
