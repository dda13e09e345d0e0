"""What the files want: users, templates, and what is wrong with them."""

from collections.abc import Iterable, Mapping, Set
from typing import NamedTuple, Self

from dbroster.model.problems import Problem
from dbroster.passwords.secret import Secret

USERS_FILE = "users.txt"
AGE_FILE = f"{USERS_FILE}.age"


class User(NamedTuple):
    """One usable line of users.txt."""

    name: str
    password: Secret
    line: int


class Roster(NamedTuple):
    """What the files want for one engine.

    `mentioned` are names on lines that can't be used: those accounts are left exactly as they are. `suspended` holds
    the reasons why nothing may be removed in this run (a line whose user can't be told, a missing file). `encrypted`:
    the passwords stand nowhere in clear, so nothing that helps to guess them may be written either. `file` is what the
    lines are counted in: users.txt, users.txt.age or users_command; `unread` why these were not read, in a checkout.
    """

    users: Mapping[str, User] = {}
    mentioned: frozenset[str] = frozenset()
    templates: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    suspended: tuple[str, ...] = ()
    encrypted: bool = False
    file: str = USERS_FILE
    unread: str = ""

    def databases(self, user: str) -> tuple[str, ...]:
        """Names of the databases that a user shall have."""
        return tuple(f"{user}_{template}" for template in self.templates)

    def doubted(self, problem: Problem | None, reason: str = "") -> Self:
        """Return a roster that removes nothing, if there is a problem with what it was read from."""
        if problem is None:
            return self
        why = reason or f"{problem.file} may not be whole"
        return self._replace(problems=(*self.problems, problem), suspended=(*self.suspended, why))

    def without(self, users: Set[str], problems: Iterable[Problem]) -> Self:
        """Return a roster in which these users are merely mentioned, and that has the problems besides its own."""
        return self._replace(
            users={name: user for name, user in self.users.items() if name not in users},
            mentioned=self.mentioned | users,
            problems=(*self.problems, *problems),
        )
