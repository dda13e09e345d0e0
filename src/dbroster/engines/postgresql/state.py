"""What stands on a PostgreSQL server: roles and databases, whose they are, and who else gets in.

Each is one query, however many there are. What marks something as ours is in `postgresql_markers`, whose words these
queries repeat.
"""

from collections.abc import Collection, Sequence
from typing import Any, LiteralString, NamedTuple

from dbroster.engines.postgresql.access.markers import ROLE_PREFIX, Claim, Marker, marker_role
from dbroster.engines.postgresql.options import PostgreSQLOptions
from dbroster.engines.postgresql.session import MEMBERSHIP_OPTIONS, Session, quoted
from dbroster.model.connection import Connection
from dbroster.model.names import system_account
from dbroster.model.state import ExistingDatabase, ExistingUser, Lock, StoredVerifier, differences
from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers.algorithms import Algorithm

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

_POWERFUL = [
    "pg_read_all_data",
    "pg_write_all_data",
    "pg_read_server_files",
    "pg_write_server_files",
    "pg_execute_server_program",
    "pg_signal_backend",
    "pg_create_subscription",
    "pg_maintain",
]
"""Predefined roles that reach other users' data, their sessions, or the server's files."""

_POWERS: LiteralString = """
    nullif(concat_ws(', ',
        CASE WHEN {0}.rolsuper THEN 'SUPERUSER' END, CASE WHEN {0}.rolcreaterole THEN 'CREATEROLE' END,
        CASE WHEN {0}.rolcreatedb THEN 'CREATEDB' END, CASE WHEN {0}.rolreplication THEN 'REPLICATION' END,
        CASE WHEN {0}.rolbypassrls THEN 'BYPASSRLS' END), '')"""

# who is a member of what, over any number of steps, with the first step; an admin is a member of each of its users
_MEMBERS: LiteralString = """
    WITH RECURSIVE up (member, first, role) AS (
        SELECT m.member, m.roleid, m.roleid FROM pg_auth_members m
        WHERE m.member >= 16384 AND m.member NOT IN (
            SELECT oid FROM pg_roles WHERE rolname IN (current_user, session_user))
        UNION SELECT up.member, up.first, m.roleid FROM up JOIN pg_auth_members m ON m.member = up.role
    ), power AS (
        SELECT DISTINCT ON (up.member) up.member, first.rolname AS first, r.rolname AS role, {powers} AS powers
        FROM up JOIN pg_roles r ON r.oid = up.role JOIN pg_roles first ON first.oid = up.first
        WHERE r.rolname = ANY(%(powerful)s) OR r.rolname LIKE 'dbroster:%%' OR {powers} IS NOT NULL
        ORDER BY up.member, up.first <> up.role, {powers} IS NULL, r.rolname
    )""".replace("{powers}", _POWERS.replace("{0}", "r"))

# comments are joined, since shobj_description() is a query of its own for each row
_ROLE: LiteralString = """
    r.rolname, r.rolcanlogin, r.rolname IN (current_user, session_user), {powers},
    power.first, power.role, power.powers, r.rolconnlimit,
    CASE WHEN r.rolvaliduntil < now() THEN r.rolvaliduntil::timestamptz(0)::text END, c.description""".replace(
    "{powers}", _POWERS.replace("{0}", "r")
)

_OF_ROLE: LiteralString = """
    LEFT JOIN pg_shdescription c ON c.objoid = r.oid AND c.classoid = 'pg_authid'::regclass
    LEFT JOIN power ON power.member = r.oid"""

_ROLES: LiteralString = f"""{_MEMBERS}
    SELECT {_ROLE}, NULL FROM pg_roles r {_OF_ROLE}
    WHERE %(names)s::text[] IS NULL OR r.rolname = ANY(%(names)s)"""  # noqa: S608 - made of constants

