"""What stands on a MongoDB server: accounts with their markers, and databases with what proves whose they are.

The marker is `customData.dbroster` of an account in the authentication database, where only its administrators can
write; in other databases a database's owner could forge it, so nothing is read from there. It names the account itself,
so a copy under another name (a restored dump, a document inserted by hand) is nobody's. It names the user's databases,
too: the roles alone prove nothing, since a DBA may have shared a database with somebody.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dbroster.engines.base import prove_own
from dbroster.engines.mongodb.options import MongoDBOptions
from dbroster.engines.mongodb.session import Session
from dbroster.errors import OperationError
from dbroster.model.connection import Connection
from dbroster.model.names import system_account
from dbroster.model.state import ExistingDatabase, ExistingUser, Lock, StoredVerifier, differences
from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers.algorithms import Algorithm
from dbroster.plan.grace_period import read_stamp

NOWHERE = [{"clientSource": ["255.255.255.255"]}]
"""An address that no client has: MongoDB has no other way to shut an account and to keep its password."""

SYSTEM_DATABASES = frozenset({"admin", "local", "config"})
PAGE = 5000
"""Accounts per query; with credentials about a third of the 16 MB that a reply may have."""

_NO_CLIENT = {"255.255.255.255", "255.255.255.255/32", "0.0.0.0", "0.0.0.0/32", "::", "::/128"}  # noqa: S104 - nobody
UNREADABLE = "\N{REPLACEMENT CHARACTER}"
"""What stands for bytes that are no UTF-8; a name with it can't be sent."""

FIELDS = {"_id": 0, "user": 1, "roles": 1, "customData": 1, "authenticationRestrictions": 1}
MARKER, _VERSION = "dbroster", 2

Role = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Marker:
    """What dbroster notes in an account: its roster, its name, its databases, and since when it is locked.

    What comes back when it is opened again: `restrictions`, the addresses that somebody had set before that; `roles`
    that somebody had given on other databases; `insiders`, the accounts defined in its databases, with their roles.
    """

    roster: str
    user: str
    databases: tuple[str, ...] = ()
    locked: str | None = None
    restrictions: tuple[Mapping[str, Any], ...] = ()
    roles: tuple[Role, ...] = ()
    insiders: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def parse(cls, custom: object) -> "Marker | None":
        """Read an account's customData; None when there is no marker in it, or not one of ours."""
        found = custom.get(MARKER) if isinstance(custom, dict) else None
        if not isinstance(found, dict) or found.get("v") != _VERSION:
            return None
        roster, user, databases = found.get("roster"), found.get("user"), found.get("databases", [])
        kept = [found.get(key, []) for key in ("restrictions", "roles", "insiders")]
        if not (isinstance(roster, str) and isinstance(user, str) and user):
            return None
        if not all(isinstance(each, list) for each in (databases, *kept)):
            return None
        restrictions, roles, inside = kept
        others = tuple((role["role"], role["db"]) for role in roles)
        return cls(
            roster, user, tuple(map(str, databases)), found.get("locked"), tuple(restrictions), others, tuple(inside)
        )

    def into(self, custom: Mapping[str, Any]) -> dict[str, Any]:
        """Return customData with this marker, and with everything else that stands in it."""
        marker: dict[str, Any] = {
            "v": _VERSION,
            "roster": self.roster,
            "user": self.user,
            "databases": list(self.databases),
        }
        if self.locked:
            marker |= {"locked": self.locked, "restrictions": list(self.restrictions)}
            marker |= {"roles": role_documents(self.roles), "insiders": [dict(insider) for insider in self.insiders]}
        return {**custom, MARKER: marker}


