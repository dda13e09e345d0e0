"""The contract of performing a plan, and of connections that break."""

import os
import random
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest

from dbroster.engines.base import Handler
from dbroster.errors import ConnectError, ServerError
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Outcome, Status
from dbroster.model.roster import User
from dbroster.passwords.secret import Secret
from tests.contract.world import OTHER_PASSWORD, PASSWORD, World, actions

SOAK = bool(os.environ.get("DBROSTER_SOAK"))
DONE, FAILED = Status.DONE, Status.FAILED


def _statuses(outcomes: Sequence[Outcome]) -> list[Status]:
    return [outcome.status for outcome in outcomes]


def _with_a_foreign_one(world: World) -> list[str]:
    """Four managed users and, in their middle, a foreign one."""
    names = [world.name(short) for short in ("a", "b", "c", "d")]
    world.handler.perform_all(actions(Verb.CREATE_USER, names))
    return [*names[:2], world.foreign_user(), *names[2:]]


def test_one_outcome_per_action_in_their_order(world: World) -> None:
    users = [world.name(short) for short in ("c", "a", "b")]
    wanted = actions(Verb.CREATE_USER, users)
    outcomes = world.handler.perform_all(wanted)
    assert [outcome.action for outcome in outcomes] == wanted
    assert _statuses(outcomes) == [DONE] * 3
    assert all(outcome.seconds >= 0 and outcome.error is None for outcome in outcomes)
    assert all(world.adapter.can_login(user, PASSWORD) for user in users)


def test_perform_all_may_be_repeated(world: World) -> None:
    users = [world.name(short) for short in ("a", "b", "c")]
    for verb in (Verb.CREATE_USER, Verb.UPDATE_PASSWORD, Verb.LOCK_USER, Verb.DROP_USER):
        for _ in range(2):
            assert _statuses(world.handler.perform_all(actions(verb, users))) == [DONE] * 3
    assert not world.adapter.accounts() & set(users)


def test_a_half_done_batch_may_be_repeated(world: World) -> None:
    users = [world.name(short) for short in ("a", "b", "c", "d")]
    world.handler.perform_all(actions(Verb.CREATE_USER, users[1:3], OTHER_PASSWORD))
    assert _statuses(world.handler.perform_all(actions(Verb.CREATE_USER, users))) == [DONE] * 4
    assert all(world.adapter.can_login(user, PASSWORD) for user in users)
    world.handler.perform_all(actions(Verb.DROP_USER, users[:2]))
    assert _statuses(world.handler.perform_all(actions(Verb.DROP_USER, users))) == [DONE] * 4
    assert not world.adapter.accounts() & set(users)


def test_creating_next_to_a_foreign_account(world: World) -> None:
    users = [world.name("a"), world.foreign_user("b"), world.name("c")]
    before = world.adapter.fingerprint(users[1])
    outcomes = world.handler.perform_all(actions(Verb.CREATE_USER, users, OTHER_PASSWORD))
    assert _statuses(outcomes) == [DONE, FAILED, DONE]
    assert users[1] in (outcomes[1].error or "")
    assert world.adapter.fingerprint(users[1]) == before
    assert world.adapter.can_login(users[0], OTHER_PASSWORD)
    assert world.adapter.can_login(users[2], OTHER_PASSWORD)


@pytest.mark.parametrize("verb", [Verb.UPDATE_PASSWORD, Verb.LOCK_USER, Verb.DROP_USER])
def test_a_foreign_account_does_not_hurt_its_neighbours(world: World, verb: Verb) -> None:
    users = _with_a_foreign_one(world)
    before = world.adapter.fingerprint(users[2])
    outcomes = world.handler.perform_all(actions(verb, users, OTHER_PASSWORD))
    assert _statuses(outcomes) == [DONE, DONE, FAILED, DONE, DONE]
    assert world.adapter.fingerprint(users[2]) == before
    assert world.adapter.can_login(users[2], PASSWORD)
    for user in users[:2] + users[3:]:
        assert not world.adapter.can_login(user, PASSWORD)


def test_a_missing_account_does_not_hurt_its_neighbours(world: World) -> None:
    users = [world.user("a"), world.name("missing"), world.user("c")]
    outcomes = world.handler.perform_all(actions(Verb.UPDATE_PASSWORD, users, OTHER_PASSWORD))
    assert _statuses(outcomes) == [DONE, FAILED, DONE]
    assert users[1] not in world.adapter.accounts()
    assert world.adapter.can_login(users[0], OTHER_PASSWORD)
    assert world.adapter.can_login(users[2], OTHER_PASSWORD)


def test_databases_next_to_a_foreign_one(world: World) -> None:
    users = [world.user(short) for short in ("a", "b", "c")]
    world.adapter.create_database_by_hand(f"{users[1]}_web")
    failed: set[str] = set()
    for verb in world.handler.creation_order:
        wanted = [Action(verb, user, f"{user}_web") for user in users if user not in failed]
        failed |= {o.action.user for o in world.handler.perform_all(wanted) if o.status is FAILED}
    assert failed == {users[1]}
    assert not world.adapter.can_write(users[1], PASSWORD, f"{users[1]}_web")
    for user in (users[0], users[2]):
        assert world.adapter.can_write(user, PASSWORD, f"{user}_web")


