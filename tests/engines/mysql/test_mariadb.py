"""What only MariaDB has."""

from typing import Any

import pytest

from dbroster.engines import connect
from dbroster.errors import OperationError, UnsupportedServer
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.model.roster import User
from dbroster.model.state import PasswordCheck
from dbroster.passwords.secret import Secret
from tests.engines.mysql.conftest import OTHER, PASSWORD, TEMPLATES, Site, give


def test_the_documented_grants_are_exactly_what_is_asked_for(mariadb: Site) -> None:
    mariadb.dba.run("CREATE USER 'u0q'@'%' IDENTIFIED BY 'Correct-horse-7'")
    listed = (
        "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES, "
        "EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER"
    )
    with connect(mariadb.connection(("u0q", PASSWORD))) as handler:
        assert handler.missing_privileges(TEMPLATES) == [
            "GRANT SELECT ON mysql.global_priv TO 'u0q'@'%';",
            "GRANT SELECT ON mysql.db TO 'u0q'@'%';",
            "GRANT SELECT ON mysql.roles_mapping TO 'u0q'@'%';",
            "GRANT CREATE USER ON *.* TO 'u0q'@'%';",
            f"GRANT {listed} ON `%\\_tools`.* TO 'u0q'@'%' WITH GRANT OPTION;",
            f"GRANT {listed} ON `%\\_web`.* TO 'u0q'@'%' WITH GRANT OPTION;",
        ]


def test_a_second_admin_is_told_to_get_the_marker_roles(mariadb: Site) -> None:
    roster = mariadb.name()
    first, al = mariadb.open(roster=roster), mariadb.name()
    first.create_user(al, Secret(PASSWORD))
    give(first, al)
    name, password = mariadb.least()
    with connect(mariadb.connection((name, password), roster=roster)) as handler:
        missing = handler.missing_privileges(TEMPLATES)
    assert missing == [
        f"GRANT `dbroster:{roster}` TO '{name}'@'%' WITH ADMIN OPTION;",
        f"GRANT `dbroster:{roster}:has:web` TO '{name}'@'%' WITH ADMIN OPTION;",
    ]
    mariadb.dba.run(*missing)
    handler, bob = mariadb.open((name, password), roster=roster), mariadb.name()
    assert handler.missing_privileges(TEMPLATES) == []
    handler.create_user(bob, Secret(PASSWORD))
    give(handler, bob)
    handler.lock_user(bob)
    handler.update_user_password(bob, Secret(OTHER))
    assert mariadb.dba.can_login(bob, OTHER)


def test_a_marker_role_that_nobody_may_grant_any_more_is_won_back(mariadb: Site) -> None:
    creator = mariadb.least()
    mariadb.open(creator)
    mariadb.dba.run(f"DROP USER '{creator[0]}'@'%'")
    with connect(mariadb.connection()) as handler:
        missing = handler.missing_privileges(TEMPLATES)
    assert len(missing) == 1
    mariadb.dba.run(*(part for statement in missing for part in statement.split(";") if part.strip()))
    handler, bob = mariadb.open(), mariadb.name()
    assert handler.missing_privileges(TEMPLATES) == []
    handler.create_user(bob, Secret(PASSWORD))
    handler.lock_user(bob)


def test_who_creates_the_marker_role_is_not_managed(mariadb: Site) -> None:
    creator = mariadb.least()
    mariadb.open(creator, roster=mariadb.name())
    found = mariadb.open().get_existing_users()
    assert not found["root"].managed
    assert creator[0] not in found or not found[creator[0]].managed


@pytest.mark.parametrize("plugin", ["mysql_native_password", "ed25519"])
def test_both_plugins_log_in_and_are_recognised(mariadb: Site, plugin: str) -> None:
    handler, bob = mariadb.open(mariadb.least(), options={"auth_plugin": plugin}), mariadb.name()
    handler.create_user(bob, Secret(PASSWORD))
    handler.update_user_password(bob, Secret(OTHER))
    done = mariadb.server.client(bob, OTHER, "", "SELECT 'welcome'")
    assert "welcome" in done.stdout, done.stderr
    existing = handler.get_existing_users()
    for password, answer in ((OTHER, PasswordCheck.SAME), (PASSWORD, PasswordCheck.DIFFERENT)):
        assert handler.check_passwords([User(bob, Secret(password), 1)], existing) == {bob: answer}


def test_another_plugin_with_the_right_password_is_left_as_it_is(mariadb: Site) -> None:
    bob = mariadb.name()
    mariadb.open(options={"auth_plugin": "ed25519"}).create_user(bob, Secret(PASSWORD))
    handler = mariadb.open()
    assert handler.check_passwords([User(bob, Secret(PASSWORD), 1)], handler.get_existing_users()) == {
        bob: PasswordCheck.SAME
    }


