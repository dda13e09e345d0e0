"""Locked means locked: what users try to stay in, and what is said where dbroster can't end it."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Event, Thread

import psycopg
import pytest
from psycopg import sql

import servers
from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.postgresql import sync_lock as postgresql_lock
from dbroster.engines.postgresql.handler import PostgreSQLHandler
from dbroster.engines.postgresql.sync_lock import KEY
from dbroster.errors import ConnectError, OperationError, SyncLockHeld
from dbroster.model.connection import Connection, Removals
from dbroster.model.state import ExistingUser, Lock
from dbroster.passwords.secret import Secret

GOOD = Secret("Correct-horse-7")
LogIn = Callable[[str, str, str], psycopg.Connection]
Describe = Callable[..., Connection]


def role(handler: Handler, user: str) -> ExistingUser:
    return handler.get_existing_users()[user]


def make(handler: Handler, user: str, template: str = "web") -> str:
    database = f"{user}_{template}"
    if user not in handler.get_existing_users():
        handler.create_user(user, GOOD)
    handler.create_database(user, database)
    handler.grant_privileges(user, database)
    return database


def remove(handler: Handler, user: str, database: str) -> None:
    handler.lock_user(user)
    handler.drop_database(user, database)
    handler.drop_user(user)
    assert user not in handler.get_existing_users()
    assert database not in handler.get_existing_databases()


# --- the sync lock ----------------------------------------------------------------------------------------------------


def test_no_user_holds_the_sync_lock(
    handler: Handler, user: str, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B1: whichever advisory locks a user takes, in whichever database, and whatever his session is called."""
    monkeypatch.setattr(postgresql_lock, "PATIENCE", 0.3)
    database = make(handler, user)
    with ExitStack() as stack:
        for place in ("postgres", "template1", database):
            session = stack.enter_context(log_in(user, GOOD.reveal(), place))
            session.execute("SET application_name = 'dbroster 1@backup-host'")
            session.execute("SELECT pg_advisory_lock(%s + n) FROM generate_series(0, 300) n", [KEY])
            session.execute("SELECT pg_advisory_lock(%s, n) FROM generate_series(0, 300) n", [KEY >> 32])
        handler.acquire_sync_lock()


def test_admins_still_keep_each_other_out(describe: Describe, monkeypatch: pytest.MonkeyPatch) -> None:
    """B1: of every kind, and in both orders."""
    monkeypatch.setattr(postgresql_lock, "PATIENCE", 0.3)
    for first, second in (("superuser", "weak"), ("weak", "superuser"), ("reader", "weak")):
        with connect(describe(first)) as holder, connect(describe(second)) as other:
            holder.acquire_sync_lock()
            with pytest.raises(SyncLockHeld, match="server process"):
                other.acquire_sync_lock()


def test_server_without_room_for_a_lock_is_told_with_what_ends_it(
    handler: Handler, user: str, log_in: LogIn, describe: Describe
) -> None:
    """B4, K3: a user who takes all locks that the server has keeps everybody out."""
    database = make(handler, user)
    with log_in(user, GOOD.reveal(), database) as session:
        with pytest.raises(psycopg.errors.OutOfMemory):
            session.execute("SELECT count(pg_advisory_lock(n)) FROM generate_series(1, 1000000) n")
        with pytest.raises(ConnectError, match="pg_terminate_backend"):
            connect(describe())
        session.execute("SELECT pg_advisory_unlock_all()")
    connect(describe()).close()


# --- locking ----------------------------------------------------------------------------------------------------------


def test_open_transaction_on_the_own_row_keeps_nobody_in(handler: Handler, user: str, log_in: LogIn) -> None:
    """B2: who has changed the own password and not committed is ended before the lock, and locked."""
    database = make(handler, user)
    session = log_in(user, GOOD.reveal(), database)
    session.autocommit = False
    session.execute(f"ALTER ROLE {user} PASSWORD 'Correct-horse-8'")
    remove(handler, user, database)
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")


