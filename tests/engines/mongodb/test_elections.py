"""A replica set that changes its primary while a run is at work: that run or the next one brings it in step."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from dbroster.engines.base import Handler
from dbroster.engines.mongodb.handler import MongoDBHandler
from dbroster.model.connection import Connection
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from servers import MongoReplicaSet
from tests.contract.team import Team, assert_well
from tests.contract.world import OTHER_PASSWORD, PASSWORD, World
from tests.engines.mongodb.adapter import MongoDBAdapter

BEFORE = {f"u{number}": PASSWORD for number in range(12)}
AFTER = {f"u{number}": OTHER_PASSWORD for number in range(6, 18)}

_numbers = count(1)


class SetAdapter(MongoDBAdapter):
    """A whole set: the section names its members, and nothing stands between them and dbroster."""

    server: MongoReplicaSet  # type: ignore[assignment]

    def section(self) -> dict[str, object]:
        section = {key: value for key, value in super().section().items() if key not in ("host", "port")}
        return {**section, "connect_timeout": 10, "uri": f"mongodb://{','.join(self.server.hosts)}/?replicaSet=rs1"}

    def connect(self, connection: Connection) -> Handler:
        return MongoDBHandler.open(connection)

    def follow(self) -> None:
        """Let the DBA and the users work with the present primary."""
        self.server.port = self.server.primary().port
        self._client.close()
        self._client = self._connect(self.server.admin_user, self.server.admin_password)
        self._admin = self._client.admin


@pytest.fixture(scope="module")
def adapter(mongodb_server: object) -> Iterator[SetAdapter]:
    with MongoReplicaSet(members=3) as server:
        adapter = SetAdapter(server)  # type: ignore[arg-type]  # a set instead of a server
        yield adapter
        adapter.close()


@pytest.fixture
def team(adapter: SetAdapter, tmp_path: Path) -> Iterator[Team]:
    world = World(adapter, f"e{next(_numbers)}q", tmp_path)
    yield Team(world)
    world.close()


def disturbed(disturb: Callable[[], None], verb: Verb) -> Callable[[Connection], Handler]:
    """Open connections of a run in which something happens just before the sixth action of a kind."""
    seen = count(1)

    class Disturbed(MongoDBHandler):
        def perform(self, *actions: Action) -> None:
            if actions[0].verb is verb and next(seen) == 6:
                disturb()
            super().perform(*actions)

    return Disturbed.open


@pytest.mark.parametrize(
    ("way", "verb"),
    [
        ("stepdown", Verb.CREATE_USER),
        ("stepdown", Verb.UPDATE_PASSWORD),
        ("stepdown", Verb.DROP_DATABASE),
        ("death", Verb.CREATE_USER),
    ],
)
def test_an_election_during_a_run_costs_one_more_run_at_most(
    team: Team, adapter: SetAdapter, way: str, verb: Verb
) -> None:
    server = adapter.server
    team.sync(BEFORE)
    team.write_users(AFTER)
    primary = server.primary()
    disturb = {"stepdown": server.step_down, "death": primary.kill}[way]
    try:
        result = team.run(connect=disturbed(disturb, verb))
        failed = [outcome for outcome in result.outcomes if outcome.status is Status.FAILED]
        assert result.fatal is None
        assert all("connection lost" in (outcome.error or "") for outcome in failed)  # the election took too long
        assert server.primary() is not primary
        adapter.follow()
        assert_well(team.run())
        team.assert_in_step(AFTER)
    finally:
        if way == "death":
            primary.start()
        server.start()
        adapter.follow()
