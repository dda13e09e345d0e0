"""Locked means locked out: no session, no event, no definer, no privilege; and everything is back with the line."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pymysql
import pytest
from pymysql.constants import COMMAND

from dbroster.engines import connect
from dbroster.engines.mysql.archive.archiver import MySQLArchiver
from dbroster.engines.mysql.sync_lock import ATTEMPTS
from dbroster.errors import OperationError, SyncLockHeld
from dbroster.model.connection import Removals
from dbroster.model.plan import Action, Verb
from dbroster.model.state import Lock
from dbroster.passwords.secret import Secret
from tests.engines.mysql.conftest import OTHER, PASSWORD, TEMPLATES, Site, give
from tests.engines.mysql.test_archive import is_mariadb
from tests.support.waiting import wait_until


def rows(site: Site, table: str) -> int:
    ((number,),) = site.dba.run(f"SELECT COUNT(*) FROM {table}")
    return int(number)


def sessions(site: Site, user: str) -> int:
    return sum(row[1] == user for row in site.dba.run("SHOW PROCESSLIST"))


def prepare_transaction(site: Site, bob: str, web: str, tools: str) -> None:
    """Leave a row of `web` in a prepared XA transaction, whose session is gone."""
    site.dba.run_as(bob, PASSWORD, f"CREATE TABLE {web}.t (n INT) ENGINE = InnoDB")
    with closing(site.dba.login(bob, PASSWORD, tools)) as raw:
        for statement in (
            f"XA START '{bob}'",
            f"INSERT INTO {web}.t VALUES (1)",
            f"XA END '{bob}'",
            f"XA PREPARE '{bob}'",
        ):
            raw.query(statement)
        raw._force_close()


@contextmanager
def always_connected(site: Site, user: str, number: int, statement: str = "SELECT 1") -> Iterator[None]:
    """Let a user have so many sessions that each run a statement, and come back when they are ended."""
    stop = Event()

    def stay() -> None:
        while not stop.is_set():
            with suppress(pymysql.err.MySQLError), closing(site.dba.login(user, PASSWORD)) as raw:
                while not stop.wait(0.01):
                    raw.query(statement)

    threads = [Thread(target=stay, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: sessions(site, user) >= number)
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)


def test_nothing_of_a_locked_user_runs_and_everything_runs_again_with_the_line(site: Site) -> None:
    """B3: an event of every second stops with the lock, and goes on when the line is back."""
    handler, bob = site.open(site.least(), removals=Removals(grace_days=7)), site.name()
    site.dba.run("SET GLOBAL event_scheduler = ON")
    handler.create_user(bob, Secret(PASSWORD))
    web = give(handler, bob)
    site.dba.run_as(
        bob, PASSWORD, f"CREATE TABLE {web}.t (n INT)",
        f"CREATE EVENT {web}.e ON SCHEDULE EVERY 1 SECOND DO INSERT INTO {web}.t VALUES (1)",
    )  # fmt: skip
    wait_until(lambda: rows(site, f"{web}.t") > 0)
    handler.lock_user(bob)
    site.dba.run(f"TRUNCATE {web}.t", "DO SLEEP(2.5)")
    assert rows(site, f"{web}.t") == 0
    assert site.dba.grants(bob) == set()
    found = handler.get_existing_databases()[web]
    assert (found.owner, found.granted) == (bob, False)
    handler.update_user_password(bob, Secret(PASSWORD))
    handler.grant_privileges(bob, web)
    wait_until(lambda: rows(site, f"{web}.t") > 0)
    site.dba.run_as(bob, PASSWORD, f"DROP EVENT {web}.e")


class SlowLogin(pymysql.connections.Connection):
    """A client that asks for another plugin, and keeps the server waiting for the answer of the right one."""

    def __init__(self, began: Event, go_on: Event, **options: Any) -> None:
        self._began, self._go_on = began, go_on
        super().__init__(**options)

    def _get_server_information(self) -> None:
        super()._get_server_information()  # type: ignore[misc]
        usual: str = self._auth_plugin_name  # type: ignore[has-type]
        native = "mysql_native_password"
        self._auth_plugin_name = "caching_sha2_password" if usual == native else native

    def _process_auth(self, *question: Any) -> Any:
        self._began.set()
        self._go_on.wait()
        return super()._process_auth(*question)  # type: ignore[misc]


@pytest.mark.parametrize("by_performance_schema", ["0", "1"])
def test_a_login_that_is_under_way_lets_nobody_in(site: Site, by_performance_schema: str) -> None:
    """K2: MySQL lets in whoever had an open account when the login began, and tells in its end who that is."""
    handler, bob = site.open(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    began, go_on, entered = Event(), Event(), Event()
    login = site.dba.options(bob, PASSWORD)

    def log_in() -> None:
        with suppress(pymysql.Error), closing(SlowLogin(began, go_on, **login)) as raw, raw.cursor() as cursor:
            cursor.execute("SELECT 1")
            entered.set()

    with ExitStack() as settings:
        if not is_mariadb(handler):
            setting = "performance_schema_show_processlist"
            settings.enter_context(site.setting(setting, by_performance_schema, "0"))
        thread = Thread(target=log_in)
        thread.start()
        assert began.wait(30)
        handler.lock_user(bob)
        go_on.set()
        thread.join()
    assert not entered.is_set()


@pytest.mark.parametrize("own", [True, False])
def test_a_change_of_the_user_that_is_never_finished_keeps_nobody_in(site: Site, *, own: bool) -> None:
    """N5: MySQL's SHOW PROCESSLIST waits for it, for as long as the client likes, and so did each lock."""
    handler, bob, al = site.open(), site.name(), site.name()
    site.dba.run("SET GLOBAL event_scheduler = ON")
    for user in (bob, al):
        handler.create_user(user, Secret(PASSWORD))
    event = f"{give(handler, bob)}.e ON SCHEDULE EVERY 1 SECOND DO SELECT SLEEP(1000)"
    site.dba.run_as(bob, PASSWORD, f"CREATE EVENT {event}")
    wait_until(lambda: sessions(site, bob) > 0)
    with closing(site.dba.login(bob if own else al, PASSWORD)) as raw:
        with raw.cursor() as cursor:
            cursor.execute("SET SESSION net_read_timeout = 3000")
        other = b"caching_sha2_password" if is_mariadb(handler) else b"mysql_native_password"
        raw._execute_command(COMMAND.COM_CHANGE_USER, bob.encode() + b"\0\0\0\x2d\0" + other + b"\0\0")
        raw._read_packet()
        handler.lock_user(bob)
        with pytest.raises(pymysql.err.MySQLError):
            raw.ping(reconnect=False)
    wait_until(lambda: sessions(site, bob) == 0)
    handler.drop_database(bob, f"{bob}_web")
    handler.drop_user(bob)


