"""Accounts of MySQL and MariaDB, where one user name may have an account per host. Pure functions."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from dbroster.model.names import system_account
from dbroster.model.problems import Problem
from dbroster.model.state import ExistingUser, Lock, StoredVerifier

Key = tuple[str, str]
"""User name and host."""


class Account(NamedTuple):
    """One account, `bob@%`. `powers` says what makes it too powerful to be touched.

    `roster`: the roster in its marker, if the marker names this very account. `marked_for`: the account that the marker
    names instead, after RENAME USER or a copy. `claims`: the templates whose databases are this user's, and whether
    the database was finished. `since`: when it was locked for removal. `unusable`: why nobody can log in, `renewable`:
    whether a new password mends that.
    `roles`: the roles that it holds; `roles_before`: those that were active before it was locked.
    `second_password`: whether an older password still logs in (RETAIN CURRENT PASSWORD).
    `limits`, at MariaDB: resource limits that no DBA uses; `mark_in`: the one that has the mark; `tags`: all numbers
    that could be marks.
    """

    name: str
    host: str
    roster: str | None = None
    lock: Lock = Lock.OPEN
    powers: str | None = None
    verifier: StoredVerifier | None = None
    since: datetime | None = None
    marked_for: str | None = None
    claims: Mapping[str, bool] = {}
    roles: tuple[str, ...] = ()
    roles_before: tuple[str, ...] = ()
    unusable: str | None = None
    renewable: bool = True
    second_password: bool = False
    limits: tuple[str, ...] = ()
    mark_in: str | None = None
    tags: tuple[int, ...] = ()

    @property
    def key(self) -> Key:
        """User name and host."""
        return self.name, self.host

    def __str__(self) -> str:
        return f"{self.name}@{self.host}"


class Ownership(NamedTuple):
    """Whose accounts are ours: roster and hosts of the configuration, names that are never touched."""

    roster: str
    hosts: tuple[str, ...]
    protected: frozenset[str]
    admin: str

    def protection(self, name: str) -> str | None:
        """Why accounts of this name may never be touched."""
        if name in self.protected:
            return "it is listed under `protected` in connections.yaml"
        if name == self.admin:
            return "it is the admin account that dbroster itself uses"
        return "it is a system account" if system_account(name) else None

    def is_ours(self, account: Account) -> bool:
        """Whether the account carries our roster's marker."""
        return account.roster == self.roster

    def concerns(self, account: Account) -> bool:
        """Whether the account is ours, or stands where ours would be."""
        return self.is_ours(account) or account.host in self.hosts

    def existing(self, account: Account) -> ExistingUser:
        """Describe one account: whether it is ours to change, and why not."""
        protected = self.protection(account.name) or account.powers
        return ExistingUser(
            str(account),
            managed=self.is_ours(account) and not protected,
            roster=account.roster,
            protected=protected,
            marked_for=account.marked_for,
        )

    def summary(self, name: str, accounts: Sequence[Account]) -> ExistingUser | None:
        """Describe all accounts of one name; None when none of them stands in our way."""
        near = [account for account in accounts if self.concerns(account)]
        ours = [account for account in near if self.is_ours(account)]
        protected = self.protection(name) or next((account.powers for account in near if account.powers), None)
        if not near and not protected:
            return None
        there = {account.host for account in ours}
        managed = bool(ours) and len(ours) == len(near) and not protected
        marked_for = next((account.marked_for for account in near if account.marked_for), None)
        return ExistingUser(
            name=name,
            managed=managed,
            roster=next((account.roster for account in near if account.roster), None),
            protected=protected,
            lock=_sternest(ours if managed else near),
            complete=there.issuperset(self.hosts),
            surplus=tuple(str(account) for account in ours if managed and account.host not in self.hosts),
            verifiers=tuple(a.verifier for a in ours if a.verifier and a.host in self.hosts),
            locked_since=_last(account.since for account in ours),
            marked_for=None if managed else marked_for,
            unusable=next((account.unusable for account in ours if account.unusable), None),
            renewable=all(account.renewable for account in ours),
        )

    def shadows(self, accounts: Collection[Account]) -> list[Problem]:
        """Warn of foreign accounts that the server prefers to ours, since their hosts are more specific."""
        ours = {account.name for account in accounts if self.is_ours(account)}
        return [
            Problem(
                f"{account} is not managed by dbroster; from there the server may prefer it to the roster's "
                f"{account.name}, who then can't log in: drop or rename it",
                user=account.name,
                warning=True,
            )
            for account in accounts
            if account.name in ours and not self.concerns(account)
        ]


def _sternest(accounts: Iterable[Account]) -> Lock:
    locks = {account.lock for account in accounts}
    return next((lock for lock in (Lock.FOREIGN, Lock.OURS) if lock in locks), Lock.OPEN)


def _last(dates: Iterable[datetime | None]) -> datetime | None:
    """Return when the last account of a user was locked; None while any of them is not."""
    found = list(dates)
    known = [date for date in found if date]
    return max(known) if known and len(known) == len(found) else None


def reached(start: Iterable[Key], steps: Mapping[Key, Collection[Key]]) -> set[Key]:
    """Return these accounts or roles, and all that any number of steps leads to from there."""
    found: set[Key] = set()
    fresh = set(start)
    while fresh:
        found |= fresh
        fresh = {further for key in fresh for further in steps.get(key, ())} - found
    return found


def with_roles(powerful: Iterable[Key], granted: Iterable[tuple[Key, Key]]) -> set[Key]:
    """Return the powerful accounts and all who reach one of them through roles; `granted` holds (role, grantee)."""
    grantees: defaultdict[Key, list[Key]] = defaultdict(list)
    for role, grantee in granted:
        grantees[role].append(grantee)
    return reached(powerful, grantees)


def lock_state(*, locked: bool, noted: bool) -> Lock:
    """Say who has shut an account; our note counts even without the lock, so that a half-done unlock is repeated."""
    if noted:
        return Lock.OURS
    return Lock.FOREIGN if locked else Lock.OPEN


def powers(*, role: bool, powerful: bool) -> str | None:
    """Say what makes an account one that is never touched."""
    if role:
        return "it is a role"
    return "it holds global privileges, by itself or through a role" if powerful else None
