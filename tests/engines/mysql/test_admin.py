"""Connecting, and what the admin needs and may, on MySQL and MariaDB alike."""

import pymysql
import pytest

from dbroster.engines import connect
from dbroster.errors import ConnectError, OperationError, UnsupportedServer
from dbroster.model.connection import Tls
from dbroster.model.plan import Action, Verb
from dbroster.model.roster import User
from dbroster.model.state import PasswordCheck
from dbroster.passwords.secret import Secret
from tests.engines.mysql.conftest import OTHER, PASSWORD, TEMPLATES, Site, foresee, give


def test_the_least_privileged_admin_does_everything_twice(site: Site) -> None:
    handler, bob = site.open(site.least()), site.name()
    secret = Secret(PASSWORD)
    for _ in range(2):
        handler.create_user(bob, secret)
        handler.update_user_password(bob, Secret(OTHER))
        assert site.dba.can_login(bob, OTHER)
        web, tools = give(handler, bob, "web"), give(handler, bob, "tools")
        assert handler.get_existing_databases()[web].granted
    assert handler.check_passwords([User(bob, Secret(OTHER), 1)], handler.get_existing_users()) == {
        bob: PasswordCheck.SAME
    }
    for _ in range(2):
        handler.lock_user(bob)
        assert not site.dba.can_login(bob, OTHER)
    for _ in range(2):
        for database in (web, tools):
            handler.drop_database(bob, database)
    assert site.dba.grants(bob) == set()
    for _ in range(2):
        handler.drop_user(bob)
    assert not site.dba.accounts(bob)
    assert not site.dba.databases(bob)


def test_the_least_privileged_admin_adopts(site: Site) -> None:
    handler, bob = site.open(site.least()), site.name()
    site.dba.run(f"CREATE USER '{bob}'@'%' IDENTIFIED BY '{OTHER}'", f"CREATE DATABASE {bob}_web")
    for _ in range(2):
        handler.adopt_user(bob, Secret(PASSWORD))
        handler.adopt_database(bob, f"{bob}_web")
    assert handler.get_existing_users()[bob].managed
    assert handler.get_existing_databases()[f"{bob}_web"].owner == bob
    assert site.dba.can_login(bob, PASSWORD)


GRANTED = {
    "mysql": ("GRANT ALL ON `{0}\\_web`.* TO '{0}'@'%'", 0),
    "mysql, without backslashes": ("GRANT ALL ON `{0}_web`.* TO '{0}'@'%'", 2),
    "mariadb": ("GRANT ALL ON `{0}\\_web`.* TO '{0}'@'%'", 1),
    "mariadb, without backslashes": ("GRANT SELECT ON `{0}_web`.* TO '{0}'@'%'", 2),
}


@pytest.mark.parametrize("granted", GRANTED)
def test_an_adoption_that_the_admin_can_not_finish_is_foreseen(request: pytest.FixtureRequest, granted: str) -> None:
    """What else was granted, and can't be taken back by it: root is told what to do, and the user loses nothing."""
    site: Site = request.getfixturevalue(granted.partition(",")[0])
    handler, bob = site.open(site.least()), site.name()
    web, (statement, number) = f"{bob}_web", GRANTED[granted]
    site.dba.run(f"CREATE USER '{bob}'@'%' IDENTIFIED BY '{OTHER}'", f"CREATE DATABASE {web}", statement.format(bob))
    adoption = Action(Verb.ADOPT, bob, web)
    (told,) = foresee(handler, adoption)
    if number:
        assert told is not None
        statements = told.partition("run as root: ")[2].rstrip(";").split("; ")
        assert len(statements) == number
        site.dba.run(*statements)
        site.dba.run_as(bob, OTHER, f"CREATE TABLE {web}.t (n INT)")
        (told,) = foresee(handler, adoption)
    assert told is None
    handler.adopt_user(bob, Secret(PASSWORD))
    handler.adopt_database(bob, web)
    handler.get_existing_users()
    assert handler.get_existing_databases()[web].granted


