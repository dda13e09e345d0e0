"""The contract of databases: each belongs to one user, and nobody else of the roster gets in."""

import pytest

from dbroster.errors import OperationError
from dbroster.model.result import Status
from dbroster.passwords.secret import Secret
from tests.contract.world import PASSWORD, World


def test_the_owner_can_use_a_new_database(world: World) -> None:
    bob = world.user()
    database = world.database(bob)
    world.adapter.put(bob, PASSWORD, database, "a line")
    assert world.adapter.get(bob, PASSWORD, database) == ["a line"]
    existing = world.existing_database(database)
    assert existing is not None
    assert (existing.owner, existing.granted, existing.usable, existing.droppable) == (bob, True, True, True)


def test_a_new_database_is_closed_to_other_users(world: World) -> None:
    bob, alice, eve = world.user("bob"), world.user("alice"), world.foreign_user()
    database = f"{bob}_web"
    for action in world.claim(bob, database):
        world.handler.perform(action)
        for other in (alice, eve):  # between the two steps as well
            assert not world.adapter.can_write(other, PASSWORD, database)
    world.adapter.put(bob, PASSWORD, database, "private")
    for other in (alice, eve):
        assert not world.adapter.can_read(other, PASSWORD, database)
        if world.adapter.hides_databases:
            assert database not in world.adapter.visible(other, PASSWORD)
    assert database in world.adapter.visible(bob, PASSWORD)


def test_creating_and_granting_again_keeps_the_data(world: World) -> None:
    bob = world.user()
    database = world.database(bob)
    world.adapter.put(bob, PASSWORD, database, "kept")
    world.database(bob)
    assert world.adapter.get(bob, PASSWORD, database) == ["kept"]
    existing = world.existing_database(database)
    assert existing is not None
    assert existing.granted


def test_each_step_may_be_repeated_before_the_next(world: World) -> None:
    bob = world.user()
    database = f"{bob}_web"
    for action in world.claim(bob, database):
        world.handler.perform(action)
        world.handler.perform(action)
    assert world.adapter.can_write(bob, PASSWORD, database)


def test_after_the_first_step_the_claim_is_seen(world: World) -> None:
    bob = world.user()
    database = f"{bob}_web"
    world.handler.perform(world.claim(bob, database)[0])
    existing = world.existing_database(database, world.open())
    assert existing is not None
    assert existing.owner == bob
    assert not (existing.granted and existing.usable)


def test_a_missing_privilege_is_noticed_and_granted(world: World) -> None:
    bob = world.user()
    database = world.database(bob)
    world.adapter.revoke_by_hand(bob, database)
    existing = world.existing_database(database)
    assert existing is not None
    assert (existing.owner, existing.granted) == (bob, False)
    world.handler.grant_privileges(bob, database)
    existing = world.existing_database(database)
    assert existing is not None
    assert existing.granted
    assert world.adapter.can_write(bob, PASSWORD, database)


def test_what_another_roster_user_was_given_is_noticed_and_taken_away(world: World) -> None:
    bob, alice = world.user("bob"), world.user("alice")
    database = world.database(bob)
    world.adapter.put(bob, PASSWORD, database, "private")
    world.adapter.share_by_hand(alice, database)
    existing = world.existing_database(database)
    assert existing is not None
    assert (existing.owner, existing.granted) == (bob, False)
    assert f"{alice} may enter" in (existing.differs or "")
    world.handler.grant_privileges(bob, database)
    existing = world.existing_database(database)
    assert existing is not None
    assert (existing.granted, existing.differs) == (True, None)
    assert not world.adapter.can_read(alice, PASSWORD, database)
    assert world.adapter.can_write(bob, PASSWORD, database)


def test_what_a_user_lacks_is_named(world: World) -> None:
    """C8: "privileges differ" says which."""
    bob = world.user("bob")
    database = world.database(bob)
    world.adapter.revoke_by_hand(bob, database)
    existing = world.existing_database(database)
    assert existing is not None
    assert (existing.granted, existing.differs is not None) == (False, True)
    assert bob in (existing.differs or "")


# --- what is not the user's -------------------------------------------------------------------------------------------


def test_a_foreign_database_is_never_taken(world: World) -> None:
    bob = world.user()
    database = f"{bob}_web"
    world.adapter.create_database_by_hand(database)
    outcomes = [outcome for action in world.claim(bob, database) for outcome in world.handler.perform_all([action])]
    assert Status.FAILED in {outcome.status for outcome in outcomes}
    existing = world.existing_database(database)
    assert existing is not None
    assert existing.owner is None
    assert not world.adapter.can_write(bob, PASSWORD, database)


def test_a_foreign_database_is_never_dropped(world: World) -> None:
    bob = world.user()
    database = f"{bob}_web"
    world.adapter.create_database_by_hand(database)
    with pytest.raises(OperationError):
        world.handler.drop_database(bob, database)
    assert database in world.adapter.databases()


