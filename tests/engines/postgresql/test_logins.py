"""Passwords that are checked by logging in: only a password that was judged can be different, and the rest is said."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest

import servers
from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.errors import ConnectError
from dbroster.model.connection import Connection, Tls
from dbroster.model.roster import User
from dbroster.model.state import PasswordCheck
from dbroster.passwords.secret import Secret
from tests.engines.postgresql.test_server import first_rule

GOOD = Secret("Correct-horse-7")
OTHER = "Another-staple-8"
Describe = Callable[..., Connection]
LogIn = Callable[[str, str, str], psycopg.Connection]


def check(handler: Handler, user: str, password: str) -> PasswordCheck:
    handler.doubts.clear()
    return handler.check_passwords([User(user, Secret(password), 1)], handler.get_existing_users())[user]


@pytest.fixture
def weak(describe: Describe, user: str) -> Iterator[Handler]:
    with connect(describe("weak")) as handler:
        handler.create_user(user, GOOD)
        yield handler


def test_full_server_makes_no_password_different() -> None:
    """C2: it refuses everybody in the same words, before it has seen a password."""
    few = {"max_connections": "8", "superuser_reserved_connections": "0", "autovacuum": "off", "max_wal_senders": "0"}
    with servers.PostgreSQL(options=few) as server, ExitStack() as stack:
        server.admin(f"CREATE ROLE weak LOGIN CREATEROLE CREATEDB PASSWORD '{GOOD.reveal()}'")
        tls = Tls("verify-full", str(server.ca)) if server.ca else Tls()
        login = Connection("postgresql", "default", server.host, server.port, "weak", GOOD, tls)
        weak = stack.enter_context(connect(login))
        weak.create_user("bob", GOOD)
        place = f"host={server.host} port={server.port} dbname=postgres"
        while True:
            try:
                stack.enter_context(psycopg.connect(place, user="bob", password=GOOD.reveal()))
            except psycopg.OperationalError:
                break
        for password in (GOOD.reveal(), OTHER):
            assert check(weak, "bob", password) is PasswordCheck.UNKNOWN
            assert "connection" in weak.doubts["bob"] or "clients" in weak.doubts["bob"]
            assert password not in weak.doubts["bob"]


@pytest.mark.parametrize("reserved", ["0", "3"])
def test_admin_without_a_place_is_told_how_it_gets_one(reserved: str) -> None:
    """B1, C8: a user has opened every connection; the refusal says so, how they end, and what keeps one free."""
    few = {"max_connections": "8", "superuser_reserved_connections": reserved, "max_wal_senders": "0"}
    with servers.PostgreSQL(options=few) as server, ExitStack() as stack:
        server.admin(f"CREATE ROLE weak LOGIN CREATEROLE CREATEDB PASSWORD '{GOOD.reveal()}'; CREATE ROLE bob LOGIN")
        server.admin(f"ALTER ROLE bob PASSWORD '{GOOD.reveal()}'")
        tls = Tls("verify-full", str(server.ca)) if server.ca else Tls()
        login = Connection("postgresql", "default", server.host, server.port, "weak", GOOD, tls)
        place = f"host={server.host} port={server.port} dbname=postgres"
        guests = ExitStack()
        while True:
            try:
                guests.enter_context(psycopg.connect(place, user="bob", password=GOOD.reveal()))
            except psycopg.OperationalError:
                break
        with guests, pytest.raises(ConnectError) as refused:
            stack.enter_context(connect(login))
        text = str(refused.value)
        assert "all connections" in text
        assert "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = " in text
        assert 'GRANT pg_use_reserved_connections TO "weak";' in text
        assert "CONNECTION LIMIT" in text


def test_admin_at_its_own_limit_is_told_which(weak: Handler, server: servers.PostgreSQL, describe: Describe) -> None:
    """C8: it is the admin's own CONNECTION LIMIT, and not the server's."""
    with connect(describe("reader")) as held:
        server.admin("ALTER ROLE reader CONNECTION LIMIT 1")
        try:
            with pytest.raises(ConnectError, match='ALTER ROLE "reader" CONNECTION LIMIT -1;'):
                connect(describe("reader"))
        finally:
            server.admin("ALTER ROLE reader CONNECTION LIMIT -1")
        assert held.server() == weak.server()


@pytest.mark.parametrize("rule", ["host all all 127.0.0.1/32 reject", "host all all 127.0.0.1/32 trust", ""])
def test_server_that_lets_only_the_admin_in_makes_no_password_different(
    weak: Handler, server: servers.PostgreSQL, user: str, rule: str
) -> None:
    """C2: by pg_hba.conf, whose refusal is the same for every name, too."""
    admin = "host all weak,postgres 127.0.0.1/32 scram-sha-256"
    with first_rule(server, f"{admin}\n{rule or 'host all all 127.0.0.2/32 scram-sha-256'}", alone=True):
        for password in (GOOD.reveal(), OTHER):
            assert check(weak, user, password) is PasswordCheck.UNKNOWN
            assert "check it without a login: GRANT" in weak.doubts[user]
    assert check(weak, user, OTHER) is PasswordCheck.DIFFERENT
    assert check(weak, user, GOOD.reveal()) is PasswordCheck.SAME


@pytest.mark.parametrize(
    ("damage", "said", "mended"),
    [
        ("VALID UNTIL '2001-01-01'", "expired at 2001-01-01 00:00:00", "ALTER ROLE \"{user}\" VALID UNTIL 'infinity';"),
        ("CONNECTION LIMIT 0", "too many connections", 'ALTER ROLE "{user}" CONNECTION LIMIT -1;'),
    ],
)
def test_account_that_nobody_can_use_is_said_with_the_way_out(
    weak: Handler, describe: Describe, server: servers.PostgreSQL, user: str, damage: str, said: str, mended: str
) -> None:
    """C6: expired, or without a session: `unusable` for every admin, and the reason where a login was tried."""
    statement = mended.format(user=user)
    server.admin(f"ALTER ROLE {user} {damage}")
    for admin in ("superuser", "weak"):
        with connect(describe(admin)) as handler:
            assert statement in (handler.get_existing_users()[user].unusable or "")
    assert check(weak, user, GOOD.reveal()) is PasswordCheck.UNKNOWN
    assert said in weak.doubts[user]
    server.admin(statement)
    assert weak.get_existing_users()[user].unusable is None
    assert check(weak, user, GOOD.reveal()) is PasswordCheck.SAME
    assert user not in weak.doubts


def test_what_the_owner_has_set_makes_no_password_different(weak: Handler, user: str, log_in: LogIn) -> None:
    """C2, C6: a setting of his that stops every login; the server's words are given."""
    with log_in(user, GOOD.reveal(), "postgres") as session:
        session.execute(f"ALTER ROLE {user} SET local_preload_libraries = 'nope'")
    for password, answer in ((GOOD.reveal(), PasswordCheck.UNKNOWN), (OTHER, PasswordCheck.DIFFERENT)):
        assert check(weak, user, password) is answer
    assert check(weak, user, GOOD.reveal()) is PasswordCheck.UNKNOWN
    assert "nope" in weak.doubts[user]


def test_reason_names_the_grant_that_makes_logins_needless(
    weak: Handler, describe: Describe, server: servers.PostgreSQL, user: str
) -> None:
    """C6: with it the password is compared, and a changed one set, whatever keeps the user out."""
    server.admin(f"CREATE ROLE {user}admin LOGIN CREATEROLE CREATEDB PASSWORD '{GOOD.reveal()}'")
    server.admin(f"ALTER ROLE {user} VALID UNTIL '2001-01-01'")
    with connect(describe(f"{user}admin")) as handler:
        assert check(handler, user, OTHER) is PasswordCheck.UNKNOWN
        grant = handler.doubts[user].partition("without a login: ")[2].removesuffix(")")
    server.admin(grant)
    with connect(describe(f"{user}admin")) as handler:
        assert check(handler, user, OTHER) is PasswordCheck.DIFFERENT
        assert check(handler, user, GOOD.reveal()) is PasswordCheck.SAME