def test_dropping_databases_next_to_a_foreign_one(world: World) -> None:
    users = [world.user(short) for short in ("a", "b", "c")]
    databases = [world.database(users[0]), f"{users[1]}_web", world.database(users[2])]
    world.adapter.create_database_by_hand(databases[1])
    wanted = [Action(Verb.DROP_DATABASE, user, f"{user}_web") for user in users]
    assert _statuses(world.handler.perform_all(wanted)) == [DONE, FAILED, DONE]
    assert world.adapter.databases() & set(databases) == {databases[1]}


def _life(world: World) -> list[Sequence[Action]]:
    """Everything that happens to three users, as calls of perform_all."""
    users = [world.name(short) for short in ("a", "b", "c")]
    return [
        actions(Verb.CREATE_USER, users),
        actions(Verb.UPDATE_PASSWORD, users, OTHER_PASSWORD),
        *([Action(verb, user, f"{user}_web") for user in users] for verb in world.handler.creation_order),
        actions(Verb.LOCK_USER, users),
        [Action(Verb.DROP_DATABASE, user, f"{user}_web") for user in users],
        actions(Verb.DROP_USER, users),
    ]


def test_the_witness_sees_every_write_and_no_read(world: World) -> None:
    """Without this, `no change was sent` would prove nothing."""
    handler = world.handler
    with world.adapter.changes() as reads:
        handler.get_existing_users()
        handler.get_existing_databases()
    assert reads == []
    for wanted in _life(world):
        with world.adapter.changes() as changes:
            handler.perform_all(wanted)
        assert changes, wanted[0].verb


@pytest.mark.parametrize("answer_lost", [True, False], ids=["answer lost", "message lost"])
def test_killed_at_any_message_nothing_is_half_managed(world: World, answer_lost: bool) -> None:
    """Without much time at the first one and at some of all others, other ones each time."""
    for wanted in _life(world):
        moment = 1
        while _killed(world, wanted, moment, answer_lost=answer_lost):
            assert not world.half_managed(), (wanted[0].verb, moment)
            moment += 1 if SOAK else random.randint(2, 5)
        assert moment > 1
        assert _statuses(world.open().perform_all(wanted)) == [DONE] * 3
    assert not any(name.startswith(world.prefix) for name in world.adapter.accounts() | world.adapter.databases())


def _killed(world: World, wanted: Sequence[Action], moment: int, *, answer_lost: bool) -> bool:
    """Perform actions on a connection that dies so many messages later; False when they were finished before."""
    connection = world.adapter.connection(world.directory, world.prefix)
    with world.adapter.doomed(None, answer_lost=answer_lost) as doomed, doomed.connect(connection) as handler:
        doomed.arm(moment)
        try:
            outcomes = handler.perform_all(wanted)
        except world.adapter.death:
            return True
    assert _statuses(outcomes) == [DONE] * 3
    return False


# --- connections ------------------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[Handler], object]] = {
    "get_existing_users": lambda handler: handler.get_existing_users(),
    "get_existing_databases": lambda handler: handler.get_existing_databases(),
    "acquire_sync_lock": lambda handler: handler.acquire_sync_lock(),
    "create_user": lambda handler: handler.create_user("nobody", Secret(PASSWORD)),
    "lock_user": lambda handler: handler.lock_user("nobody"),
    "perform_all": lambda handler: handler.perform_all(actions(Verb.CREATE_USER, ["nobody", "nobody2"])),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_broken_connection_is_a_connect_error(world: World, call: Callable[[Handler], object]) -> None:
    handler = world.open()
    handler.get_existing_users()
    world.adapter.end_connections()
    with pytest.raises(ConnectError):
        call(handler)
    handler.close()


def test_close_never_raises(world: World) -> None:
    handler, broken = world.open(), world.open()
    handler.close()
    handler.close()
    with pytest.raises(ConnectError):
        handler.get_existing_users()
    world.adapter.end_connections()
    broken.close()


def test_the_lock_ends_with_the_connection(world: World) -> None:
    """Q7: so who has lost it may no longer remove what it has seen."""
    holder = world.open()
    holder.acquire_sync_lock()
    assert holder.still_holds_sync_lock()
    world.adapter.end_connections()
    with suppress(ServerError):
        assert not holder.still_holds_sync_lock()
    world.open().acquire_sync_lock()


def test_check_passwords_needs_no_account_that_nobody_asked_for(world: World) -> None:
    bob = world.user()
    existing = world.handler.get_existing_users()
    assert set(world.handler.check_passwords([], existing)) == set()
    assert set(world.handler.check_passwords([User(bob, Secret(PASSWORD), 1)], existing)) == {bob}
