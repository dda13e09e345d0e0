"""What stands on a server: accounts, databases, and whether the roster's passwords are the server's."""

from collections.abc import Mapping, Set
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Self

from dbroster.passwords.secret import Secret


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


class Server(NamedTuple):
    """The server that was reached: product with version for people (`PostgreSQL 15.18`), and its address."""

    product: str
    host: str


class StoredVerifier(NamedTuple):
    """What a server stores instead of a password; `algorithm` names the check in `verifiers`."""

    algorithm: str
    value: Secret


class ExistingUser(NamedTuple):
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


class ExistingDatabase(NamedTuple):
    """A database on the server.

    `owner`: the managed user whose database it is, by the engine's own proof (a claim that names this database), else
    None. `granted`: the owner's privileges are exactly as wanted and nobody else of the roster has any. `usable`: False
    for what an interrupted run left behind (to be created again or dropped). `droppable`: False where the proof is good
    enough for a grant, but not for a drop. `protected`: why it may never be adopted. `marked_for`: the other database
    that its marker names, since somebody has renamed or copied it: nobody's. `holder`: whose it is by the server's own
    account (its owner, the only one with privileges), for people. `left_by`: the user in a marker of our roster who is
    not its owner any more: his account is gone, or has lost its own marker. `differs`: what is not as wanted, where
    `granted` is False, for people. `shared`: whether anybody gets in by rights that are not its owner's.
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
    shared: bool = False


class Holdings(NamedTuple):
    """Which accounts have privileges of their own on which databases, by the databases' names.

    `unfit`: accounts that could not be managed as they stand, with the reason; also such as stand in no roster at all.
    """

    holders: Mapping[str, Set[str]] = {}
    unfit: Mapping[str, str] = {}


def differences(*found: tuple[object, str]) -> str | None:
    """Return the texts of what is true, in one; None if nothing is."""
    return ", ".join(text for wrong, text in found if wrong) or None


class Actual(NamedTuple):
    """The state of a server: accounts and databases by name, what the password checks said, and why they are unsure."""

    users: Mapping[str, ExistingUser] = {}
    databases: Mapping[str, ExistingDatabase] = {}
    passwords: Mapping[str, PasswordCheck] = {}
    doubts: Mapping[str, str] = {}
