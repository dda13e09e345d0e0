"""A mutation that a node of a cluster can't break off: what it goes on for depends on how busy the machine is."""

from collections.abc import Iterator

import pytest

from dbroster.passwords.secret import Secret
from tests.e2e.site import PASSWORD, Site
from tests.engines.clickhouse import clustered
from tests.engines.clickhouse.clustered import Clustered
from tests.engines.clickhouse.test_cluster import site
from tests.engines.clickhouse.unstoppable import MUTATION, unstoppable
from tests.support.bounded import within

__all__ = ["site"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Clustered]:
    with clustered.started(clustered.KINDS["local"]) as found:
        yield found


def test_what_a_node_would_wait_for_goes_into_no_queue(cluster: Clustered, site: Site) -> None:
    """J10, B4: what can't be broken off fails its own database; all others come and go, and later it goes, too."""
    ann, bob, _ = site.users("ann", "bob", "dan")
    site.sync()
    node = cluster.adapters[1]
    site.configure(timeout=8)
    site.users("ann", "cy")
    mutation = "ALTER TABLE {table} UPDATE y = {slow} WHERE 1"
    with unstoppable(node, bob, Secret(PASSWORD), mutation, MUTATION.format(bob)), within(30):
        run = site.run("--max-removals", "all")
        failed = {a["database"]: a["error"] for a in run.result["actions"] if a["status"] == "failed"}
        assert f"{bob}_web" in failed
        assert failed.keys() <= {f"{bob}_web", f"{bob}_tools"}  # where his ALTER itself is still at work, too
        assert all(
            f"on the node {cluster.nodes[1].name} " in text and " is at work, and" in text for text in failed.values()
        )
    assert cluster.accounts(site.prefix) == [{ann, site.name("cy"), bob}] * 2
    site.configure()
    site.converge("--max-removals", "all")
    assert cluster.accounts(site.prefix) == [{ann, site.name("cy")}] * 2