@dataclass(frozen=True, slots=True)
class Account:
    """An account as the core sees it, and what only this engine needs of it; a marker that names another is none."""

    existing: ExistingUser
    marker: Marker | None
    roles: tuple[Role, ...]
    custom: Mapping[str, Any]
    restrictions: tuple[Mapping[str, Any], ...]
    mechanisms: frozenset[str] = frozenset()
    """Ways to log in that a password is stored for, where credentials were read."""

    @property
    def databases(self) -> tuple[str, ...]:
        """Databases that are proven to be this account's."""
        if self.marker is None:
            return ()
        own = f"{self.existing.name}_"
        return tuple(name for name in self.marker.databases if name.startswith(own))

    @property
    def own_marker(self) -> Marker:
        """The marker of an account that must have one. Raises OperationError."""
        if self.marker is None:
            raise OperationError(f"user {self.existing.name!r} has no marker")
        return self.marker

    def prove_own(self, database: str) -> None:
        """Raise OperationError for a database that is not proven to be this account's."""
        name = self.existing.name
        prove_own(name, database, name if database in self.databases else None)

    def roles_on(self, database: str) -> set[str]:
        """Names of the roles that the account holds on a database."""
        return {role for role, where in self.roles if where == database}

    def roles_beside(self, databases: Collection[str]) -> tuple[Role, ...]:
        """The account's roles on all other databases."""
        return tuple(role for role in self.roles if role[1] not in databases)


def read_accounts(
    session: Session, connection: Connection, query: Mapping[str, Any] | None = None, *, credentials: bool = True
) -> dict[str, Account]:
    """Read all accounts of the authentication database, or those that match."""
    fields = {**FIELDS, "credentials": 1} if credentials else FIELDS
    found = session.find_accounts(query or {}, fields, PAGE)
    return {document["user"]: account_of(document, connection) for document in found}


def read_databases(
    session: Session, connection: Connection, accounts: Collection[Account]
) -> dict[str, ExistingDatabase]:
    """Read all databases: those that hold something, and those that are only claimed by an account so far."""
    listed = set(session.database_names())
    owners = {name: account for account in accounts if account.existing.managed for name in account.databases}
    others = {name: account for account in accounts if not account.existing.managed for name in account.databases}
    holders = _holders(accounts)
    return {
        name: _database(name, owners.get(name), others.get(name), holders.get(name, {}), connection, name in listed)
        for name in sorted(listed | owners.keys())
    }


def wanted_roles(connection: Connection) -> tuple[str, ...]:
    """Roles that a user gets on each own database; built-in ones, which can't give anything to other users."""
    return MongoDBOptions.of(connection).roles


def wanted_mechanisms(connection: Connection) -> tuple[str, ...]:
    """Ways to log in that a password is stored for."""
    return MongoDBOptions.of(connection).mechanisms


def shell_command(database: str, body: Mapping[str, object]) -> str:
    """Return a command as mongosh takes it."""
    return f"db.getSiblingDB({json.dumps(database)}).runCommand({json.dumps(body)})"


def role_documents(roles: Iterable[Role]) -> list[dict[str, str]]:
    """Return roles as commands take them, but for those that no command can name."""
    return [{"role": role, "db": database} for role, database in roles if UNREADABLE not in role]


def roles_of(document: Mapping[str, Any]) -> tuple[Role, ...]:
    """The roles of an account as the server shows it."""
    return tuple((role["role"], role["db"]) for role in document.get("roles", ()))


def _holders(accounts: Iterable[Account]) -> dict[str, dict[str, bool]]:
    """Accounts with any role on a database, and whether they are managed."""
    holders: dict[str, dict[str, bool]] = {}
    for account in accounts:
        for _, database in account.roles:
            holders.setdefault(database, {})[account.existing.name] = account.existing.managed
    return holders


