"""From what the roster wants and what the server has to the plan; pure, and the same for every engine."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from functools import cached_property
from itertools import islice, takewhile

from dbroster.model.plan import NEW_USER, NOT_LISTED, OTHER_PASSWORD, Action, Conflict, Plan, Verb
from dbroster.model.problems import Problem
from dbroster.model.roster import Roster, User
from dbroster.model.state import Actual, ExistingDatabase, ExistingUser, Lock, PasswordCheck
from dbroster.plan.grace_period import NO_GRACE, GracePeriod


class Differ:
    """Compares one roster with one server.

    `adopt`: users whose foreign account and databases may be taken over. `protected`: names that are never touched.
    `fold`: what database names that the server takes for the same have in common. `archive`: whether each database is
    archived before it is dropped. `grace`: how long accounts are kept. `own`: the name of our roster.
    `drop_words`: how a person drops a database.
    """

    def __init__(
        self,
        roster: Roster,
        actual: Actual,
        adopt: Collection[str] = (),
        protected: Collection[str] = (),
        fold: Callable[[str], str] = str,
        *,
        archive: bool = False,
        grace: GracePeriod = NO_GRACE,
        own: str | None = None,
        drop_words: str = 'DROP DATABASE "{}";',
    ) -> None:
        self.roster, self.actual = roster, actual
        self.adopt, self.protected, self.fold = adopt, protected, fold
        self.archive, self.grace, self.own, self.drop_words = archive, grace, own, drop_words

    def plan(self) -> Plan:
        """Return every action that brings the server in step, and the conflicts that stand in the way."""
        by_fold = {self.fold(name): database for name, database in self.actual.databases.items()}
        conflicts: list[Conflict] = []
        problems: list[Problem] = []
        actions: list[Action] = []
        unchanged = 0
        for user in sorted(self.roster.users.values(), key=lambda user: user.name):
            found = list(self._conflicts(user.name, by_fold))
            conflicts += [Conflict(user.name, f"{text} (users.txt line {user.line})") for text in found]
            if found:
                continue
            problems += self._doubts(user)
            wanted = list(self._wanted(user, by_fold))
            unchanged += not wanted
            actions += wanted
        actions += self._removals()
        conflicts += self._kept_back()
        conflicts += self._too_powerful()
        problems += [self.grace.note(existing) for existing in self._gone() if not self.grace.is_due(existing)]
        problems += self._renamed()
        return Plan(
            tuple(sorted(actions, key=_order)),
            frozenset(self.roster.users.keys() - self.actual.users.keys()),
            tuple(conflicts),
            tuple(problems),
            sum(user.managed for user in self.actual.users.values()),
            sum(database.owner is not None for database in self.actual.databases.values()),
            unchanged,
        )

    def _renamed(self) -> Iterator[Problem]:
        """Tell what carries a marker of ours that names something else; nothing of it is ever changed."""
        for account in sorted(self.actual.users.values(), key=lambda account: account.name):
            if account.marked_for is not None:
                text = f"{account.name} carries the marker of {account.marked_for}: somebody has renamed or copied it"
                yield Problem(f"the account {text}; it is yours now, and dbroster leaves it alone", warning=True)
        for database in sorted(self.actual.databases.values(), key=lambda database: database.name):
            if database.marked_for is not None:
                text = f"the database {database.name} was {database.marked_for}: somebody has renamed or copied it"
                yield Problem(f"{text}; it is yours now, and dbroster leaves it alone", warning=True)

    # --- what stands in the way -------------------------------------------------------------------------------------

    def _conflicts(self, name: str, by_fold: Mapping[str, ExistingDatabase]) -> Iterator[str]:
        """Say which foreign objects have a name that this user wants."""
        existing = self.actual.users.get(name)
        if existing and not existing.managed:
            yield from self._foreign_account(existing)
            if existing.protected or existing.roster is not None:
                return  # one reason is enough: without the account nothing becomes of its databases
        for wanted in self.roster.databases(name):
            database = by_fold.get(self.fold(wanted))
            if database and database.owner != name:
                yield from self._foreign_database(name, wanted, database)

    def _foreign_account(self, existing: ExistingUser) -> Iterator[str]:
        if existing.protected:
            yield f"the account {existing.name} can never be managed: {existing.protected}"
        elif existing.roster is not None:
            yield f"the account {existing.name} belongs to the roster {existing.roster!r}"
        elif existing.name not in self.adopt:
            name = existing.name
            replaced = f"which replaces its password by that of {self.roster.file}"
            yield f"an account {name} exists that dbroster did not create; take it over with --adopt {name}, {replaced}"
        else:
            yield from self._would_be_lost(existing.name)

    def _would_be_lost(self, name: str) -> Iterator[str]:
        """Say which databases could count as an adopted account's from the next run on, and be dropped then."""
        first = bisect_left(self._unwanted, f"{name}_")
        for database in takewhile(lambda found: found.startswith(f"{name}_"), islice(self._unwanted, first, None)):
            yield (
                f"with the account {name} its database {database} could become dbroster's, and be dropped, "
                "since no template names it: name it, or list it under `protected` to keep it"
            )

    @cached_property
    def _unwanted(self) -> Sequence[str]:
        """Names of foreign databases that could be taken over, and that no user wants; in order."""
        wanted = {self.fold(wished) for user in self.roster.users for wished in self.roster.databases(user)}
        return sorted(
            database.name
            for database in self.actual.databases.values()
            if database.owner is None and not database.protected and database.name not in self.protected
            if self.fold(database.name) not in wanted
        )

    def _foreign_database(self, name: str, wanted: str, database: ExistingDatabase) -> Iterator[str]:
        if database.name != wanted:
            yield f"the database {database.name} exists, and this server takes {wanted} for the same name"
        elif database.owner is not None:
            yield f"the database {wanted} belongs to the user {database.owner}"
        elif database.protected or wanted in self.protected:
            yield f"the database {wanted} can never be managed: {database.protected or 'connections.yaml protects it'}"
        elif not database.usable:
            left = f"the database {wanted} is foreign, and an interrupted drop has left it unusable"
            yield f"{left}: {self.drop_words.format(wanted)}"
        elif name not in self.adopt:
            advice = f"take it over with --adopt {name}, {_whose(name, database, self.actual.users)}"
            yield f"a database {wanted} exists that dbroster did not create; {advice}"

    def _doubts(self, user: User) -> Iterator[Problem]:
        """Tell what can't be known or won't be done for a user whose other actions go on."""
        existing = self.actual.users.get(user.name)
        if existing is None or not existing.managed:
            return
        check = self.actual.passwords.get(user.name)
        renewed = existing.renewable and check is PasswordCheck.DIFFERENT
        if existing.lock is Lock.OPEN and check is PasswordCheck.UNKNOWN:
            doubt = existing.unusable or self.actual.doubts.get(user.name)
            why = f": {doubt}" if doubt else ""
            text = f"the password could not be checked against the server, so it is left as it is{why}"
            yield Problem(text, self.roster.file, user.line, user.name)
        elif existing.lock is Lock.OPEN and existing.unusable and not renewed:
            yield Problem(
                f"nobody can log in as {user.name}: {existing.unusable}", self.roster.file, user.line, user.name
            )
        if existing.lock is Lock.FOREIGN:
            text = "the account is locked, but not by dbroster: it stays locked"
            yield Problem(text, self.roster.file, user.line, user.name, warning=True)

    # --- what to do -------------------------------------------------------------------------------------------------

    def _wanted(self, user: User, by_fold: Mapping[str, ExistingDatabase]) -> Iterator[Action]:
        yield from self._account(user)
        names = self.roster.databases(user.name)
        for name in names:
            yield from self._database(user.name, name, by_fold.get(self.fold(name)))
        if not self.roster.suspended:
            kept = {self.fold(name) for name in names}
            yield from self._dropped_databases(user.name, kept, "its template is no longer listed")

    def _account(self, user: User) -> Iterator[Action]:
        existing = self.actual.users.get(user.name)
        if existing is None:
            yield Action(Verb.CREATE_USER, user.name, None, user.password, NEW_USER)
        elif not existing.managed:
            reason = f"taken over as --adopt says, with the password of {self.roster.file} instead of its own"
            yield Action(Verb.ADOPT, user.name, None, user.password, reason)
        else:
            if not existing.complete:
                yield Action(Verb.CREATE_USER, user.name, None, user.password, "a part of the account is missing")
            if existing.lock is Lock.OURS:
                yield Action(Verb.UPDATE_PASSWORD, user.name, None, user.password, "back in users.txt: opened again")
            elif self.actual.passwords.get(user.name) is PasswordCheck.DIFFERENT:
                reason = self.actual.doubts.get(user.name, OTHER_PASSWORD)
                yield Action(Verb.UPDATE_PASSWORD, user.name, None, user.password, reason)
            if not self.roster.suspended:
                for part in existing.surplus:
                    yield Action(Verb.DROP_USER, part, reason="no longer configured")

    def _database(self, user: str, name: str, existing: ExistingDatabase | None) -> Iterator[Action]:
        if existing is None or not existing.usable:
            yield Action(Verb.CREATE_DATABASE, user, name, reason="not on the server")
            yield Action(Verb.GRANT_PRIVILEGES, user, name, reason="new database")
        elif existing.owner is None:
            yield Action(
                Verb.ADOPT,
                user,
                name,
                reason=f"taken over as --adopt says, {_whose(user, existing, self.actual.users)}",
            )
        elif not existing.granted:
            yield Action(Verb.GRANT_PRIVILEGES, user, name, reason=_differs(existing))

    # --- what to take away ------------------------------------------------------------------------------------------

    def _removals(self) -> Iterator[Action]:
        """Remove managed accounts that no line mentions, with every database that is theirs.

        An account outlives a database that must stay: without it, nobody would know any more whose that was.
        Until its days of grace are over, it is locked and nothing else.
        """
        for existing in self._gone():
            if self.grace.needs_lock(existing):
                yield Action(Verb.LOCK_USER, existing.name, reason=NOT_LISTED)
            elif existing.lock is Lock.OURS and any(database.shared for database in self._owned.get(existing.name, ())):
                yield Action(Verb.LOCK_USER, existing.name, reason="others were let into its databases again")
            if not self.grace.is_due(existing):
                continue
            yield from self._dropped_databases(existing.name, (), "its user is not in users.txt")
            if not self._staying(existing.name):
                yield Action(Verb.DROP_USER, existing.name, reason=NOT_LISTED)

    def _kept_back(self) -> Iterator[Conflict]:
        for existing in filter(self.grace.is_due, self._gone()):
            if staying := self._staying(existing.name):
                text = f"the account is locked, not dropped, since this may not be dropped: {', '.join(staying)}"
                drops = " ".join(self.drop_words.format(name) for name in staying)
                listed = any(name in self.protected for name in staying)
                off = "take it off `protected` in connections.yaml, or " if listed else ""
                yield Conflict(existing.name, f"{text}; {off}drop it yourself: {drops}")

    def _too_powerful(self) -> Iterator[Conflict]:
        """Tell who has left, but was given power since, so that the account may not be touched any more."""
        for name, existing in sorted(self.actual.users.items()):
            ours = existing.roster is not None and existing.roster == self.own and existing.marked_for is None
            if ours and existing.protected and name not in self._kept and not self.roster.suspended:
                text = f"the account {name} is not in {self.roster.file} any more, and stays open"
                yield Conflict(name, f"{text}: dbroster may not touch it, since {existing.protected}")

    @cached_property
    def _kept(self) -> Set[str]:
        """Names of accounts that are not removed, whatever becomes of them."""
        return self.roster.users.keys() | self.roster.mentioned | set(self.protected)

    def _gone(self) -> Iterator[ExistingUser]:
        if not self.roster.suspended:
            yield from (e for n, e in sorted(self.actual.users.items()) if e.managed and n not in self._kept)

    def _staying(self, user: str) -> list[str]:
        return sorted(d.name for d in self._owned.get(user, ()) if not self._may_drop(d))

    def _dropped_databases(self, user: str, kept: Collection[str], reason: str) -> Iterator[Action]:
        for database in self._owned.get(user, ()):
            if self.fold(database.name) not in kept and self._may_drop(database):
                if self.archive and database.usable:  # what was never finished was never entered
                    yield Action(Verb.ARCHIVE_DATABASE, user, database.name, reason=f"to be dropped: {reason}")
                yield Action(Verb.DROP_DATABASE, user, database.name, reason=reason)

    def _may_drop(self, database: ExistingDatabase) -> bool:
        return database.droppable and database.name not in self.protected

    @cached_property
    def _owned(self) -> Mapping[str, list[ExistingDatabase]]:
        owned: defaultdict[str, list[ExistingDatabase]] = defaultdict(list)
        for database in self.actual.databases.values():
            if database.owner is not None:
                owned[database.owner].append(database)
        return owned


def _differs(database: ExistingDatabase) -> str:
    return f"privileges differ: {database.differs}" if database.differs else "privileges differ"


def _whose(user: str, database: ExistingDatabase, accounts: Collection[str]) -> str:
    """Say whose data a user gets with a foreign database."""
    if database.left_by is not None and database.left_by not in accounts:
        now = f", and {database.holder} has it now" if database.holder not in (None, user) else ""
        return f"with the data of an earlier account {database.left_by}, which was removed or renamed{now}"
    if database.holder not in (None, user):
        return f"with its data, which may be that of {database.holder}, who has it now"
    return "with its data, whoever's that is" if database.holder is None else "with its data"


_PHASES = {verb: number for number, verb in enumerate(Verb)}


def _order(action: Action) -> tuple[int, str, str]:
    return _PHASES[action.verb], action.user, action.database or ""
