"""How every user stands on one server, by what was read and what a sync would do; pure.

There is a row for each user of the roster, for each account of ours that is not in the roster any more, and for whoever
left something behind.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TypeVar

from dbroster.model.problems import Problem
from dbroster.model.result import Outcome, Result
from dbroster.model.roster import Roster
from dbroster.model.standing import AccountState, Databases, Pending, Standing
from dbroster.model.state import Actual, ExistingDatabase, ExistingUser, Lock
from dbroster.plan.grace_period import NO_GRACE, GracePeriod
from dbroster.plan.leftovers import Left

T = TypeVar("T")


class Standings:
    """Looks at one server. `left`: of earlier removals. `fold` is the server's own of database names.

    `own`: the name of our roster.
    """

    def __init__(
        self,
        roster: Roster,
        actual: Actual,
        left: Iterable[Left] = (),
        grace: GracePeriod = NO_GRACE,
        fold: Callable[[str], str] = str,
        own: str | None = None,
    ) -> None:
        self.roster, self.actual, self.grace, self.fold, self.own = roster, actual, grace, fold, own
        self.left = _by_user((left.user, left) for left in left)

    def rows(self, asked: Collection[str] = ()) -> list[Standing]:
        """Return a row for each user; only for those that are asked for, if there are any, and then for strangers."""
        names = {*self._listed, *self.left}
        names |= {name for name, existing in self.actual.users.items() if self._is_ours(existing) or name in asked}
        return [self._row(name) for name in sorted(names) if not asked or name in asked]

    def _is_ours(self, existing: ExistingUser) -> bool:
        marked = existing.roster is not None and existing.roster == self.own and existing.marked_for is None
        return existing.managed or marked  # who was given power since is managed no more

    @cached_property
    def _listed(self) -> frozenset[str]:
        return frozenset(self.roster.users) | self.roster.mentioned

    @cached_property
    def _by_fold(self) -> Mapping[str, ExistingDatabase]:
        return {self.fold(name): database for name, database in self.actual.databases.items()}

    @cached_property
    def _owned(self) -> Mapping[str, list[str]]:
        databases = sorted(self.actual.databases.values(), key=lambda database: database.name)
        return _by_user((database.owner, database.name) for database in databases if database.owner is not None)

    def _row(self, name: str) -> Standing:
        existing = self.actual.users.get(name)
        listed = name in self._listed
        account, note = _account(existing, listed=listed)
        leaves = existing is not None and existing.managed and not listed and self.grace.days > 0
        return Standing(
            name,
            listed,
            account,
            note,
            existing.locked_since if existing else None,
            self.grace.ends(existing) if leaves and existing else None,
            self.actual.passwords.get(name),
            self._databases(name, listed=listed),
            problems=tuple(self._own_problems(name)),
        )

    def _own_problems(self, user: str) -> Iterator[Problem]:
        """Tell what nothing else tells of this user."""
        yield from (Problem(left.text, user=user, warning=True) for left in self.left.get(user, ()))
        if user in self.roster.mentioned:
            yield Problem("its line can't be used, so it is left as it is", self.roster.file, user=user)

    def _databases(self, user: str, *, listed: bool) -> Databases:
        found: dict[str, list[str]] = {"there": [], "missing": [], "closed": [], "foreign": []}
        wanted = self.roster.databases(user) if listed else ()
        for name in wanted:
            found[_place(user, self._by_fold.get(self.fold(name)))].append(name)
        kept = {self.fold(name) for name in wanted}
        surplus = tuple(name for name in self._owned.get(user, ()) if self.fold(name) not in kept)
        left = tuple(left.database for left in self.left.get(user, ()))
        return Databases(surplus=surplus, left=left, **{place: tuple(names) for place, names in found.items()})


def _account(existing: ExistingUser | None, *, listed: bool) -> tuple[AccountState, str | None]:
    """Return the state of an account, and what has to be known of it."""
    if existing is None:
        return (AccountState.MISSING if listed else AccountState.REMOVED), None
    if not existing.managed:
        return AccountState.FOREIGN, existing.protected or _stranger(existing)
    if existing.lock is not Lock.OPEN:
        return AccountState.LOCKED, None if existing.lock is Lock.OURS else "locked, but not by dbroster"
    if existing.unusable:
        return AccountState.UNUSABLE, existing.unusable
    return (AccountState.OPEN if existing.complete else AccountState.INCOMPLETE), None


def _stranger(existing: ExistingUser) -> str:
    if existing.marked_for is not None:
        return f"it carries the marker of {existing.marked_for}"
    if existing.roster is not None:
        return f"it belongs to the roster {existing.roster!r}"
    return "dbroster did not create it"


def _place(user: str, existing: ExistingDatabase | None) -> str:
    if existing is None or (existing.owner == user and not existing.usable):
        return "missing"
    if existing.owner != user:
        return "foreign"
    return "there" if existing.granted else "closed"


def judged(rows: Sequence[Standing], actual: Actual, result: Result) -> list[Standing]:
    """Return the rows with what a sync would do, and what is wrong, each at the user whom it concerns."""
    whose = {part: user.name for user in actual.users.values() for part in user.surplus}
    owners = [whose.get(outcome.action.user, outcome.action.user) for outcome in result.outcomes]
    pending = _by_user((user, _pending(user, each)) for user, each in zip(owners, result.outcomes, strict=True))
    told = _by_user((problem.user, problem) for problem in result.problems if problem.user)
    for user, text in result.conflicts:
        told[user].append(Problem(text, user=user))
    return [row._replace(pending=tuple(pending[row.user]), problems=_told(row, told[row.user])) for row in rows]


def _told(row: Standing, found: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return the problems of a user; that a line can't be used goes without, where something says why."""
    own = [problem for problem in row.problems if problem.warning or not found]
    return *found, *own


def _by_user(pairs: Iterable[tuple[str, T]]) -> defaultdict[str, list[T]]:
    found: defaultdict[str, list[T]] = defaultdict(list)
    for user, each in pairs:
        found[user].append(each)
    return found


def _pending(user: str, outcome: Outcome) -> Pending:
    action = outcome.action
    part = action.user if action.user != user else None
    return Pending(action.verb, action.database or part, action.reason, outcome.error)
