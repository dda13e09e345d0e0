"""Invariant 2 where this server is at its most talkative: every command profiled, and logged as fully as it can be."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import MongoDB
from tests.contract.team import Team, assert_well
from tests.contract.world import World
from tests.engines.mongodb.adapter import OPTIONS, MongoDBAdapter

TELLTALE = "Tell-tale-0815"


@pytest.fixture
def team(mongodb_server: object, tmp_path: Path) -> Iterator[Team]:
    with MongoDB(options={**OPTIONS, "profile": "2", "setParameter.logLevel": "5"}) as server:
        adapter = MongoDBAdapter(server)
        yield Team(World(adapter, "talk", tmp_path))
        adapter.close()


def profiled(team: Team) -> str:
    """Everything that the profiler has kept, in all databases."""
    client = team.adapter._client  # type: ignore[attr-defined]  # the DBA's
    kept = [entry for name in client.list_database_names() for entry in client[name]["system.profile"].find()]
    return repr(kept)


def test_invariant_2_no_password_in_profiler_and_log(team: Team) -> None:
    world, adapter = team.world, team.adapter
    eve = world.foreign_user()
    seen = ""
    for number, users in enumerate((("bob", "al"), ("bob", "carl"), ("bob", "al", "eve"))):
        team.write_users({short: f"{TELLTALE}-{short}{number}" for short in users})
        result = team.run(adopt=[eve])
        assert_well(result)
        assert result.outcomes
        seen += profiled(team)
    bob = world.name("bob")
    for kept in ("'ns': 'admin.system.users'", f"'ns': '{bob}_web."):
        assert kept in seen, kept  # the profiler is alive, in admin and in a user's database
    assert f'"createUser":"{bob}"' in adapter.log_text()
    assert '"pwd":"xxx"' in adapter.log_text()
    assert '"s":"D5"' in adapter.log_text()  # and the log is at its most talkative
    assert TELLTALE not in seen
    assert TELLTALE not in adapter.log_text()
