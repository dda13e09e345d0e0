"""Whatever a removal leaves on a server is said in its own report, and in every later one."""

import pytest

from tests.contract.team import Team, assert_well, own, reports
from tests.contract.world import OTHER_PASSWORD, PASSWORD, World


@pytest.fixture
def team(world: World) -> Team:
    made = Team(world)
    made.sync({"bob": PASSWORD, "al": OTHER_PASSWORD})
    return made


def left_of(team: Team) -> set[str]:
    bob = team.world.name("bob")
    return {name for name in own(team.adapter.databases(), team.world.prefix) if name.startswith(bob)}


def test_a_database_that_a_dba_has_made_anew_is_gone_or_told(team: Team) -> None:
    """A10: dropped and made again by hand, a database has lost its proof, unless the engine knows it by its name.

    MariaDB's marker is a comment that the user can change, too: one run says that it is gone, and the next one drops.
    """
    web = f"{team.world.name('bob')}_web"
    team.adapter.drop_database_by_hand(web)
    team.adapter.create_database_by_hand(web)
    team.write_users({"al": OTHER_PASSWORD})
    for dry_run in (False, True, False):
        result = team.run(dry_run=dry_run)
        assert left_of(team) <= {web}
        for name in left_of(team):
            assert name in reports(result)
    assert_well(result)
    assert team.world.name("bob") not in team.adapter.accounts()


def test_what_a_dba_has_given_a_leaver_is_told_when_it_stays(team: Team) -> None:
    """A10: a database that a DBA made for a user is not dbroster's: it stays, and the report says so."""
    old = f"{team.world.name('bob')}_old"
    team.adapter.hand_over_by_hand(team.world.name("bob"), old)
    team.write_users({"al": OTHER_PASSWORD})
    result = team.run()
    assert left_of(team) == {old}
    assert old in reports(result)
