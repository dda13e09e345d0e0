"""What marks accounts and databases, what passwords and privileges look like."""

import pytest

from dbroster.engines.base import Handler
from dbroster.engines.clickhouse_privileges import Tree
from dbroster.engines.clickhouse_session import identifier, literal
from dbroster.engines.clickhouse_state import Marker
from dbroster.model import Lock, PasswordCheck, User
from dbroster.secret import Secret
from tests.contract.adapter_clickhouse import ClickHouseAdapter, quoted

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
    ["", "dbroster/1", "dbroster/1 a", "dbroster/2 a b", "dbroster/1 a b c", "dbroster/1  b", "x dbroster/1 a b"],
)
def test_a_comment_that_is_no_marker(comment: str) -> None:
    assert Marker.read(comment) is None


def test_a_marker_is_read_as_it_was_written() -> None:
    assert Marker.read(str(Marker("team", "bob.smith-2"))) == Marker("team", "bob.smith-2")


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
    by_hand(adapter, f"ALTER USER {quoted(bob)} HOST IP '192.0.2.1'")
    assert check(handler, bob) is PasswordCheck.UNKNOWN
    handler.update_user_password(bob, GOOD)
    assert handler.get_existing_users()[bob].lock is Lock.OPEN
    assert "192.0.2.1" in adapter.fingerprint(bob)


def test_a_host_rule_that_lets_us_in_still_tells(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    by_hand(adapter, f"ALTER USER {quoted(bob)} HOST IP '127.0.0.0/8'")
    assert check(handler, bob) is PasswordCheck.SAME
    assert check(handler, bob, Secret("wrong-Horse-9")) is PasswordCheck.UNKNOWN


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
    assert [problem.text for problem in handler.warnings() if f"{bob}_web" in problem.text]


def test_a_marker_role_with_privileges_is_told(adapter: ClickHouseAdapter, handler: Handler, prefix: str) -> None:
    assert handler.warnings() == []
    by_hand(adapter, f"GRANT SELECT ON {quoted(prefix)}.* TO {quoted('dbroster:' + prefix)}")
    assert any("only marks accounts" in problem.text for problem in handler.warnings())


def test_names_are_measured_as_file_names(handler: Handler) -> None:
    assert handler.refuse_database("a" * 128) is None
    assert handler.refuse_database("a" * 126 + "-") is not None
    assert handler.refuse_database("system") is not None