_ROLES_WITH_VERIFIERS: LiteralString = f"""{_MEMBERS}
    SELECT {_ROLE}, a.rolpassword FROM pg_roles r JOIN pg_authid a ON a.rolname = r.rolname {_OF_ROLE}
    WHERE %(names)s::text[] IS NULL OR r.rolname = ANY(%(names)s)"""  # noqa: S608 - made of constants

# CONNECT, CREATE and TEMPORARY are all that a database has to give; who is a member of its owner's role has them, too;
# a comment may have a gigabyte, and a marker never has a thousand characters
_DATABASES: LiteralString = f"""{_MEMBERS}
    SELECT d.datname, d.datallowconn, d.datconnlimit, d.datistemplate,
        left(mark.description, 1000), setting.ours, setting.others,
        coalesce(acl.public, false), coalesce(acl.owner = 3, false), acl.strangers,
        shared.members, coalesce(acl.guests, false), {_ROLE}, NULL
    FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba {_OF_ROLE}
    LEFT JOIN pg_shdescription mark ON mark.objoid = d.oid AND mark.classoid = 'pg_database'::regclass
    LEFT JOIN (
        SELECT s.setdatabase, min(substr(c, 18)) FILTER (WHERE o.rolname = %(marker)s) AS ours,
            array_agg(substr(c, 18)) FILTER (WHERE o.rolname <> %(marker)s) AS others
        FROM pg_db_role_setting s JOIN pg_roles o ON o.oid = s.setrole, unnest(s.setconfig) c
        WHERE o.rolname LIKE 'dbroster:%%' AND c LIKE 'application_name=%%' GROUP BY s.setdatabase
    ) setting ON setting.setdatabase = d.oid
    LEFT JOIN LATERAL (
        SELECT bool_or(x.grantee = 0) AS public,
            bool_or(x.grantee <> d.datdba AND o.rolname IS DISTINCT FROM current_user) AS guests,
            count(DISTINCT x.privilege_type) FILTER (WHERE x.grantee = d.datdba) AS owner,
            array_agg(o.rolname::text) FILTER (
                WHERE shobj_description(o.oid, 'pg_authid') LIKE 'dbroster/2 %%') AS strangers
        FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x
            LEFT JOIN pg_roles o ON o.oid = x.grantee AND o.oid <> d.datdba
    ) acl ON true
    LEFT JOIN (
        SELECT m.roleid, array_agg(ARRAY[o.rolname::text, g.rolname::text]) AS members
        FROM pg_auth_members m JOIN pg_roles o ON o.oid = m.member JOIN pg_roles g ON g.oid = m.grantor
            JOIN pg_shdescription s ON s.objoid = o.oid AND s.classoid = 'pg_authid'::regclass
        WHERE s.description LIKE 'dbroster/2 %%' AND (%(revokes)s OR pg_has_role(g.oid, 'USAGE'))
        GROUP BY m.roleid
    ) shared ON shared.roleid = d.datdba
    WHERE %(names)s::text[] IS NULL OR d.datname = ANY(%(names)s)"""  # noqa: S608 - made of constants

_SIZES: LiteralString = """
    SELECT datname, pg_database_size(oid) FROM pg_database WHERE datname = ANY(%s)
    AND (has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE'))"""

_OWNER = 12
"""The column of _DATABASES from which on its owner's are: those of _ROLES."""

# roles of users whom other users have become members of, if this admin can't take that back with the privileges
_LENT: LiteralString = f"""{_MEMBERS}
    , marked AS (
        SELECT r.oid, r.rolname FROM pg_roles r JOIN pg_shdescription c ON c.objoid = r.oid
        WHERE c.classoid = 'pg_authid'::regclass AND c.description LIKE 'dbroster/2 %%'
    )
    SELECT member.rolname, role.rolname, first.rolname,
        (SELECT min(g.rolname) FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.grantor
            WHERE m.roleid = up.first AND m.member = up.member)
    FROM up JOIN marked member ON member.oid = up.member JOIN marked role ON role.oid = up.role
        JOIN pg_roles first ON first.oid = up.first
    WHERE up.member NOT IN (SELECT member FROM power) AND (
        up.first NOT IN (SELECT oid FROM marked) OR up.first = up.role AND NOT %(revokes)s AND NOT EXISTS (
        SELECT 1 FROM pg_auth_members m
            WHERE m.roleid = up.role AND m.member = up.member AND pg_has_role(m.grantor, 'USAGE')))
    ORDER BY 1, 2"""  # noqa: S608 - made of constants


