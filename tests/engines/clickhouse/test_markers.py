"""What marks accounts and databases, what a DBA may do to the marks, and what dbroster then does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.errors import OperationError
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Outcome, Status
from dbroster.model.roster import User
from dbroster.model.state import Lock, PasswordCheck
from dbroster.passwords.secret import Secret
from servers import ClickHouse
from tests.engines.clickhouse.adapter import ClickHouseAdapter, quoted
from tests.servers.available import available

GOOD, OTHER = Secret("Correct-horse-7"), Secret("Another-staple-8")


def make(handler: Handler, user: str, template: str = "web") -> str:
    handler.create_user(user, GOOD)
    handler.create_database(user, f"{user}_{template}")
    handler.grant_privileges(user, f"{user}_{template}")
    return user


@pytest.fixture
def bob(handler: Handler, prefix: str) -> str:
    return make(handler, prefix + "bob")


def settings(adapter: ClickHouseAdapter, user: str) -> str:
    return adapter._do(f"SHOW CREATE USER {quoted(user)} FORMAT TSVRaw").partition(" SETTINGS ")[2].strip()


# --- settings that were replaced ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["SETTINGS max_threads = 2 MAX 8 CONST, PROFILE 'default'", "SETTINGS NONE"])
def test_an_account_whose_settings_were_replaced_is_mended(
    adapter: ClickHouseAdapter, handler: Handler, bob: str, how: str
) -> None:
    """A4: the marker went with the settings; the role still says whose roster it is. Other settings stay."""
    adapter._do(f"ALTER USER {quoted(bob)} {how}")
    found = handler.get_existing_users()[bob]
    assert (found.managed, found.complete) == (True, False), "the core plans a part that is missing"
    handler.create_user(bob, GOOD)
    found = handler.get_existing_users()[bob]
    assert (found.managed, found.complete) == (True, True)
    assert f"log_comment = 'dbroster/2 {handler.connection.roster} {bob}'" in settings(adapter, bob)
    assert ("max_threads = 2 MAX 8 CONST" in settings(adapter, bob)) == ("max_threads" in how)


def test_an_account_that_no_marker_names_is_never_removed(
    adapter: ClickHouseAdapter, handler: Handler, bob: str
) -> None:
    """A4, C7: it may be another account that was renamed to this name; the dry run says so with both ways out."""
    adapter._do(f"ALTER USER {quoted(bob)} SETTINGS max_threads = 2")
    plan = [
        Action(Verb.LOCK_USER, bob),
        Action(Verb.DROP_DATABASE, bob, f"{bob}_web"),
        Action(Verb.DROP_USER, bob),
    ]
    reasons = handler.foresee(plan)
    assert all(reason and "don't name it any more" in reason for reason in reasons)
    for action in plan:
        with pytest.raises(OperationError, match="SETTINGS log_comment = 'dbroster/2"):
            handler.perform(action)
    assert adapter.can_write(bob, GOOD.reveal(), f"{bob}_web")
    (advice,) = {line for reason in reasons if reason for line in reason.split(": ") if "ALTER USER" in line}
    adapter._do(advice.partition(";")[0])
    assert handler.foresee(plan) == [None] * 3
    for action in plan:
        handler.perform(action)
    assert bob not in adapter.accounts()


def test_the_role_comes_back(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    """A10: whoever lost the role is still ours, since the setting names the account."""
    adapter.strip_by_hand(bob)
    assert not handler.get_existing_users()[bob].complete
    handler.lock_user(bob)
    assert handler.get_existing_users()[bob].lock is Lock.OURS


# --- databases --------------------------------------------------------------------------------------------------------


def test_a_database_is_its_owners_by_comment_and_name(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    """A2, A10: a claim without a grant stays; a claim of another name, of a user who is gone, is none."""
    web, copy = f"{bob}_web", f"{bob}_copy"
    adapter._do(f"REVOKE ALL ON *.* FROM {quoted(bob)}")
    adapter._do(f"CREATE DATABASE {quoted(copy)} COMMENT 'dbroster/2 {handler.connection.roster} {bob} {web}'")
    found = handler.get_existing_databases()
    assert (found[web].owner, found[web].granted) == (bob, False)
    assert (found[copy].owner, found[copy].marked_for) == (None, web)
    with pytest.raises(OperationError, match="not proven"):
        handler.drop_database(bob, copy)
    adapter.drop_account_by_hand(bob)
    found = handler.get_existing_databases()
    assert (found[web].owner, found[web].left_by) == (None, bob)
    adapter.create_account_by_hand(bob, GOOD.reveal())
    assert handler.get_existing_databases()[web].owner is None, "another account of the same name"


def test_who_has_a_foreign_database_is_told(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    """C8: a grant makes nobody its owner, but a message can name the one who has it."""
    adapter.hand_over_by_hand(bob, f"{bob}_old")
    found = handler.get_existing_databases()[f"{bob}_old"]
    assert (found.owner, found.holder) == (None, bob)


# --- adoption ---------------------------------------------------------------------------------------------------------


def test_adoption_keeps_the_settings_of_the_account(adapter: ClickHouseAdapter, handler: Handler, prefix: str) -> None:
    """A4: an adopted account is marked like one that dbroster has made, and keeps what it has."""
    eve = prefix + "eve"
    adapter.create_account_by_hand(eve, GOOD.reveal())
    adapter._do(f"ALTER USER {quoted(eve)} SETTINGS max_threads = 3")
    handler.adopt_user(eve, OTHER)
    found = handler.get_existing_users()[eve]
    assert (found.managed, found.complete) == (True, True)
    assert "max_threads = 3" in settings(adapter, eve)


def test_an_admin_who_may_not_comment_is_told_before(
    adapter: ClickHouseAdapter, handler: Handler, bob: str, prefix: str
) -> None:
    """C7: the adoption of a database needs a privilege of its own; the dry run gives the GRANT."""
    if isinstance(adapter.server, ClickHouse) and adapter.server.version == "24.8":
        return  # there it can't be done at all: see below
    admin, more = prefix + "adm", f"{bob}_more"
    adapter.create_database_by_hand(more)
    adapter.create_account_by_hand(admin, GOOD.reveal())
    connection = handler.connection
    weak = {name: getattr(connection, name) for name in type(connection)._fields}
    with connect(type(connection)(**{**weak, "username": admin, "password": GOOD})) as limited:
        for statement in limited.missing_privileges(["web"]):
            adapter._do(statement.rstrip(";"))
    with connect(type(connection)(**{**weak, "username": admin, "password": GOOD})) as limited:
        adoption = Action(Verb.ADOPT, bob, more)
        (reason,) = limited.foresee([adoption])
        assert reason
        assert "GRANT ALTER MODIFY DATABASE COMMENT ON *.* TO" in reason
        adapter._do(reason.partition(": ")[2].rstrip(";"))
    with connect(type(connection)(**{**weak, "username": admin, "password": GOOD})) as limited:
        assert limited.foresee([adoption]) == [None]
        limited.adopt_database(bob, more)
    assert handler.get_existing_databases()[more].owner == bob


# --- the other version ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def old() -> Iterator[ClickHouseAdapter]:
    with available(lambda: ClickHouse(version="24.8")) as server:
        adapter = ClickHouseAdapter(server)
        yield adapter
        adapter.close()


def test_a_life_on_24_8(old: ClickHouseAdapter, tmp_path: Path) -> None:
    """E7: the privileges that check asks for are ones that 24.8 knows, and they suffice."""
    admin, bob = "oadmin", "obob"
    old.create_account_by_hand(admin, GOOD.reveal())
    section = old.connection(tmp_path, "o")
    fields = {name: getattr(section, name) for name in type(section)._fields}
    limited = type(section)(**{**fields, "username": admin, "password": GOOD})
    with connect(limited) as handler:
        wanted = handler.missing_privileges(["web"])
        assert " CHECK" not in " ".join(wanted)
        for statement in wanted:
            old._do(statement.rstrip(";"))
    with connect(limited) as handler:
        assert handler.missing_privileges(["web"]) == []
        handler.acquire_sync_lock()
        handler.prepare()
        make(handler, bob)
        assert old.can_write(bob, GOOD.reveal(), f"{bob}_web")
        old._do(f"ALTER USER {bob} SETTINGS max_threads = 2 MIN 1 MAX 8 CONST, PROFILE 'default'")
        handler.create_user(bob, OTHER)
        assert "PROFILE `default`" in settings(old, bob)
        assert "max_threads = 2 MIN 1 MAX 8 CONST" in settings(old, bob)
        existing = handler.get_existing_users()
        assert existing[bob].complete
        assert handler.check_passwords([User(bob, OTHER, 1)], existing) == {bob: PasswordCheck.SAME}
        handler.lock_user(bob)
        assert not old.can_login(bob, OTHER.reveal())
        handler.drop_database(bob, f"{bob}_web")
        handler.drop_user(bob)
    assert bob not in old.accounts()


def test_24_8_can_not_adopt_databases_and_says_so_before(old: ClickHouseAdapter, tmp_path: Path) -> None:
    """E7, C7: MODIFY COMMENT for databases came later; the advice leads to a database of dbroster's own."""
    with connect(old.connection(tmp_path, "p")) as handler:
        handler.prepare()
        handler.create_user("pbob", GOOD)
        old.create_database_by_hand("pbob_web")
        (reason,) = handler.foresee([Action(Verb.ADOPT, "pbob", "pbob_web")])
        assert reason
        old._do(reason.partition(": ")[2].rstrip(";"))
        outcomes: list[Outcome] = handler.perform_all([Action(Verb.CREATE_DATABASE, "pbob", "pbob_web")])
        assert [outcome.status for outcome in outcomes] == [Status.DONE]
    old.wipe("p")
