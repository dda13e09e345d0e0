"""Every wait ends: a server that says nothing, a lock of the whole server, a transaction that nobody ends."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from dbroster.engines import connect
from dbroster.errors import ConnectError, OperationError, Stalled
from dbroster.model.connection import Tls
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.passwords.secret import Secret
from tests.engines.mysql.conftest import PASSWORD, Site, give
from tests.support.bounded import within
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

PATIENCE = 15  # seconds; more than any wait that is allowed here


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_greeting_that_never_comes_is_not_waited_for(site: Site, silent: int) -> None:
    """C1: connect_timeout bounds the whole login, which is not tried again: it would be waited for once per user."""
    with within(PATIENCE), pytest.raises(Stalled, match=rf"127\.0\.0\.1:{silent}.*connect_timeout"):
        connect(site.connection(host="127.0.0.1", port=silent, connect_timeout=1))


def test_a_greeting_that_comes_byte_by_byte_is_not_waited_for(site: Site) -> None:
    """C1: it is the login as a whole that has to be over, not each part of it."""

    def trickle(listener: socket.socket, over: threading.Event) -> None:
        client, _ = listener.accept()
        with client:
            client.sendall(b"\x4a\x00\x00\x00")
            while not over.wait(0.2):
                try:
                    client.sendall(b"\x0a")
                except OSError:
                    return

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener, over))
        thread.start()
        try:
            with within(PATIENCE), pytest.raises(ConnectError, match="connect_timeout"):
                connect(site.connection(host="127.0.0.1", port=listener.getsockname()[1], connect_timeout=1))
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize("messages", [1, 2, 3])
@pytest.mark.parametrize("mode", ["require", "disable"])
def test_a_login_that_stops_half_way_is_not_waited_for(site: Site, messages: int, mode: str) -> None:
    """C1: after the greeting, in the TLS handshake, in the login, in the first statements."""
    with Proxy(site.server.host, site.server.port, messages, stalls=True) as proxy:
        connection = site.connection(host="127.0.0.1", port=proxy.port, tls=Tls(mode), connect_timeout=1, timeout=2)
        with within(PATIENCE), pytest.raises(ConnectError, match=r"127\.0\.0\.1"):
            connect(connection)


def test_a_statement_that_gets_no_answer_ends_the_run(site: Site) -> None:
    """C1: the error names the server and the key, and is not tried again."""
    with Proxy(site.server.host, site.server.port, None, stalls=True) as proxy:
        tls = Tls("require")
        with connect(site.connection(host="127.0.0.1", port=proxy.port, tls=tls, timeout=1)) as handler:
            proxy.arm(1)
            with within(PATIENCE), pytest.raises(Stalled, match=r"127\.0\.0\.1.*timeout: 1"):
                handler.get_existing_users()


def test_a_wait_is_broken_off_from_another_thread(site: Site) -> None:
    """C1: what SIGTERM needs; the caller gets ConnectError at once."""
    handler = site.open()
    timer = threading.Timer(0.5, handler.abort)
    timer.start()
    with within(PATIENCE), pytest.raises(ConnectError):
        handler._session.rows("SELECT SLEEP(60)")
    timer.join()
    handler.abort()  # once more does no harm
    handler.close()
    handler.abort()


@contextmanager
def read_lock(site: Site) -> Iterator[None]:
    """What a backup does."""
    with closing(site.dba.login(site.server.admin_user, site.server.admin_password)) as backup:
        backup.query("FLUSH TABLES WITH READ LOCK")
        yield
        backup.query("UNLOCK TABLES")


def test_a_lock_of_the_whole_server_ends_the_run(site: Site) -> None:
    """C1: FLUSH TABLES WITH READ LOCK, under which MariaDB's account statements know no end."""
    handler, bob, al = site.open(timeout=3), site.name(), site.name()
    handler.create_user(al, Secret(PASSWORD))
    changes = {
        Verb.CREATE_USER: [Action(Verb.CREATE_USER, bob, None, Secret(PASSWORD))],
        Verb.LOCK_USER: [Action(Verb.LOCK_USER, al)],
        Verb.DROP_USER: [Action(Verb.DROP_USER, al)],
    }
    with read_lock(site):
        for actions in changes.values():
            with within(PATIENCE), pytest.raises(Stalled, match="FLUSH TABLES WITH READ LOCK"):
                handler.perform_all(actions)
    assert [outcome.status for outcome in handler.perform_all(changes[Verb.CREATE_USER])] == [Status.DONE]


