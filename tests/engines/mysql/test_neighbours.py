"""Who gets into whose database by other ways than dbroster's grants, and what the admin can't change."""

from pathlib import Path

import pymysql
import pytest

from dbroster.engines.mysql.access import markers
from dbroster.engines.mysql.family import MySQLFamily
from dbroster.errors import OperationError
from dbroster.model.plan import Action, Verb
from dbroster.model.roster import User
from dbroster.model.state import PasswordCheck
from dbroster.passwords.secret import Secret
from tests.engines.mysql.conftest import OTHER, PASSWORD, Site, foresee, give


def two(site: Site, handler: MySQLFamily) -> tuple[str, str, str]:
    """Bob with a database that has a table and a procedure, and al."""
    bob, al = site.name(), site.name()
    for user in (bob, al):
        handler.create_user(user, Secret(PASSWORD))
    web = give(handler, bob)
    site.dba.run(f"CREATE TABLE {web}.t (n INT)", f"CREATE PROCEDURE {web}.p() SELECT 1")
    return bob, al, web


def texts(handler: MySQLFamily) -> str:
    handler.get_existing_users()
    handler.get_existing_databases()
    return "\n".join(problem.text for problem in handler.warnings())


def full(site: Site) -> tuple[str, str]:
    """An admin as documented, who sees grants on tables, too."""
    name, password = site.least()
    site.dba.run(
        *(f"GRANT SELECT ON mysql.{table} TO '{name}'@'%'" for table in ("tables_priv", "columns_priv", "procs_priv"))
    )
    return name, password


@pytest.mark.parametrize(
    "privilege", ["SELECT ON {}.t", "SELECT (n) ON {}.t", "SELECT, INSERT ON {}.t", "EXECUTE ON PROCEDURE {}.p"]
)
def test_what_others_have_on_a_part_of_a_database_is_taken_away(site: Site, privilege: str) -> None:
    """B7: a grant on a table, a column or a routine."""
    handler = site.open(full(site))
    bob, al, web = two(site, handler)
    site.dba.run(f"GRANT {privilege.format(web)} TO '{al}'@'%'")
    assert not handler.get_existing_databases()[web].granted
    handler.grant_privileges(bob, web)
    assert handler.get_existing_databases()[web].granted
    for table in ("tables_priv", "columns_priv", "procs_priv"):
        assert not site.dba.run(f"SELECT 1 FROM mysql.{table} WHERE User = '{al}'")


def test_a_grant_on_a_table_does_not_outlive_the_database(site: Site) -> None:
    """B7: a later user of the same name would be read by it."""
    handler = site.open(full(site))
    bob, al, web = two(site, handler)
    site.dba.run(f"GRANT SELECT ON {web}.t TO '{al}'@'%'", f"GRANT SELECT ON `{bob}\\_web`.* TO '{al}'@'%'")
    handler.get_existing_databases()
    handler.drop_database(bob, web)
    assert not site.dba.run(f"SELECT 1 FROM mysql.tables_priv WHERE User = '{al}'")
    assert site.dba.grants(al) == set()


def test_what_others_have_on_a_package_is_told_with_the_statement(mariadb: Site) -> None:
    """S14: the server takes its REVOKE in another mode only than that of dbroster's sessions."""
    handler = mariadb.open(full(mariadb))
    bob, al, web = two(mariadb, handler)
    mariadb.dba.run(
        "SET sql_mode = ORACLE", f"CREATE PACKAGE {web}.k AS PROCEDURE p; END",
        f"GRANT EXECUTE ON PACKAGE {web}.k TO '{al}'@'%'",
    )  # fmt: skip
    handler.get_existing_databases()
    with pytest.raises(OperationError, match="run as root: ") as caught:
        handler.grant_privileges(bob, web)
    mariadb.dba.run(*str(caught.value).partition("run as root: ")[2].rstrip(";").split("; "))
    assert not mariadb.dba.run(f"SELECT 1 FROM mysql.procs_priv WHERE User = '{al}'")
    assert mariadb.open(full(mariadb)).get_existing_databases()[web].granted


