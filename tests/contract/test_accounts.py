"""The contract of accounts: the marker decides what may be changed."""

from collections.abc import Callable

import pytest

from dbroster.engines.base import Handler
from dbroster.errors import OperationError
from dbroster.model.state import Lock, PasswordCheck
from dbroster.passwords.secret import Secret
from tests.contract.world import OTHER_PASSWORD, PASSWORD, World

Write = Callable[[Handler, str], None]

WRITES: dict[str, Write] = {
    "create_user": lambda handler, user: handler.create_user(user, Secret(OTHER_PASSWORD)),
    "update_user_password": lambda handler, user: handler.update_user_password(user, Secret(OTHER_PASSWORD)),
    "create_database": lambda handler, user: handler.create_database(user, f"{user}_web"),
    "grant_privileges": lambda handler, user: handler.grant_privileges(user, f"{user}_web"),
    "lock_user": lambda handler, user: handler.lock_user(user),
    "drop_database": lambda handler, user: handler.drop_database(user, f"{user}_shop"),
    "drop_user": lambda handler, user: handler.drop_user(user),
    "adopt_database": lambda handler, user: handler.adopt_database(user, f"{user}_shop"),
}


# --- creating ---------------------------------------------------------------------------------------------------------


def test_the_marker_appears_with_the_account(world: World) -> None:
    bob = world.user()
    existing = world.existing_user(bob)
    assert existing is not None
    assert (existing.managed, existing.roster, existing.protected) == (True, world.prefix, None)
    assert (existing.complete, existing.lock, existing.surplus) == (True, Lock.OPEN, ())
    assert world.adapter.can_login(bob, PASSWORD)


def test_another_connection_sees_the_marker(world: World) -> None:
    bob = world.user()
    existing = world.existing_user(bob, world.open())
    assert existing is not None
    assert existing.managed


def test_a_new_account_reaches_no_database(world: World) -> None:
    bob, alice = world.user("bob"), world.user("alice")
    database = world.database(alice)
    assert not world.adapter.can_write(bob, PASSWORD, database)


def test_create_user_twice_sets_the_password(world: World) -> None:
    bob = world.user()
    world.handler.create_user(bob, Secret(OTHER_PASSWORD))
    assert world.adapter.can_login(bob, OTHER_PASSWORD)
    assert not world.adapter.can_login(bob, PASSWORD)


def test_names_that_differ_in_case_are_different_accounts(world: World) -> None:
    small, capital = world.user("bob"), world.user("BOB", OTHER_PASSWORD)
    assert world.adapter.can_login(small, PASSWORD)
    assert world.adapter.can_login(capital, OTHER_PASSWORD)
    world.handler.drop_user(capital)
    assert world.adapter.can_login(small, PASSWORD)
    assert world.existing_user(capital) is None


@pytest.mark.parametrize("short", ["b.ob", "b-ob", "1bob", "bob_", "b_o_b", "order", "b" * 20])
def test_every_name_that_the_files_allow_can_be_managed(world: World, short: str) -> None:
    name = world.name(short)
    if "." in short and not world.adapter.dots:
        assert "dot" in (world.handler.refuse_user(name) or "")
        return
    assert world.handler.refuse_user(name) is None
    user = world.user(short)
    database = world.database(user, "a-b.c_d" if world.adapter.dots else "a-b-c_d")
    assert world.adapter.can_write(user, PASSWORD, database)
    world.handler.drop_database(user, database)
    world.handler.drop_user(user)
    assert world.existing_user(user) is None


# --- what is not ours -------------------------------------------------------------------------------------------------


def test_a_foreign_account_is_refused_and_unchanged(world: World, subtests: pytest.Subtests) -> None:
    eve = world.foreign_user()
    world.adapter.create_database_by_hand(f"{eve}_shop")
    before = world.adapter.fingerprint(eve)
    for name, write in WRITES.items():
        with subtests.test(name):
            with pytest.raises(OperationError) as caught:
                write(world.handler, eve)
            assert eve in str(caught.value)
            assert world.adapter.fingerprint(eve) == before
            assert world.adapter.can_login(eve, PASSWORD)
            assert f"{eve}_shop" in world.adapter.databases()
            assert f"{eve}_web" not in world.adapter.databases()


def test_an_account_of_another_roster_is_refused_and_unchanged(world: World, subtests: pytest.Subtests) -> None:
    other = world.other_roster()
    ann = world.name("ann")
    other.create_user(ann, Secret(PASSWORD))
    world.database(ann, "shop", other)
    before = world.adapter.fingerprint(ann)
    for name, write in WRITES.items():
        with subtests.test(name):
            with pytest.raises(OperationError):
                write(world.handler, ann)
            assert world.adapter.fingerprint(ann) == before
            assert world.adapter.can_write(ann, PASSWORD, f"{ann}_shop")


