"""Fifty servers in one connections.yaml: how many at once, and what dead ones cost the others."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dbroster.cli.arguments import MAX_SERVERS
from dbroster.cli.main import main
from dbroster.engines.base import Handler
from dbroster.errors import ConnectError
from dbroster.files.read import Files
from dbroster.model.connection import Connection
from dbroster.roster.source import UsersSource
from dbroster.run.sync import load
from tests.fake import FakeHandler, FakeServer
from tests.support.samples import PASSWORD, config, private

NAMES = [f"s{number}" for number in range(50)]
PATIENCE = 60

Results = dict[str, dict[str, object]]


class Fleet:
    """Fifty fake servers; `most` is how many of them had sessions at the same time, `most_sessions` of one of them.

    `arrive` is called with the name of each server when it is connected to for the first time.
    """

    def __init__(self, directory: Path, capture: pytest.CaptureFixture[str]) -> None:
        servers = "".join(
            f"- {{name: {name}, host: 127.0.0.1, username: admin, password: x, jobs: 2}}\n" for name in NAMES
        )
        self.directory = config(directory, f"ann:{PASSWORD}\nbob:{PASSWORD}\n", connections=f"postgresql:\n{servers}")
        self.servers = {name: FakeServer() for name in NAMES}
        self.arrive: Callable[[str], None] = lambda _: None
        self.most = self.most_sessions = 0
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._capture = capture

    def connect(self, connection: Connection) -> Handler:
        name = connection.server
        with self._lock:
            new = name not in self._seen
            self._seen.add(name)
        if new:
            self.arrive(name)
        handler = FakeHandler(connection, self.servers[name])
        with self._lock:
            sessions = [len(server.sessions) for server in self.servers.values()]
            self.most = max(self.most, len([count for count in sessions if count]))
            self.most_sessions = max(self.most_sessions, *sessions)
        return handler

    def sync(self, *options: str) -> Results:
        """Sync all of them; the results by server, in the report's order."""
        main(["sync", "--config", str(self.directory), "--output", "json", *options], connect=self.connect)
        document = json.loads(self._capture.readouterr().out)
        return {result["server"]: result for result in document["results"]}


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fleet:
    return Fleet(tmp_path, capsys)


def in_step(results: Results) -> set[str]:
    return {name for name, result in results.items() if not result["error"]}


@pytest.mark.parametrize(("options", "at_once"), [((), MAX_SERVERS), (("--max-servers", "3"), 3)])
def test_so_many_servers_are_served_at_once_and_no_more(fleet: Fleet, options: tuple[str, ...], at_once: int) -> None:
    meeting, numbers = threading.Barrier(at_once), iter(range(50))

    def arrive(_: str) -> None:
        if next(numbers) < at_once:  # the first ones wait for each other, so they have to be at work at the same time
            meeting.wait(PATIENCE)

    fleet.arrive = arrive
    results = fleet.sync(*options)
    assert list(results) == NAMES
    assert in_step(results) == set(NAMES)
    assert fleet.most <= at_once
    assert not meeting.broken
    assert all(server.databases.keys() == {"system", "ann_web", "bob_web"} for server in fleet.servers.values())


def test_sessions_are_bounded_on_each_server(fleet: Fleet) -> None:
    fleet.sync()
    assert fleet.most_sessions <= 2 + 1  # jobs, and the one that holds the lock


def test_a_server_that_does_not_answer_holds_up_no_other(fleet: Fleet) -> None:
    others = threading.Semaphore(0)

    def arrive(name: str) -> None:
        if name != "s0":
            others.release()
            return
        for _ in NAMES[1:]:  # it times out only when all the others have been reached
            assert others.acquire(timeout=PATIENCE)
        raise ConnectError("timed out")

    fleet.arrive = arrive
    results = fleet.sync("--max-servers", "2")
    assert in_step(results) == set(NAMES[1:])
    assert results["s0"]["error"] == "timed out"


def test_a_whole_rack_that_is_dead_leaves_the_rest_in_step(fleet: Fleet) -> None:
    def arrive(name: str) -> None:
        if name in NAMES[:20]:
            raise ConnectError("no route to host")

    fleet.arrive = arrive
    assert in_step(fleet.sync()) == set(NAMES[20:])


def test_the_files_are_parsed_once_for_all_servers(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []

    class Loader(yaml.SafeLoader):
        def __init__(self, text: str) -> None:
            parsed.append(text)
            super().__init__(text)

    monkeypatch.setattr(yaml, "SafeLoader", Loader)
    path = fleet.directory / "connections.yaml"
    private(path, f"{path.read_text()}# which no test before has read\n")
    assert in_step(fleet.sync()) == set(NAMES)
    assert len(parsed) == 1
    source = UsersSource(Files(fleet.directory))
    one, another = (load(source, "postgresql", name)[1] for name in ("s0", "s1"))
    assert one.users is another.users


def test_a_file_that_has_changed_is_parsed_anew(fleet: Fleet) -> None:
    assert in_step(fleet.sync()) == set(NAMES)
    path = fleet.directory / "connections.yaml"
    private(path, path.read_text().replace("s49", "s50"))
    private(fleet.directory / "users.txt", f"ann:{PASSWORD}\nbob:{PASSWORD}\ncy:{PASSWORD}\n")
    fleet.servers["s50"] = FakeServer()
    assert set(fleet.sync()) == {*NAMES[:49], "s50"}
    assert all("cy_web" in fleet.servers[name].databases for name in [*NAMES[:49], "s50"])
