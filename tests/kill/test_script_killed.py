"""SIGKILL for the real script, after each of its messages and at any time: the next run converges."""

import random
import signal
import time

import pytest

from tests.conftest import Figure
from tests.e2e.site import Site
from tests.kill.conftest import SOAK
from tests.kill.crime import Scene

MOMENTS = 2  # of all messages of a run, when there is no time for every one
TIMES = 30 if SOAK else 1


@pytest.fixture
def scene(site: Site) -> Scene:
    return Scene(site)


def moments(messages: int) -> list[int]:
    """Every message of a run, or some that are spread over it; other ones each time."""
    if SOAK:
        return list(range(1, messages + 1))
    step = messages / MOMENTS
    return [1 + int(step * number + random.random() * (step - 1)) for number in range(MOMENTS)]


@pytest.mark.timeout(7200 if SOAK else 300)
def test_killed_after_any_message_nothing_is_lost_and_nobody_let_in(scene: Scene, figure: Figure) -> None:
    messages = scene.messages()
    wanted = scene.state()
    killed = 0
    for moment in moments(messages):
        scene.before()
        scene.pending()
        killed += scene.run_killed(moment, answer_lost=moment % 2 == 0).code == -signal.SIGKILL
        scene.nobody_reaches_what_is_not_theirs()
        scene.converges_to(wanted)
    assert killed >= len(moments(messages)) // 2  # a run needs a few messages more or less each time
    figure(f"{scene.site.adapter.server.engine}: killed {killed} times in a run of {messages} messages")


@pytest.mark.timeout(7200 if SOAK else 300)
def test_killed_at_any_time_nothing_is_lost_and_nobody_let_in(scene: Scene) -> None:
    scene.before()
    scene.pending()
    began = time.monotonic()
    assert scene.finish(scene.start()).code == 0
    duration = time.monotonic() - began
    wanted = scene.state()
    for _ in range(TIMES):
        scene.before()
        scene.pending()
        process = scene.start()
        time.sleep(random.uniform(0.1, 1.0) * duration)
        process.kill()
        scene.finish(process)
        scene.nobody_reaches_what_is_not_theirs()
        scene.converges_to(wanted)