def test_session_that_nothing_ends_is_told_with_what_does(
    handler: Handler, user: str, server: servers.PostgreSQL, log_in: LogIn
) -> None:
    """X3: the server breaks off no XPath; a process that is stopped hears of its end as little."""
    session = log_in(user, GOOD.reveal(), make(handler, user))
    session.autocommit = False
    session.execute(f"ALTER ROLE {user} PASSWORD 'Correct-horse-8'")
    process = session.info.backend_pid
    os.kill(process, signal.SIGSTOP)
    try:
        with pytest.raises(OperationError, match=f"a session of {user} .* goes on.* kill -9 {process} on the server"):
            handler.lock_user(user)
    finally:
        os.kill(process, signal.SIGCONT)
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    handler.lock_user(user)
    assert role(handler, user).lock is Lock.OURS


def test_login_that_takes_its_time_keeps_nobody_in(
    handler: Handler, user: str, server: servers.PostgreSQL, log_in: LogIn
) -> None:
    """B2, K1: a login that the server has let pass, and that stands in no list of sessions yet, is ended."""
    database, other = make(handler, user), f"{user}x"
    make(handler, other)
    handler.create_user(f"{user}root", GOOD)
    server.admin(f"ALTER ROLE {user}root SUPERUSER")  # who may be anybody is no reason to end everybody's logins
    entered = []

    def stay(who: str, place: str) -> None:
        login = f"host={server.host} port={server.port} user={who} password={GOOD.reveal()} dbname={place}"
        with suppress(psycopg.Error), psycopg.connect(login, options="-c post_auth_delay=100") as session:
            entered.append(session.execute("SELECT current_user").fetchall())

    threads = [Thread(target=stay, args=at) for at in ((user, database), (user, "postgres"), (other, "postgres"))]
    for thread in threads:
        thread.start()
    late = (
        "SELECT l.pid FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'object' AND l.classid = 'pg_database'::regclass AND usesysid IS NULL"
    )
    with log_in(server.admin_user, server.admin_password, "postgres") as dba:
        while len(dba.execute(late).fetchall()) < len(threads):
            assert all(thread.is_alive() for thread in threads)
        handler.lock_user(user)
        ((others,),) = dba.execute(late).fetchall()
        dba.execute("SELECT pg_terminate_backend(%s)", [others])
    for thread in threads:
        thread.join()
    server.admin(f"ALTER ROLE {user}root NOSUPERUSER")
    assert entered == []


def test_login_through_public_or_a_group_keeps_nobody_in(
    handler: Handler, user: str, server: servers.PostgreSQL, log_in: LogIn
) -> None:
    """U1, X1, B3: who takes his time to get into a leaver's database is not named in its privileges, or no more."""
    database, guest, group = make(handler, user), f"{user}x", f"{user}_group"
    handler.create_user(guest, GOOD)
    entered = []

    def stay() -> None:
        login = f"host={server.host} port={server.port} user={guest} password={GOOD.reveal()} dbname={database}"
        with suppress(psycopg.Error), psycopg.connect(login, options="-c post_auth_delay=100") as session:
            entered.append(session.execute("SELECT current_user").fetchall())

    late = (
        "SELECT 1 FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'object' AND l.classid = 'pg_database'::regclass AND usesysid IS NULL"
    )
    with log_in(server.admin_user, server.admin_password, "postgres") as dba:
        dba.execute(f"CREATE ROLE {group} ROLE {guest}")
        for way, shut in (("PUBLIC", False), (group, False), ("PUBLIC", True)):
            dba.execute(f"GRANT CONNECT ON DATABASE {database} TO {way}")
            thread = Thread(target=stay)
            thread.start()
            while not dba.execute(late).fetchall():
                assert thread.is_alive()
            if shut:
                dba.execute(f"REVOKE CONNECT ON DATABASE {database} FROM {way}")
            handler.lock_user(user)
            thread.join()
            assert entered == []
        dba.execute(f"DROP ROLE {group}")


