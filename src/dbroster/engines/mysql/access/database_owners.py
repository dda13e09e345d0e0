"""Whose databases a server has, concluded from the claims of accounts, and from comments. Pure functions.

A claim stands where only an admin can write: in the account's ATTRIBUTE (MySQL), or as a role that it holds (MariaDB).
On MariaDB the comment of a database counts besides, where no claim says anything: its owner can change it, so a claim
decides. A grant proves nothing, since people make grants by hand.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from dbroster.engines.mysql.access.accounts import Account, Key, Ownership
from dbroster.engines.mysql.access.grants import SYSTEM_DATABASES, Grant, GrantTable, Rules
from dbroster.engines.mysql.access.markers import Comment, read_comment
from dbroster.engines.mysql.access.ways_in import FineGrant
from dbroster.errors import OperationError
from dbroster.model.state import ExistingDatabase, differences

Comments = Mapping[str, str]
"""Names of databases with their comments; empty where the product has none."""


class Estate(NamedTuple):
    """One database and the user whose it is or shall be: the accounts that are ours, and their grants on it.

    `claim`: whether a claim of the user was finished; None without any. `commented`: whether the comment names user and
    database, which is as good as a claim that is missing.
    """

    user: str
    database: str
    template: str
    accounts: Sequence[Account]
    grants: Sequence[Grant]
    exists: bool
    claim: bool | None
    commented: bool

    @property
    def is_theirs(self) -> bool:
        """Whether the database is proven to be the user's, or is to become it."""
        return self.claim is not None or self.commented

    def targets(self, rules: Rules) -> list[Account]:
        """The user's accounts on configured hosts. Raises OperationError if there is none."""
        targets = [found for found in self.accounts if found.host in rules.hosts]
        if not targets:
            raise OperationError(f"{self.user} has no account on a configured host; the next run creates it")
        return targets


class Claims:
    """Who claims which database, by the accounts of all rosters."""

    def __init__(self, accounts: Iterable[Account], ownership: Ownership, rules: Rules) -> None:
        self._rules = rules
        self.users: set[str] = set()
        self._ours: defaultdict[str, dict[str, bool]] = defaultdict(dict)
        self.elsewhere: dict[str, str] = {}
        self.rosters: dict[Key, str] = {}
        self.complete: defaultdict[str, set[str]] = defaultdict(set)
        for found in accounts:
            if ownership.is_ours(found):
                self._add(found)
            elif found.roster:
                roster = self.rosters[found.key] = found.roster
                self.elsewhere |= {rules.fold(f"{found.name}_{template}"): roster for template in found.claims}

    def _add(self, found: Account) -> None:
        self.users.add(found.name)
        for template, finished in found.claims.items():
            database = self._rules.fold(f"{found.name}_{template}")
            owners = self._ours[database]
            owners[found.name] = owners.get(found.name, False) or finished
            if finished:
                self.complete[database].add(found.host)

    def on(self, database: str) -> dict[str, bool]:
        """Users who claim a database, each with whether it was finished."""
        return self._ours.get(self._rules.fold(database), {})

    @cached_property
    def unfinished(self) -> list[str]:
        """Databases that were claimed and perhaps never created."""
        return [database for database, owners in self._ours.items() if not all(owners.values())]

    def items(self) -> Iterator[tuple[str, str]]:
        """Every claimed database with a user who claims it."""
        return ((database, next(iter(owners))) for database, owners in self._ours.items())


class _Read(NamedTuple):
    """What a server says of all its databases.

    `filled`: databases with something in them, of those that were claimed and perhaps never created. `commenting`:
    whether the product's databases have comments. `table`: the grants of our accounts, `grants`: those of all.
    """

    comments: Comments
    claims: Claims
    table: GrantTable
    grants: Sequence[Grant]
    rules: Rules
    ownership: Ownership
    filled: Collection[str] = ()
    commenting: bool = False
    fine: Mapping[str, Sequence[FineGrant]] = {}