def test_what_can_not_be_seen_is_told(site: Site) -> None:
    """B7: an admin without the right to see grants on tables is told the GRANT."""
    least = site.least()
    handler = site.open(least)
    assert f"GRANT SELECT ON mysql.tables_priv TO '{least[0]}'@'%';" in texts(handler)
    assert "mysql.tables_priv" not in texts(site.open(full(site)))


def test_what_everybody_has_on_a_database_is_taken_away(mariadb: Site) -> None:
    """B7: GRANT ... TO PUBLIC, which nobody can say before 10.11."""
    handler = mariadb.open(mariadb.least())
    bob, al, web = two(mariadb, handler)
    to_everybody = f"GRANT SELECT ON `{bob}\\_web`.* TO PUBLIC"
    if handler._facts.version < (10, 11):
        with pytest.raises(pymysql.err.OperationalError, match="Invalid role"):
            mariadb.dba.run(to_everybody)
        return
    mariadb.dba.run(to_everybody)
    mariadb.dba.run_as(al, PASSWORD, f"SELECT * FROM {web}.t")
    assert not handler.get_existing_databases()[web].granted
    handler.grant_privileges(bob, web)
    assert handler.get_existing_databases()[web].granted


def test_another_users_data_through_a_role_is_told(site: Site) -> None:
    """B6: the admin can't take a role away, so the warning has the statement."""
    handler = site.open(site.least())
    bob, al, web = two(site, handler)
    outer, inner = site.name(), site.name()
    site.dba.run(
        f"CREATE ROLE {inner}", f"GRANT SELECT ON `{bob}\\_web`.* TO {inner}", f"CREATE ROLE {outer}",
        f"GRANT {inner} TO {outer}", f"GRANT {outer} TO '{al}'@'%'",
    )  # fmt: skip
    try:
        told = texts(handler)
        assert f"{al}@% reaches {web} through the role {inner}: REVOKE" in told
    finally:
        site.dba.run(f"DROP ROLE {outer}", f"DROP ROLE {inner}")


def test_roles_that_everybody_has_are_told(mysql: Site) -> None:
    """B6, B7, K9: mandatory_roles, by themselves and through a role, with a database and with global privileges."""
    handler = mysql.open(mysql.least())
    bob, _, web = two(mysql, handler)
    role, inner, strong = mysql.name(), mysql.name(), mysql.name()
    mysql.dba.run(
        f"CREATE ROLE {role}, {inner}, {strong}", f"GRANT SELECT ON `{bob}\\_web`.* TO {inner}",
        f"GRANT {inner} TO {role}", f"GRANT SELECT ON *.* TO {strong}",
    )  # fmt: skip
    try:
        with mysql.setting("mandatory_roles", f"'`{role}`@`%`,{strong}'", "''"):
            told = texts(mysql.open(mysql.least()))
            assert f"everybody reaches {web}: REVOKE SELECT ON `{bob}\\_web`.* FROM '{inner}'@'%';" in told
            assert f"everybody has the role {strong}, which holds global privileges" in told
            assert f"SET PERSIST mandatory_roles = '`{role}`@`%`';" in told
    finally:
        mysql.dba.run(f"DROP ROLE {role}, {inner}, {strong}")
    assert "everybody" not in texts(mysql.open(mysql.least()))


def test_a_user_who_is_a_mandatory_role_is_told_before(mysql: Site) -> None:
    """C7, K9: the server refuses to drop it."""
    handler = mysql.open(mysql.least())
    bob, _, _ = two(mysql, handler)
    with mysql.setting("mandatory_roles", f"'{bob}'", "''"):
        seeing = mysql.open(mysql.least())
        seeing.get_existing_users()
        (foreseen,) = seeing.foresee([Action(Verb.DROP_USER, bob)])
        assert foreseen
        assert "SET PERSIST mandatory_roles = '';" in foreseen
        mysql.dba.run(foreseen.rpartition("take it out: ")[2].replace("PERSIST", "GLOBAL").rstrip(";"))
        handler.lock_user(bob)
        handler.drop_user(bob)


