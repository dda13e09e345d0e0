"""What tests/unit/run/test_any_state.py shows on the fake, on every server: few states, always the same ones.

The two have in them what three others had; `make soak` takes twenty.
"""

import os
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product

import pytest

from dbroster.engines.base import Handler
from dbroster.model.connection import Connection
from dbroster.model.plan import TAKEN_BACK, Verb
from dbroster.model.result import Outcome, Result, Status
from dbroster.passwords.secret import Secret
from dbroster.run import apply
from tests.contract.team import Team, own, performed
from tests.contract.world import OTHER_PASSWORD, PASSWORD, World

SOAK = bool(os.environ.get("DBROSTER_SOAK"))
SEEDS = range(20) if SOAK else (52, 57)
SHORTS = ("ann", "bob", "cy", "dan", "eve")
FOUND = ("absent", "ours", "ours", "locked", "foreign", "other roster")
LISTED = ("listed", "listed", "other password", "mentioned", "absent")


@dataclass
class State:
    """What is on the server, what users.txt says of each user, and what must not change."""

    found: dict[str, str]
    listed: dict[str, str]
    foreign: set[str] = field(default_factory=set)

    @property
    def frozen(self) -> set[str]:
        """Short names of accounts that no run may touch."""
        return self.foreign | {short for short in SHORTS if self.listed[short] == "mentioned"}


def state_of(seed: int) -> State:
    """The same state for a seed, always; over all seeds, everything of FOUND and LISTED occurs."""
    dice = random.Random(seed)
    state = State({s: dice.choice(FOUND) for s in SHORTS}, {s: dice.choice(LISTED) for s in SHORTS})
    state.foreign = {short for short, kind in state.found.items() if kind in ("foreign", "other roster")}
    return state


def test_the_states_have_everything_in_them() -> None:
    states = [state_of(seed) for seed in SEEDS]
    assert {kind for state in states for kind in state.found.values()} == set(FOUND)
    assert {kind for state in states for kind in state.listed.values()} == set(LISTED)


@pytest.fixture(params=SEEDS)
def scene(world: World, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Team, State]:
    monkeypatch.setattr(apply, "PAUSE", 0.0)
    state, team = state_of(request.param), Team(world)
    team.write_templates("web", "old")
    team.sync({short: PASSWORD for short, kind in state.found.items() if kind in ("ours", "locked")})
    for short, kind in state.found.items():
        if kind == "locked":
            world.handler.lock_user(world.name(short))
        if kind == "foreign":
            world.foreign_user(short)
            world.adapter.create_database_by_hand(f"{world.name(short)}_web")
    others = [short for short, kind in state.found.items() if kind == "other roster"]
    if others:
        handler = world.other_roster()
        for short in others:
            handler.create_user(world.name(short), Secret(PASSWORD))
            world.database(world.name(short), "web", handler)
    team.write_templates("web", "data")
    write_users(team, state, ())
    return team, state


def write_users(team: Team, state: State, without: Iterable[str]) -> None:
    passwords = {"listed": PASSWORD, "other password": OTHER_PASSWORD, "mentioned": ""}
    team.write_users({s: passwords[k] for s, k in state.listed.items() if k in passwords and s not in without})


def untouchable(team: Team, state: State) -> dict[str, object]:
    """Fingerprints and databases of everything that must stay as it is."""
    adapter, world = team.adapter, team.world
    names = {world.name(short) for short in state.frozen} & adapter.accounts()
    databases = {d for d in own(adapter.databases(), world.prefix) if d.rpartition("_")[0] in names}
    return {"databases": databases, **{name: adapter.fingerprint(name) for name in names}}


def whole(team: Team) -> tuple[set[str], set[str]]:
    prefix = team.world.prefix
    return own(team.adapter.accounts(), prefix), own(team.adapter.databases(), prefix)


