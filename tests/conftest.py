"""Servers that are shared by all tests of a session, started when the first test asks for them.

A server that is not installed skips its tests; with DBROSTER_REQUIRE=all, or in CI, it fails them. An environment
variable like DBROSTER_TEST_POSTGRESQL names a server that runs already (see servers/README.md).
"""

import os
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

import pytest

from servers import LocalServer, Missing, Server, find
from tests.engines.mongodb import adapter as adapter_mongodb
from tests.engines.postgresql import adapter as adapter_postgresql
from tests.support import mysql_tools

Figure = Callable[[str], None]

_OPTIONS = {"postgresql": adapter_postgresql.OPTIONS, "mongodb": adapter_mongodb.OPTIONS}
LONG = (
    "/clickhouse/test_cluster.py",
    "/kill/test_stalled.py",
    "/kill/test_script_killed.py",
    "/kill/test_server_killed.py",
    "/postgresql/test_waiting.py",
    "/clickhouse/test_ends.py",
    "/mongodb/test_elections.py",
    "/e2e/test_standing_alone.py",
    "/mongodb/test_ends.py",
    "/mongodb/test_removal.py",
    "/servers/test_servers.py",
    "/e2e/test_encrypted_roster.py",
    "/e2e/test_plan_examples.py",
    "/e2e/test_everybody.py",
    "/mongodb/test_lock.py",
    "/cli/test_stopping.py",
)
"""Files with tests of ten seconds and more, the longest first."""
ENGINES = ("postgresql", "mysql", "mariadb", "clickhouse", "mongodb")


def everything_is_required() -> bool:
    """Whether a server that is missing is a failure."""
    return os.environ.get("DBROSTER_REQUIRE") == "all" or bool(os.environ.get("CI"))


def server(engine: str, options: Mapping[str, str] | None = None) -> Server:
    """Return the server that tests of an engine use, not started yet. Raises Missing."""
    found = find(engine)
    if isinstance(found, LocalServer):
        found.options.update({**_OPTIONS.get(engine, {}), **(options or {})})
    return found


def started(engine: str, options: Mapping[str, str] | None = None) -> Server:
    """Start a server, with options of its own; a missing one skips or fails the test that asked for it."""
    try:
        return server(engine, options).start()
    except Missing as missing:
        if everything_is_required():
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))


def pytest_report_header() -> list[str]:
    return [f"{engine}: {_version(engine)}" for engine in ENGINES]


def _version(engine: str) -> str:
    try:
        found = server(engine)
    except Missing as missing:
        return f"missing: {missing}"
    if not isinstance(found, LocalServer):
        return f"given at {found.host}:{found.port}"
    return found.describe()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--engine", choices=ENGINES, help="only the tests that need a server of this engine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    engine = config.getoption("--engine")
    if engine:
        others = [item for item in items if engine not in engines_of(item)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if engine in engines_of(item)]
    if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
        items[:] = long_ones_first(items, int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))


def long_ones_first(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Begin each worker's share with files that have long tests in them: for those nobody waits at the end then.

    xdist gives each worker an equal share at first, and whoever has done that takes the last ones of another's.
    """
    files = {place: [item for item in items if place in f"{item.path}"] for place in LONG}
    shares = [[item for place in LONG[number::workers] for item in files[place]] for number in range(workers)]
    others = iter([item for item in items if not any(place in f"{item.path}" for place in LONG)])
    for number, share in enumerate(shares):
        size = len(items) * (number + 1) // workers - len(items) * number // workers
        share += islice(others, max(0, size - len(share)))
    return [*chain(*shares), *others]


def engines_of(item: pytest.Item) -> set[str]:
    """Whose servers a test needs: its parameters or fixtures name them, or else its directory."""
    call = getattr(item, "callspec", None)
    named = [value for value in call.params.values() if isinstance(value, str)] if call else []
    named += [name.removesuffix("_server") for name in getattr(item, "fixturenames", ())]
    directory = item.path.parent.name
    return {*named} & {*ENGINES} or {directory, *({"mariadb"} if directory == "mysql" else ())} & {*ENGINES}


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Figure:
    """Keep a measured figure, to be told at the end of all tests."""
    return lambda text: record_property("figure", text)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the figures that tests have kept, from all workers."""
    reports = [report for found in terminalreporter.stats.values() for report in found if hasattr(report, "nodeid")]
    told = [(name, text) for report in reports for name, text in getattr(report, "user_properties", ())]
    for text in sorted({text for name, text in told if name == "figure"}):
        terminalreporter.write_line(text)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    with started("postgresql") as server:
        yield server


@pytest.fixture(scope="session")
def mysql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started("mysql") as server, mysql_tools.on_path(tmp_path_factory.mktemp("mysql")):
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[Server]:
    with started("mariadb") as server:
        yield server


@pytest.fixture(scope="session")
def clickhouse_server() -> Iterator[Server]:
    with started("clickhouse") as server:
        yield server


@pytest.fixture(scope="session")
def mongodb_server() -> Iterator[Server]:
    with started("mongodb") as server:
        yield server
