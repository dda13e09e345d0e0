"""SIGKILL in the middle of a sync of a cluster: the next run brings both nodes into the same, right state."""

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Figure
from tests.engines.clickhouse import clustered
from tests.engines.clickhouse.clustered import Clustered, site_on
from tests.kill.crime import Scene

ONE_OF = 4  # a statement ON CLUSTER is slow: each test takes one message of so many, others each time


@pytest.fixture(scope="module", params=["local", "tls"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Clustered]:
    with clustered.started(clustered.KINDS[request.param]) as found:
        yield found


@pytest.mark.timeout(7200)
def test_killed_after_a_message_both_nodes_are_brought_in_step(
    cluster: Clustered, tmp_path: Path, figure: Figure
) -> None:
    """E8: nothing is lost on either node, and nobody let in."""
    site = site_on(cluster, tmp_path)
    scene = Scene(site)
    messages = scene.messages()
    wanted = scene.state()
    killed, moments = 0, range(random.randrange(1, ONE_OF + 1), messages + 1, ONE_OF)
    for moment in moments:
        scene.before()
        scene.pending()
        killed += scene.run_killed(moment, answer_lost=moment % 8 < ONE_OF).code == -signal.SIGKILL
        scene.nobody_reaches_what_is_not_theirs()
        scene.converges_to(wanted)
        (first, second), (here, there) = cluster.accounts(site.prefix), cluster.databases(site.prefix)
        assert (first, here) == (second, there)
    assert killed >= len(moments) // 2
    figure(f"clickhouse, a cluster: killed {killed} times in a run of {messages} messages")
