"""Getting users out of PostgreSQL who would rather stay: their sessions, and what they have prepared."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import LiteralString

from psycopg import sql

from dbroster.engines.postgresql import statements
from dbroster.engines.postgresql.access.markers import FORM
from dbroster.engines.postgresql.session import BUSY, DENIED, WAITS, Session, open_session, quoted, stated
from dbroster.errors import ConnectError, OperationError, ServerError
from dbroster.model.connection import Connection

ATTEMPTS = 5
_SHOWN = 3
"""So many sessions are named."""

_PREPARED: LiteralString = """
    SELECT p.database, p.gid, p.owner FROM pg_prepared_xacts p WHERE p.owner = ANY(%(users)s)
        OR (p.database = %(inside)s OR p.transaction = (SELECT xmax FROM pg_database WHERE datname = %(held)s))
        AND EXISTS (
        SELECT 1 FROM pg_roles r JOIN pg_shdescription s ON s.objoid = r.oid AND s.classoid = 'pg_authid'::regclass
        WHERE r.rolname = p.owner AND s.description LIKE %(form)s) ORDER BY 1, 2"""

_OF_A_USER: LiteralString = """
    SELECT 1 FROM pg_database d
    JOIN pg_shdescription s ON s.objoid = d.datdba AND s.classoid = 'pg_authid'::regclass
    WHERE d.datname = %s AND d.datconnlimit <> -2 AND s.description LIKE %s"""

# the transaction that is to change a row stands in the row; who holds a role's row most admins may not see
_WRITERS: LiteralString = """
    WITH held AS (
        SELECT d.xmax AS xid FROM pg_database d WHERE d.datname = %(database)s
        UNION ALL SELECT s.xmax FROM pg_shdescription s WHERE
            s.classoid = 'pg_authid'::regclass AND s.objoid IN (SELECT oid FROM pg_roles WHERE rolname = ANY(%(users)s))
            OR s.classoid = 'pg_database'::regclass AND s.objoid = (
                SELECT oid FROM pg_database WHERE datname = %(database)s)
        UNION ALL SELECT s.xmax FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
            WHERE d.datname = %(database)s
        UNION ALL SELECT m.xmax FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
            WHERE r.rolname = ANY(%(users)s)
    ), writers AS (
        SELECT a.pid, a.usename, a.datname, a.usename = ANY(%(users)s) AND a.backend_xid IS NOT NULL AS own,
            EXISTS (SELECT 1 FROM pg_locks l JOIN held h ON h.xid = l.transactionid
                WHERE l.pid = a.pid AND l.granted AND l.locktype = 'transactionid') AS holds
        FROM pg_stat_activity a WHERE a.pid <> pg_backend_pid()
    )
    SELECT w.pid, w.usename, w.datname, (w.own OR w.holds) AND EXISTS (
        SELECT 1 FROM pg_roles r JOIN pg_shdescription s ON s.objoid = r.oid AND s.classoid = 'pg_authid'::regclass
        WHERE r.rolname = w.usename AND s.description LIKE %(form)s)
    FROM writers w WHERE w.own OR w.holds
        OR EXISTS (SELECT 1 FROM pg_locks l WHERE l.pid = w.pid AND l.granted AND (
            l.locktype = 'object' AND (
                l.classid = 'pg_authid'::regclass AND l.objid IN (
                    SELECT oid FROM pg_roles WHERE rolname = ANY(%(users)s))
                OR l.classid = 'pg_database'::regclass AND l.objid = (
                    SELECT oid FROM pg_database WHERE datname = %(database)s))
            OR l.locktype = 'relation' AND l.database = 0 AND l.relation = 'pg_authid'::regclass
                AND l.mode = 'RowExclusiveLock' AND %(database)s::text IS NULL))
    ORDER BY NOT (w.own OR w.holds), 1"""
"""Who may hold a role or a database: process, user, database, and whether it is a user of a roster who does."""


def shut(session: Session, connection: Connection, users: Collection[str], locking: Sequence[sql.Composable]) -> None:
    """Run the statements that lock these users, while nothing of theirs can stand in the way, and end their sessions.

    A transaction of theirs that has changed the own role holds its row. So their sessions end before the lock, and
    what they have prepared is rolled back; the lock follows before they can be in again, and then all end again.
    """
    patience = [sql.SQL("SET LOCAL lock_timeout = '2s'")] if locking else []
    for attempt in range(1, ATTEMPTS + 1):
        session.end_sessions(users, patient=False)
        hindrance = _hindrance(session, connection, users)
        try:
            session.run([*patience, *locking])
            break
        except OperationError as error:
            if error.code not in BUSY or attempt == ATTEMPTS:
                raise hindrance or explained(session, error, users) from None
    _end_logins(session, users)
    session.end_sessions(users)


def shut_databases(
    session: Session,
    connection: Connection,
    databases: Mapping[str, str],
    memberships: Mapping[str, Sequence[sql.Composable]],
) -> None:
    """Let nobody but its locked owner into these databases, nor be a member of his role, and end who is in them.

    A function of his may work with his rights. Whoever holds one of them does not keep the account open: it is locked
    by then.
    """
    guests = session.rows(_GUESTS, [list(databases)])
    let_in = {database: [guest for place, guest in guests if place == database] for database, _ in guests}
    acting = who_acts(session, databases.values())
    for database, owner in databases.items():
        closed = [statements.close_database(database, let_in[database])] if database in let_in else []
        if shutting := [*memberships.get(owner, []), *closed]:
            quickly = [sql.SQL("SET LOCAL lock_timeout = '2s'"), *shutting]
            past_holders(session, connection, [owner], database, partial(session.run, quickly))
    _end_guests(session, databases)
    # through PUBLIC, or a group, anybody may have been let in, also if that is taken back by now
    everybody = {user for (user,) in session.rows(_USERS, {"form": f"{FORM}%", "roles": None})}
    _end_logins(session, {*everybody, *(guest for _, guest in guests if guest)}, databases)
    _end_guests(session, databases)
    end_acting(session, acting)


def who_acts(session: Session, users: Iterable[str]) -> set[str]:
    """Say which users of rosters can become these ones by SET ROLE; who has done so stays it, whatever is revoked."""
    return {user for (user,) in session.rows(_USERS, {"form": f"{FORM}%", "roles": list(users)})}


def end_acting(session: Session, acting: Collection[str]) -> None:
    """End the sessions of those who may have become another one, and their logins, which may begin as him."""
    if acting:
        session.end_sessions(acting)
        _end_logins(session, acting)
        session.end_sessions(acting)


# users of rosters whose sessions this admin may end: all, or those who can become one of these; none with the power to
# become anybody, since all logins would be theirs
_USERS: LiteralString = """
    SELECT r.rolname::text FROM pg_roles r
    JOIN pg_shdescription s ON s.objoid = r.oid AND s.classoid = 'pg_authid'::regclass
    WHERE NOT r.rolsuper AND s.description LIKE %(form)s AND pg_has_role(r.oid, 'USAGE')
    AND (%(roles)s::text[] IS NULL OR EXISTS (
        SELECT 1 FROM pg_roles o WHERE o.rolname = ANY(%(roles)s) AND o.oid <> r.oid
            AND pg_has_role(r.oid, o.oid, 'MEMBER')))"""


# whom a user has let into own databases, and everybody ('') where these are open
_GUESTS: LiteralString = """
    SELECT DISTINCT d.datname::text, coalesce(r.rolname::text, '') FROM pg_database d
    CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x
    LEFT JOIN pg_roles r ON r.oid = x.grantee WHERE d.datname = ANY(%s) AND x.grantee <> d.datdba ORDER BY 1, 2"""


def _end_guests(session: Session, databases: Collection[str]) -> None:
    """End all sessions in these databases that this admin may end."""
    busy = "SELECT DISTINCT datname FROM pg_stat_activity WHERE datname = ANY(%s) AND usesysid IS NOT NULL"
    for (database,) in session.rows(busy, [list(databases)]):
        try:
            end_sessions_in(session, database)
        except OperationError as error:
            if error.code != DENIED and not error.retryable:
                raise


# which process is whose stands nowhere yet, but into which database it wants, which it holds until it is in; of most
# others admins may not see of which type they are
_UNSEEN: LiteralString = """
    SELECT DISTINCT l.pid FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'virtualxid' AND a.usesysid IS NULL
        AND coalesce(a.backend_type, 'client backend') = 'client backend'
        AND (%(into)s::text[] IS NULL OR EXISTS (
            SELECT 1 FROM pg_locks h JOIN pg_database d ON d.oid = h.objid
            WHERE h.pid = l.pid AND h.classid = 'pg_database'::regclass AND d.datname = ANY(%(into)s)))"""


def _end_logins(session: Session, users: Collection[str], into: Collection[str] | None = None) -> None:
    """End these users' logins, or those into some databases, that have passed, and are in no list of sessions yet.

    With `post_auth_delay`, which everybody may set, one stays there for half an hour. Whose each is only the server
    knows: a role can end what is its own, and nothing else.
    """
    patience: LiteralString = ", 5000" if session.version >= WAITS else ""
    for (process,) in session.rows(_UNSEEN, {"into": None if into is None else list(into)}):
        ending = stated("SELECT pg_terminate_backend({}" + patience + ")", sql.Literal(process))
        for user in users:
            try:
                session.run([stated("SET LOCAL ROLE {}", user), ending])
                break
            except OperationError as error:
                if error.code != DENIED:
                    raise


def _hindrance(session: Session, connection: Connection, users: Collection[str]) -> OperationError | None:
    """Roll back what these users have prepared; what can't be rolled back need not be in the way of the lock."""
    try:
        roll_back(session, connection, users)
    except OperationError as error:
        return error
    return None


