"""What only MySQL has."""

from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from dbroster.cli.main import main
from dbroster.errors import UnsupportedServer
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.passwords.secret import Secret
from servers import MySQL
from tests.engines.mysql.conftest import PASSWORD, TEMPLATES, Site, give, site_of
from tests.support.mysql_tools import on_path


def test_the_documented_grants_are_exactly_what_is_asked_for(mysql: Site) -> None:
    mysql.dba.run("CREATE USER 'u0q'@'%' IDENTIFIED BY 'Correct-horse-7'")
    listed = (
        "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES, "
        "EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER"
    )
    assert mysql.open(("u0q", PASSWORD)).missing_privileges(TEMPLATES) == [
        "GRANT SELECT ON mysql.user TO 'u0q'@'%';",
        "GRANT SELECT ON mysql.db TO 'u0q'@'%';",
        "GRANT SELECT ON mysql.global_grants TO 'u0q'@'%';",
        "GRANT SELECT ON mysql.role_edges TO 'u0q'@'%';",
        "GRANT CREATE USER ON *.* TO 'u0q'@'%';",
        f"GRANT {listed} ON `%\\_tools`.* TO 'u0q'@'%' WITH GRANT OPTION;",
        f"GRANT {listed} ON `%\\_web`.* TO 'u0q'@'%' WITH GRANT OPTION;",
    ]


def test_an_admin_whose_rights_come_from_a_role_misses_nothing(mysql: Site) -> None:
    name, role = mysql.name(), mysql.name()
    mysql.dba.run(f"CREATE USER '{name}'@'%' IDENTIFIED BY '{PASSWORD}'", f"CREATE ROLE {role}")
    for statement in mysql.open((name, PASSWORD)).missing_privileges(TEMPLATES):
        mysql.dba.run(statement.replace(f"'{name}'@'%'", role))
    mysql.dba.run(f"GRANT {role} TO '{name}'@'%'", f"SET DEFAULT ROLE {role} TO '{name}'@'%'")
    handler = mysql.open((name, PASSWORD))
    assert handler.missing_privileges(TEMPLATES) == []
    bob = mysql.name()
    handler.create_user(bob, Secret(PASSWORD))
    give(handler, bob)


def test_with_partial_revokes_names_stand_as_they_are(mysql: Site) -> None:
    bob = mysql.name()
    before = mysql.open()
    before.create_user(bob, Secret(PASSWORD))
    web = give(before, bob)
    with mysql.setting("partial_revokes", "ON", "OFF"):
        handler = mysql.open()
        assert not handler.get_existing_databases()[web].granted
        handler.grant_privileges(bob, web)
        assert mysql.dba.grants(bob) == {web}
        assert handler.get_existing_databases()[web].granted
        mysql.dba.run(f"CREATE DATABASE {bob}Xweb", f"CREATE TABLE {bob}Xweb.t (n INT)")
        mysql.dba.run_as(bob, PASSWORD, f"CREATE TABLE {web}.t (n INT)")
        with pytest.raises(pymysql.err.OperationalError):
            mysql.dba.run_as(bob, PASSWORD, f"SELECT * FROM {bob}Xweb.t")
        assert handler.refuse_database("a" * 32 + "_" + "b" * 31) is None
        least = mysql.open(mysql.least())
        assert least.missing_privileges(TEMPLATES) == []
        least.drop_database(bob, web)
        assert mysql.dba.grants(bob) == set()


def test_a_database_that_its_user_made_read_only_is_dropped(mysql: Site) -> None:
    handler = mysql.open(mysql.least())
    bob, web = mysql.user(handler, "web")
    mysql.dba.run_as(bob, PASSWORD, f"ALTER DATABASE {web} READ ONLY = 1")
    handler.drop_database(bob, web)
    assert mysql.dba.databases(bob) == set()


def test_the_rules_of_validate_password_are_read(mysql: Site) -> None:
    assert mysql.open().password_rules() == ()
    mysql.dba.run("INSTALL COMPONENT 'file://component_validate_password'")
    try:
        mysql.dba.run("SET GLOBAL validate_password.length = 10", "SET GLOBAL validate_password.number_count = 2")
        (rules,) = mysql.open().password_rules()
        assert (rules.min_length, rules.lower, rules.upper, rules.digits, rules.others) == (10, 1, 1, 2, 1)
        assert rules.source == "validate_password"
        mysql.dba.run("SET GLOBAL validate_password.policy = LOW")
        (rules,) = mysql.open().password_rules()
        assert (rules.min_length, rules.lower, rules.upper, rules.digits, rules.others) == (10, 0, 0, 0, 0)
        mysql.dba.run("SET GLOBAL validate_password.policy = STRONG")
        assert any("dictionary" in warning.text for warning in mysql.open().warnings())
    finally:
        mysql.dba.run("UNINSTALL COMPONENT 'file://component_validate_password'")


