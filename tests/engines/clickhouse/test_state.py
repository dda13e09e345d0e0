"""What marks accounts and databases, what passwords and privileges look like."""

import pytest

from dbroster.engines.base import Handler
from dbroster.engines.clickhouse.access.admin_privileges import Tree
from dbroster.engines.clickhouse.markers import Marker
from dbroster.engines.clickhouse.session import identifier, literal
from dbroster.errors import OperationError
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from dbroster.model.roster import User
from dbroster.model.state import Lock, PasswordCheck
from dbroster.passwords.secret import Secret
from tests.engines.clickhouse.adapter import ClickHouseAdapter, quoted

GOOD = Secret("Correct-horse-7")


def by_hand(adapter: ClickHouseAdapter, statement: str) -> None:
    adapter.ask(adapter.server.admin_user, adapter.server.admin_password, statement)


def check(handler: Handler, user: str, password: Secret = GOOD) -> PasswordCheck:
    return handler.check_passwords([User(user, password, 1)], handler.get_existing_users())[user]


@pytest.fixture
def bob(handler: Handler, prefix: str) -> str:
    name = prefix + "bob"
    handler.create_user(name, GOOD)
    return name


# --- pure ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "dbroster/2",
        "dbroster/2 a b",
        "dbroster/1 a b c",
        "dbroster/2 a b c d",
        "dbroster/2  b c",
        "x dbroster/2 a b",
    ],
)
def test_a_comment_that_is_no_marker(comment: str) -> None:
    assert Marker.of_database(comment) is None


def test_a_marker_is_read_as_it_was_written() -> None:
    account, database = Marker("team", "bob.smith-2"), Marker("team", "bob.smith-2", "bob.smith-2_web")
    assert (Marker.of_account(str(account)), Marker.of_database(str(account))) == (account, None)
    assert (Marker.of_account(str(database)), Marker.of_database(str(database))) == (None, database)


def test_quoting() -> None:
    assert identifier("a`b\\c") == "`a\\`b\\\\c`"
    assert literal("a'b\\c") == "'a\\'b\\\\c'"


def test_groups_stand_for_their_parts() -> None:
    tree = Tree.of(
        [("ALL", None), ("SHOW", "ALL"), ("SHOW TABLES", "SHOW"), ("SHOW COLUMNS", "SHOW"), ("dictGet", "ALL")]
    )
    assert tree.leaves(["SHOW"]) == {"SHOW TABLES", "SHOW COLUMNS"}
    assert tree.lacking(["SHOW", "dictGet"], ["SHOW TABLES", "DICTGET"]) == ["SHOW"]
    assert tree.lacking(["SHOW", "dictGet"], ["ALL"]) == []
    assert tree.known(["SHOW", "NOT YET"]) == ["SHOW"]


# --- passwords --------------------------------------------------------------------------------------------------------


