"""SIGKILL for the server in the middle of a run, and connections that break: a clear outcome, and convergence."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from threading import Event, Lock

import pytest

from servers.base import LocalServer
from tests.contract.adapters import Adapter
from tests.e2e.conftest import REAL
from tests.e2e.site import Site
from tests.kill.conftest import SOAK
from tests.kill.crime import Scene

PARTS = range(1, 20) if SOAK else (10,)
"""Twentieths of a run after which the server is killed."""

LIMITS = {"connect_timeout": 2, "timeout": 3}
_numbers = count(1)


class Killing:
    """Kills a server, but not when the run has ended meanwhile and the server is to be started."""

    def __init__(self, server: LocalServer) -> None:
        self.done = Event()
        self._server, self._over, self._turn = server, False, Lock()

    def __call__(self) -> None:
        """Kill it now."""
        with self._turn:
            if not self._over:
                self._server.kill()
                self.done.set()

    def is_over(self) -> None:
        """Wait for a kill that is under way, and let none begin any more."""
        with self._turn:
            self._over = True


@pytest.fixture
def doomed(mortal: Adapter, tmp_path: Path) -> Iterator[Scene]:
    adapter = type(mortal)(mortal.server)
    site = Site(adapter, tmp_path / "config", f"k{next(_numbers)}q")
    yield Scene(site)
    site.adapter.wipe(site.prefix)
    site.adapter.close()


@pytest.mark.timeout(7200 if SOAK else 300)
def test_the_server_is_killed_and_comes_back(doomed: Scene) -> None:
    server = doomed.site.adapter.server
    messages = doomed.messages()
    wanted = doomed.state()
    for part in PARTS:
        doomed.before()
        doomed.pending()
        killing = Killing(server)
        with doomed.relay(max(1, messages * part // 20), at_end=killing, once=True):
            process = doomed.start()
            while not killing.done.wait(0.02) and process.poll() is None:
                continue
            killing.is_over()
            server.start()
            run = doomed.finish(process)
        doomed.log_in_again()
        assert run.code in (0, 1, 2), run.out + run.err
        assert "Traceback" not in run.err
        doomed.nobody_reaches_what_is_not_theirs()
        doomed.converges_to(wanted)


@pytest.mark.timeout(7200 if SOAK else 300)
def test_connections_break_once_and_the_run_goes_on(doomed: Scene) -> None:
    messages = doomed.messages()
    wanted = doomed.state()
    for part in PARTS:
        doomed.before()
        doomed.pending()
        with doomed.relay(messages * (20 + part) // 40, once=True, deliver_last=False):
            run = doomed.finish(doomed.start())
        assert run.code in (0, 1, 2), run.out + run.err
        assert "Traceback" not in run.err
        doomed.nobody_reaches_what_is_not_theirs()
        doomed.converges_to(wanted)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mortal", REAL if SOAK else ["mongodb"], indirect=True)
def test_a_server_that_stays_away_ends_the_run_in_bounded_time(doomed: Scene) -> None:
    """That it is bounded, the patience of `finish` sees."""
    server = doomed.site.adapter.server
    messages = doomed.messages()
    wanted = doomed.state()
    doomed.before()
    doomed.pending()
    with doomed.relay(messages * 3 // 4, at_end=server.kill, once=True) as relay:
        doomed.site.configure(None, **doomed.site.adapter.relayed(relay), **LIMITS)
        run = doomed.finish(doomed.start())
    server.start()
    doomed.log_in_again()
    assert run.code == 1, run.out + run.err
    assert "connection lost" in run.out
    assert "Traceback" not in run.err
    doomed.nobody_reaches_what_is_not_theirs()
    doomed.converges_to(wanted)