@pytest.mark.parametrize("between", [False, True])
def test_who_has_become_a_leaver_before_works_no_longer_as_he(
    handler: Handler, user: str, log_in: LogIn, between: bool
) -> None:
    """U2, B3: a session stays the role that it has set, whatever is taken away, and whoever it went through."""
    database, friend, third = make(handler, user), f"{user}x", f"{user}y"
    own = make(handler, friend)
    handler.create_user(third, GOOD)
    assert isinstance(handler, PostgreSQLHandler)
    for role_name, member in ((user, friend), (friend, third)):
        handler._session.run([sql.SQL("GRANT {} TO {}").format(*map(sql.Identifier, (role_name, member)))])
    sessions = [log_in(name, GOOD.reveal(), "postgres") for name in (friend, third)]
    for session in sessions:
        session.execute(f"SET ROLE {user}")
    if between:
        handler.grant_privileges(user, database)
    else:
        handler.lock_user(user)
    for session in sessions:
        with pytest.raises(psycopg.OperationalError):
            session.execute(f"GRANT CONNECT ON DATABASE {database} TO {third}")
    log_in(friend, GOOD.reveal(), own).close()


def test_nobody_whom_a_leaver_has_let_in_runs_his_code(
    handler: Handler, user: str, server: servers.PostgreSQL, log_in: LogIn
) -> None:
    """B3, N6, Q2: a function that works with his rights is his way back, whoever calls it; so are members."""
    database, other = make(handler, user), f"{user}x"
    make(handler, other)
    with log_in(user, GOOD.reveal(), database) as session:
        session.execute(f"GRANT CONNECT ON DATABASE {database} TO {other}, PUBLIC")
        session.execute("CREATE FUNCTION f() RETURNS text SECURITY DEFINER LANGUAGE sql AS 'SELECT current_user::text'")
    with log_in(server.admin_user, server.admin_password, "postgres") as dba:
        assert isinstance(handler, PostgreSQLHandler)
        handler._session.run([sql.SQL("GRANT {} TO {}").format(sql.Identifier(user), sql.Identifier(other))])
        guest, member = log_in(other, GOOD.reveal(), database), log_in(other, GOOD.reveal(), "postgres")
        member.execute(f"SET ROLE {user}")
        assert guest.execute("SELECT public.f()").fetchall() == [(user,)]
        handler.lock_user(user)
        with pytest.raises(psycopg.OperationalError):
            guest.execute("SELECT public.f()")
        with pytest.raises(psycopg.OperationalError):
            member.execute(f"GRANT CONNECT ON DATABASE {database} TO {other}")
        with pytest.raises(psycopg.OperationalError):
            log_in(other, GOOD.reveal(), database)
        assert dba.execute("SELECT 1 FROM pg_auth_members WHERE roleid = %s::regrole AND member = %s::regrole",
                           [user, other]).fetchall() == []  # fmt: skip
    handler.update_user_password(user, GOOD)
    log_in(user, GOOD.reveal(), database).close()


def test_friend_who_holds_the_database_keeps_nobody_in(handler: Handler, user: str, log_in: LogIn) -> None:
    """Q1, B2, B4: he has been given privileges with GRANT OPTION, passes them on, and never commits; nor prepared."""
    database, friend = make(handler, user), f"{user}x"
    own, bystander = make(handler, friend), f"{user}y"
    handler.create_user(bystander, GOOD)
    granting = f"GRANT CONNECT ON DATABASE {database} TO {bystander}"
    for prepared in (False, True):
        handler.update_user_password(user, GOOD)
        with log_in(user, GOOD.reveal(), database) as session:
            session.execute(f"GRANT ALL ON DATABASE {database} TO {friend} WITH GRANT OPTION")
        with suppress(psycopg.OperationalError), log_in(friend, GOOD.reveal(), own) as session:
            session.execute(f"BEGIN; {granting}")
            if prepared:
                session.execute(f"PREPARE TRANSACTION 'holds {database}'")
            handler.lock_user(user)
        assert role(handler, user).lock is Lock.OURS
        with pytest.raises(psycopg.OperationalError):
            log_in(user, GOOD.reveal(), own)
        with pytest.raises(psycopg.OperationalError):
            log_in(friend, GOOD.reveal(), database)