def test_an_account_that_needs_no_password_is_different(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    by_hand(adapter, f"ALTER USER {quoted(bob)} IDENTIFIED WITH no_password")
    assert check(handler, bob) is PasswordCheck.DIFFERENT


def test_a_refusal_because_of_the_host_proves_nothing(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    """C6: nor is it left without a reason."""
    by_hand(adapter, f"ALTER USER {quoted(bob)} HOST IP '192.0.2.1'")
    assert check(handler, bob) is PasswordCheck.UNKNOWN
    assert "from certain hosts" in handler.doubts[bob]
    handler.update_user_password(bob, GOOD)
    assert handler.get_existing_users()[bob].lock is Lock.OPEN
    assert "192.0.2.1" in adapter.fingerprint(bob)


def test_a_host_rule_that_lets_us_in_still_tells(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    by_hand(adapter, f"ALTER USER {quoted(bob)} HOST IP '127.0.0.0/8'")
    assert check(handler, bob) is PasswordCheck.SAME
    assert check(handler, bob, Secret("wrong-Horse-9")) is PasswordCheck.UNKNOWN


def test_a_login_without_a_password_is_told(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    """C6: a DBA has given the account a certificate instead."""
    by_hand(adapter, f"ALTER USER {quoted(bob)} IDENTIFIED WITH ssl_certificate CN 'bob'")
    assert check(handler, bob) is PasswordCheck.UNKNOWN
    assert "ssl_certificate" in handler.doubts[bob]


def test_a_role_of_a_users_name_is_no_account(adapter: ClickHouseAdapter, handler: Handler, prefix: str) -> None:
    """A11: it changes nothing for the user, and nothing of the user's goes to it."""
    bob = prefix + "rolf"
    by_hand(adapter, f"CREATE ROLE {quoted(bob)}")
    assert bob not in handler.get_existing_users()
    handler.create_user(bob, GOOD)
    handler.create_database(bob, f"{bob}_web")
    handler.grant_privileges(bob, f"{bob}_web")
    assert handler.get_existing_databases()[f"{bob}_web"].granted
    assert adapter.can_write(bob, GOOD.reveal(), f"{bob}_web")
    handler.lock_user(bob)
    handler.drop_database(bob, f"{bob}_web")
    handler.drop_user(bob)
    assert bob not in adapter.accounts()
    by_hand(adapter, f"DROP ROLE {quoted(bob)}")


def test_opening_makes_every_role_a_default_one_again(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    handler.lock_user(bob)
    handler.update_user_password(bob, GOOD)
    adapter.lock_by_hand(bob)
    assert handler.get_existing_users()[bob].lock is Lock.FOREIGN


# --- privileges and databases -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", ["CREATE DICTIONARY ON {}.*", "SELECT ON {}.* WITH GRANT OPTION", "ALL ON {}.*"])
def test_privileges_that_are_too_much_are_taken_away(
    adapter: ClickHouseAdapter, handler: Handler, bob: str, more: str
) -> None:
    database = f"{bob}_web"
    handler.create_database(bob, database)
    handler.grant_privileges(bob, database)
    what, _, option = more.format(quoted(database)).partition(" WITH ")
    by_hand(adapter, f"GRANT {what} TO {quoted(bob)}" + (f" WITH {option}" if option else ""))
    assert not handler.get_existing_databases()[database].granted
    handler.grant_privileges(bob, database)
    assert handler.get_existing_databases()[database].granted
    assert adapter.can_write(bob, GOOD.reveal(), database)


def test_privileges_do_not_outlive_their_database(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    database = f"{bob}_web"
    handler.create_database(bob, database)
    handler.grant_privileges(bob, database)
    handler.drop_database(bob, database)
    adapter.create_database_by_hand(database)
    assert not adapter.can_write(bob, GOOD.reveal(), database)


def test_a_database_without_its_user_is_told(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    handler.create_database(bob, f"{bob}_web")
    adapter.drop_account_by_hand(bob)
    assert handler.get_existing_databases()[f"{bob}_web"].left_by == bob


def test_a_marker_role_with_privileges_is_told(adapter: ClickHouseAdapter, handler: Handler, prefix: str) -> None:
    assert handler.warnings() == []
    by_hand(adapter, f"GRANT SELECT ON {quoted(prefix)}.* TO {quoted('dbroster:' + prefix)}")
    assert any("only marks accounts" in problem.text for problem in handler.warnings())


def test_names_are_measured_as_file_names(handler: Handler) -> None:
    assert handler.refuse_database("a" * 128) is None
    assert handler.refuse_database("a" * 126 + "-") is not None
    assert handler.refuse_database("system") is not None


def test_one_statement_grants_all_databases_of_a_user(
    adapter: ClickHouseAdapter, handler: Handler, prefix: str
) -> None:
    users = [prefix + "bob", prefix + "al"]
    databases = [(user, f"{user}_{template}") for user in users for template in ("web", "data", "tools")]
    for user in users:
        handler.create_user(user, GOOD)
    for user, database in databases:
        handler.create_database(user, database)
    with adapter.changes() as changes:
        outcomes = handler.perform_all([Action(Verb.GRANT_PRIVILEGES, *names) for names in databases])
    assert [outcome.status for outcome in outcomes] == [Status.DONE] * 6
    assert [change.count(" ON `") for change in changes] == [3, 3]
    existing = handler.get_existing_databases()
    assert all(existing[database].granted for _, database in databases)


def test_a_database_that_is_gone_spoils_no_other_grant(handler: Handler, bob: str) -> None:
    for template in ("web", "data"):
        handler.create_database(bob, f"{bob}_{template}")
    wanted = [Action(Verb.GRANT_PRIVILEGES, bob, f"{bob}_{template}") for template in ("web", "gone", "data")]
    outcomes = handler.perform_all(wanted)
    assert [outcome.status for outcome in outcomes] == [Status.DONE, Status.FAILED, Status.DONE]
    assert "does not exist any more" in str(outcomes[1].error)
    assert handler.get_existing_databases()[f"{bob}_data"].granted


# --- what a DBA has done ----------------------------------------------------------------------------------------------


def test_a_managed_account_that_was_made_an_admin_is_left_alone(
    adapter: ClickHouseAdapter, handler: Handler, bob: str
) -> None:
    by_hand(adapter, f"GRANT ACCESS MANAGEMENT ON *.* TO {quoted(bob)}")
    found = handler.get_existing_users()[bob]
    assert (found.managed, found.protected) == (False, "it may manage accounts")


def test_the_lock_of_a_dba_stays_his_on_an_adopted_account(
    adapter: ClickHouseAdapter, handler: Handler, prefix: str
) -> None:
    """Its default roles are a list, so that the marker does not become one by itself."""
    eve, role = prefix + "eve", f"dbroster:{prefix}role"
    adapter.create_account_by_hand(eve, GOOD.reveal())
    by_hand(adapter, f"CREATE ROLE {quoted(role)}")
    by_hand(adapter, f"GRANT {quoted(role)} TO {quoted(eve)} WITH ADMIN OPTION")
    by_hand(adapter, f"ALTER USER {quoted(eve)} DEFAULT ROLE {quoted(role)}")
    handler.adopt_user(eve, GOOD)
    adapter.lock_by_hand(eve)
    assert handler.get_existing_users()[eve].lock is Lock.FOREIGN
    handler.lock_user(eve)
    assert handler.get_existing_users()[eve].lock is Lock.FOREIGN


def test_who_logs_in_otherwise_is_not_adopted(adapter: ClickHouseAdapter, handler: Handler, prefix: str) -> None:
    eve = prefix + "eve"
    by_hand(adapter, f"CREATE USER {quoted(eve)} IDENTIFIED WITH ssl_certificate CN 'eve'")
    before = adapter.fingerprint(eve)
    with pytest.raises(OperationError, match="something else than a password"):
        handler.adopt_user(eve, GOOD)
    assert adapter.fingerprint(eve) == before
