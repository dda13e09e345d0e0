"""Reading accounts and databases of a ClickHouse server: a fixed number of queries, however many there are."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from dbroster.config import Connection
from dbroster.engines.clickhouse_dates import locked_since
from dbroster.engines.clickhouse_privileges import POWERS, Tree
from dbroster.engines.clickhouse_session import Session
from dbroster.model import ExistingDatabase, ExistingUser, Lock

ROLE_PREFIX = "dbroster:"
SYSTEM_DATABASES = frozenset({"default", "system", "information_schema", "INFORMATION_SCHEMA"})
READ_ONLY_STORAGES = frozenset({"users_xml", "users.xml", "ldap", "token"})
"""User directories that SQL can't write."""

# Whoever has the marker role with admin option is an admin, not an account of the roster.
_ACCOUNTS = """
    SELECT u.name, u.storage, m.rosters, m.is_default,
        empty(u.host_ip) AND empty(u.host_names) AND empty(u.host_names_regexp) AND empty(u.host_names_like),
        has(u.host_ip, '::/0'), toString(u.auth_type),
        if(u.default_roles_all, [], u.default_roles_list), u.default_roles_all, m.dates
    FROM system.users AS u LEFT JOIN (
        WITH position(granted_role_name, ':locked:') > 0 AS dated
        SELECT assumeNotNull(user_name) AS user_name,
            minIf(granted_role_is_default, NOT dated) AS is_default,
            groupArrayIf(substring(granted_role_name, 10), NOT dated) AS rosters,
            groupArrayIf(granted_role_name, dated) AS dates
        FROM system.role_grants
        WHERE user_name IS NOT NULL AND startsWith(granted_role_name, 'dbroster:') AND NOT with_admin_option
        GROUP BY user_name
    ) AS m ON u.name = m.user_name"""

_COMMENTS = "SELECT name, comment FROM system.databases"

_POWERFUL = """
    SELECT assumeNotNull(user_name) FROM system.grants
    WHERE user_name IS NOT NULL AND database IS NULL AND toString(access_type) IN ({powers})
    UNION ALL SELECT assumeNotNull(user_name) FROM system.role_grants
    WHERE user_name IS NOT NULL AND granted_role_name IN (
        SELECT assumeNotNull(role_name) FROM system.grants
        WHERE role_name IS NOT NULL AND database IS NULL AND toString(access_type) IN ({powers}))"""

_GRANTS = """
    SELECT assumeNotNull(user_name), assumeNotNull(database),
        groupUniqArray(toString(access_type)),
        countIf(table IS NOT NULL OR column IS NOT NULL OR is_partial_revoke OR grant_option)
    FROM system.grants
    WHERE database IS NOT NULL AND user_name IN (
        SELECT assumeNotNull(user_name) FROM system.role_grants
        WHERE user_name IS NOT NULL AND granted_role_name = {marker} AND NOT with_admin_option)"""
_GRANTS_END = " GROUP BY user_name, database"


@dataclass(frozen=True, slots=True)
class Marker:
    """What stands in a database's comment: whose it is, and by which roster."""

    roster: str
    user: str

    def __str__(self) -> str:
        return f"dbroster/1 {self.roster} {self.user}"

    @classmethod
    def read(cls, comment: str) -> Self | None:
        """Read a comment; None for anything that dbroster has not written."""
        match comment.split(" "):
            case ["dbroster/1", roster, user] if roster and user:
                return cls(roster, user)
        return None


@dataclass(frozen=True, slots=True)
class Account:
    """An account, and what dbroster does not manage of it.

    `unrestricted`: it may log in from everywhere. `authentication`: the methods, as the server spells them.
    `default_roles`: None for all that it has. `dates`: roles that say since when it is locked.
    """

    existing: ExistingUser
    unrestricted: bool
    authentication: str
    default_roles: tuple[str, ...] | None
    dates: tuple[str, ...] = ()

    @property
    def by_password(self) -> bool:
        """Whether the server itself checks a password, or none; LDAP, Kerberos, certificates and the like are not."""
        return "_password" in self.authentication


@dataclass(frozen=True, slots=True)
class GrantsOn:
    """What one user of the roster has on one database; `odd`: parts of it, exceptions, or with grant option."""

    privileges: frozenset[str]
    odd: bool


