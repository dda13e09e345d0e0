"""Reading accounts and databases of a ClickHouse server: a fixed number of queries, however many there are."""

from collections.abc import Collection, Sequence

from dbroster.engines.clickhouse.access.powers import Powers
from dbroster.engines.clickhouse.access.roles import locked_since
from dbroster.engines.clickhouse.access.show_create_users import Shown
from dbroster.engines.clickhouse.account import Account
from dbroster.engines.clickhouse.cluster.merged_state import merge, one_account, one_database
from dbroster.engines.clickhouse.markers import OURS, Marker, notes_lock
from dbroster.engines.clickhouse.session import Session, identifier
from dbroster.model.state import ExistingDatabase, ExistingUser, Lock

SYSTEM_DATABASES = frozenset({"default", "system", "information_schema", "INFORMATION_SCHEMA"})
_SIZES = "SELECT database, sum(bytes_on_disk) FROM system.parts WHERE database IN ({names}) GROUP BY database"
READ_ONLY_STORAGES = frozenset({"users_xml", "users.xml", "ldap", "token"})
"""User directories that SQL can't write."""

# Whoever has the marker role with admin option is an admin, not an account of the roster.
_ACCOUNTS = """
    SELECT u.name, u.storage, r.rosters,
        empty(u.host_ip) AND empty(u.host_names) AND empty(u.host_names_regexp) AND empty(u.host_names_like)
            AS shut,
        has(u.host_ip, '::/0') AS anywhere, toString(u.auth_type) AS methods,
        if(u.default_roles_all, [], u.default_roles_list) AS roles, u.default_roles_all, r.dates, r.given, s.marker,
        toString(now(), serverTimezone()) AS time
    FROM system.users AS u LEFT JOIN (
        WITH position(granted_role_name, ':locked:') > 0 AS dated, startsWith(granted_role_name, 'dbroster:') AS named
        SELECT assumeNotNull(user_name) AS user_name,
            groupArrayIf(substring(granted_role_name, 10), named AND NOT dated AND NOT with_admin_option) AS rosters,
            groupArrayIf(granted_role_name, named AND dated AND NOT with_admin_option) AS dates,
            groupArrayIf(granted_role_name, NOT named) AS given
        FROM system.role_grants
        WHERE user_name IS NOT NULL
        GROUP BY user_name
    ) AS r ON u.name = r.user_name LEFT JOIN (
        SELECT assumeNotNull(user_name) AS user_name, assumeNotNull(value) AS marker
        FROM system.settings_profile_elements WHERE user_name IS NOT NULL AND setting_name = 'log_comment'
    ) AS s ON u.name = s.user_name"""

_COMMENTS = f"""
    SELECT name, comment, splitByChar(' ', comment)[3] IN ({OURS}) AS marked FROM system.databases"""  # noqa: S608 - a constant


def read_accounts(session: Session, names: Sequence[str] | None = None) -> dict[str, Account]:
    """Read all accounts, or some, in one query; what their privileges and the ends of their logins say is not in it."""
    only = "" if names is None else " WHERE u.name IN ({names})"
    nodes = session.everywhere(_ACCOUNTS + only, names=names or ())
    # of two accounts of one name that count which SQL can't change: statements would hit it, or bring it to light
    ordered = [sorted(rows, key=lambda row: row[1] in READ_ONLY_STORAGES) for rows in nodes]
    found = [{row[0]: _account(session, *row) for row in rows} for rows in ordered]
    return merge(found, session.cluster, one_account)