def test_the_least_privileged_admin_reaches_no_foreign_database(site: Site) -> None:
    admin, foreign = site.least(), site.name()
    site.dba.run(f"CREATE DATABASE {foreign}", f"CREATE TABLE {foreign}.t (n INT)")
    for statement in (f"SELECT * FROM {foreign}.t", f"DROP DATABASE {foreign}", f"GRANT SELECT ON {foreign}.* TO root"):
        with pytest.raises(pymysql.err.MySQLError):
            site.dba.run_as(*admin, statement)


def test_each_privilege_that_is_missing_is_named(site: Site) -> None:
    name, password = site.least()
    with connect(site.connection((name, password))) as handler:
        assert handler.missing_privileges(TEMPLATES) == []
    site.dba.run(f"REVOKE DROP ON `%\\_web`.* FROM '{name}'@'%'", f"REVOKE SELECT ON mysql.db FROM '{name}'@'%'")
    with connect(site.connection((name, password))) as handler:
        missing = handler.missing_privileges(TEMPLATES)
    assert len(missing) == 2
    assert missing[0] == f"GRANT SELECT ON mysql.db TO '{name}'@'%';"
    assert missing[1].endswith(f"ON `%\\_web`.* TO '{name}'@'%' WITH GRANT OPTION;")


def test_root_misses_nothing_and_a_weak_admin_is_warned_of_sessions(site: Site) -> None:
    weak = site.least()
    assert site.open().missing_privileges(TEMPLATES) == []
    assert not [w for w in site.open().warnings() if "sessions" in w.text]
    assert [w for w in site.open(weak).warnings() if f"ON *.* TO '{weak[0]}'@'%';" in w.text]


def test_a_read_only_server_is_refused(site: Site) -> None:
    with site.setting("read_only", "ON", "OFF"), pytest.raises(UnsupportedServer, match="replica"):
        site.open()


def test_the_wrong_password_of_the_admin_is_not_shown(site: Site) -> None:
    with pytest.raises(ConnectError) as caught:
        site.open(("root", "wrong-password-of-the-admin"))
    assert "wrong-password" not in str(caught.value)


@pytest.mark.parametrize("mode", [None, "disable", "require", "verify-ca", "verify-full"])
def test_every_tls_mode_connects(site: Site, mode: str | None) -> None:
    ca = str(site.server.ca) if mode and mode.startswith("verify") else None
    handler = site.open(tls=Tls(mode, ca))
    cipher = handler._session.rows("SHOW STATUS LIKE 'Ssl_cipher'")[0]["Value"]
    assert bool(cipher) is (mode != "disable")


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_an_unknown_authority_is_refused(site: Site, mode: str) -> None:
    with pytest.raises(ConnectError, match="certificate"):
        site.open(tls=Tls(mode))


def test_the_socket_serves_as_host(site: Site) -> None:
    if site.server.directory is None:
        pytest.skip("the server is not ours")
    handler = site.open(host=f"{site.server.directory}/socket", tls=Tls())
    assert handler.server().host.endswith("/socket")


def test_a_login_without_tls_sends_its_password_encrypted(mysql: Site) -> None:
    """The server asks for it where it has not seen this login before; only then is `cryptography` imported."""
    mysql.dba.run("FLUSH PRIVILEGES")
    handler = mysql.open(tls=Tls("disable"))
    assert handler._session.rows("SHOW STATUS LIKE 'Ssl_cipher'")[0]["Value"] == ""


def test_the_least_privileged_admin_is_told_what_shows_how_large_databases_are(site: Site) -> None:
    admin = site.least()
    handler = site.open(admin)
    _, web = site.user(handler, "web")
    with pytest.raises(OperationError, match="PROCESS"):
        handler.database_sizes([web])
    site.dba.run(f"GRANT PROCESS ON *.* TO '{admin[0]}'@'%'")
    assert site.open(admin).database_sizes([web]) == {web: 0}
