"""Connections that break while a plan is carried out, and servers that stay away."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import ClassVar

import pytest

from dbroster.engines.base import Handler
from dbroster.errors import ConnectError, Stalled
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Outcome, Status
from dbroster.model.state import Lock
from dbroster.passwords.secret import Secret
from dbroster.run import apply
from dbroster.run.apply import RETRIES
from tests.fake import FakeHandler, FakeServer
from tests.support.bounded import within
from tests.support.fake_site import Site, code
from tests.support.performing import Run, create, remove, statuses
from tests.support.samples import PASSWORD, roster


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
    server.drop_connection(4)  # at the second database
    short = run(*create("ann", "bob", "cy"), *remove("zoe"), new=("ann", "bob", "cy"))
    failed = [o for o in run.outcomes if o.status is Status.FAILED]
    assert {o.error for o in failed} == {"connection lost: nobody there"}
    assert [o.action.database for o in failed] == ["ann_web"]
    assert {status for status, verb, _ in short if verb.startswith(("grant", "lock"))} <= {"skipped", "not_attempted"}
    assert [name for status, verb, name in short if status == "done" and verb != "create_user"] == ["ann_data"]
    assert server.databases["ann_data"].usable


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


class Stuck(FakeHandler):
    """The server never finishes the databases of those whose names begin with `slow`; a new session may be refused."""

    batch_sizes: ClassVar[Mapping[Verb, int]] = {Verb.DROP_DATABASE: 50}
    asked: ClassVar[list[str]] = []

    def drop_database(self, user: str, database: str) -> None:
        if user.startswith("slow"):
            self.asked.append(database)
            raise Stalled("db:1 did not answer within 300 s")
        super().drop_database(user, database)

    def perform_all(self, actions: Sequence[Action]) -> list[Outcome]:
        return Handler.perform_all(self, actions)


class Sticking(Run):
    handler: ClassVar[type[FakeHandler]] = Stuck


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_database_that_is_never_done_with_stops_no_other(server: FakeServer, jobs: int) -> None:
    """J1, B4, C1: the server answers others, so it is about that database; that user's later actions are skipped."""
    Stuck.asked.clear()
    run = Sticking(server, jobs)
    run(*create("ann", "slow", "zoe"))
    short = run(*remove("ann", "slow", "zoe"))
    assert statuses(short, "ann") == statuses(short, "zoe") == ["done"] * 4
    assert statuses(short, "slow") == ["done", "failed", "skipped", "skipped"]
    assert Stuck.asked == ["slow_data"]
    (failed,) = [o.error for o in run.outcomes if o.status is Status.FAILED]
    assert failed == "db:1 did not answer within 300 s; the server answers, so it is about this database"


def test_a_server_that_lets_nobody_in_any_more_ends_the_run(server: FakeServer) -> None:
    """C1: whoever waits that long would wait for every other action, too."""
    Stuck.asked.clear()

    class Refusing(Sticking):
        def connect(self) -> Handler:
            if Stuck.asked:
                raise ConnectError("nobody there")
            return super().connect()

    run = Refusing(server, jobs=1)
    run(*create("ann", "slow", "zoe"))
    short = run(*remove("slow", "zoe"))
    assert statuses(short, "zoe") == ["done", "failed", "failed", "skipped"]
    assert {status for status, _, name in short if name == "slow"} == {"done", "skipped"}


def test_a_server_that_gets_no_drop_done_ends_the_run(server: FakeServer) -> None:
    """C1: one user after the other would take `timeout`, however many there are."""
    Stuck.asked.clear()
    users = [f"slow{number}" for number in range(9)]
    run = Sticking(server, jobs=1)
    run(*create(*users, "zoe"))
    assert statuses(run(*remove(*users, "zoe")), "zoe") == ["done", "failed", "failed", "skipped"]
    assert Stuck.asked == [f"slow{number}_data" for number in range(apply.STALLED)]


@pytest.mark.parametrize("after", ["lock", "drop"])
def test_who_has_lost_the_sync_lock_removes_nothing_more(tmp_path: Path, after: str) -> None:
    """Q7, A5: a machine sleeps in the middle, and a run elsewhere, by newer files, has opened the account again."""
    site = Site(tmp_path)
    site.run(roster("al", "bob", "cy"))
    server = site.server
    slept: list[bool] = []

    class Sleeping(FakeHandler):
        def lock_user(self, user: str) -> None:
            super().lock_user(user)
            if after == "lock" and user == "cy":
                self._sleep()

        def drop_database(self, user: str, database: str) -> None:
            if after == "drop" and not slept:
                self._sleep()
            super().drop_database(user, database)

        def _sleep(self) -> None:
            slept.append(True)
            for session in list(server.sessions):
                server.disconnect(session)
            for user in ("bob", "cy"):
                server.accounts[user].lock = Lock.OPEN  # what the other run does

    site.connect = Sleeping.open
    result = site.run(roster("al"), max_removals="all", jobs=1)
    assert slept
    assert code(result) == 1
    assert {"bob", "cy"} <= server.accounts.keys()
    assert {"bob_web", "cy_web"} <= server.databases.keys()
    assert "the sync lock was lost" in str(result.outcomes)


def test_a_server_that_does_not_say_whether_the_lock_is_held_is_named(tmp_path: Path) -> None:
    """C2: a silent server, and one SIGTERM: the report said that the lock was lost, and named nobody."""
    site = Site(tmp_path)
    site.run(roster("al", "bob"))

    class Silent(FakeHandler):
        def still_holds_sync_lock(self) -> bool:
            raise Stalled("Fake at 127.0.0.1 did not answer within 5 s")

    site.connect = Silent.open
    result = site.run(roster("al"), max_removals="all")
    assert code(result) == 1
    assert {o.error for o in result.outcomes} == {
        "whether the sync lock is held can't be seen: Fake at 127.0.0.1 did not answer within 5 s; "
        "another sync may have changed what this one has seen: run again"
    }