def test_waits_for_locks_are_bounded_in_total(site: Site) -> None:
    """C1: one database after the other that somebody holds does not add up."""
    handler, bob = site.open(timeout=3), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    names = [give(handler, bob, f"t{number}") for number in range(3)]
    for name in names:
        site.dba.run(f"CREATE TABLE {name}.t (n INT)")
    with closing(site.dba.login(site.server.admin_user, site.server.admin_password)) as other:
        other.query("SET autocommit = 0")
        for name in names:
            other.query(f"SELECT * FROM {name}.t")
        with within(PATIENCE), pytest.raises(Stalled, match="in all"):
            handler.perform_all([Action(Verb.DROP_DATABASE, bob, name) for name in names])


def test_a_prepared_transaction_is_named_and_waited_for_shortly(site: Site) -> None:
    """B4, C1: XA PREPARE outlives its session; the error, and before it the plan, tells how to end it."""
    login, bob, al, xid = site.least(), site.name(), site.name(), site.name()
    site.dba.run(*site.open(login).archiver().missing())
    handler = site.open(login, timeout=5)
    for user in (bob, al):
        handler.create_user(user, Secret(PASSWORD))
        web = give(handler, user)
        site.dba.run_as(user, PASSWORD, f"CREATE TABLE {web}.t (n INT) ENGINE=InnoDB")
    drop, archive, other = (
        Action(verb, user, f"{user}_web")
        for verb, user in ((Verb.DROP_DATABASE, bob), (Verb.ARCHIVE_DATABASE, bob), (Verb.DROP_DATABASE, al))
    )
    with closing(site.dba.login(bob, PASSWORD, f"{bob}_web")) as session:
        for statement in (f"XA START '{xid}'", "INSERT INTO t VALUES (1)", f"XA END '{xid}'", f"XA PREPARE '{xid}'"):
            session.query(statement)
    try:
        handler.lock_user(bob)
        with within(PATIENCE):
            (outcome,) = handler.perform_all([drop])
        assert outcome.status is Status.FAILED
        assert re.search(r"XA RECOVER.*XA ROLLBACK", outcome.error or "")
        wait_until(lambda: not site.dba.run(f"SELECT 1 FROM information_schema.PROCESSLIST WHERE USER = '{bob}'"))
        reason, *free = handler.foresee([drop, archive, other])
        assert re.search(r"XA RECOVER.*XA ROLLBACK", reason or "")
        assert free == [None, None]
    finally:
        site.dba.run(f"XA ROLLBACK '{xid}'")
    assert handler.foresee([drop]) == [None]
    handler.drop_database(bob, f"{bob}_web")


