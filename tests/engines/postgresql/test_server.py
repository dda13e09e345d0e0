"""The server itself: what is refused, who may be admin, the lock, and passwords checked by login."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

import servers
from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.postgresql import sync_lock as postgresql_lock
from dbroster.engines.postgresql.session import open_session
from dbroster.errors import ConnectError, OperationError, SyncLockHeld, UnsupportedServer
from dbroster.model.connection import Connection, Tls
from dbroster.model.roster import User
from dbroster.model.state import PasswordCheck
from dbroster.passwords.secret import Secret
from tests.support.waiting import wait_until

GOOD = Secret("Correct-horse-7")
Describe = Callable[..., Connection]


def check(handler: Handler, user: str, password: str) -> PasswordCheck:
    return handler.check_passwords([User(user, Secret(password), 1)], handler.get_existing_users())[user]


# --- connecting -------------------------------------------------------------------------------------------------------


def test_wrong_admin_password_is_a_connect_error_without_the_password(describe: Describe) -> None:
    with pytest.raises(ConnectError) as caught:
        connect(describe(password=Secret("not-the-password-1")))
    assert "not-the-password" not in repr(caught.value)


def test_server_that_nobody_has_signed_for_is_refused(describe: Describe, server: servers.PostgreSQL) -> None:
    if not server.has_tls:
        with pytest.raises(ConnectError, match="SSL"):
            connect(describe(tls=Tls("require")))
        return
    with pytest.raises(ConnectError, match=r"certificate verify failed|root certificate"):
        connect(describe(tls=Tls("verify-full")))


def test_socket_directory_as_host(describe: Describe, server: servers.PostgreSQL) -> None:
    with connect(describe(host=str(server.directory), tls=Tls())) as handler:
        handler.get_existing_users()


def test_the_server_compiles_no_query(describe: Describe) -> None:
    with closing(open_session(describe())) as session:
        assert session.rows("SHOW jit") == [("off",)]


def test_session_that_may_only_read_is_refused(describe: Describe, server: servers.PostgreSQL, user: str) -> None:
    server.admin(f"CREATE ROLE {user} LOGIN CREATEROLE CREATEDB PASSWORD '{GOOD.reveal()}'")
    server.admin(f"ALTER ROLE {user} SET default_transaction_read_only = on")
    with pytest.raises(UnsupportedServer, match="read_only"):
        connect(describe(user))


class Standby(servers.PostgreSQL):
    """A server that is told to follow a primary that does not exist."""

    def _initialise(self, home: Path, password: str) -> None:
        super()._initialise(home, password)
        (home / "data" / "standby.signal").touch()

    def _initial_options(self) -> object:
        return "standby"


def test_standby_is_refused() -> None:
    with Standby() as standby:
        password = Secret(standby.admin_password)
        login = Connection("postgresql", "default", standby.host, standby.port, standby.admin_user, password)
        with pytest.raises(UnsupportedServer, match="standby"):
            connect(login)


def test_pooler_is_refused(describe: Describe, server: servers.PostgreSQL) -> None:
    with pooler(server) as port, pytest.raises(UnsupportedServer, match="pooler"):
        connect(describe(port=port, tls=Tls("disable")))


@contextmanager
def pooler(server: servers.PostgreSQL) -> Iterator[int]:
    """Pass everything on, but give the client a process number of its own, as PgBouncer does."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection((server.host, server.port)) as up:
        threading.Thread(target=_pool, args=(listener, up), daemon=True).start()
        yield listener.getsockname()[1]
        up.shutdown(socket.SHUT_RDWR)


def _pool(listener: socket.socket, up: socket.socket) -> None:
    with listener.accept()[0] as down, suppress(OSError):
        threading.Thread(target=_pump, args=(down, up), daemon=True).start()
        while data := up.recv(65536):
            found = data.find(b"K\0\0\0\x0c")
            changed = data if found < 0 else data[: found + 5] + struct.pack("!I", 1) + data[found + 9 :]
            down.sendall(changed)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