def account_of(document: Mapping[str, Any], connection: Connection) -> Account:
    """Read what stands of one account in the authentication database."""
    name: str = document["user"]
    roles = roles_of(document)
    custom = document.get("customData") or {}
    found = Marker.parse(custom)
    marker = found if found and found.user == name else None
    protected = _protected_account(name, roles, connection, ours=bool(marker and marker.roster == connection.roster))
    managed = marker is not None and marker.roster == connection.roster and protected is None
    restrictions = tuple(document.get("authenticationRestrictions", ()))
    existing = ExistingUser(
        name,
        managed=managed,
        roster=marker.roster if marker else None,
        protected=protected,
        lock=_lock(marker, restrictions),
        verifiers=_verifiers(document.get("credentials")) if managed else (),
        # who has a role again was opened by hand, and is locked once more
        locked_since=read_stamp(marker.locked) if marker and not roles else None,
        marked_for=found.user if found and not marker and found.roster == connection.roster else None,
    )
    return Account(existing, marker, roles, custom, restrictions, frozenset(document.get("credentials") or ()))


def _lock(marker: Marker | None, restrictions: Collection[Mapping[str, Any]]) -> Lock:
    """Whether anybody can fulfil one of the restrictions, which is enough for a login."""
    if marker and marker.locked:
        return Lock.OURS
    return Lock.FOREIGN if restrictions and all(_is_for_nobody(rule) for rule in restrictions) else Lock.OPEN


def _is_for_nobody(restriction: Mapping[str, Any]) -> bool:
    return any(
        restriction.get(key) and set(restriction[key]) <= _NO_CLIENT for key in ("clientSource", "serverAddress")
    )


def _verifiers(credentials: object) -> tuple[StoredVerifier, ...]:
    return (StoredVerifier(Algorithm.MONGODB, Secret(json.dumps(credentials))),) if credentials else ()


def _protected_account(name: str, roles: Iterable[Role], connection: Connection, *, ours: bool) -> str | None:
    """Say why an account may not be touched; one of ours that was given power, also how to take that away."""
    if name == connection.username:
        return "it is the account that dbroster itself uses"
    if system_account(name):
        return "it is a system account"
    if name in connection.protected:
        return "`protected` in connections.yaml lists it"
    where = MongoDBOptions.of(connection).auth_database
    powers = sorted((role, database) for role, database in roles if database in {*SYSTEM_DATABASES, where})
    if not powers:
        return None
    text = f"it has the role {', '.join(f'{role}@{database}' for role, database in powers)}"
    if not ours:
        return text
    body = {"revokeRolesFromUser": name, "roles": role_documents(powers)}
    return f"{text}; to take that away: {shell_command(where, body)}"


def _database(
    name: str,
    owner: Account | None,
    other: Account | None,
    holders: Mapping[str, bool],
    connection: Connection,
    listed: bool,
) -> ExistingDatabase:
    granted, differs = False, None
    if owner:
        ours = sorted(holder for holder, managed in holders.items() if managed)
        others = [holder for holder in ours if holder != owner.existing.name]
        found, wanted = owner.roles_on(name), set(wanted_roles(connection))
        granted = found == wanted and ours == [owner.existing.name]
        differs = differences(
            (wanted - found, f"{owner.existing.name} lacks {', '.join(sorted(wanted - found))}"),
            (found - wanted, f"{owner.existing.name} has {', '.join(sorted(found - wanted))}, too"),
            (others, f"{', '.join(others)} may enter"),
        )
    return ExistingDatabase(
        name,
        owner=owner.existing.name if owner else None,
        granted=granted,
        usable=listed or not MongoDBOptions.of(connection).marker_collection,
        protected=_protected_database(name, other, connection),
        holder=next(iter(holders)) if len(holders) == 1 else None,
        differs=differs,
    )


def _protected_database(name: str, other: Account | None, connection: Connection) -> str | None:
    if name.lower() in SYSTEM_DATABASES or name == MongoDBOptions.of(connection).auth_database:
        return "it is a system database"
    if name in connection.protected:
        return "`protected` in connections.yaml lists it"
    if other and other.marker:
        return f"it belongs to {other.existing.name} of the roster {other.marker.roster!r}"
    return None