class Survey(_Read):
    """What follows from it: whose each database is, and what is wrong with it."""

    @cached_property
    def owners(self) -> dict[str, str]:
        """Whose each database is that is somebody's, by its folded name."""
        return {self.rules.fold(name): db.owner for name, db in self.described.items() if db.owner}

    @cached_property
    def described(self) -> dict[str, ExistingDatabase]:
        """Every database, and those that are only claimed."""
        found = {name: self._existing(name, text) for name, text in self.comments.items()}
        there = {self.rules.fold(name) for name in self.comments}
        for name, user in self.claims.items():
            if name not in there:
                found[name] = ExistingDatabase(name, owner=user, usable=False)
        return found

    def refuted(self) -> list[tuple[str, str]]:
        """Users and databases that they claim without having made them: somebody else has filled them."""
        return [(user, name) for name in self.filled for user, made in self.claims.on(name).items() if not made]

    def unmarked(self) -> list[tuple[str, str]]:
        """Users and databases whose comment does not name them, though the account's claim does."""
        if not self.commenting:
            return []
        return [
            (user, name)
            for name, text in self.comments.items()
            for user in self.claims.on(name)
            if not self._names(read_comment(text), user, name)
        ]

    def _existing(self, name: str, text: str) -> ExistingDatabase:
        if name.lower() in SYSTEM_DATABASES:
            return ExistingDatabase(name, protected="it is a system database")
        owners = {user: made for user, made in self.claims.on(name).items() if made or name not in self.filled}
        if len(owners) > 1:
            return ExistingDatabase(name, protected=f"{' and '.join(sorted(owners))} claim it alike")
        said = read_comment(text)
        if owners:
            ((user, made),) = owners.items()
            return self._owned(name, user, made=made, named=self._names(said, user, name))
        if said and said.user in self.claims.users and self._names(said, said.user, name):
            return self._owned(name, said.user, made=True, named=True)
        return self._foreign(name, said)

    def _names(self, said: Comment | None, user: str, name: str) -> bool:
        return names(said, user, name, self.ownership, self.rules) and self.rules.belongs(user, name)

    def _owned(self, name: str, user: str, *, made: bool, named: bool) -> ExistingDatabase:
        own = [grant for grant in self.table.on(name) if grant.user == user]
        parts = sorted({grant.user for grant in self.fine.get(self.rules.fold(name), ())} - {user})
        claimed = self.claims.complete[self.rules.fold(name)].issuperset(self.ownership.hosts)
        marked = claimed and (named or not self.commenting)
        complete = self.rules.complete(own, name)
        others = sorted({grant.user for grant in self.table.reaching(name)} - {user})
        granted = made and marked and complete and not others and not parts
        differs = differences(
            (not marked, "the marker is not complete"),
            (not complete, "" if complete else self.rules.amiss(user, own, name)),
            (others, f"{', '.join(others)} may enter"),
            (parts, f"parts of it are granted to {', '.join(parts)}"),
        )
        return ExistingDatabase(name, owner=user, granted=granted, usable=made, differs=differs)

    def _foreign(self, name: str, said: Comment | None) -> ExistingDatabase:
        folded, holder = self.rules.fold(name), self._holders.get(self.rules.fold(name))
        roster = self.claims.elsewhere.get(folded) or self._taken.get(folded)
        if said and said.roster != self.ownership.roster and self.rules.fold(said.database) == folded:
            roster = said.roster
        if roster:
            return ExistingDatabase(name, protected=f"it belongs to a user of roster {roster!r}", holder=holder)
        if said is None or said.roster != self.ownership.roster:
            return ExistingDatabase(name, holder=holder)
        if self.rules.fold(said.database) != folded:
            return ExistingDatabase(name, holder=holder, marked_for=said.database)
        left_by = said.user if said.user not in self.claims.users else None
        return ExistingDatabase(name, holder=holder, left_by=left_by)

    @cached_property
    def _taken(self) -> Mapping[str, str]:
        """Databases that grants give to accounts of other rosters, with those."""
        rosters, rules = self.claims.rosters, self.rules
        theirs = ((grant, rosters.get((grant.user, grant.host))) for grant in self.grants)
        return {name: roster for grant, roster in theirs if roster for name in rules.names(grant)}

    @cached_property
    def _holders(self) -> Mapping[str, str]:
        """Databases that one user alone has privileges on, by their names in grants."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for grant in self.grants:
            found[self.rules.fold(self.rules.plain(grant.pattern))].add(grant.user)
        return {name: next(iter(users)) for name, users in found.items() if len(users) == 1}


def names(said: Comment | None, user: str, database: str, ownership: Ownership, rules: Rules) -> bool:
    """Whether a comment of our roster names this user and this database."""
    said_of = said and (said.roster, said.user, rules.fold(said.database))
    return said_of == (ownership.roster, user, rules.fold(database))