def test_a_user_who_was_granted_as_a_role_stays_ours(mysql: Site) -> None:
    """B6, A11: any account can be a role on MySQL; it is told, and hinders no removal."""
    handler = mysql.open(mysql.least())
    bob, al, web = two(mysql, handler)
    mysql.dba.run(f"GRANT '{bob}'@'%' TO '{al}'@'%'")
    assert handler.get_existing_users()[bob].managed
    assert f"{al}@% reaches {web} through the role {bob}: REVOKE '{bob}'@'%' FROM '{al}'@'%';" in texts(handler)
    handler.lock_user(bob)
    handler.drop_database(bob, web)
    handler.drop_user(bob)


def test_a_grant_that_the_admin_can_not_revoke_is_told_before_and_in_the_run(site: Site) -> None:
    """B5, C7: GRANT SELECT ON bob_web.* without backslashes, as everybody writes it."""
    handler = site.open(site.least())
    bob, al, web = two(site, handler)
    site.dba.run(f"GRANT SELECT ON {web}.* TO '{al}'@'%'")
    assert not handler.get_existing_databases()[web].granted
    cure = f"REVOKE SELECT ON `{web}`.* FROM '{al}'@'%'"
    action = Action(Verb.GRANT_PRIVILEGES, bob, web)
    (foreseen,) = foresee(handler, action)
    assert cure in str(foreseen)
    with pytest.raises(OperationError) as caught:
        handler.grant_privileges(bob, web)
    assert cure in str(caught.value)
    site.dba.run(cure)
    assert foresee(handler, action) == [None]
    assert site.open().get_existing_databases()[web].granted
    site.dba.run(f"GRANT SELECT ON {web}.* TO '{al}'@'%'")
    site.open().grant_privileges(bob, web)  # root can
    assert site.dba.grants(al) == set()


def test_a_grant_all_beside_the_own_one_is_foreseen(site: Site) -> None:
    """B5, C7: the user's second grant, without backslashes, can't be taken by this admin; a dry run says so, too."""
    handler = site.open(site.least())
    bob, _, web = two(site, handler)
    site.dba.run(f"GRANT ALL ON {web}.* TO '{bob}'@'%'")
    action = Action(Verb.GRANT_PRIVILEGES, bob, web)
    assert not handler.get_existing_databases()[web].granted
    (foreseen,) = handler.foresee([action])
    assert f"ON `{web}`.* FROM '{bob}'@'%'" in str(foreseen)
    with pytest.raises(OperationError) as caught:
        handler.grant_privileges(bob, web)
    assert str(caught.value) == foreseen


def test_what_differs_in_the_users_own_grant_is_named(site: Site) -> None:
    """C8: "privileges differ" says which are missing, and which are too much."""
    handler = site.open()
    bob, _, web = two(site, handler)
    site.dba.run(f"REVOKE DROP, EVENT ON `{bob}\\_web`.* FROM '{bob}'@'%'")
    assert handler.get_existing_databases()[web].differs == f"{bob} lacks DROP, EVENT"
    site.dba.run(f"REVOKE ALL ON `{bob}\\_web`.* FROM '{bob}'@'%'")
    assert handler.get_existing_databases()[web].differs == f"{bob} has no privileges"
    handler.grant_privileges(bob, web)
    site.dba.run(f"GRANT SELECT ON {web}.* TO '{bob}'@'%'")
    assert handler.get_existing_databases()[web].differs == f"{bob} has more than wanted: SELECT on {web}"