def test_of_several_ways_to_log_in_nothing_is_said(mariadb: Site) -> None:
    handler, bob = mariadb.open(), mariadb.name()
    handler.create_user(bob, Secret(PASSWORD))
    mariadb.dba.run(f"ALTER USER '{bob}'@'%' IDENTIFIED VIA ed25519 USING PASSWORD('x') OR unix_socket")
    assert handler.check_passwords([User(bob, Secret(PASSWORD), 1)], handler.get_existing_users()) == {
        bob: PasswordCheck.UNKNOWN
    }


def test_the_caching_plugin_is_refused(mariadb: Site) -> None:
    with pytest.raises(UnsupportedServer, match="caching_sha2_password"):
        mariadb.open(options={"auth_plugin": "caching_sha2_password"})


def test_a_strict_validator_is_refused_and_a_lax_one_gives_its_rules(mariadb: Site) -> None:
    assert mariadb.open().password_rules() == ()
    mariadb.dba.run("INSTALL SONAME 'simple_password_check'")
    try:
        with pytest.raises(UnsupportedServer, match="strict_password_validation = OFF"):
            mariadb.open()
        with mariadb.setting("strict_password_validation", "OFF", "ON"):
            handler, bob = mariadb.open(), mariadb.name()
            (rules,) = handler.password_rules()
            assert (rules.min_length, rules.lower, rules.upper, rules.digits, rules.others) == (8, 1, 1, 1, 1)
            handler.create_user(bob, Secret(PASSWORD))
            assert mariadb.dba.can_login(bob, PASSWORD)
    finally:
        mariadb.dba.run("UNINSTALL SONAME 'simple_password_check'")


def test_an_account_that_appears_in_the_last_moment_is_not_overwritten(mariadb: Site) -> None:
    handler, eve = mariadb.open(), mariadb.name()
    mariadb.dba.run(f"CREATE USER '{eve}'@'%' IDENTIFIED BY '{OTHER}'")
    with pytest.raises(OperationError, match="somebody else"):
        handler._write_accounts([(eve, "%")], handler._clauses({eve: Secret(PASSWORD)}))
    assert mariadb.dba.can_login(eve, OTHER)
    assert not handler.get_existing_users()[eve].managed


def test_one_taken_name_keeps_no_other_user_of_a_list_from_being_created(mariadb: Site) -> None:
    handler, taken = mariadb.open(), mariadb.name()
    mariadb.dba.run(f"CREATE USER '{taken}'@'%' IDENTIFIED BY '{OTHER}'")
    users = [mariadb.name(), taken, mariadb.name()]
    outcomes = handler.perform_all([Action(Verb.CREATE_USER, user, None, Secret(PASSWORD)) for user in users])
    assert [outcome.status for outcome in outcomes] == [Status.DONE, Status.FAILED, Status.DONE]
    assert not mariadb.dba.can_login(taken, PASSWORD)


def test_a_marker_role_that_was_given_privileges_protects_everybody(mariadb: Site) -> None:
    roster, bob = mariadb.name(), mariadb.name()
    handler = mariadb.open(roster=roster)
    handler.create_user(bob, Secret(PASSWORD))
    mariadb.dba.run(f"GRANT PROCESS ON *.* TO `dbroster:{roster}`")
    assert not handler.get_existing_users()[bob].managed
    with pytest.raises(OperationError, match="global privileges"):
        handler.drop_user(bob)


def test_databases_are_looked_up_by_name(mariadb: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """MariaDB looks through the directory of all databases for a list of names, at every batch of a first run."""
    handler, bob = mariadb.open(), mariadb.name()
    handler.create_user(bob, Secret(PASSWORD))
    asked: list[tuple[str, tuple[object, ...]]] = []
    rows = handler._session.rows

    def watched(statement: str, *values: object) -> list[dict[str, Any]]:
        asked.append((statement, values))
        return rows(statement, *values)

    monkeypatch.setattr(handler._session, "rows", watched)
    actions = [Action(Verb.CREATE_DATABASE, bob, f"{bob}_{template}") for template in TEMPLATES]
    assert {outcome.status for outcome in handler.perform_all(actions)} == {Status.DONE}
    ((statement, values),) = [each for each in asked if "SCHEMATA" in each[0]]
    looked_at = [row["r_rows"] for row in rows(f"ANALYZE {statement}", *values) if row["table"] == "SCHEMATA"]
    assert [float(number) for number in looked_at] == [1.0] * len(actions)