def test_an_event_that_never_ends_is_ended(site: Site) -> None:
    """B3: what runs already has its privileges, so it has to be killed after they were taken."""
    handler, bob = site.open(), site.name()
    site.dba.run("SET GLOBAL event_scheduler = ON")
    handler.create_user(bob, Secret(PASSWORD))
    web = give(handler, bob)
    site.dba.run_as(
        bob, PASSWORD, f"CREATE TABLE {web}.t (n INT)",
        f"CREATE EVENT {web}.e ON SCHEDULE EVERY 1 SECOND DO WHILE TRUE DO INSERT INTO {web}.t VALUES (1); "
        "DO SLEEP(0.1); END WHILE",
    )  # fmt: skip
    wait_until(lambda: sessions(site, bob) > 0)
    handler.lock_user(bob)
    wait_until(lambda: sessions(site, bob) == 0)
    site.dba.run(f"TRUNCATE {web}.t", "DO SLEEP(1.5)")
    assert rows(site, f"{web}.t") == 0
    handler.drop_database(bob, web)


def test_what_is_defined_as_a_locked_user_works_for_nobody(site: Site) -> None:
    """B3: routines of theirs that others may call do nothing any more."""
    handler, bob, al = site.open(site.least()), site.name(), site.name()
    for user in (bob, al):
        handler.create_user(user, Secret(PASSWORD))
    web = give(handler, bob)
    site.dba.run_as(
        bob, PASSWORD, f"CREATE TABLE {web}.t (n INT)",
        f"CREATE PROCEDURE {web}.p() SQL SECURITY DEFINER INSERT INTO {web}.t VALUES (1)",
    )  # fmt: skip
    site.dba.run(f"GRANT EXECUTE ON PROCEDURE {web}.p TO '{al}'@'%'")
    site.dba.run_as(al, PASSWORD, f"CALL {web}.p()")
    handler.lock_user(bob)
    with pytest.raises(pymysql.err.MySQLError):
        site.dba.run_as(al, PASSWORD, f"CALL {web}.p()")
    assert rows(site, f"{web}.t") == 1