def test_account_is_locked_whatever_a_dba_holds(
    handler: Handler, user: str, server: servers.PostgreSQL, log_in: LogIn
) -> None:
    """Q1, C8: a transaction of a DBA's on the database is left alone and named; the account is locked all the same."""
    database = make(handler, user)
    with log_in(user, GOOD.reveal(), database) as session:
        session.execute(f"GRANT CONNECT ON DATABASE {database} TO PUBLIC")
    with log_in(server.admin_user, server.admin_password, "postgres") as dba:
        dba.execute(f"BEGIN; GRANT CONNECT ON DATABASE {database} TO PUBLIC")
        with pytest.raises(OperationError, match=r"a session of postgres .*pg_terminate_backend\(\d+\);"):
            handler.lock_user(user)
        assert role(handler, user).lock is Lock.OURS
        dba.execute("ROLLBACK")
    handler.lock_user(user)


def test_databases_of_a_locked_user_that_were_opened_again_are_told(
    server: servers.PostgreSQL, describe: Describe, user: str, log_in: LogIn
) -> None:
    """Q2, B3: somebody who still acts as he has let others in; another lock shuts them out, and keeps the date."""
    kept = describe("weak", removals=Removals(grace_days=7))
    with connect(kept) as handler, log_in(server.admin_user, server.admin_password, "postgres") as dba:
        database, other = make(handler, user), f"{user}x"
        handler.create_user(other, GOOD)
        handler.lock_user(user)
        since = role(handler, user).locked_since
        assert since
        assert not handler.get_existing_databases()[database].shared
        for guest in ("PUBLIC", other):
            dba.execute(f"GRANT CONNECT ON DATABASE {database} TO {guest}")
            assert handler.get_existing_databases()[database].shared
            handler.lock_user(user)
            assert not handler.get_existing_databases()[database].shared
            assert role(handler, user).locked_since == since


def test_what_a_locked_user_has_elsewhere_is_told(describe: Describe, user: str, log_in: LogIn) -> None:
    """Q2, B5: functions and tables in which his rights live on, with the statement that ends it."""
    with connect(describe("weak")) as handler:
        make(handler, user)
        own = make(handler, f"{user}x")
        with log_in(f"{user}x", GOOD.reveal(), own) as friend:
            friend.execute(f"GRANT CONNECT ON DATABASE {own} TO {user}; GRANT ALL ON SCHEMA public TO {user}")
        with log_in(user, GOOD.reveal(), own) as session:
            session.execute("CREATE FUNCTION f() RETURNS text SECURITY DEFINER LANGUAGE sql AS 'SELECT 1::text'")
        handler.get_existing_users()
        assert not [p for p in handler.warnings() if own in p.text]
        handler.lock_user(user)
        handler.get_existing_users()
        (text,) = [p.text for p in handler.warnings() if own in p.text]
        assert f"{user} is locked, but whoever works in {own} can run code with his rights" in text
        assert f'function public.f() in {own}: connect to {own} and run DROP OWNED BY "{user}";' in text


def test_what_a_dba_is_told_to_run_lends_nobody_power(
    server: servers.PostgreSQL, handler: Handler, user: str, log_in: LogIn
) -> None:
    """Q8, B4, C8: whoever owns a function lends his power to it; so a leaver's never become the DBA's own."""
    friend = f"{user}x"
    database, own = make(handler, user), make(handler, friend)
    with log_in(friend, GOOD.reveal(), own) as session:
        session.execute(f"GRANT CONNECT ON DATABASE {own} TO {user}; GRANT ALL ON SCHEMA public TO {user}")
    with log_in(user, GOOD.reveal(), own) as session:
        session.execute("CREATE FUNCTION f() RETURNS text SECURITY DEFINER LANGUAGE sql AS 'SELECT current_user::text'")
    handler.lock_user(user)
    handler.drop_database(user, database)
    with pytest.raises(OperationError) as refused:
        handler.drop_user(user)
    drop, keep = str(refused.value).partition(" and run ")[2].split(" or, ")
    with log_in(server.admin_user, server.admin_password, own) as dba:
        dba.execute(keep.partition(", first ")[2].partition(" Until")[0])
        dba.execute(drop)
    with log_in(friend, GOOD.reveal(), own) as session:
        assert session.execute("SELECT public.f()").fetchall() == [(f"left_{user}",)]
    handler.drop_user(user)