def role_of(roster: str) -> str:
    """The role that marks the accounts of a roster."""
    return ROLE_PREFIX + roster


def read_accounts(
    session: Session, connection: Connection, names: Sequence[str] | None = None, *, powers: bool | None = None
) -> dict[str, Account]:
    """Read all accounts, or some.

    Which of them manage accounts is asked for when all are read, or with `powers`: it is a second query, and the
    dearest of all. A power that comes by a role of a role is not seen.
    """
    only = "" if names is None else " WHERE u.name IN ({names})"
    asked = names is None if powers is None else powers
    powerful = {found for (found,) in session.rows(_POWERFUL, powers=POWERS)} if asked else set()
    return {
        found: Account(
            replace(
                _existing(connection, found, storage, rosters, _lock(bool(shut), bool(is_default)), found in powerful),
                locked_since=locked_since(dates) if shut else None,
            ),
            bool(everywhere),
            authentication,
            None if all_roles else tuple(default_roles),
            tuple(dates),
        )
        for (
            found, storage, rosters, is_default, shut, everywhere, authentication, default_roles, all_roles, dates,
        ) in session.rows(_ACCOUNTS + only, names=names or ())
    }  # fmt: skip


def read_grants(
    session: Session, roster: str, databases: Sequence[str] | None = None
) -> dict[str, dict[str, GrantsOn]]:
    """Read what users of the roster have on databases, or on some: by database, then by user."""
    only = "" if databases is None else " AND database IN ({databases})"
    found: dict[str, dict[str, GrantsOn]] = {}
    for user, name, privileges, odd in session.rows(
        _GRANTS + only + _GRANTS_END, marker=role_of(roster), databases=databases or ()
    ):
        found.setdefault(name, {})[user] = GrantsOn(frozenset(privileges), bool(odd))
    return found


def read_comments(session: Session, databases: Sequence[str] | None = None) -> dict[str, str]:
    """Read the comment of every database, or of some."""
    only = "" if databases is None else " WHERE name IN ({databases})"
    return dict(session.rows(_COMMENTS + only, databases=databases or ()))


def judge_database(roster: str, name: str, comment: str) -> ExistingDatabase:
    """Judge by its comment whose a database is; privileges are not looked at."""
    marker = Marker.read(comment)
    if name in SYSTEM_DATABASES:
        return ExistingDatabase(name, protected="it is a database of the server itself")
    if marker is None:
        return ExistingDatabase(name)
    if marker.roster != roster:
        return ExistingDatabase(name, protected=f"it belongs to the roster {marker.roster!r}")
    return ExistingDatabase(name, owner=marker.user)


def describe_database(
    judged: ExistingDatabase, granted: Mapping[str, GrantsOn], tree: Tree, wanted: Collection[str]
) -> ExistingDatabase:
    """Add whether its owner, and nobody else of the roster, has the wanted privileges."""
    own = granted.get(judged.owner or "")
    right = own is not None and not own.odd and tree.leaves(own.privileges) == tree.leaves(wanted)
    return replace(judged, granted=right and len(granted) == 1)


def _lock(shut: bool, is_default: bool) -> Lock:
    """dbroster shuts an account and takes its marker from the default roles in one statement; others don't."""
    if not shut:
        return Lock.OPEN
    return Lock.FOREIGN if is_default else Lock.OURS


def _existing(
    connection: Connection, name: str, storage: str, rosters: Collection[str], lock: Lock, powerful: bool
) -> ExistingUser:
    foreign = sorted(roster for roster in rosters if roster != connection.roster)
    roster = foreign[0] if foreign else next(iter(rosters), None)
    protected = _protection(connection, name, storage) or ("it may manage accounts" if powerful else None)
    return ExistingUser(
        name, roster == connection.roster and not protected, None if protected else roster, protected, lock
    )


def _protection(connection: Connection, name: str, storage: str) -> str | None:
    """Why an account may never be touched."""
    if name == connection.username:
        return "it is the admin account that dbroster itself uses"
    if name in connection.protected:
        return "it is listed under `protected` in connections.yaml"
    if storage in READ_ONLY_STORAGES:
        return f"it is defined in {storage.replace('_xml', '.xml')}, where SQL can't change it"
    return None