def test_what_others_have_granted_goes_as_well(site: Site) -> None:
    """B3, B5: privileges on other databases, on tables, and spelled without backslashes, whoever granted them."""
    handler, bob, other = site.open(site.least()), site.name(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    web = give(handler, bob)
    site.dba.run(
        f"CREATE DATABASE {other}", f"CREATE TABLE {other}.t (n INT)", f"GRANT SELECT ON {other}.* TO '{bob}'@'%'",
        f"GRANT INSERT ON {other}.t TO '{bob}'@'%'", f"GRANT ALL ON {web}.* TO '{bob}'@'%'",
    )  # fmt: skip
    handler.lock_user(bob)
    assert site.dba.grants(bob) == set()
    assert not site.dba.run(f"SELECT 1 FROM mysql.tables_priv WHERE User = '{bob}'")
    handler.drop_database(bob, web)
    handler.drop_user(bob)
    assert site.dba.accounts(bob) == set()


def test_a_role_of_a_dbas_is_inactive_while_locked_and_active_afterwards(mysql: Site) -> None:
    """B3: with a default role the locked user's event would run on."""
    handler, bob, role = mysql.open(mysql.least()), mysql.name(), mysql.name()
    handler.create_user(bob, Secret(PASSWORD))
    mysql.dba.run(
        f"CREATE ROLE '{role}'", f"GRANT '{role}' TO '{bob}'@'%'", f"SET DEFAULT ROLE '{role}' TO '{bob}'@'%'"
    )
    active = f"SELECT COUNT(*) FROM mysql.default_roles WHERE USER = '{bob}'"
    handler.lock_user(bob)
    assert mysql.dba.run(active) == [(0,)]
    handler.update_user_password(bob, Secret(PASSWORD))
    assert mysql.dba.run(active) == [(1,)]


def test_sessions_end_before_the_lock_and_after_it(site: Site) -> None:
    """B2, B3: an open transaction of the leaver's holds nothing up."""
    handler = site.open()
    bob, web = site.user(handler, "web")
    site.dba.run(f"CREATE TABLE {web}.t (n INT)")
    with closing(site.dba.login(bob, PASSWORD, web)) as session:
        session.query("LOCK TABLES t WRITE")
        handler.lock_user(bob)
        handler.drop_database(bob, web)
        session._force_close()
    assert site.dba.databases(bob) == set()


def test_the_lock_is_dated_and_opened_without_a_trace(site: Site) -> None:
    """B3: date and note are written with the lock, and gone when the account is opened."""
    handler, bob = site.open(removals=Removals(grace_days=7)), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    before = site.dba.run(f"SHOW CREATE USER '{bob}'@'%'")
    handler.lock_user(bob)
    found = handler.get_existing_users()[bob]
    assert (found.managed, found.lock) == (True, Lock.OURS)
    assert found.locked_since is not None
    assert abs((handler.now() - found.locked_since).total_seconds()) < 60
    handler.update_user_password(bob, Secret(OTHER))
    found = handler.get_existing_users()[bob]
    assert (found.managed, found.lock, found.locked_since) == (True, Lock.OPEN, None)
    if site.server.engine == "mariadb":
        handler.update_user_password(bob, Secret(PASSWORD))
        assert site.dba.run(f"SHOW CREATE USER '{bob}'@'%'") == before


def test_an_older_password_is_told_and_discarded(mysql: Site) -> None:
    """B8: RETAIN CURRENT PASSWORD keeps it; the next password that dbroster sets takes it away."""
    handler, bob = mysql.open(mysql.least()), mysql.name()
    handler.create_user(bob, Secret("First-password-1"))
    mysql.dba.run(f"ALTER USER '{bob}'@'%' IDENTIFIED BY '{PASSWORD}' RETAIN CURRENT PASSWORD")
    cure = f"'{bob}'@'%' DISCARD OLD PASSWORD;"
    assert [w for w in handler.warnings() if cure in w.text]
    handler.foresee([Action(Verb.UPDATE_PASSWORD, bob, None, Secret(OTHER))])
    assert not [w for w in handler.warnings() if cure in w.text]
    assert mysql.dba.can_login(bob, "First-password-1")
    handler.update_user_password(bob, Secret(OTHER))
    assert mysql.dba.can_login(bob, OTHER)
    for old in ("First-password-1", PASSWORD):
        assert not mysql.dba.can_login(bob, old)


def test_who_stays_writes_nothing_while_the_database_is_archived(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B3: when a template is taken out, the claim proves the database without the grant."""
    handler = site.archiving(tmp_path)
    bob, web = site.user(handler, "web")
    site.dba.run_as(bob, PASSWORD, f"CREATE TABLE {web}.t (n INT)")
    dump = MySQLArchiver.dump
    refused: list[BaseException] = []

    def watched(*arguments: Any) -> None:
        for connection in (inside, site.dba.login(bob, PASSWORD)):
            try:
                connection.query(f"INSERT INTO {web}.t VALUES (1)")
            except pymysql.err.MySQLError as error:
                refused.append(error)
            connection._force_close()
        dump(*arguments)

    inside = site.dba.login(bob, PASSWORD, web)
    monkeypatch.setattr(MySQLArchiver, "dump", watched)
    handler.archive_database(bob, web)
    assert len(refused) == 2
    assert rows(site, f"{web}.t") == 0
    assert site.dba.grants(bob) == set()
    assert handler.get_existing_databases()[web].owner == bob


@pytest.mark.parametrize("other_host", ["10.9.9.9", "localhost"])
def test_another_account_of_that_name_keeps_no_session_in(site: Site, other_host: str) -> None:
    """S1: a DBA's account at another host; the sessions that it may have are left alone, all others and events end."""
    handler, bob = site.open(), site.name()
    site.dba.run("SET GLOBAL event_scheduler = ON")
    handler.create_user(bob, Secret(PASSWORD))
    web = give(handler, bob)
    site.dba.run_as(bob, PASSWORD, f"CREATE EVENT {web}.e ON SCHEDULE EVERY 1 SECOND DO SELECT SLEEP(1000)")
    wait_until(lambda: sessions(site, bob) > 0)
    with closing(site.dba.login(bob, PASSWORD, web)) as raw:
        raw.query("CREATE TABLE t (n INT)")
        site.dba.run(f"CREATE USER '{bob}'@'{other_host}' IDENTIFIED BY '{OTHER}'")
        handler.lock_user(bob)
        if other_host == "localhost":
            raw.ping(reconnect=False)
        else:
            with pytest.raises(pymysql.err.MySQLError):
                raw.query("INSERT INTO t VALUES (1)")
    wait_until(lambda: sessions(site, bob) == 0)
    handler.drop_database(bob, web)


def test_rows_that_are_committed_from_elsewhere_are_in_the_archive_or_refused(site: Site, tmp_path: Path) -> None:
    """S3: who stays when a template goes may have an open transaction in it, in a session of another database."""
    handler = site.archiving(tmp_path)
    bob, web, tools = site.user(handler, "web", "tools")
    site.dba.run_as(bob, PASSWORD, f"CREATE TABLE {web}.t (n INT) ENGINE = InnoDB")
    with closing(site.dba.login(bob, PASSWORD, tools)) as raw:
        raw.begin()
        raw.query(f"INSERT INTO {web}.t VALUES (1)")
        handler.archive_database(bob, web)
        with pytest.raises(pymysql.err.MySQLError):
            raw.commit()
    assert rows(site, f"{web}.t") == 0


def test_a_prepared_transaction_is_committed_before_the_archive_or_keeps_the_database(
    site: Site, tmp_path: Path
) -> None:
    """S11: it outlives the session that is ended, and could be committed while the drop waits for it."""
    handler, bob = site.archiving(tmp_path), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    web, tools = give(handler, bob), give(handler, bob, "tools")
    site.dba.run_as(bob, PASSWORD, f"CREATE TABLE {web}.t (n INT) ENGINE = InnoDB")
    with closing(site.dba.login(bob, PASSWORD, tools)) as raw:
        for statement in ("START {}", f"INSERT INTO {web}.t VALUES (1)", "END {}", "PREPARE {}"):
            raw.query(statement if "INTO" in statement else f"XA {statement.format(repr(bob))}")
        with pytest.raises(OperationError, match="XA RECOVER"):
            handler.archive_database(bob, web)
        raw._force_close()
    site.dba.run(f"XA COMMIT '{bob}'")
    handler.archive_database(bob, web)
    assert rows(site, f"{web}.t") == 1


def test_a_prepared_transaction_keeps_the_database_of_a_user_who_connects_again(site: Site, tmp_path: Path) -> None:
    """V1: the pool of an application is back as soon as its sessions are ended, and could commit it."""
    handler = site.archiving(tmp_path)
    bob, web, tools = site.user(handler, "web", "tools")
    prepare_transaction(site, bob, web, tools)
    with always_connected(site, bob, 6):
        for _ in range(3):
            with pytest.raises(OperationError, match="XA RECOVER"):
                handler.archive_database(bob, web)
    site.dba.run(f"XA ROLLBACK '{bob}'")
    handler.archive_database(bob, web)


def test_no_user_keeps_the_lock_of_the_sync(site: Site) -> None:
    """S10, B1: a plugin of MariaDB's, metadata_lock_info, tells everybody its name; a DBA who holds it is let be."""
    handler, bob = site.open(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    handler.acquire_sync_lock()
    handler.close()
    ((name,),) = site.dba.run("SELECT User FROM mysql.user WHERE User LIKE 'dbroster-lock:%'")
    handler = site.open()
    with closing(site.dba.login(bob, PASSWORD)) as raw:
        raw.query(f"SELECT GET_LOCK('{name}', 0)")
        handler.acquire_sync_lock()
        raw._force_close()
    handler.close()
    admin = site.server.admin_user, site.server.admin_password
    with closing(site.dba.login(*admin)) as raw, raw.cursor() as cursor:
        cursor.execute(f"SELECT GET_LOCK('{name}', 5)")
        with pytest.raises(SyncLockHeld, match=admin[0]):
            site.open().acquire_sync_lock()


def test_no_queue_of_a_users_sessions_keeps_the_lock_of_the_sync(site: Site) -> None:
    """V2, B1: when the one that holds it is ended, the next one of his has it."""
    handler, bob = site.open(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    handler.acquire_sync_lock()
    handler.close()
    ((name,),) = site.dba.run("SELECT User FROM mysql.user WHERE User LIKE 'dbroster-lock:%'")
    with always_connected(site, bob, 4, f"SELECT GET_LOCK('{name}', 30)"):
        site.open().acquire_sync_lock()


def test_no_queue_of_several_users_keeps_the_lock_of_the_sync(site: Site) -> None:
    """Y1, V2: friends wait for it, too: more of them than there are attempts."""
    handler = site.open()
    friends = [site.name() for _ in range(ATTEMPTS + 2)]
    for friend in friends:
        handler.create_user(friend, Secret(PASSWORD))
    handler.acquire_sync_lock()
    handler.close()
    ((name,),) = site.dba.run("SELECT User FROM mysql.user WHERE User LIKE 'dbroster-lock:%'")
    with ExitStack() as stack:
        for friend in friends:
            stack.enter_context(always_connected(site, friend, 1, f"SELECT GET_LOCK('{name}', 30)"))
        site.open().acquire_sync_lock()


def test_a_prepared_transaction_that_can_not_be_looked_for_keeps_the_database(site: Site, tmp_path: Path) -> None:
    """Y2, V1: with few `privileges` the admin may lock no tables; what it can't ask for counts as held."""
    few = {"privileges": ("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER")}
    login = (site.name(), PASSWORD)
    site.dba.run(f"CREATE USER '{login[0]}'@'%' IDENTIFIED BY '{PASSWORD}'")
    with connect(site.connection(login, options=few)) as handler:
        site.dba.run(*handler.missing_privileges(TEMPLATES))
    site.dba.run(*site.archiving(tmp_path, login, options=few).archiver().missing())
    handler = site.archiving(tmp_path, login, options=few)
    bob, web, tools = site.user(handler, "web", "tools")
    prepare_transaction(site, bob, web, tools)
    try:
        with pytest.raises(OperationError, match="XA RECOVER"):
            handler.archive_database(bob, web)
    finally:
        site.dba.run(f"XA ROLLBACK '{bob}'")
