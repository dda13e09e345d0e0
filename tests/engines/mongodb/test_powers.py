"""Power that a DBA has given to a user of the roster, by roles of any kind."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo.errors import OperationFailure

from servers import MongoDB
from tests.contract.team import Team, assert_well
from tests.contract.world import PASSWORD, World
from tests.engines.mongodb.adapter import MongoDBAdapter
from tests.engines.mongodb.conftest import Site


@pytest.fixture
def team(mongodb_server: MongoDB, tmp_path: Path) -> Iterator[Team]:
    world = World(MongoDBAdapter(mongodb_server), "power", tmp_path)
    made = Team(world)
    made.sync({"bob": PASSWORD, "al": PASSWORD})
    yield made
    world.close()
    world.adapter.close()


def test_power_through_a_role_of_a_role_is_said_with_the_statement_that_takes_it(team: Team, site: Site) -> None:
    """B6, C8: whatever reaches beyond a user's own databases is a role on admin; one message."""
    bob, al = team.world.name("bob"), team.world.name("al")
    admin = site.dba.admin
    read_al = {"resource": {"db": f"{al}_web", "collection": ""}, "actions": ["find"]}
    admin.command("createRole", "inner", privileges=[read_al], roles=[])
    admin.command("createRole", "outer", privileges=[], roles=["inner"])
    admin.command("grantRolesToUser", bob, roles=["outer"])
    try:
        (conflict,) = team.run(dry_run=True).conflicts
        assert conflict.user == bob
        assert "outer@admin" in conflict.text
        team.write_users({"al": PASSWORD})
        (conflict,) = team.run().conflicts
        assert (conflict.user, "is not in users.txt any more" in conflict.text) == (bob, True)
        statement = conflict.text.partition("to take that away: ")[2]
        assert statement.startswith('db.getSiblingDB("admin").runCommand(')
        admin.command(json.loads(statement.partition("runCommand(")[2].rpartition(")")[0]))
        assert_well(team.run())
        team.assert_in_step({"al": PASSWORD})
    finally:
        admin.command("dropRole", "outer")
        admin.command("dropRole", "inner")


@pytest.mark.parametrize("there", ["al_web", "admin"])
def test_a_role_outside_admin_reaches_nothing_else(team: Team, site: Site, there: str) -> None:
    """B6: the server refuses it, so there is nothing else to look for."""
    bob, target = team.world.name("bob"), team.world.prefix + there if there != "admin" else there
    resource = {"db": target, "collection": ""}
    with pytest.raises(OperationFailure, match="other databases"):
        site.dba[f"{bob}_web"].command(
            "createRole", "wide", privileges=[{"resource": resource, "actions": ["find"]}], roles=[]
        )
    with pytest.raises(OperationFailure, match="other databases"):
        site.dba[f"{bob}_web"].command("createRole", "wide", privileges=[], roles=[{"role": "read", "db": target}])


def test_a_custom_role_on_another_users_database_is_taken_away(team: Team, site: Site) -> None:
    """B6: it is a role on that database, like a built-in one."""
    bob, al = team.world.name("bob"), team.world.name("al")
    team.adapter.put(al, PASSWORD, f"{al}_web", "private")
    web = site.dba[f"{al}_web"]
    read = {"resource": {"db": f"{al}_web", "collection": ""}, "actions": ["find"]}
    web.command("createRole", "peeker", privileges=[read], roles=[])
    web.command("createRole", "outer", privileges=[], roles=["peeker"])
    site.dba.admin.command("grantRolesToUser", bob, roles=[{"role": "outer", "db": f"{al}_web"}])
    assert team.adapter.can_read(bob, PASSWORD, f"{al}_web")
    assert [outcome.action.database for outcome in team.run(dry_run=True).outcomes] == [f"{al}_web"]
    assert_well(team.run())
    assert not team.adapter.can_read(bob, PASSWORD, f"{al}_web")
    assert team.run(dry_run=True).outcomes == ()