def test_what_a_dba_is_told_to_run_leaves_a_locked_user_his_databases(
    server: servers.PostgreSQL, describe: Describe, user: str, log_in: LogIn
) -> None:
    """U3, B4, C8: what he has elsewhere may go to another role in the days of grace; his own databases don't."""
    with connect(describe("weak")) as handler:
        database, own = make(handler, user), make(handler, f"{user}x")
        with log_in(f"{user}x", GOOD.reveal(), own) as friend:
            friend.execute(f"GRANT CONNECT ON DATABASE {own} TO {user}; GRANT ALL ON SCHEMA public TO {user}")
        with log_in(user, GOOD.reveal(), own) as session:
            session.execute("CREATE FUNCTION f() RETURNS text SECURITY DEFINER LANGUAGE sql AS 'SELECT 1::text'")
        handler.lock_user(user)
        handler.get_existing_users()
        (text,) = [p.text for p in handler.warnings() if own in p.text]
        drop, keep = text.partition(" and run ")[2].split(" or, ")
        with log_in(server.admin_user, server.admin_password, own) as dba:
            dba.execute(keep.partition(", first ")[2].partition(" Until")[0])
            dba.execute(drop)
        assert handler.get_existing_databases()[database].owner == user
        remove(handler, user, database)


def test_user_who_comes_back_all_the_time_is_locked(handler: Handler, user: str, log_in: LogIn) -> None:
    """B2: whoever logs in again as soon as the session ends, and holds the own row each time, is locked out, too."""
    database = make(handler, user)
    stop = Event()

    def stay() -> None:
        while not stop.is_set():
            try:
                with log_in(user, GOOD.reveal(), "postgres") as session:
                    session.autocommit = False
                    session.execute(f"ALTER ROLE {user} SET work_mem = '1MB'")
                    session.execute("SELECT pg_sleep(5)")
            except psycopg.Error:
                continue

    threads = [Thread(target=stay, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        remove(handler, user, database)
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)


def test_prepared_transaction_on_the_own_row_keeps_nobody_in(handler: Handler, user: str, log_in: LogIn) -> None:
    """B2, B4: it outlives the session, and is rolled back in the database where it was prepared."""
    database = make(handler, user)
    with log_in(user, GOOD.reveal(), database) as session:
        session.execute(f"ALTER DATABASE {database} SET local_preload_libraries = 'nope'")
        session.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    with log_in(user, GOOD.reveal(), "postgres") as session:
        session.execute(f"BEGIN; ALTER ROLE {user} PASSWORD 'Correct-horse-8'; PREPARE TRANSACTION 'row of {user}'")
    remove(handler, user, database)


@pytest.mark.parametrize(
    "shut", ["ALLOW_CONNECTIONS false", "CONNECTION LIMIT 0", "ALLOW_CONNECTIONS false CONNECTION LIMIT 0"]
)
def test_prepared_transaction_behind_a_shut_door_keeps_nobody_in(
    handler: Handler, user: str, log_in: LogIn, shut: str
) -> None:
    """B2, B4: its owner shuts the database in which it would have to be rolled back."""
    database = make(handler, user)
    with log_in(user, GOOD.reveal(), database) as session:
        session.execute(
            f"BEGIN; ALTER ROLE {user} PASSWORD 'Correct-horse-8'; PREPARE TRANSACTION 'shut in {database}'"
        )
    with log_in(user, GOOD.reveal(), "postgres") as session:
        session.execute(f"REVOKE ALL ON DATABASE {database} FROM {user}")
        session.execute(f"ALTER DATABASE {database} WITH {shut}")
    remove(handler, user, database)


# --- dropping ---------------------------------------------------------------------------------------------------------


def test_prepared_transactions_in_the_database_do_not_keep_it(handler: Handler, user: str, log_in: LogIn) -> None:
    """B4: neither the owner's nor those of a friend whom the owner has let in; while he stays, or when he leaves."""
    friend = f"{user}x"
    handler.create_user(friend, GOOD)
    for template in ("web", "old"):
        database = make(handler, user, template)
        with log_in(user, GOOD.reveal(), database) as session:
            session.execute(f"GRANT CONNECT ON DATABASE {database} TO {friend}")
            session.execute(f"BEGIN; CREATE TABLE t (n int); PREPARE TRANSACTION 'it''s of {database}'")
        with log_in(friend, GOOD.reveal(), database) as session:
            session.execute("BEGIN; SELECT pg_advisory_xact_lock(1)")
            session.execute(f"PREPARE TRANSACTION 'friend in {database}'")
    handler.drop_database(user, f"{user}_old")
    handler.grant_privileges(user, f"{user}_web")
    remove(handler, user, f"{user}_web")


def test_archive_does_not_wait_for_what_was_prepared(
    describe: Describe, user: str, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B4: locks of a prepared transaction are gone before pg_dump would wait for them."""
    with connect(describe("weak")) as handler:
        database = make(handler, user)
        with log_in(user, GOOD.reveal(), database) as session:
            session.execute("CREATE TABLE t (n int)")
            session.execute(f"BEGIN; LOCK TABLE t; PREPARE TRANSACTION 'lock of {user}'")
        monkeypatch.setattr(Handler, "archive_database", lambda *_: None)
        handler.lock_user(user)
        handler.archive_database(user, database)
        assert "lock of" not in str(handler._session.rows("SELECT gid FROM pg_prepared_xacts"))  # type: ignore[attr-defined]


def test_open_transaction_of_a_user_who_stays_does_not_keep_a_database(
    handler: Handler, user: str, log_in: LogIn
) -> None:
    """B4: he holds it from another database; the drop of what no template names any more goes through."""
    database = make(handler, user)
    session = log_in(user, GOOD.reveal(), "postgres")
    session.autocommit = False
    session.execute(f"COMMENT ON DATABASE {database} IS 'mine'")
    with quick(handler):
        handler.drop_database(user, database)
    session.close()
    assert database not in handler.get_existing_databases()
    assert role(handler, user).lock is Lock.OPEN


@contextmanager
def quick(handler: Handler) -> Iterator[None]:
    """Wait for locks only a moment."""
    handler._session.raw.execute("SET lock_timeout = '300ms'")  # type: ignore[attr-defined]
    yield


def test_what_a_dba_holds_is_named_with_the_way_to_end_it(
    server: servers.PostgreSQL, handler: Handler, user: str, log_in: LogIn
) -> None:
    """B4, C8: a superuser's prepared transaction stays; the error names it, its database and the statement."""
    database = make(handler, user)
    with log_in(server.admin_user, server.admin_password, database) as session:
        session.execute(f"BEGIN; CREATE TABLE t (n int); PREPARE TRANSACTION 'of the dba in {database}'")
    handler.lock_user(user)
    with pytest.raises(OperationError, match=f"postgres has prepared .* {database}.*ROLLBACK PREPARED 'of the dba"):
        handler.drop_database(user, database)
    assert role(handler, user).lock is Lock.OURS
    with log_in(server.admin_user, server.admin_password, database) as session:
        session.execute(f"ROLLBACK PREPARED 'of the dba in {database}'")
    remove(handler, user, database)


def test_friend_who_holds_the_role_is_named(handler: Handler, user: str, log_in: LogIn) -> None:
    """B4, C8: another user's open transaction that names the role; the session is named, and how it is ended."""
    friend = f"{user}x"
    database, own = make(handler, user), make(handler, friend)
    handler.lock_user(user)
    handler.drop_database(user, database)
    with log_in(friend, GOOD.reveal(), own) as session:
        session.execute("CREATE TABLE t (n int)")
        session.autocommit = False
        session.execute(f"GRANT SELECT ON t TO {user}")
        with (
            quick(handler),
            pytest.raises(OperationError, match=rf"session of {friend} .*pg_terminate_backend\(\d+\);"),
        ):
            handler.drop_user(user)
        session.rollback()
    handler.drop_user(user)


def test_open_transaction_on_the_own_role_keeps_no_old_password(handler: Handler, user: str, log_in: LogIn) -> None:
    """B4: the session that holds the own role ends, and the new password is there."""
    make(handler, user)
    session = log_in(user, GOOD.reveal(), "postgres")
    session.autocommit = False
    session.execute(f"SAVEPOINT a; ALTER ROLE {user} PASSWORD 'Other-pass-99'")
    with quick(handler):
        handler.update_user_password(user, Secret("Brand-new-pass-77"))
    with pytest.raises(psycopg.OperationalError):
        log_in(user, GOOD.reveal(), "postgres")
    log_in(user, "Brand-new-pass-77", "postgres").close()
    session.close()


def test_prepared_transaction_on_the_own_role_keeps_no_old_password(handler: Handler, user: str, log_in: LogIn) -> None:
    """B4: what outlives every session is rolled back where it is in the way."""
    make(handler, user)
    with log_in(user, GOOD.reveal(), "postgres") as session:
        session.execute(f"BEGIN; ALTER ROLE {user} PASSWORD 'Other-pass-99'; PREPARE TRANSACTION '{user} stays'")
    with quick(handler):
        handler.update_user_password(user, Secret("Brand-new-pass-77"))
    log_in(user, "Brand-new-pass-77", "postgres").close()


@pytest.mark.parametrize("statement", ["ALTER DATABASE {} CONNECTION LIMIT 50", "ALTER DATABASE {} SET jit = off"])
def test_open_transaction_on_the_own_database_keeps_no_guest_in(
    handler: Handler, user: str, log_in: LogIn, statement: str
) -> None:
    """B4: the session that holds the database ends, and the guest is out."""
    guest = f"{user}x"
    database = make(handler, user)
    make(handler, guest)
    session = log_in(user, GOOD.reveal(), "postgres")
    session.execute(f"GRANT CONNECT ON DATABASE {database} TO {guest}")
    session.autocommit = False
    session.execute(f"SAVEPOINT a; {statement.format(database)}")
    with quick(handler):
        handler.grant_privileges(user, database)
    assert handler.get_existing_databases()[database].granted
    with pytest.raises(psycopg.OperationalError):
        log_in(guest, GOOD.reveal(), database)
    session.close()


def test_guest_who_holds_the_database_is_out(handler: Handler, user: str, log_in: LogIn) -> None:
    """B4: a guest may pass the own grant on, and so hold the database's row himself."""
    guest = f"{user}x"
    database = make(handler, user)
    make(handler, guest)
    with log_in(user, GOOD.reveal(), "postgres") as owner:
        owner.execute(f"GRANT CONNECT ON DATABASE {database} TO {guest} WITH GRANT OPTION")
    session = log_in(guest, GOOD.reveal(), "postgres")
    session.autocommit = False
    session.execute(f"GRANT CONNECT ON DATABASE {database} TO {user} WITH GRANT OPTION")
    with quick(handler):
        handler.grant_privileges(user, database)
    assert handler.get_existing_databases()[database].granted
    session.close()


def test_dba_who_holds_a_role_or_a_database_is_named(
    server: servers.PostgreSQL, handler: Handler, user: str, log_in: LogIn
) -> None:
    """B4, C8: nobody ends a DBA's session; the error has user, pid and statement."""
    database = make(handler, user)
    new = Secret("Brand-new-pass-77")
    acts: dict[str, Callable[[], None]] = {
        f"ALTER ROLE {user} CONNECTION LIMIT 9": lambda: handler.update_user_password(user, new),
        f"ALTER DATABASE {database} CONNECTION LIMIT 9": lambda: handler.grant_privileges(user, database),
    }
    with log_in(server.admin_user, server.admin_password, "postgres") as dba:
        statement = rf"a session of postgres .*SELECT pg_catalog.pg_terminate_backend\({dba.info.backend_pid}\);"
        for held, act in acts.items():
            dba.execute(f"BEGIN; {held}")
            with quick(handler), pytest.raises(OperationError, match=statement):
                act()
            dba.execute("ROLLBACK")
            act()


# --- power, and other users' data, through a role ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "power", ["postgres", "weak", "pg_read_all_data", "pg_execute_server_program", "dbroster:default"]
)
@pytest.mark.parametrize("through", ["", "group"])
def test_power_through_a_role_is_protected_and_said(
    server: servers.PostgreSQL, handler: Handler, user: str, power: str, through: str
) -> None:
    """B6: a member of a powerful role, by however many steps, is left alone; the statement that ends it is given."""
    if power == "pg_read_all_data" and handler.server().product < "PostgreSQL 14":
        power = "pg_read_server_files"
    if power == handler.connection.username:
        power = "reader"  # no admin can be a member of a user and the other way round
    handler.create_user(user, GOOD)
    first = f"{user}_{through}" if through else power
    if through:
        server.admin(f'CREATE ROLE {first}; GRANT "{power}" TO {first}')
    server.admin(f'GRANT "{first}" TO {user}')
    protected = role(handler, user).protected or ""
    assert f"is a member of {first}" in protected
    assert power in protected
    assert not role(handler, user).managed
    statement = f'REVOKE "{first}" FROM "{user}";'
    assert protected.endswith(statement)
    assert not [problem for problem in handler.warnings() if problem.user == user], "the core says it, once"
    with pytest.raises(OperationError, match=first):
        handler.lock_user(user)
    server.admin(statement)
    assert role(handler, user).managed
    handler.drop_user(user)


@pytest.mark.parametrize("harmless", ["pg_monitor", "group"])
def test_role_without_power_is_no_matter(
    server: servers.PostgreSQL, handler: Handler, user: str, harmless: str
) -> None:
    """B6: groups that reach nothing are the DBA's business."""
    handler.create_user(user, GOOD)
    group = harmless if harmless.startswith("pg_") else f"{user}_{harmless}"
    if group != harmless:
        server.admin(f"CREATE ROLE {group}")
    server.admin(f"GRANT {group} TO {user}")
    assert role(handler, user).managed


def test_membership_in_another_user_is_taken_back_or_said(
    server: servers.PostgreSQL, handler: Handler, user: str
) -> None:
    """B6: by the next run where this admin may; where not, each run says who reaches whose data, and the REVOKE."""
    friend = f"{user}x"
    database = make(handler, user)
    handler.create_user(friend, GOOD)
    server.admin(f"GRANT {user} TO {friend}")
    said = [problem.text for problem in handler.warnings() if f"{friend} is a member of {user} " in problem.text]
    if said:
        assert handler.get_existing_databases()[database].granted
        server.admin(said[0].partition(": ")[2])
    else:
        assert not handler.get_existing_databases()[database].granted
        handler.grant_privileges(user, database)
    assert handler.get_existing_databases()[database].granted
    assert not [problem for problem in handler.warnings() if friend in problem.text]
    assert "0" in server.admin(f"SELECT count(*) FROM pg_auth_members WHERE member = '{friend}'::regrole")


def test_membership_through_a_group_is_said(server: servers.PostgreSQL, handler: Handler, user: str) -> None:
    """B6: a group that is a member of a user's role lets others reach that user's data."""
    friend = f"{user}x"
    make(handler, user)
    handler.create_user(friend, GOOD)
    server.admin(f"CREATE ROLE {user}_devs; GRANT {user} TO {user}_devs; GRANT {user}_devs TO {friend}")
    (said,) = [problem.text for problem in handler.warnings() if friend in problem.text]
    assert f"{friend} is a member of {user} through {user}_devs" in said
    server.admin(said.partition(": ")[2])
    assert not [problem for problem in handler.warnings() if friend in problem.text]