def roll_back(
    session: Session,
    connection: Connection,
    users: Collection[str],
    database: str | None = None,
    *,
    held: str | None = None,
) -> None:
    """Roll back the transactions that users have prepared, and those of all users of rosters in one database.

    And theirs, from wherever, in which one is `held`.
    They outlive sessions, hold locks, and are in the way of a DROP DATABASE; only a session in their database can end
    them. Raises OperationError with the statement for somebody else to run.
    """
    found = session.rows(_PREPARED, {"users": list(users), "inside": database, "held": held, "form": f"{FORM}%"})
    for name in sorted({row[0] for row in found}):
        own = [(gid, owner) for place, gid, owner in found if place == name]
        try:
            _roll_back_in(session, connection, name, own)
        except (OperationError, ServerError) as error:
            raise OperationError(f"{_prepared(name, *own[0])}; dbroster could not: {error}") from None


def _roll_back_in(session: Session, connection: Connection, database: str, own: Iterable[tuple[str, str]]) -> None:
    from dbroster.engines.postgresql.client_programs import options

    settings = options(session.version)  # what its owner has set must not keep the admin out
    try:
        inside = open_session(connection, database, settings)
    except ConnectError:
        if not _let_in(session, database):
            raise
        inside = open_session(connection, database, settings)
    with closing(inside):
        for gid, owner in own:
            as_owner = [] if session.superuser else [stated("SET ROLE {}", owner)]
            for statement in (*as_owner, stated("ROLLBACK PREPARED {}", sql.Literal(gid))):
                inside.run([statement])


