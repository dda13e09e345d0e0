"""What dbroster asks of an engine: `Handler`, one open connection to one server, used by one thread at a time.

The engine decides statements, transactions, batches, quoting and what proves ownership. The core decides order,
parallel sessions, retries, skipping, audit, dry run and rollback. Driver errors never leave an engine: each has one
context manager that turns them into `ConnectError` (the connection is gone or refused) or `OperationError` (this one
action failed), with a text that holds no statement, no password and no verifier.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from dbroster.engines.archiver import Archiver
from dbroster.engines.renamer import Renamer
from dbroster.errors import OperationError, Stalled
from dbroster.model.connection import Connection
from dbroster.model.plan import Action, Verb
from dbroster.model.problems import Problem
from dbroster.model.result import Outcome, Status
from dbroster.model.roster import User
from dbroster.model.state import ExistingDatabase, ExistingUser, Holdings, PasswordCheck, Server
from dbroster.passwords.policy import PasswordRules, unprintable
from dbroster.passwords.secret import Secret

if TYPE_CHECKING:
    from dbroster.model.admin_script import AdminScript

ATTEMPTS = 4
FIRST_PAUSE = 0.05  # seconds; doubled after each attempt

Owned = tuple[str, str]
"""A user and a database of theirs."""


class Handler(ABC):
    """One open connection to one server, as the admin account of connections.yaml.

    Reads take a fixed number of queries, however many accounts there are. Writes may be repeated after a lost answer:
    doing again what is already done is a success.
    """

    creation_order: ClassVar[tuple[Verb, Verb]] = (Verb.CREATE_DATABASE, Verb.GRANT_PRIVILEGES)
    """The order that claims ownership first: a kill between the two leaves something that the next run recognises."""

    batch_sizes: ClassVar[Mapping[Verb, int]] = {}
    """How many actions `perform_all` takes, per verb; 1 where nothing is said."""

    together: ClassVar[Collection[Verb]] = ()
    """The verbs whose plural methods do many at once, by measurement faster than one by one."""

    one_user_at_once: ClassVar[bool] = False
    """Whether they are given only what is one user's, where nothing is gained by more."""

    groups: ClassVar[int] = 5
    """Into how many groups of new users a session's part is cut, at least: 1 where small batches take longer."""

    drop_words: ClassVar[str] = 'DROP DATABASE "{}";'
    """How a person drops a database, to be told."""

    users_at_once: ClassVar[int] = 50
    """How many users a session takes through their creation before it turns to the next ones, at most."""

    default_jobs: ClassVar[int] = 4
    """Parallel sessions when connections.yaml says nothing; chosen by measurement."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.doubts: dict[str, str] = {}
        """Why `check_passwords` could not judge a user's password: the server's words, or the account's state."""
        self.notes: dict[str, str] = {}
        """What an action that is done with a database has to tell all the same, until its outcome tells it."""
        self.archives: dict[str, Path] = {}
        """Where this handler has archived databases."""

    @classmethod
    @abstractmethod
    def open(cls, connection: Connection) -> Self:
        """Connect and set up the session. Raises ConnectError or UnsupportedServer (too old, replica, pooler)."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; never raises."""

    def abort(self) -> None:  # noqa: B027 - an engine overrides it where a wait can be broken
        """Break whatever this connection waits for, so that its caller gets ConnectError at once.

        Called from another thread when a run has to end (SIGTERM). Never raises and never blocks.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the server -------------------------------------------------------------------------------------------------

    @abstractmethod
    def server(self) -> Server:
        """Product with version, and address."""

    @abstractmethod
    def now(self) -> datetime:
        """The time by the server's clock."""

    def time_of_lock(self) -> datetime:
        """The time that a lock is dated with: if a clock is wrong, days of grace end rather too late than too soon."""
        return max(self.now(), datetime.now(UTC))

    @abstractmethod
    def missing_privileges(self, templates: Sequence[str]) -> list[str]:
        """Statements that would give the admin what it lacks for a sync; empty when nothing is missing."""

    @abstractmethod
    def admin_script(self, templates: Sequence[str], password: str) -> "AdminScript":
        """What a DBA runs to make this admin anew, as it is needed for these templates on this very server."""

    @abstractmethod
    def acquire_sync_lock(self) -> None:
        """Hold the server's lock against a second sync until `close`. Raises SyncLockHeld, naming who has it."""

    def still_holds_sync_lock(self) -> bool:
        """Whether no other sync can have worked since `acquire_sync_lock`. May raise ServerError instead of saying no.

        Most engines hold the lock by this session, so it is enough that the session answers.
        """
        self.now()
        return True

    @abstractmethod
    def prepare(self) -> None:
        """Create what marks accounts on this server (a marker role) where the engine needs one. Not in a dry run."""

    def password_rules(self) -> Sequence[PasswordRules]:
        """Rules that the server itself has for passwords, to be applied here, since a verifier bypasses them."""
        return ()

    def warnings(self) -> list[Problem]:
        """Things about this server that the DBA should know (anonymous accounts, statement logging)."""
        return []

    def jobs(self) -> int:
        """Parallel sessions that pay on this server, when connections.yaml does not say how many."""
        return self.default_jobs

    # --- names and passwords that this server can carry -------------------------------------------------------------

    @abstractmethod
    def refuse_user(self, name: str) -> str | None:
        """Why this engine can't carry this user name; None when it can."""

    @abstractmethod
    def refuse_database(self, name: str) -> str | None:
        """Why this engine can't carry this database name; None when it can."""

    def refuse_password(self, password: Secret) -> str | None:
        """Why this engine can't carry this password, in words that don't contain it; None when it can.

        No client can send an unprintable one, and servers would store an empty one as none at all.
        """
        return unprintable(password) if password.reveal() else "the password is empty"

    def fold_database(self, name: str) -> str:
        """What names that this server takes for the same database have in common; case matters unless overridden."""
        return name

    # --- state ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def get_existing_users(self) -> dict[str, ExistingUser]:
        """Every account on the server, foreign and protected ones too, in a fixed number of queries."""

    @abstractmethod
    def get_existing_databases(self) -> dict[str, ExistingDatabase]:
        """Every database on the server, in a fixed number of queries."""

    def holdings(self, databases: Mapping[str, ExistingDatabase]) -> Holdings:
        """Say who has what, and who could not be managed, marked or not: for `dbroster import`.

        `databases`: what `get_existing_databases` has just said.
        """
        return Holdings({name: {found.holder} for name, found in databases.items() if found.holder})

    @abstractmethod
    def check_passwords(self, users: Sequence[User], existing: Mapping[str, ExistingUser]) -> dict[str, PasswordCheck]:
        """Say for each user whether the server's account has the roster's password.

        By the stored verifier; where that can't be read, by a login. UNKNOWN never leads to a change; `doubts` then
        says why.
        """

    @abstractmethod
    def database_sizes(self, names: Collection[str]) -> dict[str, int]:
        """Bytes of each of these databases, in one query; those that this admin can't learn are not in it.

        Raises OperationError, naming what the admin lacks.
        """

    def foresee(self, actions: Sequence[Action]) -> list[str | None]:
        """Say for each planned action why the server must refuse it, as its catalogs show already; None if it may pass.

        Such an action is not tried. The text says what to do first, with the statement that does it.
        """
        return [None for _ in actions]

    # --- changes: an engine writes one of each pair, the plural one where doing many at once pays ---------------------

    def create_user(self, user: str, password: Secret) -> None:
        """Create the account with its marker, both at once or neither, with least privilege.

        An account that already carries our marker gets the password; a foreign one raises OperationError.
        """
        self.create_users({user: password})

    def create_users(self, passwords: Mapping[str, Secret]) -> None:
        """Create accounts, all at once where the engine can. After an OperationError none, some or all are there."""
        for user, password in passwords.items():
            self.create_user(user, password)

    def update_user_password(self, user: str, password: Secret) -> None:
        """Set the password of a managed account, and open it again if `lock_user` had shut it."""
        self.update_user_passwords({user: password})

    def update_user_passwords(self, passwords: Mapping[str, Secret]) -> None:
        """Set the passwords of managed accounts."""
        for user, password in passwords.items():
            self.update_user_password(user, password)

    def create_database(self, user: str, database: str) -> None:
        """Create the database for its managed user, closed to everybody else. A foreign one raises OperationError."""
        self.create_databases([(user, database)])

    def create_databases(self, owned: Sequence[Owned]) -> None:
        """Create databases."""
        for user, database in owned:
            self.create_database(user, database)

    def grant_privileges(self, user: str, database: str) -> None:
        """Give the user exactly the wanted privileges on the own database, and take away what is too much."""
        self.grant_databases([(user, database)])

    def grant_databases(self, owned: Sequence[Owned]) -> None:
        """Give users the wanted privileges on databases of their own."""
        for user, database in owned:
            self.grant_privileges(user, database)

    def lock_user(self, user: str) -> None:
        """Shut a managed account that is about to be removed, and end its sessions.

        With days of grace, write down when: after the sessions have ended, so that an account with a date is one that
        nobody is in. An account that dbroster had shut before without a date is treated as if it were open.
        """
        self.lock_users([user])

    def lock_users(self, users: Sequence[str]) -> None:
        """Shut managed accounts."""
        for user in users:
            self.lock_user(user)

    def drop_database(self, user: str, database: str) -> None:
        """Drop a database that is proven to be this managed user's; one already gone is a success."""
        self.drop_databases([(user, database)])

    def drop_databases(self, owned: Sequence[Owned]) -> None:
        """Drop databases."""
        for user, database in owned:
            self.drop_database(user, database)

    def drop_user(self, user: str) -> None:
        """Drop a managed account; the marker goes with it. One already gone is a success."""
        self.drop_users([user])

    def drop_users(self, users: Sequence[str]) -> None:
        """Drop managed accounts."""
        for user in users:
            self.drop_user(user)

    @abstractmethod
    def adopt_user(self, user: str, password: Secret) -> None:
        """Take over a foreign account: set marker and password. Protected accounts raise OperationError."""

    def adopt_database(self, user: str, database: str) -> None:
        """Take over a foreign database for a managed user; by the grant, where that is what proves ownership."""
        self.grant_privileges(user, database)

    # --- archives ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def archiver(self) -> Archiver:
        """What writes and reads archives of this server's databases."""

    def archive_database(self, user: str, database: str) -> None:
        """Close a database that is proven to be this managed user's, and write an archive of it.

        One already gone is a success, and so is one whose creation was never finished: nobody could ever enter it.
        """
        from dbroster.archive import drafting

        found = self.get_existing_databases().get(database)
        if found is None or (found.owner == user and not found.usable):
            return
        prove_own(user, database, found.owner)
        archiver = self.archiver()
        archiver.close(user, database)
        extension, method = archiver.extension, archiver.method
        with drafting(self.connection, self.server().product, user, database, extension, method) as draft:
            archiver.dump(user, database, draft)
            obstacle = archiver.obstacle(draft.settings)
        if draft.kept:
            self.archives[database] = draft.kept
        if obstacle or archiver.note:
            self.notes[database] = "; ".join(filter(None, (obstacle and f"archived, but {obstacle}", archiver.note)))

    def renamer(self) -> Renamer:
        """What brings an account and its databases under other names."""
        return Renamer(self)

    # --- performing a plan ------------------------------------------------------------------------------------------

    def perform(self, *actions: Action) -> None:
        """Do actions of one verb by the method of its name, in its plural. Raises OperationError if any fails."""
        users = [action.user for action in actions]
        passwords = {action.user: action.password for action in actions if action.password is not None}
        owned = [(action.user, action.database) for action in actions if action.database is not None]
        work: dict[Verb, Callable[[], None]] = {
            Verb.CREATE_USER: lambda: self.create_users(passwords),
            Verb.ADOPT: lambda: self._adopt(passwords, owned),
            Verb.UPDATE_PASSWORD: lambda: self.update_user_passwords(passwords),
            Verb.CREATE_DATABASE: lambda: self.create_databases(owned),
            Verb.GRANT_PRIVILEGES: lambda: self.grant_databases(owned),
            Verb.LOCK_USER: lambda: self.lock_users(users),
            Verb.ARCHIVE_DATABASE: lambda: self._archive(owned),
            Verb.DROP_DATABASE: lambda: self.drop_databases(owned),
            Verb.DROP_USER: lambda: self.drop_users(users),
        }
        work[actions[0].verb]()

    def _adopt(self, passwords: Mapping[str, Secret], owned: Sequence[Owned]) -> None:
        for user, password in passwords.items():
            self.adopt_user(user, password)
        for user, database in owned:
            self.adopt_database(user, database)

    def _archive(self, owned: Sequence[Owned]) -> None:
        for user, database in owned:
            self.archive_database(user, database)

    def perform_all(self, actions: Sequence[Action]) -> list[Outcome]:
        """Do actions of one verb and return one outcome for each, in their order."""
        return list(self.performing(actions))

    def performing(self, actions: Sequence[Action]) -> Iterator[Outcome]:
        """Do actions of one verb and yield one outcome for each, in their order, as soon as it is known.

        What is in `together` is done at once, and again one by one if that fails, so that each error belongs to one
        user. After a ConnectError, or a defect, the core does what is left on a new connection.
        """
        if len(actions) < 2 or actions[0].verb not in self.together:
            batches = [[action] for action in actions]
        elif self.one_user_at_once:
            batches = [list(own) for _, own in groupby(actions, key=lambda action: action.user)]
        else:
            batches = [list(actions)]
        with self.reading_ahead(actions):
            for batch in batches:
                yield from self._batch(batch)

    def reading_ahead(self, actions: Sequence[Action]) -> AbstractContextManager[None]:  # noqa: ARG002 - for engines
        """Read at once what these actions will ask for, where that pays, and keep it as long as the block lasts."""
        return nullcontext()

    def _batch(self, actions: Sequence[Action]) -> Iterator[Outcome]:
        """Do actions at once, or else one by one."""
        if len(actions) > 1:
            began = time.perf_counter()
            try:
                self.perform(*actions)
            except OperationError:
                pass
            else:
                share = (time.perf_counter() - began) / len(actions)
                for action in actions:
                    yield Outcome(action, Status.DONE, seconds=share, note=self.notes.pop(action.database or "", None))
                return
        yield from map(self._attempt, actions)

    def _attempt(self, action: Action) -> Outcome:
        """Do one action, again after a pause while the server says that it may succeed a moment later."""
        began = time.perf_counter()
        for attempt in range(ATTEMPTS):
            try:
                self.perform(action)
            except OperationError as error:
                if error.retryable and attempt + 1 < ATTEMPTS:
                    time.sleep(FIRST_PAUSE * 2**attempt)
                    continue
                return Outcome(action, Status.FAILED, str(error), error.code, time.perf_counter() - began)
            except Stalled as error:
                error.action = action
                raise
            break
        note = self.notes.pop(action.database or "", None)
        return Outcome(action, Status.DONE, seconds=time.perf_counter() - began, note=note)


