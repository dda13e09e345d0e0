"""Invariant 10: a marker names its own object, and nothing that a DBA or a user does by hand makes one."""

import pytest

from dbroster.model.plan import Verb
from dbroster.model.result import Result, Status
from tests.contract.team import Team, assert_well
from tests.contract.world import OTHER_PASSWORD, PASSWORD, World

BOTH = {"bob": PASSWORD, "al": OTHER_PASSWORD}


@pytest.fixture
def team(world: World) -> Team:
    made = Team(world)
    made.sync(BOTH)
    bob = world.name("bob")
    made.adapter.put(bob, PASSWORD, f"{bob}_web", "his")
    return made


def both_runs(team: Team, **how: str) -> Result:
    """Run dry and then really; both must want to change the same."""
    dry, real = team.run(dry_run=True, **how), team.run(**how)  # type: ignore[arg-type]
    assert {outcome.action for outcome in dry.outcomes} == {outcome.action for outcome in real.outcomes}
    return real


def warned(result: Result, name: str) -> list[str]:
    return [problem.text for problem in result.problems if problem.warning and name in problem.text]


def touched(result: Result) -> set[str]:
    return {outcome.action.database or outcome.action.user for outcome in result.outcomes}


def test_invariant_10_an_account_that_was_renamed_or_copied_is_foreign(team: Team) -> None:
    """A4: its marker names another account, so it is neither locked nor dropped, and a warning says so."""
    world, adapter = team.world, team.adapter
    if not adapter.renames_accounts:
        pytest.fail("every engine can rename an account, or copy it")
    bob, robert = world.name("bob"), world.name("robert")
    adapter.rename_account_by_hand(bob, robert)
    before = adapter.fingerprint(robert)
    team.write_users({"al": OTHER_PASSWORD})
    for _ in range(2):
        real = both_runs(team)
        assert robert not in touched(real)
        assert adapter.fingerprint(robert) == before
        (warning,) = warned(real, robert)
        assert f"carries the marker of {bob}" in warning


def test_invariant_10_a_database_that_was_renamed_is_foreign(team: Team) -> None:
    """A2: it stays while its former owner stays, gets a new one of the old name, and leaves."""
    world, adapter = team.world, team.adapter
    if not adapter.renames_databases_by_hand:
        return  # a name is all that tells one database from another there
    bob = world.name("bob")
    web, backup = f"{bob}_web", f"{bob}_web_backup"
    adapter.rename_database_by_hand(web, backup)
    real = both_runs(team)
    assert touched(real) == {web}
    (warning,) = warned(real, backup)
    assert f"the database {backup} was {web}" in warning
    assert adapter.can_write(bob, PASSWORD, web)
    assert team.run(dry_run=True).outcomes == ()
    team.write_users({"al": OTHER_PASSWORD})
    real = both_runs(team)
    assert backup not in touched(real)
    assert backup in adapter.databases()


def test_invariant_10_the_adoption_of_a_new_database_takes_no_renamed_one(team: Team) -> None:
    """A2: after a rename and a fresh database of the old name, --adopt takes over nothing but the fresh one."""
    world, adapter = team.world, team.adapter
    if not adapter.renames_databases_by_hand:
        return
    bob = world.name("bob")
    web, broken = f"{bob}_web", f"{bob}_web_broken"
    adapter.rename_database_by_hand(web, broken)
    adapter.create_database_by_hand(web)
    assert [conflict.user for conflict in team.run(dry_run=True).conflicts] == [bob]
    result = team.run(adopt=[bob])
    assert (Verb.ADOPT, web) in {(o.action.verb, o.action.database) for o in result.outcomes}
    assert broken not in touched(result)
    assert broken in adapter.databases()


@pytest.mark.parametrize("leaves", [False, True])
def test_invariant_10_what_a_dba_gives_a_user_by_hand_is_never_dropped(team: Team, leaves: bool) -> None:
    """A1, A3: neither a grant nor an owner proves anything, however complete it is."""
    world, adapter = team.world, team.adapter
    bob = world.name("bob")
    old = f"{bob}_old"
    adapter.hand_over_by_hand(bob, old)
    if leaves:
        team.write_users({"al": OTHER_PASSWORD})
    for _ in range(2):
        assert old not in touched(both_runs(team))
        assert old in adapter.databases()


def test_invariant_10_what_a_dba_gives_a_user_under_a_wanted_name_is_a_conflict(team: Team) -> None:
    """A1, A3: a database that stands there already is never taken without --adopt."""
    world, adapter = team.world, team.adapter
    bob = world.name("bob")
    legal = f"{bob}_legal"
    adapter.hand_over_by_hand(bob, legal)
    team.write_templates("web", "data", "legal")
    real = both_runs(team)
    assert bob in {conflict.user for conflict in real.conflicts}
    assert legal not in touched(real)
    result = team.run(adopt=[bob])
    if not adapter.adopts_databases():
        (failed,) = (outcome for outcome in result.outcomes if outcome.status is Status.FAILED)
        assert "let dbroster make a new one" in str(failed.error)
        assert legal in adapter.databases()
        return
    assert_well(result)
    assert (Verb.ADOPT, legal) in {(o.action.verb, o.action.database) for o in result.outcomes}
    team.assert_in_step(BOTH, ["web", "data", "legal"])


def test_invariant_10_a_claim_outlives_the_grants(team: Team) -> None:
    """A10: after REVOKE ALL account and databases are still dbroster's, and mended."""
    bob = team.world.name("bob")
    team.adapter.strip_by_hand(bob)
    assert not team.adapter.can_write(bob, PASSWORD, f"{bob}_web")
    assert bob in {outcome.action.user for outcome in team.run(dry_run=True).outcomes}
    assert_well(team.run())
    assert team.adapter.get(bob, PASSWORD, f"{bob}_web") == ["his"]
    team.assert_in_step(BOTH)


def test_invariant_10_a_user_without_grants_leaves_with_everything(team: Team) -> None:
    """A10: an account whose grants were revoked by hand does not stay for ever, nor do its databases."""
    team.adapter.strip_by_hand(team.world.name("bob"))
    team.write_users({"al": OTHER_PASSWORD})
    for _ in range(3):  # some engines mend the proof in one run, and drop in the next
        real = both_runs(team)
        assert not [o for o in real.outcomes if o.status is not Status.DONE]
    team.assert_in_step({"al": OTHER_PASSWORD})


def test_a_user_can_not_hold_the_lock_of_a_sync(team: Team) -> None:
    """B1: only a session that could be an admin's counts, so nobody can stop the own removal."""
    bob = team.world.name("bob")
    with team.adapter.hold_lock_as(bob, PASSWORD):
        assert_well(team.run())
        team.write_users({"al": OTHER_PASSWORD})
        assert_well(team.run())
    team.assert_in_step({"al": OTHER_PASSWORD})
