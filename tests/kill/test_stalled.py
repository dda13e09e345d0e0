"""Invariant 11: a server that stops answering, at any moment of a run, ends the run; the next one converges."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.site import Run, Site
from tests.kill.conftest import SOAK
from tests.kill.crime import Scene
from tests.support.bounded import within
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

LIMITS = {"connect_timeout": 2, "timeout": 3}
ENOUGH = 60  # seconds for a run whose every wait ends after LIMITS, on a machine with other things to do


@pytest.fixture
def scene(site: Site) -> Scene:
    return Scene(site)


def moments(scene: Scene) -> list[int]:
    """Every message of a run; without much time the first one, in which somebody logs in, and one of all others."""
    messages = scene.messages()
    return list(range(1, messages, 3)) if SOAK else [1, random.randint(2, messages - 1)]


@contextmanager
def behind(scene: Scene, moment: int) -> Iterator[Proxy]:
    """Let the script go through a relay that stalls after so many messages."""
    with scene.relay(moment, stalls=True) as relay:
        scene.site.configure(None, **scene.site.adapter.relayed(relay), **LIMITS)
        yield relay


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """Stop a process for the time of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def assert_named(run: Run) -> None:
    """The exit code and the report say that it was the server."""
    assert run.code in (1, 2), run.out + run.err
    assert "defect" not in run.out
    told = [run.result["error"] or "", *(action["error"] or "" for action in run.result["actions"])]
    assert any("127.0.0.1" in text for text in told), told


@pytest.mark.timeout(3600 if SOAK else 600)
def test_invariant_11_a_server_that_stops_answering_ends_the_run(scene: Scene) -> None:
    """C1: at the greeting, while it logs in, reads and changes; with the server named, and nothing lost."""
    for moment in moments(scene):
        scene.before()
        scene.pending()
        with behind(scene, moment) as relay:
            began = time.monotonic()
            run = scene.finish(scene.start())
            seconds = time.monotonic() - began
        if relay.stalled.is_set():
            assert seconds < ENOUGH, moment
            if run.code:  # the last message of a session says good-bye, and needs no answer
                assert_named(run)
        scene.site.configure()
        assert scene.site.run("--max-removals", "all").code == 0
        scene.site.everybody_is_at_home("web", "more")
        scene.site.in_step()


def test_invariant_11_one_sigterm_ends_a_run_that_waits(scene: Scene) -> None:
    """C1: within ten seconds, although the server would be waited for much longer."""
    moment = random.randint(2, scene.messages() * 3 // 4)  # the next run may need a few less
    scene.before()
    scene.pending()
    with scene.relay(moment, stalls=True) as relay:
        process = scene.start()
        assert relay.stalled.wait(60)
        process.send_signal(signal.SIGTERM)
        with within(10):
            run = scene.finish(process)
    assert_named(run)
    scene.site.configure()
    assert scene.site.run("--max-removals", "all").code == 0
    scene.site.in_step()


def test_invariant_11_a_server_process_that_stands_still_ends_the_run(scene: Scene) -> None:
    """C1: the kernel goes on to take connections for it, and nothing answers."""
    scene.before()
    scene.pending()
    scene.site.configure(None, **LIMITS)
    began = time.monotonic()
    with standing_still(scene.site.adapter.server.process.pid):
        run = scene.finish(scene.start())
    assert time.monotonic() - began < ENOUGH
    assert_named(run)
    assert run.code == 2
    scene.site.configure()
    assert scene.site.run("--max-removals", "all").code == 0
    scene.site.in_step()


def test_invariant_11_one_sigterm_ends_a_run_that_archives(scene: Scene) -> None:
    """C1: while a dump waits for a server that has stopped answering; no program is left, and nothing is lost."""
    archives = {"removals": {"archive_dir": "archives"}}
    scene.before()
    scene.pending()
    with scene.relay(None) as relay:
        scene.site.configure(None, **scene.site.adapter.relayed(relay), **archives)
        assert scene.finish(scene.start()).code == 0
        messages = relay.messages
    for part in (0.6, 0.7, 0.8) if SOAK else (0.8,):  # removals come last
        scene.before()
        scene.pending()
        with scene.relay(int(messages * part), stalls=True) as relay:
            scene.site.configure(None, **scene.site.adapter.relayed(relay), **archives)
            process = scene.start()
            assert relay.stalled.wait(60), part
            process.send_signal(signal.SIGTERM)
            with within(10):
                scene.finish(process)
            wait_until(lambda: not children_of_the_past(relay.port), 10)
        scene.site.configure(None, **archives)
        assert scene.site.run("--max-removals", "all").code == 0
        assert not list((scene.site.directory / "archives").rglob("*.partial"))
        scene.site.in_step()


def children_of_the_past(port: int) -> list[str]:
    """Command lines and environments of programs that still work through a relay."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (directory / "cmdline").read_bytes() + (directory / "environ").read_bytes()
            if f"={port}\0".encode() in words:
                found.append(words.decode(errors="replace"))
    return found
