"""Servers of their own with every log turned up, and the script watched from outside while it runs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from servers import LocalServer
from tests.conftest import started
from tests.contract.adapters import Adapter
from tests.contract.conftest import ADAPTERS
from tests.e2e.conftest import REAL
from tests.e2e.site import Site
from tests.support import mysql_tools

_MYSQL = {
    "slow_query_log": "ON",
    "long_query_time": "0",
    "performance_schema": "ON",
    "performance_schema_consumer_events_statements_history_long": "ON",
}
LOUD = {
    "postgresql": {
        "log_min_messages": "debug1",
        "log_min_error_statement": "debug5",
        "log_min_duration_statement": "0",
        "shared_preload_libraries": "pg_stat_statements",
    },
    "mysql": {**_MYSQL, "log_error_verbosity": "3"},
    "mariadb": {**_MYSQL, "log_warnings": "9"},
    "mongodb": {"setParameter.logLevel": "5", "profile": "2", "slowms": "-1"},
    "clickhouse": {},
}

_numbers = count(1)


@dataclass
class Loud:
    """An adapter whose server tells everything, and how to read what it keeps besides its files."""

    adapter: Adapter
    views: Callable[[Adapter], bytes]

    def said(self) -> dict[str, bytes]:
        """Everything that the server has written or shows."""
        files = {f"the server's {path.name}": path.read_bytes() for path in self.adapter.server.log_files()}
        slow = {f"the server's {path.name}": path.read_bytes() for path in self._home().rglob("*slow.log")}
        return {**files, **slow, "the server's views": self.views(self.adapter)}

    def _home(self) -> Path:
        server = self.adapter.server
        assert isinstance(server, LocalServer)
        return server.home


def _postgresql_views(adapter: Adapter) -> bytes:
    adapter.server.admin("CREATE EXTENSION IF NOT EXISTS pg_stat_statements", "postgres")
    queries = ("SELECT query FROM pg_stat_statements", "SELECT query FROM pg_stat_activity")
    return "\n".join(adapter.server.admin(query, "postgres") for query in queries).encode()


def _mysql_views(adapter: Adapter) -> bytes:
    tables = ("events_statements_history_long", "events_statements_history", "events_statements_current")
    return "\n".join(adapter.server.admin(f"SELECT * FROM performance_schema.{name}") for name in tables).encode()


def _mongodb_views(adapter: Adapter) -> bytes:
    client = adapter._client  # type: ignore[attr-defined]  # the DBA's own connection
    found = [str(entry) for name in client.list_database_names() for entry in client[name]["system.profile"].find()]
    assert any("system.users" in entry for entry in found), "the profiler is silent, so it proves nothing"
    return "\n".join(found).encode()


_VIEWS = {
    "postgresql": _postgresql_views,
    "mysql": _mysql_views,
    "mariadb": _mysql_views,
    "mongodb": _mongodb_views,
    "clickhouse": lambda adapter: adapter.server.admin("SELECT query FROM system.processes").encode(),
}


@pytest.fixture(scope="module", params=REAL)
def loud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loud]:
    programs = mysql_tools.on_path(tmp_path_factory.mktemp("mysql"))
    with started(request.param, LOUD[request.param]) as server, programs:
        adapter = ADAPTERS[request.param](server)
        yield Loud(adapter, _VIEWS[request.param])
        adapter.close()


@pytest.fixture
def site(loud: Loud, tmp_path: Path) -> Iterator[Site]:
    site = Site(loud.adapter, tmp_path / "config", f"s{next(_numbers)}q")
    yield site
    loud.adapter.wipe(site.prefix)
