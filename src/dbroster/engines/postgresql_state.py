"""What stands on a PostgreSQL server: roles, databases, and the comments that mark ours.

A marker is a comment: `dbroster/1 ROSTER USER`, on a role with ` locked` behind it while dbroster has shut it, and with
the time behind that when its days of grace began. A role can't comment on itself, so its marker is proof; and since the
comment names the role, one that was renamed is foreign. A database's owner can comment on it, so there the marker
counts only together with owner and name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from dbroster.config import Connection
from dbroster.engines.postgresql_session import Session
from dbroster.grace import read_stamp, stamp
from dbroster.model import ExistingDatabase, ExistingUser, Lock, StoredVerifier
from dbroster.names import system_account
from dbroster.secret import Secret
from dbroster.verifiers import Algorithm

_MARKER = re.compile(r"dbroster/1 (?P<roster>[^ ]+) (?P<user>[^ ]+)(?P<locked> locked(?: (?P<since>[^ ]+))?)?")
_SYSTEM_DATABASES = {
    "postgres",
    "template0",
    "template1",
    "rdsadmin",
    "cloudsqladmin",
    "azure_maintenance",
    "azure_sys",
}
_INVALID = -2  # datconnlimit of a database whose DROP was interrupted: it can only be dropped

# comments are joined, since shobj_description() is a query of its own for each row
_ROLE: LiteralString = """
    r.rolname, r.rolcanlogin, r.rolname IN (current_user, session_user),
    nullif(concat_ws(', ',
        CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
        CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END,
        CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END), ''),
    c.description"""

_COMMENT: LiteralString = """
    LEFT JOIN pg_shdescription c ON c.objoid = r.oid AND c.classoid = 'pg_authid'::regclass"""

_ROLES: LiteralString = f"""
    SELECT {_ROLE}, NULL FROM pg_roles r {_COMMENT}
    WHERE %(names)s::text[] IS NULL OR r.rolname = ANY(%(names)s)"""  # noqa: S608 - made of constants

_ROLES_WITH_VERIFIERS: LiteralString = f"""
    SELECT {_ROLE}, a.rolpassword FROM pg_roles r JOIN pg_authid a ON a.rolname = r.rolname {_COMMENT}
    WHERE %(names)s::text[] IS NULL OR r.rolname = ANY(%(names)s)"""  # noqa: S608 - made of constants

# CONNECT, CREATE and TEMPORARY are all that a database has to give; a role may have granted itself to another one
# (possible before PostgreSQL 15), which opens its databases as well
_DATABASES: LiteralString = f"""
    SELECT d.datname, d.datallowconn, d.datconnlimit, d.datistemplate, d.datacl IS NULL,
        mark.description, coalesce(acl.public, false), coalesce(acl.owner = 3, false),
        acl.strangers, shared.members, {_ROLE}, NULL
    FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba {_COMMENT}
    LEFT JOIN pg_shdescription mark ON mark.objoid = d.oid AND mark.classoid = 'pg_database'::regclass
    LEFT JOIN LATERAL (
        SELECT bool_or(x.grantee = 0) AS public,
            count(DISTINCT x.privilege_type) FILTER (WHERE x.grantee = d.datdba) AS owner,
            array_agg(o.rolname::text) FILTER (
                WHERE shobj_description(o.oid, 'pg_authid') LIKE 'dbroster/1 %%') AS strangers
        FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x
            LEFT JOIN pg_roles o ON o.oid = x.grantee AND o.oid <> d.datdba
    ) acl ON true
    LEFT JOIN (
        SELECT m.roleid, array_agg(o.rolname::text) AS members
        FROM pg_auth_members m JOIN pg_roles o ON o.oid = m.member
        WHERE m.grantor = m.roleid AND shobj_description(o.oid, 'pg_authid') LIKE 'dbroster/1 %%'
        GROUP BY m.roleid
    ) shared ON shared.roleid = d.datdba
    WHERE %(names)s::text[] IS NULL OR d.datname = ANY(%(names)s)"""  # noqa: S608 - made of constants


_OWNER = 10
"""The column of _DATABASES from which on its owner's are: those of _ROLES."""


