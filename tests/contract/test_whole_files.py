"""What a server tells about the files: a new name with an old password, and two lines that became one."""

from itertools import product

import pytest

from dbroster.model.plan import Verb
from tests.contract.team import Team, assert_well, own
from tests.contract.world import OTHER_PASSWORD, PASSWORD, World

REMOVALS = {Verb.LOCK_USER, Verb.DROP_DATABASE, Verb.DROP_USER}
FOUR = {"al": PASSWORD, "bob": OTHER_PASSWORD, "carl": PASSWORD + "!", "dora": PASSWORD + "?"}


@pytest.fixture
def team(world: World) -> Team:
    return Team(world)


def test_a_new_name_for_a_user(team: Team) -> None:
    """A12: told, refused with what is lost and how to keep it, and done when it is permitted."""
    team.sync(FOUR)
    bob, robert = team.world.name("bob"), team.world.name("robert")
    team.adapter.put(bob, OTHER_PASSWORD, f"{bob}_web", "his work")
    renamed = {**{short: password for short, password in FOUR.items() if short != "bob"}, "robert": OTHER_PASSWORD}
    team.write_users(renamed)
    for dry_run in (True, False, True):
        result = team.run(dry_run=dry_run, removals=None)
        text = " ".join(result.refusals)
        assert f"{robert} seems to be {bob} under a new name" in text
        assert f"{bob}_data, {bob}_web would be dropped" in text
        assert "dbroster restore" in text
        assert "--max-removals 1" in text
    assert team.adapter.get(bob, OTHER_PASSWORD, f"{bob}_web") == ["his work"]
    assert robert not in team.adapter.accounts()
    result = team.run(removals="1")
    assert_well(result)
    assert any("under a new name" in problem.text for problem in result.problems)
    team.assert_in_step(renamed)


def test_a_new_user_is_no_new_name(team: Team) -> None:
    """A12: who has a password of the own."""
    team.sync(FOUR)
    team.write_users({"al": PASSWORD, "carl": PASSWORD + "!", "dora": PASSWORD + "?", "eve": OTHER_PASSWORD + "!"})
    result = team.run(removals="1")
    assert not any("under a new name" in problem.text for problem in result.problems)
    assert team.world.name("bob") not in team.adapter.accounts()


def test_a_line_behind_a_last_line_without_an_end(team: Team) -> None:
    """A7: nobody's password becomes a whole other line."""
    team.sync({"al": PASSWORD, "bob": OTHER_PASSWORD})
    new = team.world.name("newbie")
    for between, dry_run in product(("", " ", "\\n"), (True, False, True)):
        team.write_users({"al": PASSWORD, "bob": f"{OTHER_PASSWORD}{between}{new}:{PASSWORD}"})
        result = team.run(dry_run=dry_run)
        assert result.outcomes == ()
        assert any("the line may be two lines" in problem.text for problem in result.problems)
    bob = team.world.name("bob")
    assert team.adapter.can_write(bob, OTHER_PASSWORD, f"{bob}_web")


def test_two_lines_whose_line_end_went(team: Team) -> None:
    """A7: neither the first user's password nor the second user goes."""
    team.sync({"al": PASSWORD, "bob": OTHER_PASSWORD, "carl": PASSWORD})
    carl = team.world.name("carl")
    for between in ("", " "):
        team.write_users({"al": PASSWORD, "bob": f"{OTHER_PASSWORD}{between}{carl}:{PASSWORD}"})
        result = team.run()
        assert not {outcome.action.verb for outcome in result.outcomes} & {*REMOVALS, Verb.UPDATE_PASSWORD}
        assert len(own(team.adapter.accounts(), team.world.prefix)) == 3
