"""The values that flow through a sync: files to roster, server to actual state, both to plan and outcomes."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from dbroster.secret import Secret

USERS_FILE = "users.txt"


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


class Status(StrEnum):
    """How an action stands."""

    PLANNED = "planned"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_ATTEMPTED = "not_attempted"
    REFUSED = "refused"


class PasswordCheck(StrEnum):
    """Whether the roster's password is the one that the server knows."""

    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, matches: bool | None) -> Self:
        """Return the word for what a check of a verifier has answered."""
        return cls({True: "same", False: "different", None: "unknown"}[matches])


class Lock(StrEnum):
    """Whether an account is shut, and by whom."""

    OPEN = "open"
    OURS = "ours"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a person has to mend, with the place where it stands; a warning does not raise the exit code."""

    text: str
    file: str | None = None
    line: int | None = None
    user: str | None = None
    warning: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """One usable line of users.txt."""

    name: str
    password: Secret
    line: int


@dataclass(frozen=True, slots=True)
class Roster:
    """What the files want for one engine.

    `mentioned` are names on lines that can't be used: those accounts are left exactly as they are. `suspended` holds
    the reasons why nothing may be removed in this run (a line whose user can't be told, a missing file). `encrypted`:
    the passwords stand nowhere in clear, so nothing that helps to guess them may be written either. `file` is what the
    lines are counted in: users.txt, users.txt.age or users_command.
    """

    users: Mapping[str, User] = field(default_factory=dict)
    mentioned: frozenset[str] = frozenset()
    templates: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    suspended: tuple[str, ...] = ()
    encrypted: bool = False
    file: str = USERS_FILE

    def databases(self, user: str) -> tuple[str, ...]:
        """Names of the databases that a user shall have."""
        return tuple(f"{user}_{template}" for template in self.templates)

    def doubted(self, problem: Problem | None, reason: str = "") -> Self:
        """Return a roster that removes nothing, if there is a problem with what it was read from."""
        if problem is None:
            return self
        why = reason or f"{problem.file} may not be whole"
        return replace(self, problems=(*self.problems, problem), suspended=(*self.suspended, why))

    def without(self, users: Set[str], problems: Iterable[Problem]) -> Self:
        """Return a roster in which these users are merely mentioned, and that has the problems besides its own."""
        return replace(
            self,
            users={name: user for name, user in self.users.items() if name not in users},
            mentioned=self.mentioned | users,
            problems=(*self.problems, *problems),
        )


@dataclass(frozen=True, slots=True)
class Server:
    """The server that was reached: product with version for people (`PostgreSQL 15.18`), and its address."""

    product: str
    host: str


@dataclass(frozen=True, slots=True)
class StoredVerifier:
    """What a server stores instead of a password; `algorithm` names the check in `verifiers`."""

    algorithm: str
    value: Secret


@dataclass(frozen=True, slots=True)
class ExistingUser:
    """An account on the server.

    `managed`: it carries the marker of our roster. `roster`: the roster in its marker, ours or another's.
    `protected`: why it may never be touched (system account, privileged, the admin itself). `complete`: every part of
    it exists (MySQL has one account per host). `surplus`: parts no longer wanted, as names that `drop_user` takes.
    `locked_since`: when dbroster has locked it, if that is written down and every part of it is locked indeed.
    `marked_for`: the other account that its marker names, since somebody has renamed or copied it: not managed.
    `unusable`: why nobody can log in, although dbroster has not locked it (it has expired, it may have no session).
    `renewable`: whether a new password mends that.
    """

    name: str
    managed: bool = False
    roster: str | None = None
    protected: str | None = None
    lock: Lock = Lock.OPEN
    complete: bool = True
    surplus: tuple[str, ...] = ()
    verifiers: tuple[StoredVerifier, ...] = ()
    locked_since: datetime | None = None
    marked_for: str | None = None
    unusable: str | None = None
    renewable: bool = False


@dataclass(frozen=True, slots=True)
class ExistingDatabase:
    """A database on the server.

    `owner`: the managed user whose database it is, by the engine's own proof (a claim that names this database), else
    None. `granted`: the owner's privileges are exactly as wanted and nobody else of the roster has any. `usable`: False
    for what an interrupted run left behind (to be created again or dropped). `droppable`: False where the proof is good
    enough for a grant, but not for a drop. `protected`: why it may never be adopted. `marked_for`: the other database
    that its marker names, since somebody has renamed or copied it: nobody's. `holder`: whose it is by the server's own
    account (its owner, the only one with privileges), for people. `left_by`: the user in a marker of our roster who is
    not its owner any more: his account is gone, or has lost its own marker. `differs`: what is not as wanted, where
    `granted` is False, for people.
    """

    name: str
    owner: str | None = None
    granted: bool = False
    usable: bool = True
    droppable: bool = True
    protected: str | None = None
    marked_for: str | None = None
    holder: str | None = None
    left_by: str | None = None
    differs: str | None = None


def differences(*found: tuple[object, str]) -> str | None:
    """Return the texts of what is true, in one; None if nothing is."""
    return ", ".join(text for wrong, text in found if wrong) or None


@dataclass(frozen=True, slots=True)
class Actual:
    """The state of a server: accounts and databases by name, what the password checks said, and why they are unsure."""

    users: Mapping[str, ExistingUser] = field(default_factory=dict)
    databases: Mapping[str, ExistingDatabase] = field(default_factory=dict)
    passwords: Mapping[str, PasswordCheck] = field(default_factory=dict)
    doubts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Action:
    """One change to one object; `reason` tells why, for people."""

    verb: Verb
    user: str
    database: str | None = None
    password: Secret | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A foreign object stands where the roster wants one of its own; the user is left alone."""

    user: str
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
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
    obstacles: Mapping[int, str] = field(default_factory=dict)
    reservations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an action; `code` is the server's own error code, `seconds` its wall time.

    `note`: what has to be known of one that is done.
    """

    action: Action
    status: Status
    error: str | None = None
    code: str | None = None
    seconds: float = 0.0
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A line of the audit log: its number and its SHA-256, which the next line carries."""

    number: int
    digest: str


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that a report tells of one server. `fatal` says why nothing could be started.

    `plan` is the digest of the plan, `audit` the last line that this run has written to the audit log, `permit` the
    command that does what the guard has refused.
    """

    engine: str
    server: str
    dry_run: bool
    product: str | None = None
    host: str | None = None
    users: int = 0
    unchanged: int = 0
    outcomes: tuple[Outcome, ...] = ()
    problems: tuple[Problem, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    refusals: tuple[str, ...] = ()
    permit: str | None = None
    fatal: str | None = None
    plan: str | None = None
    audit: Link | None = None
    stages: Mapping[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Wall time of all stages."""
        return sum(self.stages.values())

    @property
    def pending(self) -> bool:
        """Whether a dry run found changes to make."""
        return any(outcome.status is Status.PLANNED for outcome in self.outcomes)