def test_adopt_user_refuses_an_account_of_another_roster(world: World) -> None:
    ann = world.name("ann")
    world.other_roster().create_user(ann, Secret(PASSWORD))
    before = world.adapter.fingerprint(ann)
    with pytest.raises(OperationError):
        world.handler.adopt_user(ann, Secret(OTHER_PASSWORD))
    assert world.adapter.fingerprint(ann) == before


def test_foreign_accounts_are_listed_and_not_managed(world: World) -> None:
    eve, ann = world.foreign_user(), world.name("ann")
    world.other_roster().create_user(ann, Secret(PASSWORD))
    hers, anns = world.existing_user(eve), world.existing_user(ann)
    assert hers is not None
    assert (hers.managed, hers.roster) == (False, None)
    assert anns is not None
    assert (anns.managed, anns.roster) == (False, world.prefix + "2")


def test_the_admin_is_protected_from_itself(world: World, subtests: pytest.Subtests) -> None:
    admin = world.handler.connection.username
    existing = world.existing_user(admin)
    assert existing is not None
    assert existing.protected
    assert not existing.managed
    for name, write in list(WRITES.items())[:5]:
        with subtests.test(name):
            with pytest.raises(OperationError):
                write(world.handler, admin)
            assert world.open().get_existing_users()[admin].protected


def test_adopt_user_never_takes_a_protected_account(world: World) -> None:
    admin = world.handler.connection.username
    with pytest.raises(OperationError):
        world.handler.adopt_user(admin, Secret(OTHER_PASSWORD))
    assert world.open().get_existing_users()[admin].protected


# --- passwords and locks ----------------------------------------------------------------------------------------------


def test_update_user_password_twice(world: World) -> None:
    bob = world.user()
    for _ in range(2):
        world.handler.update_user_password(bob, Secret(OTHER_PASSWORD))
    assert world.adapter.can_login(bob, OTHER_PASSWORD)
    assert not world.adapter.can_login(bob, PASSWORD)


def test_lock_user_shuts_the_account_and_keeps_the_marker(world: World) -> None:
    bob = world.user()
    for _ in range(2):
        world.handler.lock_user(bob)
    existing = world.existing_user(bob)
    assert existing is not None
    assert (existing.managed, existing.lock) == (True, Lock.OURS)
    assert not world.adapter.can_login(bob, PASSWORD)


def test_lock_user_ends_open_sessions_of_this_user_only(world: World) -> None:
    bob, alice = world.user("bob"), world.user("alice")
    with world.adapter.session(bob, PASSWORD) as his, world.adapter.session(alice, PASSWORD) as hers:
        world.handler.lock_user(bob)
        assert not his.alive()
        assert hers.alive()


def test_update_user_password_opens_what_lock_user_shut(world: World) -> None:
    bob = world.user()
    world.handler.lock_user(bob)
    world.handler.update_user_password(bob, Secret(OTHER_PASSWORD))
    existing = world.existing_user(bob)
    assert existing is not None
    assert (existing.managed, existing.lock) == (True, Lock.OPEN)
    assert world.adapter.can_login(bob, OTHER_PASSWORD)


def test_a_foreign_lock_stays(world: World) -> None:
    bob = world.user()
    world.adapter.lock_by_hand(bob)
    world.handler.update_user_password(bob, Secret(OTHER_PASSWORD))
    existing = world.existing_user(bob)
    assert existing is not None
    assert (existing.managed, existing.lock) == (True, Lock.FOREIGN)
    assert not world.adapter.can_login(bob, OTHER_PASSWORD)


def test_an_account_with_a_foreign_lock_can_be_removed(world: World) -> None:
    bob = world.user()
    world.adapter.lock_by_hand(bob)
    world.handler.lock_user(bob)
    world.handler.drop_user(bob)
    assert bob not in world.adapter.accounts()


# --- dropping ---------------------------------------------------------------------------------------------------------


def test_drop_user_removes_one_account_and_is_repeatable(world: World) -> None:
    bob, alice = world.user("bob"), world.user("alice")
    database = world.database(alice)
    for _ in range(2):
        world.handler.drop_user(bob)
    assert bob not in world.adapter.accounts()
    assert world.adapter.can_write(alice, PASSWORD, database)


def test_drop_user_takes_the_marker_along(world: World) -> None:
    bob = world.user()
    world.handler.drop_user(bob)
    world.adapter.create_account_by_hand(bob, PASSWORD)
    existing = world.existing_user(bob)
    assert existing is not None
    assert not existing.managed


# --- adopting ---------------------------------------------------------------------------------------------------------


def test_adopt_user_sets_marker_and_password_and_is_repeatable(world: World) -> None:
    eve = world.foreign_user()
    for _ in range(2):
        world.handler.adopt_user(eve, Secret(OTHER_PASSWORD))
    existing = world.existing_user(eve)
    assert existing is not None
    assert (existing.managed, existing.roster) == (True, world.prefix)
    assert world.adapter.can_login(eve, OTHER_PASSWORD)
    assert world.check(eve, OTHER_PASSWORD) is PasswordCheck.SAME