@pytest.mark.parametrize("short", ["alice", "bob_x", "bobX", "b"])
def test_the_database_of_another_user_is_never_dropped(world: World, short: str) -> None:
    bob, other = world.user("bob"), world.user(short)
    database = world.database(other)
    with pytest.raises(OperationError):
        world.handler.drop_database(bob, database)
    assert world.adapter.can_write(other, PASSWORD, database)


def test_users_whose_names_begin_alike_have_nothing_in_common(world: World) -> None:
    short, long = world.user("a"), world.user("a_b")
    one, two = world.database(short), world.database(long)
    owners = {name: database.owner for name, database in world.handler.get_existing_databases().items()}
    assert (owners[one], owners[two]) == (short, long)
    assert not world.adapter.can_write(short, PASSWORD, two)
    assert not world.adapter.can_write(long, PASSWORD, one)
    world.handler.drop_database(short, one)
    world.handler.drop_user(short)
    assert world.adapter.can_write(long, PASSWORD, two)


def test_an_underscore_stands_for_itself_only(world: World) -> None:
    bob = world.user()
    world.database(bob)
    for database in (f"{bob}Xweb", f"{bob}%web", f"{bob}-web"):
        world.adapter.create_database_by_hand(database)
        assert not world.adapter.can_write(bob, PASSWORD, database)
        existing = world.existing_database(database)
        assert existing is not None
        assert existing.owner is None
    if world.adapter.hides_databases:
        assert f"{bob}Xweb" not in world.adapter.visible(bob, PASSWORD)


def test_names_that_differ_in_case_are_told_apart_or_folded(world: World) -> None:
    bob = world.user()
    small, capital = f"{bob}_web", f"{bob}_WEB"
    world.database(bob, "web")
    if world.handler.fold_database(small) == world.handler.fold_database(capital):
        pytest.skip("this server takes both for the same database")
    world.database(bob, "WEB")
    world.handler.drop_database(bob, capital)
    assert world.existing_database(capital) is None
    assert world.adapter.can_write(bob, PASSWORD, small)


def test_a_database_of_another_roster_is_protected(world: World) -> None:
    other, ann = world.other_roster(), world.name("ann")
    other.create_user(ann, Secret(PASSWORD))
    database = world.database(ann, "web", other)
    existing = world.existing_database(database)
    assert existing is not None
    assert existing.owner is None
    assert existing.protected
    with pytest.raises(OperationError):
        world.handler.drop_database(world.user(), database)
    assert world.adapter.can_write(ann, PASSWORD, database)


def test_a_missing_user_gets_no_database(world: World) -> None:
    nobody = world.name("nobody")
    with pytest.raises(OperationError):
        world.database(nobody)
    assert f"{nobody}_web" not in world.adapter.databases()
    assert nobody not in world.adapter.accounts()


def test_system_databases_are_protected(world: World) -> None:
    databases = world.handler.get_existing_databases()
    protected = {name for name, database in databases.items() if database.protected}
    assert protected & {"mysql", "postgres", "admin", "system"}
    assert not any(databases[name].owner for name in protected)


# --- dropping ---------------------------------------------------------------------------------------------------------


def test_drop_database_removes_one_database_and_is_repeatable(world: World) -> None:
    bob, alice = world.user("bob"), world.user("alice")
    dropped, kept, hers = world.database(bob, "old"), world.database(bob, "new"), world.database(alice, "old")
    world.adapter.put(bob, PASSWORD, kept, "kept")
    world.adapter.put(alice, PASSWORD, hers, "hers")
    world.adapter.put(bob, PASSWORD, dropped, "lost")
    for _ in range(2):
        world.handler.drop_database(bob, dropped)
    assert world.existing_database(dropped) is None
    assert dropped not in world.adapter.databases()
    assert world.adapter.get(bob, PASSWORD, kept) == ["kept"]
    assert world.adapter.get(alice, PASSWORD, hers) == ["hers"]


def test_a_database_that_comes_back_by_hand_is_foreign(world: World) -> None:
    bob = world.user()
    database = world.database(bob)
    world.handler.drop_database(bob, database)
    world.adapter.create_database_by_hand(database)
    existing = world.existing_database(database)
    assert existing is not None
    assert existing.owner is None


def test_a_database_dropped_by_hand_is_made_again(world: World) -> None:
    bob = world.user()
    database = world.database(bob)
    world.adapter.drop_database_by_hand(database)
    existing = world.existing_database(database)
    assert existing is None or not existing.usable
    world.database(bob)
    assert world.adapter.can_write(bob, PASSWORD, database)


# --- adopting ---------------------------------------------------------------------------------------------------------


def test_adopt_database_keeps_the_data_for_its_new_owner(world: World) -> None:
    bob = world.user()
    database = f"{bob}_web"
    world.adapter.create_database_by_hand(database)
    if not world.adapter.adopts_databases():
        with pytest.raises(OperationError):
            world.handler.adopt_database(bob, database)
        assert database in world.adapter.databases()
        return
    for _ in range(2):
        world.handler.adopt_database(bob, database)
    existing = world.existing_database(database)
    assert existing is not None
    assert (existing.owner, existing.granted) == (bob, True)
    assert world.adapter.can_write(bob, PASSWORD, database)