def test_a_grant_that_waits_for_a_new_database_is_foreseen(site: Site) -> None:
    """B5, C7: who may enter a database before it is made would read a new user's data."""
    handler = site.open(site.least())
    bob, al, web = two(site, handler)
    site.dba.run(
        f"REVOKE ALL ON `{bob}\\_web`.* FROM '{bob}'@'%'",
        f"DROP DATABASE {web}",
        f"GRANT SELECT ON {web}.* TO '{al}'@'%'",
    )
    handler.get_existing_databases()
    reasons = handler.foresee([Action(Verb.CREATE_DATABASE, bob, web), Action(Verb.GRANT_PRIVILEGES, bob, web)])
    assert reasons[0] is None
    assert f"REVOKE SELECT ON `{web}`.* FROM '{al}'@'%'" in str(reasons[1])


def test_the_users_own_grant_comes_first(site: Site) -> None:
    """B5: what can't be taken from others keeps nobody from the own database."""
    handler = site.open(site.least())
    bob, al, web = two(site, handler)
    site.dba.run(f"GRANT SELECT ON {web}.* TO '{al}'@'%'", f"REVOKE ALL ON `{bob}\\_web`.* FROM '{bob}'@'%'")
    handler.get_existing_databases()
    assert handler.foresee([Action(Verb.GRANT_PRIVILEGES, bob, web)]) == [None]
    with pytest.raises(OperationError, match="as root"):
        handler.grant_privileges(bob, web)
    site.dba.run_as(bob, PASSWORD, f"SELECT * FROM {web}.t")


def test_what_a_lock_takes_and_nobody_gives_back_is_told(site: Site) -> None:
    """B3: privileges that others have granted, before they go."""
    handler, other = site.open(full(site)), site.name()
    bob, al, _ = two(site, handler)
    site.dba.run(f"CREATE DATABASE {other}", f"GRANT SELECT ON {other}.* TO '{bob}'@'%'")
    foresee(handler, Action(Verb.LOCK_USER, bob), Action(Verb.LOCK_USER, al))
    assert [w for w in handler.warnings() if w.user == bob and f"SELECT on {other}" in w.text]
    assert not [w for w in handler.warnings() if w.user == al]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE DEFINER = '{0}'@'%' VIEW {1}.x AS SELECT 1",
        "CREATE DEFINER = '{0}'@'%' PROCEDURE {1}.x() SELECT 1",
        "CREATE DEFINER = '{0}'@'%' EVENT {1}.x ON SCHEDULE EVERY 1 DAY DO SELECT 1",
    ],
)
def test_a_definer_elsewhere_keeps_the_account(site: Site, statement: str) -> None:
    """C10: DROP USER would leave an orphan, silently on MariaDB and as root."""
    handler, other = site.open(), site.name()
    bob, _, web = two(site, handler)
    site.dba.run(f"CREATE DATABASE {other}", statement.format(bob, other))
    handler.get_existing_users()
    handler.get_existing_databases()
    plan = [Action(Verb.LOCK_USER, bob), Action(Verb.DROP_DATABASE, bob, web), Action(Verb.DROP_USER, bob)]
    reasons = handler.foresee(plan)
    assert reasons[:2] == [None, None]
    assert f"{other}.x" in str(reasons[2])


def test_a_foreign_key_from_elsewhere_is_foreseen(site: Site) -> None:
    """C7: the server refuses the drop, and MariaDB has dropped some tables by then."""
    handler, other = site.open(), site.name()
    bob, _, web = two(site, handler)
    site.dba.run(
        f"CREATE DATABASE {other}", f"CREATE TABLE {web}.parent (n INT PRIMARY KEY) ENGINE=InnoDB",
        f"CREATE TABLE {other}.child (n INT, FOREIGN KEY (n) REFERENCES {web}.parent (n)) ENGINE=InnoDB",
    )  # fmt: skip
    handler.get_existing_users()
    handler.get_existing_databases()
    plan = [Action(Verb.UPDATE_PASSWORD, bob, None, Secret(PASSWORD)), Action(Verb.DROP_DATABASE, bob, web)]
    assert f"refer to it by foreign keys ({other}.child)" in str(handler.foresee(plan)[1])
    assert handler.foresee([*plan, Action(Verb.DROP_DATABASE, other, other)])[1] is None
    site.dba.run(f"DROP TABLE {other}.child")
    assert handler.foresee(plan) == [None, None]