def _account(
    session: Session,
    name: str,
    storage: str,
    rosters: Sequence[str],
    shut: int,
    everywhere: int,
    authentication: str,
    default_roles: Sequence[str],
    all_roles: int,
    dates: Sequence[str],
    given: Sequence[str],
    text: str,
    now: str,
) -> Account:
    ours = session.roster
    marker = Marker.of_account(text)
    claimed = marker == Marker(ours, name)
    renamed = marker.user if marker and marker.roster == ours and marker.user != name else None
    roster = _roster(ours, rosters) if marker is None else marker.roster if marker.user == name else None
    protected = _protection(session, name, storage)
    lock = _lock(bool(shut), claimed and notes_lock(text))
    existing = ExistingUser(
        name,
        managed=roster == ours and not protected,
        roster=None if protected and storage not in READ_ONLY_STORAGES else roster,
        protected=protected,
        lock=lock,
        complete=roster != ours or (claimed and ours in rosters and (bool(shut) or not notes_lock(text))),
        locked_since=locked_since(dates) if shut else None,
        marked_for=renamed,
    )
    return Account(
        existing,
        claimed,
        ours in rosters,
        notes_lock(text),
        bool(everywhere),
        authentication,
        None if all_roles else tuple(default_roles),
        tuple(dates),
        now,
        lock is Lock.OURS,
        given=tuple(sorted(given)),
    )


def _roster(ours: str, rosters: Collection[str]) -> str | None:
    """Whose an account without a setting is: another roster's before ours."""
    foreign = sorted(roster for roster in rosters if roster != ours)
    return foreign[0] if foreign else next(iter(rosters), None)


def with_powers(account: Account, powers: Powers) -> Account:
    """Add that the account is never touched, if it manages accounts; its roster stays, so that its leaving is told."""
    existing, reason = account.existing, powers.manages_accounts(account.existing.name)
    if reason is None or existing.protected:
        return account
    return account._replace(existing=existing._replace(managed=False, protected=reason))


def with_end(account: Account, shown: Shown) -> Account:
    """Add that nobody can log in, if that has ended by VALID UNTIL."""
    ended = [end for end in shown.until if end <= account.now]
    if len(ended) < len(account.methods):
        return account
    name = account.existing.name
    text = (
        f"it has expired (VALID UNTIL {max(ended)}); to open it: ALTER USER {identifier(name)} VALID UNTIL 'infinity';"
    )
    return account._replace(existing=account.existing._replace(unusable=text))


def read_databases(session: Session, databases: Sequence[str] | None = None) -> dict[str, ExistingDatabase]:
    """Judge by its comment whose every database is, or some, in one query; privileges are not looked at."""
    only = "" if databases is None else " WHERE name IN ({databases})"
    nodes = session.everywhere(_COMMENTS + only, roster=session.roster, databases=databases or ())
    found = [
        {name: judge_database(session.roster, name, text, marked=bool(marked)) for name, text, marked in rows}
        for rows in nodes
    ]
    return merge(found, session.cluster, one_database)


def judge_database(roster: str, name: str, comment: str, *, marked: bool) -> ExistingDatabase:
    """Judge by its comment whose a database is; `marked`: whether the account in the comment carries our marker."""
    marker = Marker.of_database(comment)
    if name in SYSTEM_DATABASES:
        return ExistingDatabase(name, protected="it is a database of the server itself")
    if marker is None or (marker.roster != roster and marker.database != name):
        return ExistingDatabase(name)
    if marker.roster != roster:
        return ExistingDatabase(name, protected=f"it belongs to the roster {marker.roster!r}")
    if marker.database != name:
        return ExistingDatabase(name, marked_for=marker.database)
    return ExistingDatabase(name, owner=marker.user) if marked else ExistingDatabase(name, left_by=marker.user)


def _lock(shut: bool, ours: bool) -> Lock:
    """dbroster shuts an account and notes it in its marker in one statement; others don't."""
    if not shut:
        return Lock.OPEN
    return Lock.OURS if ours else Lock.FOREIGN


def _protection(session: Session, name: str, storage: str) -> str | None:
    """Why an account may never be touched."""
    if name == session.connection.username:
        return "it is the admin account that dbroster itself uses"
    if name in session.connection.protected:
        return "it is listed under `protected` in connections.yaml"
    if storage in READ_ONLY_STORAGES:
        return f"it is defined in {storage.replace('_xml', '.xml')}, where SQL can't change it"
    return None


def read_sizes(session: Session, names: Collection[str]) -> dict[str, int]:
    """Read how large databases are on the node that is asked, in bytes."""
    found = dict(session.rows(_SIZES, names=list(names))) if names else {}
    return {name: int(found.get(name, 0)) for name in names}