def test_names_that_are_no_utf8_do_not_stop_the_reading(describe: Describe, server: servers.PostgreSQL) -> None:
    server.admin("DROP DATABASE IF EXISTS ascii")
    server.admin("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    server.admin("SET client_encoding = 'SQL_ASCII'; DO $$ BEGIN EXECUTE E'CREATE ROLE \"caf\\351\"'; END $$", "ascii")
    with connect(describe(options={"maintenance_database": "ascii"})) as handler:
        assert "caf\ufffd" in handler.get_existing_users()
    server.admin("SET client_encoding = 'SQL_ASCII'; DO $$ BEGIN EXECUTE E'DROP ROLE \"caf\\351\"'; END $$", "ascii")
    server.admin("DROP DATABASE ascii")


# --- the admin --------------------------------------------------------------------------------------------------------


def test_admin_is_told_what_it_lacks_and_then_lacks_nothing(
    describe: Describe, server: servers.PostgreSQL, user: str
) -> None:
    server.admin(f"CREATE ROLE {user} LOGIN PASSWORD '{GOOD.reveal()}'")
    with connect(describe(user)) as handler:
        statement, *of_the_marker_role = handler.missing_privileges(["web"])
    assert statement == f'ALTER ROLE "{user}" CREATEROLE CREATEDB;'
    for each in (statement, *of_the_marker_role):
        server.admin(each)
    with connect(describe(user)) as handler:
        assert handler.missing_privileges(["web"]) == []
        handler.create_user(f"{user}x", GOOD)
        handler.create_database(f"{user}x", f"{user}x_web")
        handler.grant_privileges(f"{user}x", f"{user}x_web")


def test_grant_from_a_warning_lets_the_admin_take_over_from_another(
    describe: Describe, server: servers.PostgreSQL, user: str
) -> None:
    """C3: one warning for all accounts that another admin has created, with the one statement that mends it."""
    names = [f"{user}{letter}" for letter in "abc"]
    with connect(describe(roster="lent")) as first:
        first.prepare()
        for name in names:
            first.create_user(name, GOOD)
            first.create_database(name, f"{name}_web")
            first.grant_privileges(name, f"{name}_web")
    with connect(describe("weak", roster="lent")) as weak:
        for statement in weak.missing_privileges(["web"]):
            server.admin(statement)
        advice = [problem.text for problem in weak.warnings() if "this admin may not change" in problem.text]
        if weak.server().product >= "PostgreSQL 16":
            with pytest.raises(OperationError):
                weak.update_user_password(names[0], GOOD)
            assert f"3 accounts ({', '.join(names)})" in advice[0]
            server.admin(advice[0].partition("runs: ")[2])
        for name in names:
            weak.update_user_password(name, GOOD)
            weak.lock_user(name)
            weak.drop_database(name, f"{name}_web")
            weak.drop_user(name)
        assert not [problem for problem in weak.warnings() if "this admin may not change" in problem.text]


def test_admin_keeps_what_an_upgrade_takes_from_createrole(
    describe: Describe, server: servers.PostgreSQL, user: str
) -> None:
    """C3: it has the ADMIN OPTION on each user and on the marker role before PostgreSQL 16, too."""
    with connect(describe("weak", roster="moved")) as weak:
        weak.prepare()
        weak.create_user(user, GOOD)
    for role in (user, "dbroster:moved"):
        assert "t" in server.admin(f"SELECT pg_has_role('weak', '\"{role}\"'::regrole, 'MEMBER WITH ADMIN OPTION')")


# --- the lock ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other_database", ["postgres", "template1"])
def test_lock_counts_in_all_databases(describe: Describe, other_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_lock, "PATIENCE", 0.3)
    with connect(describe()) as first, connect(describe(options={"maintenance_database": other_database})) as second:
        first.acquire_sync_lock()
        with pytest.raises(SyncLockHeld, match=r"dbroster \d+@.* from 127\.0\.0\.1 since 20\d\d-"):
            second.acquire_sync_lock()
        first.close()
        second.acquire_sync_lock()


# --- passwords by login -----------------------------------------------------------------------------------------------


def test_login_check_leaves_no_failed_attempt_behind_when_all_is_well(
    describe: Describe, user: str, logged: Callable[[], str]
) -> None:
    with connect(describe("weak")) as weak:
        weak.create_user(user, GOOD)
        assert check(weak, user, GOOD.reveal()) is PasswordCheck.SAME
        assert "FATAL" not in logged()
        assert check(weak, user, "another one") is PasswordCheck.DIFFERENT
    assert "another one" not in logged()


def test_expired_and_locked_accounts_are_unknown(describe: Describe, server: servers.PostgreSQL, user: str) -> None:
    with connect(describe("weak")) as weak:
        weak.create_user(user, GOOD)
        server.admin(f"ALTER ROLE {user} VALID UNTIL '2001-01-01'")
        assert check(weak, user, GOOD.reveal()) is PasswordCheck.UNKNOWN
        server.admin(f"ALTER ROLE {user} VALID UNTIL 'infinity' NOLOGIN")
        assert check(weak, user, GOOD.reveal()) is PasswordCheck.UNKNOWN
        assert check(weak, user, "another one") is PasswordCheck.DIFFERENT


@pytest.mark.parametrize("method", ["trust", "password", "reject"])
def test_login_that_proves_nothing_is_unknown(
    describe: Describe, server: servers.PostgreSQL, user: str, method: str
) -> None:
    """C6: it is unknown, with the reason in plain words."""
    with connect(describe("weak")) as weak:
        weak.create_user(user, GOOD)
        with first_rule(server, f"host all {user} 127.0.0.1/32 {method}"):
            assert check(weak, user, GOOD.reveal()) is PasswordCheck.UNKNOWN
            assert check(weak, user, "another one") is PasswordCheck.UNKNOWN
            assert ("it asks this user for no password" in weak.doubts[user]) == (method == "trust"), weak.doubts
        assert check(weak, user, GOOD.reveal()) is PasswordCheck.SAME


@contextmanager
def first_rule(server: servers.PostgreSQL, rule: str, *, alone: bool = False) -> Iterator[None]:
    """Put a rule on top of pg_hba.conf for a while, or in its place."""
    path = server.home / "data" / "pg_hba.conf"
    before = path.read_text()
    place = f"host={server.host} port={server.port} dbname=postgres"
    with psycopg.connect(place, user=server.admin_user, password=server.admin_password, autocommit=True) as dba:
        try:
            path.write_text(rule + "\n" if alone else f"{rule}\n{before}")
            reload(dba)
            yield
        finally:
            path.write_text(before)
            reload(dba)


def reload(dba: psycopg.Connection) -> None:
    """Let the server read its files again, and wait until it has begun: then nobody logs in by the old ones."""
    before = dba.execute("SELECT pg_conf_load_time()").fetchone()
    dba.execute("SELECT pg_reload_conf()")
    wait_until(lambda: dba.execute("SELECT pg_conf_load_time()").fetchone() != before)