class DatabaseState(NamedTuple):
    """A database as the core sees it, and the marked roles that have too much: privileges on it, or its owner's own.

    `members`: those whom this admin can take the owner's role from, each with the role that gave it. `claimed`: whether
    the setting of the marker role says whose it is.
    """

    existing: ExistingDatabase
    strangers: tuple[str, ...] = ()
    members: tuple[tuple[str, str], ...] = ()
    claimed: bool = False
    template: bool = False


def read_users(session: Session, connection: Connection, names: Sequence[str] | None = None) -> dict[str, ExistingUser]:
    """Read all roles, or the named ones, in one query; marker roles are no accounts."""
    query = _ROLES_WITH_VERIFIERS if session.reads_verifiers else _ROLES
    rows = session.rows(query, {"names": _listed(names), "powerful": _POWERFUL})
    return {row[0]: _user(row, connection) for row in rows if not row[0].startswith(ROLE_PREFIX)}


def read_databases(
    session: Session, connection: Connection, names: Sequence[str] | None = None
) -> dict[str, DatabaseState]:
    """Read all databases, or the named ones, in one query."""
    told = {
        "names": _listed(names),
        "powerful": _POWERFUL,
        "marker": marker_role(connection.roster),
        "revokes": session.superuser or session.version < MEMBERSHIP_OPTIONS,
    }
    rows = session.rows(_DATABASES, told)
    owners = {row[_OWNER]: _user(row[_OWNER:], connection) for row in rows}
    return {row[0]: _database(row[:_OWNER], owners[row[_OWNER]], connection) for row in rows}


def read_lent(session: Session) -> list[str]:
    """Say which user has another one's data by being a member of the role, and how that is taken away."""
    revokes = session.superuser or session.version < MEMBERSHIP_OPTIONS
    rows = session.rows(_LENT, {"powerful": _POWERFUL, "revokes": revokes})
    texts = []
    for member, role, first, grantor in rows:
        by = f" GRANTED BY {quoted(grantor)}" if session.version >= MEMBERSHIP_OPTIONS else ""
        through = f" through {first}" if first != role else ""
        text = f"{member} is a member of {role}{through} and reaches all that is {role}'s"
        texts.append(f"{text}: REVOKE {quoted(first)} FROM {quoted(member)}{by} CASCADE;")
    return texts


def _listed(names: Sequence[str] | None) -> list[str] | None:
    return None if names is None else list(names)


# --- accounts ---------------------------------------------------------------------------------------------------------


def _user(row: Sequence[Any], connection: Connection) -> ExistingUser:
    """Make an account of the role columns and the verifier, which is kept for managed accounts only."""
    name, can_login, own, powers, first, role, role_powers, limit, expired, comment, verifier = row
    marker = Marker.parse(comment)
    member = _through(name, first, role, role_powers) if first else None
    protected = _protected_role(name, own, powers, member, connection)
    marked_for = marker.user if marker and marker.user != name and marker.roster == connection.roster else None
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
        marked_for=marked_for,
        unusable=_unusable(name, limit, expired),
    )


def _unusable(name: str, limit: int, expired: str | None) -> str | None:
    if expired:
        return f"it expired at {expired} (VALID UNTIL): ALTER ROLE {quoted(name)} VALID UNTIL 'infinity';"
    if limit == 0:
        return f"it may have no session (CONNECTION LIMIT 0): ALTER ROLE {quoted(name)} CONNECTION LIMIT -1;"
    return None


