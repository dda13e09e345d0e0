"""The contract of reading, of the server as a whole, and of limits."""

import pytest

from dbroster.errors import SyncLockHeld
from dbroster.model.plan import Verb
from dbroster.model.roster import User
from dbroster.passwords.secret import Secret
from tests.contract.world import PASSWORD, World, actions


def _read_everything(world: World, users: list[str]) -> int:
    """Read the whole state and return how many messages that took."""
    adapter = world.adapter
    connection = adapter.connection(world.directory, world.prefix)
    with adapter.doomed(None) as immortal, adapter.changes() as changes, immortal.connect(connection) as handler:
        opened = immortal.questions()
        existing = handler.get_existing_users()
        assert handler.get_existing_databases()
        handler.check_passwords([User(user, Secret(PASSWORD), 1) for user in users], existing)
        messages = immortal.questions() - opened
    assert all(existing[user].managed for user in users)
    assert changes == []
    return messages - len(users) * adapter.messages_per_check


def test_reading_takes_as_many_messages_for_60_users_as_for_3(world: World) -> None:
    users = [world.name(f"u{number}") for number in range(60)]
    world.handler.perform_all(actions(Verb.CREATE_USER, users[:3]))
    world.database(users[0])
    few = _read_everything(world, users[:3])
    world.handler.perform_all(actions(Verb.CREATE_USER, users[3:]))
    for user in users[1:10]:
        world.database(user)
    many = _read_everything(world, users)
    assert 0 < many == few < 20


def test_the_servers_name_has_a_version(world: World) -> None:
    server = world.handler.server()
    assert any(character.isdigit() for character in server.product)
    assert server.host


def test_a_full_admin_lacks_nothing(world: World) -> None:
    assert world.handler.missing_privileges(["web", "tools"]) == []


def test_prepare_may_be_repeated(world: World) -> None:
    bob = world.user()
    world.handler.prepare()
    world.open().prepare()
    existing = world.existing_user(bob)
    assert existing is not None
    assert existing.managed


def test_one_sync_at_a_time(world: World) -> None:
    second = world.open()
    world.handler.acquire_sync_lock()
    with pytest.raises(SyncLockHeld) as caught:
        second.acquire_sync_lock()
    assert str(caught.value)
    world.handler.close()
    second.acquire_sync_lock()


def test_usual_names_are_accepted(world: World) -> None:
    name = "bob.smith-2" if world.adapter.dots else "bob-smith-2"
    assert world.handler.refuse_user(name) is None
    assert world.handler.refuse_database(f"{name}_analytics") is None


def test_too_long_names_are_refused_before_the_server_cuts_them(world: World) -> None:
    for refuse in (world.handler.refuse_user, world.handler.refuse_database):
        longest = max(size for size in range(1, 300) if refuse("x" * size) is None)
        reason = refuse("x" * (longest + 1))
        assert reason is not None
        assert str(longest) in reason


def test_the_longest_user_name_really_works(world: World) -> None:
    longest = max(size for size in range(1, 300) if world.handler.refuse_user("x" * size) is None)
    user = world.user("x" * (longest - len(world.prefix)))
    assert world.adapter.can_login(user, PASSWORD)
    world.handler.drop_user(user)
    assert user not in world.adapter.accounts()


def test_the_longest_database_name_really_works(world: World) -> None:
    bob = world.user()
    sizes = range(1, 300)
    longest = max(size for size in sizes if world.handler.refuse_database(f"{bob}_" + "x" * size) is None)
    database = world.database(bob, "x" * longest)
    assert world.adapter.can_write(bob, PASSWORD, database)
    world.handler.drop_database(bob, database)
    assert database not in world.adapter.databases()


def test_sizes_of_databases(world: World) -> None:
    bob = world.user("bob-ohara")
    empty, full = world.database(bob, "web"), world.database(bob, "big-1")
    world.adapter.put(bob, PASSWORD, full, "something")
    connection = world.adapter.connection(world.directory, world.prefix)
    doomed, changed = world.adapter.doomed(None), world.adapter.changes()
    with doomed as immortal, changed as changes, immortal.connect(connection) as handler:
        opened = immortal.questions()
        sizes = handler.database_sizes([empty, full])
        assert 0 < immortal.questions() - opened <= 2
        assert handler.database_sizes([]) == {}
    assert set(sizes) == {empty, full}
    assert sizes[full] > sizes[empty] >= 0
    assert changes == []
