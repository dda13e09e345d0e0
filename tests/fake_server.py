"""The server of the engine in memory: its state, and the faults that it shows when told to."""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from dbroster.errors import ConnectError, OperationError
from dbroster.model.plan import Verb
from dbroster.model.problems import Problem
from dbroster.model.state import Lock
from dbroster.passwords.policy import PasswordRules


class Killed(BaseException):
    """What a SIGKILL is to a program: nothing but the test catches it."""


def digest(password: str) -> str:
    """What the fake stores instead of a password."""
    return hashlib.sha256(password.encode()).hexdigest()


@dataclass
class Account:
    """An account of the fake; `roster` and `named` are its marker. None as `stored` means that nobody can log in."""

    stored: str | None
    roster: str | None = None
    named: str | None = None
    lock: Lock = Lock.OPEN
    protected: str | None = None
    since: datetime | None = None


@dataclass
class Database:
    """A database of the fake. `mark`, `roster` and `named` are its marker: the user that it was made for, and itself.

    `users` may enter it. `usable` comes last when it is created.
    """

    mark: str | None = None
    roster: str | None = None
    named: str | None = None
    users: set[str] = field(default_factory=set)
    usable: bool = True
    protected: str | None = None
    rows: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Statement:
    """One line of the fake's statement log; a change is a statement that can change something."""

    session: int
    text: str
    change: bool


@dataclass
class _Trap:
    """Something that happens at one statement: `left` statements from now, before its effect or after it."""

    left: int
    error: type[BaseException]
    after: bool


@dataclass
class _Failure:
    text: str
    retryable: bool
    times: int | None


class FakeServer:
    """State and faults of one fake server; several handlers may use it from several threads.

    `lacking`, `missing_tools`, `notes`, `rules` and `unreadable` are what handlers answer to missing_privileges, the
    archiver's missing, warnings, password_rules, and for users whose password can't be checked; `lacking_sizes` is why
    nobody may know how large databases are.
    """

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {"admin": Account(None, protected="the admin of this connection")}
        self.databases: dict[str, Database] = {"system": Database(protected="a system database")}
        self.log: list[Statement] = []
        self.sessions: dict[int, str] = {}
        self.lacking: list[str] = []
        self.missing_tools: list[str] = []
        self.notes: list[Problem] = []
        self.rules: list[PasswordRules] = []
        self.unreadable: set[str] = set()
        self.lacking_sizes: str | None = None
        self.lock_holder: int | None = None
        self.clock_ahead = timedelta()
        self.dead = False
        self._traps: list[_Trap] = []
        self._failures: dict[tuple[Verb, str], _Failure] = {}
        self._numbers = count(1)
        self._mutex = threading.RLock()

    # --- faults -----------------------------------------------------------------------------------------------------

    def fail(
        self, verb: Verb, user: str, *, times: int | None = None, retryable: bool = False, text: str = "it failed"
    ) -> None:
        """Let an action fail for a user: always, or so many times."""
        self._failures[verb, user] = _Failure(text, retryable, times)

    def drop_connection(self, after: int, *, answer_lost: bool = False) -> None:
        """Break the connection of the n-th statement from now; with `answer_lost` it has done its work."""
        self._traps.append(_Trap(after, ConnectError, answer_lost))

    def kill(self, after: int, *, answer_lost: bool = True) -> None:
        """Let whoever uses this server die at the n-th statement from now, and stay dead until `revive`."""
        self._traps.append(_Trap(after, Killed, answer_lost))

    def revive(self) -> None:
        """Forget every fault; the connections of one that was killed are closed."""
        if self.dead:
            self.sessions.clear()
            self.lock_holder = None
        self.dead = False
        self._traps.clear()
        self._failures.clear()

    # --- what other people do on the server -------------------------------------------------------------------------

    def add_account(
        self, name: str, password: str = "", *, roster: str | None = None, protected: str | None = None
    ) -> None:
        """Create an account as a DBA would: without a marker, unless told otherwise."""
        self.accounts[name] = Account(digest(password), roster, name if roster else None, protected=protected)

    def add_database(self, name: str, *, protected: str | None = None) -> None:
        """Create a database as a DBA would."""
        self.databases[name] = Database(protected=protected)

    @contextmanager
    def login(self, user: str, password: str) -> Iterator[int]:
        """Hold a session of a user; raises PermissionError when the server refuses it."""
        with self._mutex:
            account = self.accounts.get(user)
            if account is None or account.lock is not Lock.OPEN or account.stored != digest(password):
                raise PermissionError(f"{user} can't log in")
            number = next(self._numbers)
            self.sessions[number] = user
        try:
            yield number
        finally:
            self.sessions.pop(number, None)

    def open_database(self, session: int, database: str) -> Database:
        """Enter a database; raises PermissionError where this user must not."""
        user = self.sessions[session]
        if database not in self.databases or user not in self.databases[database].users:
            raise PermissionError(f"{user} can't use {database}")
        return self.databases[database]

    def changes(self) -> list[Statement]:
        """Return the change statements so far."""
        return [statement for statement in self.log if statement.change]

    # --- for handlers -----------------------------------------------------------------------------------------------

    def connect(self, who: str) -> int:
        """Open a session and return its number."""
        with self._mutex:
            if self.dead:
                raise Killed
            number = next(self._numbers)
            self.sessions[number] = who
            return number

    def disconnect(self, session: int) -> None:
        """End a session, from either side."""
        with self._mutex:
            self.sessions.pop(session, None)
            if self.lock_holder == session:
                self.lock_holder = None

    @contextmanager
    def statement(self, session: int, text: str, *, change: bool = False) -> Iterator[None]:
        """Do one statement, alone on the server: the block is its effect. Raises what the traps say."""
        with self._mutex:
            if self.dead:
                raise Killed
            if session not in self.sessions:
                raise ConnectError("the connection to the fake server is closed")
            due = self._due_traps()
            self._spring([trap for trap in due if not trap.after], session)
            self.log.append(Statement(session, text, change))
            yield
            self._spring([trap for trap in due if trap.after], session)

    def _due_traps(self) -> list[_Trap]:
        for trap in self._traps:
            trap.left -= 1
        due = [trap for trap in self._traps if trap.left <= 0]
        self._traps = [trap for trap in self._traps if trap.left > 0]
        return due

    def _spring(self, traps: Sequence[_Trap], session: int) -> None:
        for trap in traps:
            self.disconnect(session)
            self.dead = trap.error is Killed
            raise trap.error("the connection to the fake server broke")

    def raise_failure(self, verb: Verb, user: str) -> None:
        """Raise the failure that was arranged for an action."""
        failure = self._failures.get((verb, user))
        if failure is None or failure.times == 0:
            return
        if failure.times is not None:
            failure.times -= 1
        raise OperationError(failure.text, "F001", retryable=failure.retryable)