# --- what is ours, by what an engine has read just before a change --------------------------------------------------


def gone(name: str) -> OperationError:
    """Say of an account that it is no longer there."""
    return OperationError(f"the account {name} does not exist any more; the next run creates it")


def prove_managed(name: str, existing: ExistingUser | None, roster: str) -> None:
    """Raise OperationError for an account that is not of our roster, or no longer there."""
    if existing is None:
        raise gone(name)
    if not existing.managed:
        reason = existing.protected or _whose(name, existing, roster)
        raise OperationError(f"the account {existing.name} is not managed by dbroster and is left alone: {reason}")


def _whose(name: str, existing: ExistingUser, roster: str) -> str:
    if existing.marked_for:
        return f"it carries the marker of {existing.marked_for}"
    if existing.roster not in (None, roster):
        return f"it belongs to the roster {existing.roster!r}"
    return (
        f"it does not carry the marker of the roster {roster!r}; take it over with --adopt {name}, or use another name"
    )


def no_adoption(existing: ExistingUser | None, roster: str) -> str | None:
    """Why an account can't be taken over; None where nothing is against it."""
    if existing is None:
        return "there is none"
    if existing.roster not in (None, roster):
        return existing.protected or f"it belongs to the roster {existing.roster!r}"
    return existing.protected


def prove_adoptable(user: str, database: str, found: ExistingDatabase | None) -> None:
    """Raise OperationError for a database that can't be taken over for this user."""
    reason = "there is no such database" if found is None else found.protected
    if found and found.owner not in (None, user):
        reason = reason or "somebody else has it"
    if reason:
        raise OperationError(f"the database {database} can't be adopted for {user}: {reason}")


def prove_own(user: str, database: str, owner: str | None, reason: str | None = None) -> None:
    """Raise OperationError for a database whose owner, by the engine's own proof, is not this user."""
    if owner != user:
        why = f": {reason}" if reason else ""
        raise OperationError(f"the database {database} is not proven to be {user}'s and is left alone{why}")