# --- accounts that nobody can use -------------------------------------------------------------------------------------


def test_an_expired_password_is_told(site: Site) -> None:
    """C6: nobody can work with it, although it is right."""
    handler = site.open()
    bob, al, _ = two(site, handler)
    site.dba.run(f"ALTER USER '{bob}'@'%' PASSWORD EXPIRE")
    found = handler.get_existing_users()
    assert "expired" in str(found[bob].unusable)
    assert found[bob].renewable
    assert found[al].unusable is None
    handler.update_user_password(bob, Secret(PASSWORD))
    assert handler.get_existing_users()[bob].unusable is None


def test_a_password_that_was_valid_for_some_days_is_told(mysql: Site) -> None:
    """C6: by PASSWORD EXPIRE INTERVAL, and by default_password_lifetime."""
    handler = mysql.open()
    bob, _, _ = two(mysql, handler)
    mysql.dba.run(f"ALTER USER '{bob}'@'%' PASSWORD EXPIRE INTERVAL 3 DAY")
    assert handler.get_existing_users()[bob].unusable is None
    mysql.dba.run(f"UPDATE mysql.user SET password_last_changed = NOW() - INTERVAL 4 DAY WHERE User = '{bob}'")
    assert "expired" in str(handler.get_existing_users()[bob].unusable)


def test_an_account_without_sessions_is_told(mariadb: Site) -> None:
    """C6: MAX_USER_CONNECTIONS -1."""
    handler = mariadb.open()
    bob, _, _ = two(mariadb, handler)
    mariadb.dba.run(f"ALTER USER '{bob}'@'%' WITH MAX_USER_CONNECTIONS -1")
    found = handler.get_existing_users()[bob]
    assert "no session" in str(found.unusable)
    assert not found.renewable


def test_a_plugin_that_is_not_loaded_is_told(mysql: Site) -> None:
    """C6: the account of an old server, on one that has no mysql_native_password any more."""
    handler = mysql.open()
    bob, _, _ = two(mysql, handler)
    mysql.dba.run(f"UPDATE mysql.user SET plugin = 'mysql_native_password' WHERE User = '{bob}'", "FLUSH PRIVILEGES")
    found = handler.get_existing_users()[bob]
    assert "not loaded" in str(found.unusable)
    assert found.renewable
    handler.update_user_password(bob, Secret(OTHER))
    assert mysql.dba.can_login(bob, OTHER)


def test_a_password_that_can_not_be_checked_is_told_with_the_reason(mariadb: Site) -> None:
    """C6: several ways to log in; the statement in the reason leaves none, and then the password is set."""
    handler = mariadb.open()
    bob, _, _ = two(mariadb, handler)
    mariadb.dba.run(f"ALTER USER '{bob}'@'%' IDENTIFIED VIA ed25519 USING PASSWORD('x') OR unix_socket")
    users = [User(bob, Secret(PASSWORD), 1)]
    assert handler.check_passwords(users, handler.get_existing_users()) == {bob: PasswordCheck.UNKNOWN}
    assert "several ways" in handler.doubts[bob]
    mariadb.dba.run(handler.doubts[bob].rpartition(": ")[2].rstrip(";"))
    assert handler.check_passwords(users, handler.get_existing_users()) == {bob: PasswordCheck.DIFFERENT}
    handler.update_user_password(bob, Secret(PASSWORD))
    assert mariadb.dba.can_login(bob, PASSWORD)


