"""What MySQL and MariaDB have in common, beyond the contract that every engine keeps."""

from contextlib import closing

import pymysql
import pytest

from dbroster.errors import OperationError
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.model.roster import User
from dbroster.model.state import Lock, PasswordCheck
from dbroster.passwords.secret import Secret
from tests.engines.mysql.conftest import OTHER, PASSWORD, Site, give

REFUSED = pymysql.err.OperationalError

# --- names in grants --------------------------------------------------------------------------------------------------


def test_an_underscore_reaches_no_other_database(site: Site) -> None:
    handler, bob = site.open(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    give(handler, bob)
    site.dba.run(f"CREATE DATABASE {bob}Xweb", f"CREATE TABLE {bob}Xweb.t (n INT)")
    site.dba.run_as(bob, PASSWORD, f"CREATE TABLE {bob}_web.t (n INT)")
    with pytest.raises(REFUSED):
        site.dba.run_as(bob, PASSWORD, f"SELECT * FROM {bob}Xweb.t")


def test_a_grant_without_backslashes_is_mended(site: Site) -> None:
    handler = site.open()
    bob, web = site.user(handler, "web")
    site.dba.run(f"REVOKE ALL ON `{bob}\\_web`.* FROM '{bob}'@'%'", f"GRANT ALL ON {web}.* TO '{bob}'@'%'")
    found = handler.get_existing_databases()[web]
    assert (found.owner, found.granted) == (bob, False)
    handler.grant_privileges(bob, web)
    assert site.dba.grants(bob) == {f"{bob}\\_web"}
    assert handler.get_existing_databases()[web].granted


def test_grants_of_others_are_taken_away_patterns_too(site: Site) -> None:
    handler, bob, eve = site.open(), site.name(), site.name()
    for user in (bob, eve):
        handler.create_user(user, Secret(PASSWORD))
    web = give(handler, bob)
    site.dba.run(f"GRANT SELECT ON `{bob}%`.* TO '{eve}'@'%'", f"GRANT ALL ON `{bob}\\_web`.* TO '{eve}'@'%'")
    assert not handler.get_existing_databases()[web].granted
    handler.grant_privileges(bob, web)
    assert site.dba.grants(eve) == set()
    assert handler.get_existing_databases()[web].granted


def test_too_much_is_taken_away_from_the_owner(site: Site) -> None:
    handler = site.open()
    bob, web = site.user(handler, "web")
    site.dba.run(f"GRANT SELECT ON `{bob}\\_web`.* TO '{bob}'@'%' WITH GRANT OPTION")
    assert not handler.get_existing_databases()[web].granted
    handler.grant_privileges(bob, web)
    assert handler.get_existing_databases()[web].granted


def test_a_name_too_long_for_a_grant_is_refused(site: Site) -> None:
    handler = site.open()
    assert handler.refuse_database("a" * 31 + "_" + "b" * 31) is None
    assert "as grants have to spell it" in str(handler.refuse_database("a" * 32 + "_" + "b" * 31))
    assert handler.refuse_database("performance_schema") is not None


# --- claims -----------------------------------------------------------------------------------------------------------


def test_a_claim_on_a_database_that_is_gone_is_reported_and_taken_back(site: Site) -> None:
    handler = site.open()
    bob, web = site.user(handler, "web")
    site.dba.run(f"DROP DATABASE {web}")
    found = handler.get_existing_databases()[web]
    assert (found.owner, found.usable, found.droppable) == (bob, False, True)
    handler.drop_database(bob, web)
    assert web not in handler.get_existing_databases()
    assert site.dba.grants(bob) == set()


def test_a_database_that_somebody_creates_in_the_last_moment_is_not_taken(site: Site) -> None:
    handler, bob = site.open(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    web = f"{bob}_web"
    estate = handler._state.estate(bob, web)
    site.dba.run(f"CREATE DATABASE {web}", f"CREATE TABLE {web}.precious (n INT)")
    with pytest.raises(OperationError, match="exists"):
        handler._create_databases([estate])
    with pytest.raises(OperationError, match=r"--adopt"):
        handler.create_database(bob, web)
    assert site.dba.grants(bob) == set()
    assert site.open().get_existing_databases()[web].owner is None


def test_one_database_of_somebody_elses_in_a_batch_is_not_taken_and_keeps_no_other_from_being_created(
    site: Site,
) -> None:
    handler, users = site.open(), [site.name() for _ in range(3)]
    for user in users:
        handler.create_user(user, Secret(PASSWORD))
    theirs = f"{users[1]}_web"
    site.dba.run(f"CREATE DATABASE {theirs}", f"CREATE TABLE {theirs}.precious (n INT)")
    outcomes = handler.perform_all([Action(Verb.CREATE_DATABASE, user, f"{user}_web") for user in users])
    assert [outcome.status for outcome in outcomes] == [Status.DONE, Status.FAILED, Status.DONE]
    assert "--adopt" in (outcomes[1].error or "")
    assert site.dba.grants(users[1]) == set()
    found = site.open().get_existing_databases()
    assert [found[f"{user}_web"].owner for user in users] == [users[0], None, users[2]]


def test_an_answer_lost_after_create_database_is_no_conflict(site: Site) -> None:
    handler = site.open()
    bob, web = site.user(handler, "web")
    site.open().create_database(bob, web)
    assert handler.get_existing_databases()[web].granted


def test_a_grant_with_wildcards_is_no_database_to_drop(site: Site) -> None:
    handler, bob = site.open(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    site.dba.run(f"GRANT ALL ON `{bob}\\_%`.* TO '{bob}'@'%'")
    assert not [name for name in handler.get_existing_databases() if name.startswith(bob)]


# --- hosts ------------------------------------------------------------------------------------------------------------


def test_a_user_has_an_account_per_host_and_surplus_ones_go(site: Site) -> None:
    bob = site.name()
    two = site.open(options={"hosts": ("%", "10.1.%")})
    two.create_user(bob, Secret(PASSWORD))
    web = give(two, bob)
    assert site.dba.accounts(bob) == {"%", "10.1.%"}
    assert two.get_existing_databases()[web].granted

    one = site.open(options={"hosts": ("%",)})
    assert one.get_existing_users()[bob].surplus == (f"{bob}@10.1.%",)
    assert one.get_existing_users()[bob].complete
    one.drop_user(f"{bob}@10.1.%")
    one.drop_user(f"{bob}@10.1.%")
    assert site.dba.accounts(bob) == {"%"}
    assert one.get_existing_databases()[web].granted

    assert not two.get_existing_users()[bob].complete
    assert not two.get_existing_databases()[web].granted
    two.create_user(bob, Secret(PASSWORD))
    two.grant_privileges(bob, web)
    assert two.get_existing_databases()[web].granted
    two.drop_user(bob)
    assert site.dba.accounts(bob) == set()


def test_several_surplus_accounts_of_one_user_are_dropped_at_once(site: Site) -> None:
    bob = site.name()
    site.open(options={"hosts": ("%", "10.1.%", "10.2.%")}).create_user(bob, Secret(PASSWORD))
    handler = site.open()
    drops = [Action(Verb.DROP_USER, part) for part in handler.get_existing_users()[bob].surplus]
    assert [outcome.status for outcome in handler.perform_all(drops)] == [Status.DONE] * 2
    assert site.dba.accounts(bob) == {"%"}


def test_a_foreign_account_on_another_host_is_a_warning(site: Site) -> None:
    handler, bob = site.open(), site.name()
    site.dba.run(f"CREATE USER '{bob}'@'10.9.%' IDENTIFIED BY '{OTHER}'")
    assert bob not in handler.get_existing_users()
    handler.create_user(bob, Secret(PASSWORD))
    assert handler.get_existing_users()[bob].managed
    assert [w.user for w in handler.warnings() if f"{bob}@10.9.%" in w.text] == [bob]
    handler.lock_user(bob)
    handler.drop_user(bob)
    assert site.dba.accounts(bob) == {"10.9.%"}
    with pytest.raises(OperationError, match="not managed"):
        handler.drop_user(f"{bob}@10.9.%")


def test_anonymous_accounts_are_warned_of(site: Site) -> None:
    site.dba.run(f"CREATE USER ''@'10.9.%' IDENTIFIED BY '{OTHER}'")
    try:
        assert any("anonymous" in warning.text for warning in site.open().warnings())
    finally:
        site.dba.run("DROP USER ''@'10.9.%'")


# --- foreign and protected accounts -----------------------------------------------------------------------------------


def test_a_foreign_account_is_left_alone_by_every_method(site: Site) -> None:
    handler, eve = site.open(), site.name()
    site.dba.run(f"CREATE USER '{eve}'@'%' IDENTIFIED BY '{OTHER}'", f"CREATE DATABASE {eve}_web")
    before = site.dba.run(f"SHOW CREATE USER '{eve}'@'%'") + site.dba.run(f"SHOW GRANTS FOR '{eve}'@'%'")
    for change in (handler.create_user, handler.update_user_password):
        with pytest.raises(OperationError):
            change(eve, Secret(PASSWORD))
    for change_database in (handler.grant_privileges, handler.create_database, handler.drop_database):
        with pytest.raises(OperationError):
            change_database(eve, f"{eve}_web")
    for removal in (handler.lock_user, handler.drop_user):
        with pytest.raises(OperationError):
            removal(eve)
    assert before == site.dba.run(f"SHOW CREATE USER '{eve}'@'%'") + site.dba.run(f"SHOW GRANTS FOR '{eve}'@'%'")


def test_root_the_admin_the_listed_and_the_powerful_are_never_touched(site: Site) -> None:
    power, listed = site.name(), site.name()
    site.dba.run(f"CREATE USER '{power}'@'%'", f"CREATE USER '{listed}'@'%'", f"GRANT PROCESS ON *.* TO '{power}'@'%'")
    admin = site.least()
    for handler in (site.open(protected=frozenset({listed})), site.open(admin, protected=frozenset({listed}))):
        found = handler.get_existing_users()
        for name in ("root", power, listed):
            assert found[name].protected
            for change in (handler.adopt_user, handler.create_user, handler.update_user_password):
                with pytest.raises(OperationError):
                    change(name, Secret(PASSWORD))
            with pytest.raises(OperationError):
                handler.drop_user(name)
    assert site.open(admin).get_existing_users()[admin[0]].protected
    assert not site.dba.can_login(power, PASSWORD)


def test_powers_through_a_role_protect(site: Site) -> None:
    eve, role = site.name(), site.name()
    site.dba.run(f"CREATE USER '{eve}'@'%'", f"CREATE ROLE {role}", f"GRANT PROCESS ON *.* TO {role}")
    site.dba.run(f"GRANT {role} TO '{eve}'@'%'")
    try:
        assert "role" in str(site.open().get_existing_users()[eve].protected)
        with pytest.raises(OperationError):
            site.open().adopt_user(eve, Secret(PASSWORD))
    finally:
        site.dba.run(f"DROP ROLE {role}")


def test_a_managed_account_that_was_made_powerful_is_not_managed_any_more(site: Site) -> None:
    handler, bob = site.open(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    site.dba.run(f"GRANT PROCESS ON *.* TO '{bob}'@'%'")
    assert not handler.get_existing_users()[bob].managed
    for removal in (handler.lock_user, handler.drop_user):
        with pytest.raises(OperationError, match="global privileges"):
            removal(bob)


def test_another_rosters_database_is_protected_and_its_account_not_adopted(site: Site) -> None:
    ours, theirs, bob = site.open(), site.open(roster=site.roster + "x"), site.name()
    theirs.create_user(bob, Secret(PASSWORD))
    web = give(theirs, bob)
    assert ours.get_existing_users()[bob].roster == site.roster + "x"
    assert site.roster + "x" in str(ours.get_existing_databases()[web].protected)
    with pytest.raises(OperationError, match=site.roster + "x"):
        ours.adopt_user(bob, Secret(OTHER))
    with pytest.raises(OperationError, match=site.roster + "x"):
        ours.adopt_database(bob, web)


# --- locks, sessions, passwords ---------------------------------------------------------------------------------------


def test_only_our_own_lock_is_opened_again(site: Site) -> None:
    handler, bob, al = site.open(), site.name(), site.name()
    for user in (bob, al):
        handler.create_user(user, Secret(PASSWORD))
    site.dba.run(f"ALTER USER '{al}'@'%' ACCOUNT LOCK")
    handler.lock_user(bob)
    found = handler.get_existing_users()
    assert (found[bob].lock, found[al].lock) == (Lock.OURS, Lock.FOREIGN)
    handler.lock_user(al)
    updates = [Action(Verb.UPDATE_PASSWORD, user, None, Secret(OTHER)) for user in (bob, al)]
    assert [outcome.status for outcome in handler.perform_all(updates)] == [Status.DONE] * 2
    found = handler.get_existing_users()
    assert (found[bob].lock, found[al].lock) == (Lock.OPEN, Lock.FOREIGN)
    assert site.dba.can_login(bob, OTHER)
    assert not site.dba.can_login(al, OTHER)


def test_locking_ends_sessions(site: Site) -> None:
    handler, bob = site.open(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    with closing(site.dba.login(bob, PASSWORD)) as session:
        handler.lock_user(bob)
        with pytest.raises(pymysql.err.MySQLError):
            session.query("SELECT SLEEP(5)")  # the server ends it a moment after KILL has returned
        session._force_close()


def test_an_account_without_password_is_noticed(site: Site) -> None:
    handler, bob = site.open(), site.name()
    handler.create_user(bob, Secret(PASSWORD))
    site.dba.run(f"ALTER USER '{bob}'@'%' IDENTIFIED BY ''")
    assert handler.check_passwords([User(bob, Secret(PASSWORD), 1)], handler.get_existing_users()) == {
        bob: PasswordCheck.DIFFERENT
    }


@pytest.mark.parametrize("password", ["quo'te\"s\\", "per%cent:#", " spaces ", "emoji 🐘 é"])
def test_hostile_passwords_log_in_with_the_native_client(site: Site, password: str) -> None:
    handler, bob = site.open(), site.name()
    handler.create_user(bob, Secret(password))
    done = site.server.client(bob, password, "", "SELECT 'welcome'")
    assert "welcome" in done.stdout, done.stderr


def test_the_statement_logs_hold_no_password(site: Site) -> None:
    handler, bob = site.open(), site.name()
    handler.create_user(bob, Secret("Unheard-of-password-1"))
    handler.perform_all([Action(Verb.UPDATE_PASSWORD, bob, None, Secret("Unheard-of-password-2"))])
    handler.drop_user(bob)
    if not site.server.log_files():
        pytest.skip("the logs of this server are out of reach")
    assert site.server.logs_contain(bob)
    assert not site.server.logs_contain("Unheard-of-password")