def _through(name: str, first: str, role: str, powers: str | None) -> str:
    """Say what power an account has by being a member of a role, and how it is taken away."""
    way = f"is a member of {first}" + (f", and so of {role}" if role != first else "")
    has = f", which has {powers}" if powers else ""
    return f"it {way}{has}: REVOKE {quoted(first)} FROM {quoted(name)};"


def _protected_role(name: str, own: bool, powers: str | None, member: str | None, connection: Connection) -> str | None:
    if own:
        return "it is the account that dbroster itself uses"
    if system_account(name):
        return "it is a system account"
    if name in connection.protected:
        return "`protected` in connections.yaml lists it"
    if powers:
        taken = " ".join(f"NO{power}" for power in powers.split(", "))
        return f"it has {powers}: ALTER ROLE {quoted(name)} {taken};"
    return member


# --- databases --------------------------------------------------------------------------------------------------------


def _database(row: Sequence[Any], owner: ExistingUser, connection: Connection) -> DatabaseState:
    """Make a database of its own columns."""
    name, allows, limit, template, comment, setting, others, public, complete, strangers, members, guests = row
    claim = Claim(connection.roster, owner.name, name)
    found = _claimed(comment, setting, connection.roster)
    unfinished = setting is None and not (found and found.database != name) and limit == claim.limit
    ours = owner.managed and name.startswith(f"{owner.name}_") and (found == claim or unfinished)
    marked = setting == comment == str(claim)
    wanted_limit = PostgreSQLOptions.of(connection).connection_limit
    closed_to_others = not (public or strangers or members)
    existing = ExistingDatabase(
        name,
        owner=owner.name if ours else None,
        granted=ours and marked and allows and complete and closed_to_others and limit == wanted_limit and not template,
        usable=limit != _INVALID,
        protected=_protected_database(name, template, owner, others, connection),
        marked_for=found.database if found and found.database != name else None,
        holder=owner.name,
        left_by=found.user if found and found.database == name and not (ours or _marked(owner)) else None,
        differs=differences(
            (not marked, "the marker is not complete"),
            (not allows, "no connections are allowed"),
            (not complete, f"{owner.name} has not all privileges"),
            (public, "PUBLIC may enter"),
            (strangers, f"{', '.join(sorted(set(strangers or ())))} may enter"),
            (members, f"{', '.join(sorted({member for member, _ in members or ()}))} can act as {owner.name}"),
            (limit != wanted_limit, f"CONNECTION LIMIT is {limit}, not {wanted_limit}"),
            (template, "it is a template"),
        )
        if ours
        else None,
        shared=bool(guests or members),
    )
    return DatabaseState(
        existing,
        tuple(sorted({*(strangers or ())})),
        tuple((member, grantor) for member, grantor in members or ()),
        claimed=setting == str(claim),
        template=template,
    )


def _claimed(comment: str | None, setting: str | None, roster: str) -> Claim | None:
    """Read what our roster has written down about a database: the setting decides, since its owner can't change it."""
    claim = Claim.parse(comment if setting is None else setting)
    return claim if claim and claim.roster == roster else None


def _marked(owner: ExistingUser) -> bool:
    return owner.roster is not None or owner.marked_for is not None


def _protected_database(
    name: str, template: bool, owner: ExistingUser, others: Sequence[str] | None, connection: Connection
) -> str | None:
    if template:
        return "it is a template database"
    if name in _SYSTEM_DATABASES or name == PostgreSQLOptions.of(connection).maintenance_database:
        return "it is a system database"
    if name in connection.protected:
        return "`protected` in connections.yaml lists it"
    if owner.roster not in (None, connection.roster):
        return f"it belongs to roster {owner.roster!r}"
    for claim in map(Claim.parse, others or ()):
        if claim and claim.database == name:
            return f"it belongs to roster {claim.roster!r}"
    return None


def read_sizes(session: Session, names: Collection[str]) -> dict[str, int]:
    """Read how large databases are, in bytes."""
    return {name: size for name, size in session.rows(_SIZES, [list(names)]) if size is not None}
