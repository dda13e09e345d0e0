"""The server of the session, and handlers for it."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.clickhouse.options import ClickHouseOptions
from dbroster.model.connection import Connection
from servers import Server
from tests.engines.clickhouse.adapter import ClickHouseAdapter

_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def adapter(clickhouse_server: Server) -> Iterator[ClickHouseAdapter]:
    adapter = ClickHouseAdapter(clickhouse_server)
    yield adapter
    adapter.close()


@pytest.fixture
def prefix(adapter: ClickHouseAdapter) -> Iterator[str]:
    """What names of this test begin with; everything of such a name is dropped afterwards."""
    prefix = f"ch{next(_numbers)}q"
    yield prefix
    adapter.wipe(prefix)


@pytest.fixture
def describe(adapter: ClickHouseAdapter, prefix: str, tmp_path: Path) -> Callable[..., Connection]:
    """Build the connection of the roster that has the prefix as its name, with any field or option replaced."""

    def build(options: dict[str, Any] | None = None, **fields: Any) -> Connection:
        made = adapter.connection(tmp_path, prefix)
        values = {name: getattr(made, name) for name in Connection._fields}
        return Connection(**{**values, "options": ClickHouseOptions.of(made).but(**(options or {})), **fields})

    return build


@pytest.fixture
def handler(describe: Callable[..., Connection]) -> Iterator[Handler]:
    with connect(describe()) as opened:
        opened.prepare()
        yield opened