def assert_the_goal(team: Team, state: State) -> None:
    """Every user of the roster works in own databases, whoever left is gone, and a dry run has nothing to do."""
    world, adapter = team.world, team.adapter
    accounts, databases = whole(team)
    for short in set(SHORTS) - state.frozen:
        name, password = world.name(short), {"listed": PASSWORD, "other password": OTHER_PASSWORD}
        found = {database for database in databases if database.rpartition("_")[0] == name}
        if state.listed[short] == "absent":
            assert (name in accounts, found) == (False, set())
        else:
            assert found == {f"{name}_web", f"{name}_data"}
            assert adapter.can_write(name, password[state.listed[short]], f"{name}_web")
    assert team.run(dry_run=True).outcomes == ()


def test_invariants_1_and_6_for_any_state(scene: tuple[Team, State]) -> None:
    team, state = scene
    before = untouchable(team, state)
    with team.adapter.changes() as changes:
        dry = team.run(dry_run=True)
    assert changes == []
    wet = team.run()
    assert performed(dry.outcomes) == performed(wet.outcomes)
    assert dry.plan == wet.plan
    assert {outcome.status for outcome in wet.outcomes} <= {Status.DONE}
    assert untouchable(team, state) == before
    assert_the_goal(team, state)


LOSSES = [*product(SEEDS, (True, False))] if SOAK else [*zip(SEEDS, (True, False), strict=True)]


@pytest.mark.parametrize(("scene", "answer_lost"), LOSSES, indirect=["scene"])
def test_a_connection_that_breaks_harms_nobody_and_the_next_run_converges(
    scene: tuple[Team, State], monkeypatch: pytest.MonkeyPatch, *, answer_lost: bool
) -> None:
    team, state = scene
    before, dry = untouchable(team, state), team.run(dry_run=True)
    with team.adapter.doomed(None) as immortal:
        team.run(dry_run=True, connect=immortal.connect)
    reading = immortal.messages()
    with team.adapter.doomed(reading + 12, answer_lost=answer_lost) as doomed, monkeypatch.context() as patch:
        patch.setattr(apply, "RETRIES", 1)  # who is dead stays dead; tests/unit/run/test_apply_lost.py counts them
        result = team.run(connect=doomed.connect)
        assert_each_planned_action_has_one_outcome(dry, result)
    assert untouchable(team, state) == before
    again = team.run()
    assert {outcome.status for outcome in again.outcomes} <= {Status.DONE}
    assert untouchable(team, state) == before
    assert_the_goal(team, state)


def assert_each_planned_action_has_one_outcome(dry: Result, result: Result) -> None:
    """And what is more than the plan takes back what was created for new users."""
    if result.fatal is not None and not result.outcomes:
        return
    rest = [outcome for outcome in result.outcomes if outcome.action.reason != TAKEN_BACK]
    assert performed(rest) == performed(dry.outcomes)


def test_invariant_4_for_any_state(scene: tuple[Team, State]) -> None:
    """A new user whose account a DBA makes at the last moment: the others get what they get without that user."""
    team, state = scene
    state.listed["zoe"] = "listed"
    write_users(team, state, {"zoe"})
    expected = of_others(team.run(dry_run=True).outcomes, team.world.name("zoe"))
    write_users(team, state, ())
    opened: list[object] = []

    def connect(connection: Connection) -> Handler:
        opened.append(connection)
        if len(opened) == 2:  # the first one reads
            team.adapter.create_account_by_hand(team.world.name("zoe"), PASSWORD)
        return team.adapter.connect(connection)

    result = team.run(connect=connect)
    statuses = Counter(o.status for o in result.outcomes if o.action.user == team.world.name("zoe"))
    assert statuses == {Status.FAILED: 1, Status.SKIPPED: 4}
    assert of_others(result.outcomes, team.world.name("zoe")) == expected
    others = [o.status for o in result.outcomes if o.action.user != team.world.name("zoe")]
    assert set(others) <= {Status.DONE}


def of_others(outcomes: Iterable[Outcome], user: str) -> list[tuple[Verb, str, str]]:
    return sorted((o.action.verb, o.action.user, o.action.database or "") for o in outcomes if o.action.user != user)
