"""What of a plan a ClickHouse server must refuse, as its system tables show beforehand."""

from collections.abc import Iterable, Iterator, Sequence

from dbroster.engines.base import no_adoption
from dbroster.engines.clickhouse.access.admin_privileges import COMMENTING
from dbroster.engines.clickhouse.access.powers import Powers
from dbroster.engines.clickhouse.account import Account
from dbroster.engines.clickhouse.beforehand.server_checks import ServerRules
from dbroster.engines.clickhouse.removal.drop_database import endless, needed
from dbroster.engines.clickhouse.removal.ownership import unnamed
from dbroster.engines.clickhouse.session import Session, identifier, qualified
from dbroster.engines.clickhouse.state import read_accounts, with_powers
from dbroster.errors import OperationError
from dbroster.model.plan import Action, Verb
from dbroster.model.state import Lock

_REMOVING = frozenset({Verb.LOCK_USER, Verb.ARCHIVE_DATABASE, Verb.DROP_DATABASE, Verb.DROP_USER})
_UNKNOWN_COLUMN = "47"

_TOO_LARGE = """
    WITH (SELECT toUInt64(value) FROM system.server_settings WHERE name = 'max_table_size_to_drop') AS servers,
        (SELECT if(changed, toUInt64(value), servers) FROM system.settings
            WHERE name = 'max_table_size_to_drop') AS most
    SELECT database, name, total_bytes, most FROM system.tables
    WHERE database IN ({databases}) AND database NOT IN ({broken}) AND engine LIKE '%MergeTree' AND most > 0
        AND total_bytes > most ORDER BY database, name"""
_TAKEN = """
    SELECT database, ifNull(table, ''), arrayStringConcat(arraySort(groupUniqArray(toString(access_type))), ', ')
    FROM system.grants WHERE is_partial_revoke AND database IN ({databases})
        AND (user_name = currentUser() OR role_name IN (SELECT role_name FROM system.enabled_roles))
    GROUP BY database, table ORDER BY database, table"""
_DEFINERS = """
    SELECT definer, database, name FROM system.tables
    WHERE definer IN ({users}) AND database NOT IN ({databases}) AND database NOT IN ({broken})
    ORDER BY definer, database, name"""


def foresee(session: Session, server: ServerRules, actions: Sequence[Action]) -> list[str | None]:
    """Return for each action why it must fail, or None. Raises ConnectError, OperationError."""
    accounts = read_accounts(session, sorted({action.user for action in actions}))
    if any(action.verb is Verb.ADOPT and action.password for action in actions):
        powers = Powers.read(session)
        accounts = {name: with_powers(account, powers) for name, account in accounts.items()}
    marked = {action.user for action in actions if action.verb is Verb.CREATE_USER}
    dropped = [action.database for action in actions if action.verb is Verb.DROP_DATABASE and action.database]
    kept = dict(_kept(session, actions, dropped)) if dropped else {}
    definers = dict(_definers(session, [a.user for a in actions if a.verb is Verb.DROP_USER], dropped))

    def reason(action: Action) -> str | None:
        account = accounts.get(action.user)
        if action.verb in _REMOVING:
            if account and account.existing.managed and not account.claimed and action.user not in marked:
                return unnamed(session, action.user)
            return definers.get(action.user) if action.verb is Verb.DROP_USER else kept.get(action.database or "")
        if action.verb is Verb.ADOPT and action.database:
            return _not_commented(session, server, action.database)
        return _not_changed(session, action, account) if account and action.password else None

    return [reason(action) for action in actions]


def not_adoptable(account: Account, roster: str) -> str | None:
    """Why a foreign account can't be taken over."""
    if reason := no_adoption(account.existing, roster):
        return reason
    if not account.by_password:
        return f"something else than a password lets it in ({account.authentication})"
    return several_methods(account) if len(account.methods) > 1 else None


def several_methods(account: Account) -> str:
    """Why the password of an account with several ways to log in is not changed."""
    return (
        f"{_ways(account)}, and a new password would replace them all; to give up all but the newest: {_one(account)}"
    )


def other_ways(accounts: Iterable[Account]) -> Iterator[str]:
    """Say who can log in by something else than the password in users.txt, besides that or instead."""
    for account in accounts:
        if account.existing.managed and account.existing.lock is Lock.OPEN and len(account.methods) > 1:
            yield (
                f"{_ways(account)}, so the password in users.txt may not be the only one; to give up all but the "
                f"newest, after which the next run sets the password in users.txt where it differs: {_one(account)}"
            )


def _ways(account: Account) -> str:
    ways = account.methods
    return f"the account {account.existing.name} can log in in {len(ways)} ways ({', '.join(ways)})"


def _one(account: Account) -> str:
    return f"ALTER USER {identifier(account.existing.name)} RESET AUTHENTICATION METHODS TO NEW;"


def _not_changed(session: Session, action: Action, account: Account) -> str | None:
    if action.verb is Verb.ADOPT and (why := not_adoptable(account, session.roster)):
        return f"the account {action.user} can't be adopted: {why}"
    return several_methods(account) if len(account.methods) > 1 else None


def _not_commented(session: Session, server: ServerRules, database: str) -> str | None:
    """Why a database can't be marked. Servers before 25 can't change the comment of one that exists."""
    if not server.tree.known(COMMENTING):
        name, old = identifier(database), identifier(f"{database}_old")
        return (
            f"this version of ClickHouse can't mark a database that exists; let dbroster make a new one, and move the "
            f"tables there: RENAME DATABASE {name} TO {old};"
        )
    if not server.may(*COMMENTING):
        admin = identifier(session.connection.username)
        return f"the admin account may not mark it: GRANT {COMMENTING[0]} ON *.* TO {admin};"
    return None


def _kept(session: Session, actions: Sequence[Action], dropped: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Databases that can't be dropped, with the reason."""
    yield from endless(session, dropped)
    owners = {action.database: action.user for action in actions if action.database in dropped and action.database}
    yield from needed(session, owners)
    yield from _large(session, dropped)
    yield from _unseen(session, dropped)


def _unseen(session: Session, databases: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Databases of which a DBA has kept a part from the admin: it would be in no archive, but dropped."""
    for database, table, privileges in session.union(_TAKEN, databases=databases):
        place = f"{identifier(database)}.{identifier(table) if table else '*'}"
        admin = session.connection.username
        yield (
            database,
            f"the admin account was refused {privileges} ON {place}, so it may not see all that is there; as another "
            f"administrator: GRANT {privileges} ON {place} TO {identifier(admin)} WITH GRANT OPTION;",
        )


def _large(session: Session, databases: Sequence[str]) -> Iterator[tuple[str, str]]:
    for database, table, size, most in session.union(_TOO_LARGE, databases=databases):
        yield (
            database,
            f"its table {table} has {size} bytes, and the server drops none above {most} (max_table_size_to_drop); "
            f"drop it by hand: DROP TABLE {qualified(database, table)} SYNC SETTINGS max_table_size_to_drop = 0;",
        )


def _definers(session: Session, users: Sequence[str], dropped: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Accounts that views in databases which stay have as their definer; servers before 25 drop these, too."""
    if not users:
        return
    try:
        rows = session.union(_DEFINERS, users=users, databases=dropped or [""])
    except OperationError as error:
        if error.code != _UNKNOWN_COLUMN:
            raise
        return
    for user, database, view in rows:
        yield (
            user,
            f"the view {database}.{view} runs with the rights of {user} (DEFINER), so the account can't be dropped, "
            f"and stays locked; drop the view: DROP VIEW {qualified(database, view)};",
        )
