"""The command line with several engines and servers at once: independent of each other, with one closing table."""

from pathlib import Path
from threading import Event

import pytest

from dbroster.errors import ConnectError
from dbroster.model.connection import Connection
from tests.fake import FakeHandler
from tests.support.command import BOTH, TWO, Command
from tests.support.samples import config, private


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    command = Command(config(tmp_path, TWO), capsys)
    private(tmp_path / "connections.yaml", BOTH)
    return command


def test_the_gravest_code_of_several_servers(command: Command) -> None:
    private(command.directory / "mysql_databases.txt", "web\n")
    command.server("a").lacking = ["GRANT x"]
    assert command("plan", "--detailed-exitcode", "--output", "json") == 2
    assert command.document["exit_code"] == 2
    assert [(r["engine"], r["server"]) for r in command.document["results"]] == [
        ("mysql", "default"), ("postgresql", "a"), ("postgresql", "b"),
    ]  # fmt: skip
    assert command("plan", "--server", "b", "postgresql", "--detailed-exitcode") == 4


def test_one_server_s_broken_part_does_not_stop_its_neighbours(command: Command) -> None:
    private(command.directory / "connections.yaml", BOTH.replace("{name: a,", "{name: a, prot: 5,"))
    assert command("sync", "postgresql", "--output", "json") == 2
    broken, sound = command.document["results"]
    assert (broken["server"], broken["error"]) == ("a", "nothing was done: 1 problem in the files")
    assert (sound["server"], sound["error"], len(sound["actions"])) == ("b", None, 6)
    assert command("plan", "postgresql", "--server", "b") == 0


def test_a_server_that_does_not_answer_keeps_no_other_one_waiting(command: Command) -> None:
    """Server a answers when b's work is done: if b waited for a, nothing would ever end."""
    done = Event()

    class Handler(FakeHandler):
        def close(self) -> None:
            super().close()
            if {"ann_web", "bob_web"} <= set(self._fake.databases):
                done.set()

    def connect(connection: Connection) -> FakeHandler:
        if connection.server == "a":
            assert done.wait(60)
            raise ConnectError("nobody answers")
        return Handler(connection, command.server("b"))

    command.connect = connect
    assert command("sync", "postgresql") == 2
    assert "error: nobody answers" in command.out
    assert set(command.server("b").accounts) >= {"ann", "bob"}


def test_several_servers_have_a_closing_table(command: Command) -> None:
    assert command("sync", "postgresql", "--server", "b") == 0
    assert "all servers" not in command.out
    assert command("sync") == 2
    head, *rows, log = command.out.partition("\nall servers\n")[2].splitlines()[1:]
    assert log.startswith("  audit log: line number ")
    assert head.split() == ["engine", "server", "users", "same", "user", "db", "failed", "exit"]
    assert [row.split() for row in rows] == [
        ["mysql", "default", "0", "0", "0", "0", "0", "2"],  # there is no mysql_databases.txt
        ["postgresql", "a", "2", "0", "2", "2", "0", "0"],
        ["postgresql", "b", "2", "2", "0", "0", "0", "0"],
    ]
    assert command("sync", "--quiet") == 2
    assert "all servers" not in command.out
    assert command("sync", "--quiet", "postgresql") == 0
    assert command.out == ""