def test_a_prepared_transaction_of_a_user_who_stays_is_named(site: Site) -> None:
    """B4, C1: its template has left; before 10.6 MariaDB would wait for ever, and XA ROLLBACK with it."""
    handler, bob, xid = site.open(site.least(), timeout=5), site.name(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    web = give(handler, bob)
    site.dba.run_as(bob, PASSWORD, f"CREATE TABLE {web}.t (n INT) ENGINE=InnoDB")
    with closing(site.dba.login(bob, PASSWORD, web)) as session:
        for statement in (f"XA START '{xid}'", "INSERT INTO t VALUES (1)", f"XA END '{xid}'", f"XA PREPARE '{xid}'"):
            session.query(statement)
    try:
        with (
            closing(site.dba.login(bob, PASSWORD, web)),
            within(PATIENCE),
            pytest.raises(OperationError, match=r"XA RECOVER.*XA ROLLBACK"),
        ):
            handler.drop_database(bob, web)
    finally:
        site.dba.run(f"XA ROLLBACK '{xid}'")
    handler.drop_database(bob, web)


# --- what the server's settings could spoil ---------------------------------------------------------------------------

COMMON = {
    "sql_select_limit": ("1", "18446744073709551615"),
    "autocommit": ("0", "1"),
    "completion_type": ("2", "0"),
    "lock_wait_timeout": ("1", "86400"),
    "group_concat_max_len": ("4", "1048576"),
    "wait_timeout": ("2", "28800"),
}
OWN = {
    "mysql": {"transaction_read_only": ("1", "0"), "max_execution_time": ("1", "0")},
    "mariadb": {"tx_read_only": ("1", "0"), "max_statement_time": ("0.0001", "0"), "sql_mode": ("'ORACLE'", "DEFAULT")},
}


def test_the_servers_defaults_for_sessions_break_no_run(site: Site) -> None:
    """C10: read-only transactions, statements that may take no time, rows that are cut off."""
    settings = {**COMMON, **OWN[site.server.engine]}
    site.dba.run("SET SESSION wait_timeout = 100")
    try:
        for name, (value, _) in settings.items():
            site.dba.run(f"SET GLOBAL {name} = {value}")
        handler, bob, al = site.open(), site.name(), site.name()
        for user in (bob, al):
            handler.create_user(user, Secret(PASSWORD))
            web = give(handler, user)
        assert {bob, al} <= {name for name, user in handler.get_existing_users().items() if user.managed}
        assert handler.get_existing_databases()[web].granted
        handler.lock_user(al)
        handler.drop_database(al, web)
        handler.drop_user(al)
    finally:
        for name, (_, normal) in settings.items():
            site.dba.run(f"SET GLOBAL {name} = {normal}")


def test_an_error_names_the_reason_that_the_server_does_not_say(site: Site) -> None:
    """C8, D7: "Access denied" is said of a wrong password, of an account that REQUIREs SSL, and of an anonymous one."""
    with pytest.raises(ConnectError, match="anonymous account") as caught:
        site.open(("nobody-of-that-name", PASSWORD))
    assert "offers no TLS" not in str(caught.value)


def test_a_foreign_key_between_own_databases_blocks_no_removal(site: Site) -> None:
    """B4: an owner can tie one own database to another."""
    handler = site.open(site.least())
    bob, tools, web = site.user(handler, "tools", "web")
    site.dba.run_as(
        bob,
        PASSWORD,
        f"CREATE TABLE {tools}.parent (n INT PRIMARY KEY) ENGINE=InnoDB",
        f"CREATE TABLE {web}.child (n INT, FOREIGN KEY (n) REFERENCES {tools}.parent (n)) ENGINE=InnoDB",
    )
    handler.drop_database(bob, tools)
    handler.drop_database(bob, web)
    assert site.dba.databases(bob) == set()


def test_a_foreign_key_that_the_admin_does_not_see_is_not_broken(site: Site) -> None:
    """S8: beside one between own databases, a key of a DBA's in a database that is hidden from the admin."""
    handler, bob, other = site.open(site.least()), site.name(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    tools, web = give(handler, bob, "tools"), give(handler, bob, "web")
    child = f"child (n INT PRIMARY KEY, FOREIGN KEY (n) REFERENCES {tools}.parent (n)) ENGINE=InnoDB"
    site.dba.run(
        f"CREATE DATABASE {other}", f"CREATE TABLE {tools}.parent (n INT PRIMARY KEY) ENGINE=InnoDB",
        f"CREATE TABLE {web}.{child}", f"CREATE TABLE {other}.{child}",
    )  # fmt: skip
    with pytest.raises(OperationError, match="which ones, the admin account can't see"):
        handler.drop_database(bob, tools)
    site.dba.run(f"INSERT INTO {tools}.parent VALUES (1)", f"INSERT INTO {other}.child VALUES (1)")
    site.dba.run(f"DROP DATABASE {other}")
    handler.drop_database(bob, tools)
    assert site.dba.databases(bob) == {web}


def test_a_foreign_key_of_somebody_else_is_not_broken(site: Site) -> None:
    """B4: a table of the DBA's that needs the user's one keeps it, and is named."""
    handler, bob, other = site.open(), site.name(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    web = give(handler, bob)
    site.dba.run(
        f"CREATE DATABASE {other}",
        f"CREATE TABLE {web}.parent (n INT PRIMARY KEY) ENGINE=InnoDB",
        f"CREATE TABLE {other}.child (n INT, FOREIGN KEY (n) REFERENCES {web}.parent (n)) ENGINE=InnoDB",
    )
    with pytest.raises(OperationError, match=f"{other}.*child"):
        handler.drop_database(bob, web)
    site.dba.run(f"DROP DATABASE {other}")
    handler.drop_database(bob, web)
