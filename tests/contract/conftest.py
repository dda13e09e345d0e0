"""One `world` per test: a handler, a roster name and a name prefix of its own on a server that the tests share."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.contract.adapter_fake import FakeAdapter
from tests.contract.adapters import Adapter
from tests.contract.world import World
from tests.engines.clickhouse.adapter import ClickHouseAdapter
from tests.engines.mongodb.adapter import MongoDBAdapter
from tests.engines.mysql.adapter import MariaDBAdapter, MySQLAdapter
from tests.engines.postgresql.adapter import PostgreSQLAdapter
from tests.fake import FakeServer

ADAPTERS: dict[str, type[Adapter]] = {
    "fake": FakeAdapter,
    "postgresql": PostgreSQLAdapter,
    "mysql": MySQLAdapter,
    "mariadb": MariaDBAdapter,
    "clickhouse": ClickHouseAdapter,
    "mongodb": MongoDBAdapter,
}

_numbers = count(1)


@pytest.fixture(scope="session")
def fake_server() -> FakeServer:
    return FakeServer()


@pytest.fixture(scope="session", params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> Iterator[Adapter]:
    adapter = ADAPTERS[request.param](request.getfixturevalue(f"{request.param}_server"))
    yield adapter
    adapter.close()


@pytest.fixture
def world(adapter: Adapter, tmp_path: Path) -> Iterator[World]:
    world = World(adapter, f"t{next(_numbers)}q", tmp_path)
    yield world
    world.close()
