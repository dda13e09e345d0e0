"""Days of grace: a removed user is locked out at once, and kept with everything until the days are over."""

import os
import random
import re
from datetime import datetime, timedelta

import pytest

from dbroster.model.connection import Removals
from dbroster.model.plan import Verb
from dbroster.model.result import Result
from dbroster.model.state import Lock
from dbroster.report.exit_codes import Exit, exit_code
from dbroster.run import apply
from tests.contract.team import Team, assert_well, performed
from tests.contract.world import OTHER_PASSWORD, PASSWORD, World

BOTH = {"bob": PASSWORD, "al": PASSWORD}
WEEK = timedelta(days=7)
SOAK = bool(os.environ.get("DBROSTER_SOAK"))
MOMENT = timedelta(minutes=2)  # more than a test takes


@pytest.fixture
def team(world: World) -> Team:
    made = Team(world)
    made.sync(BOTH)
    world.adapter.put(world.name("bob"), PASSWORD, f"{world.name('bob')}_web", "his")
    return made


def leave(team: Team, *, grace_days: int = 7) -> Result:
    """Take bob's line away and sync."""
    team.write_users({"al": PASSWORD})
    dry, real = team.run(dry_run=True, grace_days=grace_days), team.run(grace_days=grace_days)
    assert_well(real)
    assert performed(real.outcomes) == performed(dry.outcomes)
    return real


def verbs(result: Result) -> set[Verb]:
    return {outcome.action.verb for outcome in result.outcomes}


def notes(result: Result) -> list[str]:
    return [problem.text for problem in result.problems if problem.user and "not in users.txt" in problem.text]


def kept_until(note: str) -> datetime:
    found = re.search(r"kept until (\d{4}-\d\d-\d\d \d\d:\d\d) UTC", note)
    assert found, note
    return datetime.strptime(f"{found[1]} +0000", "%Y-%m-%d %H:%M %z")


def test_a_removed_user_is_locked_out_at_once_and_kept(team: Team) -> None:
    bob, adapter = team.world.name("bob"), team.adapter
    with adapter.session(bob, PASSWORD) as session:
        real = leave(team)
        assert [(o.action.verb, o.action.user) for o in real.outcomes] == [(Verb.LOCK_USER, bob)]
        assert not session.alive()
    assert not adapter.can_login(bob, PASSWORD)
    assert f"{bob}_web" in adapter.databases()
    existing = team.world.existing_user(bob)
    assert existing is not None
    assert existing.locked_since is not None
    (note,) = notes(real)
    (later_note,) = notes(team.run(dry_run=True, grace_days=7))
    assert kept_until(later_note) == (existing.locked_since + WEEK).replace(second=0, microsecond=0)
    # The server locked a moment after the plan was made.
    assert abs(kept_until(note) - kept_until(later_note)) <= MOMENT


def test_while_it_is_kept_no_run_sends_a_change(team: Team) -> None:
    leave(team)
    with team.adapter.changes() as changes:
        result = team.run(grace_days=7, later=WEEK - MOMENT)
    assert changes == []
    assert result.outcomes == ()
    assert exit_code(result, detailed=True) is Exit.IN_STEP


def test_after_the_last_day_account_and_databases_go(team: Team) -> None:
    leave(team)
    dry = team.run(dry_run=True, grace_days=7, later=WEEK)
    real = team.run(grace_days=7, later=WEEK)
    assert_well(real)
    assert performed(real.outcomes) == performed(dry.outcomes)
    assert verbs(real) == {Verb.DROP_DATABASE, Verb.DROP_USER}
    assert notes(real) == []
    team.assert_in_step({"al": PASSWORD})


def test_a_line_that_is_back_opens_everything_as_it_was(team: Team) -> None:
    bob, adapter = team.world.name("bob"), team.adapter
    leave(team)
    back = {"bob": OTHER_PASSWORD, "al": PASSWORD}
    team.write_users(back)
    result = team.run(grace_days=7, later=WEEK * 2)
    assert_well(result)
    assert verbs(result) - {Verb.GRANT_PRIVILEGES} == {Verb.UPDATE_PASSWORD}  # where a lock takes privileges away
    assert adapter.get(bob, OTHER_PASSWORD, f"{bob}_web") == ["his"]
    team.assert_in_step(back)
    existing = team.world.existing_user(bob)
    assert existing is not None
    assert (existing.lock, existing.locked_since) == (Lock.OPEN, None)