@dataclass(frozen=True, slots=True)
class Marker:
    """The comment that says whose a role or a database is."""

    roster: str
    user: str
    locked: bool = False
    since: datetime | None = None

    @classmethod
    def parse(cls, comment: str | None) -> "Marker | None":
        """Read a comment; None when it is no marker of ours, or has been edited."""
        found = _MARKER.fullmatch(comment or "")
        if not found:
            return None
        return cls(found["roster"], found["user"], found["locked"] is not None, read_stamp(found["since"]))

    def __str__(self) -> str:
        since = f" {stamp(self.since)}" if self.since else ""
        return f"dbroster/1 {self.roster} {self.user}{f' locked{since}' if self.locked else ''}"


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """A database as the core sees it, and the marked roles that have too much: privileges on it, or its owner's own."""

    existing: ExistingDatabase
    strangers: tuple[str, ...]
    members: tuple[str, ...]


def read_users(session: Session, connection: Connection, names: Sequence[str] | None = None) -> dict[str, ExistingUser]:
    """Read all roles, or the named ones, in one query."""
    query = _ROLES_WITH_VERIFIERS if session.reads_verifiers else _ROLES
    return {row[0]: _user(row, connection) for row in session.rows(query, {"names": _listed(names)})}


def read_databases(
    session: Session, connection: Connection, names: Sequence[str] | None = None
) -> dict[str, DatabaseState]:
    """Read all databases, or the named ones, in one query."""
    rows = session.rows(_DATABASES, {"names": _listed(names)})
    roles = {row[_OWNER]: row[_OWNER:] for row in rows}
    owners = {name: (_user(role, connection), str(Marker(connection.roster, name))) for name, role in roles.items()}
    return {row[0]: _database(row[:_OWNER], *owners[row[_OWNER]], connection) for row in rows}


def _listed(names: Sequence[str] | None) -> list[str] | None:
    return None if names is None else list(names)


def _user(row: Sequence[Any], connection: Connection) -> ExistingUser:
    """Make an account of the role columns and the verifier, which is kept for managed accounts only."""
    name, can_login, own, powers, comment, verifier = row
    marker = Marker.parse(comment)
    protected = _protected_role(name, own, powers, connection)
    if marker and marker.user != name:
        marker = None
    managed = marker is not None and marker.roster == connection.roster and protected is None
    locked_by_us = marker is not None and marker.locked
    return ExistingUser(
        name,
        managed=managed,
        roster=marker.roster if marker else None,
        protected=protected,
        lock=Lock.OPEN if can_login else Lock.OURS if locked_by_us else Lock.FOREIGN,
        verifiers=(StoredVerifier(Algorithm.POSTGRESQL, Secret(verifier)),) if managed and verifier else (),
        locked_since=marker.since if marker and not can_login else None,
    )


def _protected_role(name: str, own: bool, powers: str | None, connection: Connection) -> str | None:
    if own:
        return "it is the account that dbroster itself uses"
    if system_account(name):
        return "it is a system account"
    if name in connection.protected:
        return "`protected` in connections.yaml lists it"
    return f"it has {powers}" if powers else None


def _database(row: Sequence[Any], owner: ExistingUser, mark: str, connection: Connection) -> DatabaseState:
    """Make a database of its own columns; `mark` is the comment that it has when it is finished."""
    name, allows, limit, template, fresh, comment, public, complete, strangers, members = row
    marked = comment == mark
    unfinished = not allows and fresh and comment is None  # what a kill right after CREATE DATABASE leaves
    ours = owner.managed and name.startswith(f"{owner.name}_") and (marked or unfinished)
    wanted_limit = connection.options.get("connection_limit", -1)
    closed_to_others = not (public or strangers or members)
    existing = ExistingDatabase(
        name,
        owner=owner.name if ours else None,
        granted=marked and allows and complete and closed_to_others and limit == wanted_limit,
        usable=limit != _INVALID,
        protected=_protected_database(name, template, owner, connection),
    )
    return DatabaseState(existing, tuple(sorted({*(strangers or ())})), tuple(members or ()))


def _protected_database(name: str, template: bool, owner: ExistingUser, connection: Connection) -> str | None:
    if template:
        return "it is a template database"
    if name in _SYSTEM_DATABASES or name == connection.options.get("maintenance_database"):
        return "it is a system database"
    if name in connection.protected:
        return "`protected` in connections.yaml lists it"
    if owner.roster not in (None, connection.roster):
        return f"it belongs to roster {owner.roster!r}"
    return None