def _let_in(session: Session, database: str) -> bool:
    """Open a user's database to the admin, if its owner has shut it; nobody else's."""
    if not session.rows(_OF_A_USER, [database, f"{FORM}%"]):
        return False
    session.run(statements.let_admin_in(database, superuser=session.superuser))
    return True


def _prepared(database: str, gid: str, owner: str) -> str:
    rollback = f"ROLLBACK PREPARED {_literal(gid)};"
    return f"{owner} has prepared a transaction in {database}, which holds it; roll it back there: {rollback}"


_INSIDE: LiteralString = "FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
# most admins may not see of which type others' processes are
_CLIENT: LiteralString = """ AND usesysid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
    AND pid NOT IN (SELECT r.pid FROM pg_stat_replication r)"""
_CLIENTS: LiteralString = _INSIDE + _CLIENT


def end_sessions_in(session: Session, database: str) -> None:
    """End the clients' sessions in a database and see that they are gone; before PostgreSQL 14 no server waits for it.

    An autovacuum worker ends by itself where it is in the way, and most admins may not end it. Raises OperationError
    that names each session that this admin may not end.
    """
    patience: LiteralString = ", 5000" if session.version >= WAITS else ""
    try:
        session.rows(f"SELECT pg_terminate_backend(pid{patience}) {_CLIENTS}", [database])
    except OperationError as error:
        if error.code != DENIED:
            raise
        found = session.rows(f"SELECT pid, usename, datname {_CLIENTS}", [database])
        if kept := [_holding(*row) for row in found if not _ended(session, row[0])]:
            raise OperationError("; ".join(["this admin may not end a session", *kept]), DENIED) from None
    if found := session.rows(f"SELECT pid, usename, datname {_CLIENTS}", [database]):
        named = [_holding(*row, told=True) for row in found[:_SHOWN]]
        raise OperationError("; ".join([f"sessions in {database} could not be ended yet", *named]), retryable=True)


def _ended(session: Session, process: int) -> bool:
    try:
        session.rows("SELECT pg_terminate_backend(%s)", [process])
    except OperationError as error:
        if error.code != DENIED:
            raise
        return False
    return True


def drop_database(session: Session, database: str) -> None:
    """Drop it with force; where force is too much for this admin, end what it may end, and drop it without."""
    try:
        session.run([statements.drop_database(database)])
    except OperationError as error:
        if error.code != DENIED:
            raise
        end_sessions_in(session, database)
        try:
            session.run([statements.drop_database(database, force=False)])
        except OperationError as again:
            found = session.rows(f"SELECT pid, usename, datname {_INSIDE}", [database]) if again.code in BUSY else []
            hints = [str(again), *(_holding(*row) for row in found)]
            raise OperationError("; ".join(hints), again.code, retryable=again.retryable) from None