def test_days_are_counted_anew_when_a_user_leaves_again(team: Team) -> None:
    leave(team)
    team.sync(BOTH)
    assert verbs(leave(team)) == {Verb.LOCK_USER}
    assert team.run(grace_days=7, later=WEEK - MOMENT).outcomes == ()
    assert verbs(team.run(grace_days=7, later=WEEK)) == {Verb.DROP_DATABASE, Verb.DROP_USER}


def test_the_date_counts_when_the_days_are_changed(team: Team) -> None:
    leave(team)
    for days, gone in ((0, True), (2, True), (3, True), (4, False), (3650, False)):
        result = team.run(dry_run=True, grace_days=days, later=timedelta(days=3))
        assert verbs(result) == ({Verb.DROP_DATABASE, Verb.DROP_USER} if gone else set()), days


def test_an_account_locked_without_a_date_gets_one_and_is_not_removed(team: Team) -> None:
    bob = team.world.name("bob")
    team.world.handler.lock_user(bob)  # as a run without days of grace does
    team.write_users({"al": PASSWORD})
    result = team.run(grace_days=7, later=WEEK * 4)
    assert_well(result)
    assert verbs(result) == {Verb.LOCK_USER}
    assert team.run(grace_days=7, later=WEEK - MOMENT).outcomes == ()
    assert not team.adapter.can_login(bob, PASSWORD)
    assert f"{bob}_web" in team.adapter.databases()


def test_a_lock_of_somebody_else_is_not_touched(team: Team) -> None:
    bob = team.world.name("bob")
    team.adapter.lock_by_hand(bob)
    before = team.adapter.fingerprint(bob)
    team.write_users({"al": PASSWORD})
    result = team.run(grace_days=7, later=WEEK * 4)
    assert result.outcomes == ()
    assert "not by dbroster" in "".join(notes(result))
    assert team.adapter.fingerprint(bob) == before
    assert f"{bob}_web" in team.adapter.databases()


def test_to_lock_what_somebody_else_has_locked_changes_nothing(team: Team) -> None:
    bob = team.world.name("bob")
    team.adapter.lock_by_hand(bob)
    before = team.adapter.fingerprint(bob)
    connection = team.adapter.connection(team.directory, team.world.prefix)
    with team.adapter.connect(connection._replace(removals=Removals(grace_days=7))) as handler:
        handler.lock_user(bob)
    assert team.adapter.fingerprint(bob) == before


def test_an_old_date_is_forgotten_when_the_account_is_opened(team: Team) -> None:
    bob = team.world.name("bob")
    leave(team)
    dated = team.world.existing_user(bob)
    team.sync(BOTH)
    team.world.handler.lock_user(bob)  # as a run without days of grace does, or one that is killed
    again = team.world.existing_user(bob)
    assert dated is not None
    assert again is not None
    assert dated.locked_since is not None
    assert again.locked_since is None


def test_killed_while_it_locks_the_next_run_lets_nobody_stay_and_removes_nothing(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "RETRIES", 0)  # a dead program does not try again
    bob, adapter = team.world.name("bob"), team.adapter
    messages = killed_run(team, None)
    moments = range(max(1, messages - 8), messages + 1)
    for moment in moments if SOAK else random.sample(moments, 4):
        team.sync(BOTH)
        with adapter.session(bob, PASSWORD) as session:
            killed_run(team, moment)
            much_later = team.run(dry_run=True, grace_days=7, later=WEEK * 4)
            assert verbs(much_later) == {Verb.LOCK_USER} or not session.alive(), moment
            assert_well(team.run(grace_days=7))
            assert not session.alive(), moment
        assert not adapter.can_login(bob, PASSWORD)
        assert f"{bob}_web" in adapter.databases()
        assert team.run(dry_run=True, grace_days=7).outcomes == ()
        existing = team.world.existing_user(bob, team.world.open())  # a kill may have ended the handler's connection
        assert existing is not None
        assert existing.locked_since is not None


def killed_run(team: Team, moment: int | None) -> int:
    """Take bob's line away in a run that dies after so many messages; return how many it sent."""
    team.write_users({"al": PASSWORD})
    with team.adapter.doomed(moment) as doomed:
        team.run(grace_days=7, connect=doomed.connect)
    return doomed.messages()
