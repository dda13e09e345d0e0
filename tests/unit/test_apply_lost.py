"""Connections that break while a plan is carried out, and servers that stay away."""

from threading import Event

import pytest

from dbroster import apply
from dbroster.apply import RETRIES
from dbroster.engines.base import Handler
from dbroster.errors import ConnectError
from dbroster.model import Action, Status, Verb
from dbroster.secret import Secret
from tests.bounded import within
from tests.fake import FakeServer
from tests.unit.performing import Run, create, remove, statuses
from tests.unit.samples import PASSWORD


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.mark.parametrize("answer_lost", [False, True])
def test_a_lost_connection_is_replaced_and_the_change_repeated(server: FakeServer, *, answer_lost: bool) -> None:
    run = Run(server, jobs=1)
    server.drop_connection(1, answer_lost=answer_lost)
    assert statuses(run(*create("bob")), "bob") == ["done"] * 5
    assert server.databases["bob_web"].users == {"bob"}
    assert run.told[:2] == [("started", "create_user", "bob"), ("done", "create_user", "bob")]


def test_a_server_that_stays_away_ends_the_run(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "PAUSE", 0.001)

    class Away(Run):
        def connect(self) -> Handler:
            if server.changes():
                raise ConnectError("nobody there")
            return super().connect()

    run = Away(server, jobs=1)
    server.drop_connection(4)  # at the first database
    short = run(*create("ann", "bob", "cy"), *remove("zoe"), new=("ann", "bob", "cy"))
    failed = [o for o in run.outcomes if o.status is Status.FAILED]
    assert {o.error for o in failed} == {"connection lost: nobody there"}
    assert [o.action.database for o in failed] == ["ann_data", "ann_web"]
    assert {status for status, verb, _ in short if verb.startswith(("grant", "lock"))} <= {"skipped", "not_attempted"}
    assert "done" not in {status for status, verb, _ in short if verb != "create_user"}


class Clock(Event):
    """Counts the pauses instead of making them."""

    seconds = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds += timeout or 0
        return super().wait(0)


def test_a_server_that_is_away_for_as_long_as_an_election_costs_nothing(server: FakeServer) -> None:
    class Electing(Run):
        def connect(self) -> Handler:
            if server.changes() and clock.seconds < 12:  # MongoDB's own estimate
                raise ConnectError("no primary")
            return super().connect()

    run = Electing(server, jobs=1)
    run.stop = clock = Clock()
    server.drop_connection(4)
    assert {status for status, _, _ in run(*create("ann", "bob"), new=("ann", "bob"))} == {"done"}
    assert 12 <= clock.seconds < 30


def test_a_wish_to_stop_cuts_the_pauses_short(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "PAUSE", 60.0)
    run = Run(server, jobs=1)
    run.starting = lambda _: run.stop.set()
    for _ in range(RETRIES):
        server.drop_connection(1)
    with within(20):
        assert run(Action(Verb.CREATE_USER, "bob", None, Secret(PASSWORD))) == [("done", "create_user", "bob")]