def _holding(process: int, user: str | None, database: str | None, *, told: bool = False) -> str:
    """Say who is in the way, and what ends that; some work the server does not break off, as libxml2's and Perl's."""
    whose = f"a session of {user}" if user else "a process of the server"
    if not told:
        return f"{whose} in {database} holds it: SELECT pg_catalog.pg_terminate_backend({process});"
    end = f"kill -9 {process} on the server's machine, which breaks off everybody's sessions"
    return f"{whose} in {database} holds it, was told to end, and goes on; if that lasts, only this ends it: {end}"


def past_owner(session: Session, connection: Connection, user: str, database: str, act: Callable[[], None]) -> None:
    """Do something to a user's database; if it is in use, end the user's sessions, roll back there, and do it again."""

    def end_user() -> None:
        session.end_sessions([user])
        roll_back(session, connection, [], database)

    _past(session, [user], database, act, end_user)


def past_holders(
    session: Session, connection: Connection, users: Collection[str], database: str | None, act: Callable[[], None]
) -> None:
    """Change users or a database of theirs; where a user of a roster holds it, end that session, and do it again.

    What these users have prepared is rolled back only if it is still held then.
    """

    def end_holders() -> None:
        found = [process for process, *_, ours in _writers(session, users, database) if ours]
        session.rows("SELECT pg_terminate_backend(p) FROM unnest(%s::int[]) p", [found])

    _past(session, users, database, act, end_holders, lambda: roll_back(session, connection, users, held=database))


def _past(
    session: Session, users: Collection[str], database: str | None, act: Callable[[], None], *ways: Callable[[], None]
) -> None:
    """Act; while something is busy, make way and act again."""
    for make_way in ways:
        try:
            return act()
        except OperationError as error:
            if error.code not in BUSY:
                raise
        make_way()
    try:
        act()
    except OperationError as error:
        raise explained(session, error, users, database) from None


def _writers(session: Session, users: Collection[str], database: str | None) -> list[tuple[int, str, str, bool]]:
    return session.rows(_WRITERS, {"users": list(users), "database": database, "form": f"{FORM}%"})


def explained(
    session: Session, error: OperationError, users: Collection[str], database: str | None = None
) -> OperationError:
    """Name what is in the way, and the statement that ends it, behind an error that says only that something is."""
    if error.code not in BUSY:
        return error
    hints = blockers(session, [database]).get(database, []) if database else []
    writers = _writers(session, users, database)[:_SHOWN]
    hints.extend(_holding(*row[:3], told=row[3]) for row in writers)
    return OperationError("; ".join([str(error), *hints]), error.code, retryable=error.retryable)


_OBSTACLES: LiteralString = """
    SELECT p.database, 'prepared', p.gid, p.owner FROM pg_prepared_xacts p WHERE p.database = ANY(%(names)s)
        AND NOT EXISTS (
            SELECT 1 FROM pg_roles r JOIN pg_shdescription s ON s.objoid = r.oid AND s.classoid = 'pg_authid'::regclass
            WHERE r.rolname = p.owner AND s.description LIKE %(form)s)
    UNION ALL SELECT s.database, 'slot', s.slot_name, s.active_pid::text FROM pg_replication_slots s
        WHERE s.database = ANY(%(names)s) AND s.active
    UNION ALL SELECT d.datname, 'subscription', s.subname, NULL FROM pg_subscription s
        JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = ANY(%(names)s)
    ORDER BY 1, 2, 3"""


def blockers(session: Session, databases: Collection[str]) -> dict[str, list[str]]:
    """Say for each of these databases what keeps it from being dropped that is not its users', and how it is ended."""
    told: dict[str, list[str]] = {}
    for database, kind, name, whose in session.rows(_OBSTACLES, {"names": list(databases), "form": f"{FORM}%"}):
        if kind == "prepared":
            text = _prepared(database, name, whose)
        elif kind == "slot":
            end = f"SELECT pg_catalog.pg_terminate_backend({whose})"
            drop = f"{end}, pg_catalog.pg_drop_replication_slot({_literal(name)});"
            text = f"the replication slot {name} of {database} is in use; stop its reader, then: {drop}"
        else:
            off = f"ALTER SUBSCRIPTION {quoted(name)} DISABLE; ALTER SUBSCRIPTION {quoted(name)} SET (slot_name = NONE)"
            text = f"the subscription {name} writes to {database}; run there: {off}; DROP SUBSCRIPTION {quoted(name)};"
        told.setdefault(database, []).append(text)
    return told


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