@pytest.mark.parametrize("plugin", ["ed25519", "mysql_native_password"])
def test_a_plugin_that_the_server_lacks_is_refused(mysql: Site, plugin: str) -> None:
    with pytest.raises(UnsupportedServer, match=plugin):
        mysql.open(options={"auth_plugin": plugin})


def test_other_attributes_of_an_account_are_kept(mysql: Site) -> None:
    handler, bob = mysql.open(), mysql.name()
    mysql.dba.run(f"CREATE USER '{bob}'@'%' IDENTIFIED BY '{PASSWORD}' ATTRIBUTE '{{\"team\": \"red\"}}'")
    handler.adopt_user(bob, Secret(PASSWORD))
    handler.lock_user(bob)
    handler.update_user_password(bob, Secret(PASSWORD))
    ((attributes,),) = mysql.dba.run(f"SELECT User_attributes->>'$.metadata' FROM mysql.user WHERE User = '{bob}'")
    assert attributes == '{"team": "red", "dbroster": {"v": 2, "roster": "ROSTER", "account": "BOB@%"}}'.replace(
        "ROSTER", mysql.roster
    ).replace("BOB", bob)


def test_one_taken_name_keeps_no_other_user_of_a_list_from_being_created(mysql: Site) -> None:
    handler, taken = mysql.open(), mysql.name()
    mysql.dba.run(f"CREATE USER '{taken}'@'%'")
    users = [mysql.name(), taken, mysql.name()]
    outcomes = handler.perform_all([Action(Verb.CREATE_USER, user, None, Secret(PASSWORD)) for user in users])
    assert [outcome.status for outcome in outcomes] == [Status.DONE, Status.FAILED, Status.DONE]
    assert not mysql.dba.can_login(taken, PASSWORD)


@pytest.fixture(scope="module")
def folding_server() -> Iterator[MySQL]:
    with MySQL(options={"lower_case_table_names": "1"}) as server:
        yield server


def test_names_are_compared_without_case_where_the_server_does(folding_server: MySQL) -> None:
    with site_of(folding_server) as site:
        handler = site.open(site.least())
        bob = site.name().upper()
        handler.create_user(bob, Secret(PASSWORD))
        for _ in range(2):
            give(handler, bob, "web")
        name = handler.fold_database(f"{bob}_web")
        assert name == f"{bob}_web".lower()
        found = handler.get_existing_databases()[name]
        assert (found.owner, found.granted, found.droppable) == (bob, True, True)
        handler.drop_database(bob, name)
        assert site.dba.grants(bob) == set()
        handler.drop_user(bob)


def test_an_archive_comes_back_where_the_server_compares_names_without_case(
    folding_server: MySQL, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A8: its database is called otherwise than in users.txt; nor are the user's own views those of somebody else."""
    server = folding_server
    with on_path(tmp_path), site_of(server) as site:
        bob, ann = site.name().upper(), site.name()
        section = (
            f"mysql:\n  host: {server.host}\n  port: {server.port}\n  username: {server.admin_user}\n"
            f"  password_file: password\n  tls: {{ca: {server.ca}}}\n"
        )
        files = {
            "mysql_databases.txt": "web\n", "password": f"{server.admin_password}\n",
            "users.txt": f"{bob}:{PASSWORD}\n{ann}:{PASSWORD}\n",
            "connections.yaml": f"roster: {site.roster}\nremovals: {{archive_dir: archives}}\n{section}",
        }  # fmt: skip
        for name, text in files.items():
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o600)

        def run(*arguments: str) -> str:
            code = main([*arguments, "--config", str(tmp_path)])
            said = capsys.readouterr().out
            assert code == 0, said
            return said

        run("sync", "mysql")
        database = f"{bob}_web".lower()
        site.dba.run_as(
            bob, PASSWORD, f"CREATE TABLE {database}.t AS SELECT 7 AS x", f"CREATE VIEW {database}.v AS SELECT 8 AS x"
        )
        (tmp_path / "users.txt").write_text(f"{ann}:{PASSWORD}\n")
        assert "does not hold" not in run("sync", "mysql")
        assert database not in site.dba.databases(database)
        (tmp_path / "users.txt").write_text(files["users.txt"])
        run("sync", "mysql")
        (archive,) = (tmp_path / "archives").rglob(f"{database}-*.sql")
        run("restore", "mysql", str(archive))
        rows = site.dba.run_as(bob, PASSWORD, f"SELECT x FROM {database}.t UNION SELECT x FROM {database}.v")
        assert sorted(rows) == [(7,), (8,)]
