"""The tests of a cluster once more, on nodes of the older version; and nodes that are not alike."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dbroster.engines import connect
from dbroster.errors import UnsupportedServer
from tests.engines.clickhouse import clustered
from tests.engines.clickhouse.clustered import Clustered, site_on
from tests.engines.clickhouse.test_cluster import *  # noqa: F403 - the tests themselves

OLDER = "24.8"


@pytest.fixture(scope="module", params=clustered.KINDS)  # type: ignore[no-redef]
def cluster(request: pytest.FixtureRequest) -> Iterator[Clustered]:
    with clustered.started(replace(clustered.KINDS[request.param], version=OLDER)) as found:
        yield found


def test_nodes_that_keep_accounts_in_different_ways_are_refused(tmp_path: Path) -> None:
    """E8: at the start; no statement could reach the accounts of both in one way."""
    with clustered.started(clustered.KINDS["local"]) as found:
        site_on(found, tmp_path)
        node = found.nodes[1]
        node.storage = "<replicated><zookeeper_path>/clickhouse/access/</zookeeper_path></replicated>"
        node.restart()
        adapter = found.adapters[1]
        adapter.do(f"CREATE USER {clustered.ADMIN} IDENTIFIED BY '{clustered.ADMIN_PASSWORD}'")
        adapter.do(f"GRANT SELECT ON *.* TO {clustered.ADMIN}")
        with pytest.raises(UnsupportedServer, match="keep accounts in different ways"):
            connect(found.connection(tmp_path, "any"))