def test_a_way_to_log_in_that_is_left_as_it_is_stays(mariadb: Site) -> None:
    """C8: an account for one more host replaced unix_socket, while the report said that it is left as it is."""
    handler = mariadb.open()
    bob, _, _ = two(mariadb, handler)
    mariadb.dba.run(f"ALTER USER '{bob}'@'%' IDENTIFIED VIA unix_socket")
    mariadb.open(options={"hosts": ("%", "10.%")}).create_user(bob, Secret(PASSWORD))
    found = mariadb.dba.run(f"SELECT Host, plugin FROM mysql.user WHERE User = '{bob}' ORDER BY Host")
    assert found == [("%", "unix_socket"), ("10.%", "mysql_native_password")]


# --- files and names --------------------------------------------------------------------------------------------------


def test_a_stray_file_in_a_databases_directory_is_told_with_its_path(site: Site) -> None:
    """C10: MySQL drops the database and only warns; MariaDB keeps it, without its comment, which comes back."""
    handler = site.open()
    bob, _, web = two(site, handler)
    ((data,),) = site.dba.run("SELECT @@datadir")
    stray = Path(data) / web / "leftover.csv"
    stray.write_text("x")
    with pytest.raises(OperationError, match=f"{data}{web}") as caught:
        handler.drop_database(bob, web)
    assert ("can't be made again" if site.server.engine == "mysql" else "its tables are gone") in str(caught.value)
    handler.get_existing_users()
    assert handler.get_existing_databases()[web].owner == bob
    assert handler.foresee([Action(Verb.DROP_DATABASE, bob, web)]) == [None]
    stray.unlink()
    if site.server.engine == "mysql":
        stray.parent.rmdir()
    handler.drop_database(bob, web)
    assert site.dba.databases(bob) == set()


def test_names_are_as_long_as_the_server_takes_them(mariadb: Site) -> None:
    """C10: 80 characters before MariaDB 10.6, 128 since; for accounts, and for the roles that mark them."""
    handler = mariadb.open(mariadb.least())
    longest = 80 if handler._facts.version < (10, 6) else 128
    name = f"u{'1' * (longest - 2)}q"
    assert handler.refuse_user(name) is None
    handler.create_user(name, Secret(PASSWORD))
    assert handler.get_existing_users()[name].managed
    assert mariadb.dba.run_as(name, PASSWORD, "SELECT 1")
    assert f"MariaDB takes {longest}" in str(handler.refuse_user(f"{name}q"))
    with pytest.raises(pymysql.err.OperationalError, match="is too long for user name"):
        mariadb.dba.run(f"CREATE USER '{name}q'")


def test_the_roles_that_mark_are_as_long_as_the_server_takes_them(mariadb: Site) -> None:
    """C10: the longest role that is not refused can be made."""
    roster = f"{mariadb.name()}{'r' * 20}"
    handler = mariadb.open(roster=roster)
    longest = 80 if handler._facts.version < (10, 6) else 128
    bob, prefix = mariadb.name(), markers.claim_role(roster, "")
    template = "t" * min(longest - len(prefix), 64 - len(bob) - 2)  # "_" is two characters in a grant
    handler.create_user(bob, Secret(PASSWORD))
    assert handler.refuse_database(f"{bob}_{template}") is None
    web = give(handler, bob, template)
    assert handler.get_existing_databases()[web].granted
    handler._facts.settings["version"] = "10.5.23-MariaDB"
    assert "MariaDB takes 80" in str(handler.refuse_database(f"{bob}_{'t' * (81 - len(prefix))}"))


def test_a_changed_comment_puts_the_drop_off_for_a_run(mariadb: Site) -> None:
    """A10, B4: who made the database anew by hand gets a run's time; its user keeps nothing by it."""
    handler = mariadb.open(mariadb.least())
    bob, _, web = two(mariadb, handler)
    mariadb.dba.run_as(bob, PASSWORD, f"ALTER DATABASE {web} COMMENT ''")
    drop = [Action(Verb.DROP_DATABASE, bob, web)]
    (reason,) = foresee(handler, *drop)
    assert "the next one drops it" in str(reason)
    handler.prepare()
    assert mariadb.dba.grants(bob) == set()
    assert foresee(handler, *drop) == [None]
    handler.drop_database(bob, web)
