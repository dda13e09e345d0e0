"""What `dbroster restore` refuses, and what it tells; fakes behind the real command line."""

import json
from pathlib import Path

import pytest

from dbroster.archive import drafting
from dbroster.cli.main import main
from dbroster.engines.base import Handler
from dbroster.model.connection import Connection, Removals
from dbroster.model.state import Lock
from dbroster.passwords.secret import Secret
from tests.fake import FakeHandler, FakeServer, fake_connection
from tests.fake_archive import FakeArchiver
from tests.support.samples import CONNECTIONS, PASSWORD, config

ROWS = ["one", "two"]


class Command:
    """The command with a config directory, a fake server, and an archive of bob's."""

    def __init__(self, directory: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.directory, self.server, self._capture = directory, FakeServer(), capture
        config(directory, f"ann:{PASSWORD}\nbob:{PASSWORD}\n")
        self.archive = self.write()

    def write(self, engine: str = "postgresql", user: str = "bob", roster: str = "default") -> Path:
        removals = Removals(archive_dir=self.directory / "archives")
        connection = fake_connection(self.server, engine=engine, roster=roster, removals=removals)
        with drafting(connection, "Fake 1.0", user, f"{user}_web", "rows", "json") as draft:
            draft.file.write(json.dumps(ROWS).encode())
        return max((self.directory / "archives" / f"{engine}-default").glob(f"{user}_web-*.rows"))

    def __call__(self, *options: str, archive: Path | None = None) -> tuple[int, str]:
        code = main(["restore", "postgresql", str(archive or self.archive), "--config", str(self.directory), *options],
                    connect=self.connect)  # fmt: skip
        return code, self._capture.readouterr().out

    def sync(self) -> None:
        assert main(["sync", "postgresql", "--config", str(self.directory)], connect=self.connect) == 0
        self._capture.readouterr()

    def connect(self, connection: Connection) -> Handler:
        return FakeHandler(connection, self.server)


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path, capsys)


def test_it_is_brought_back_and_audited(command: Command) -> None:
    command.sync()
    del command.server.databases["bob_web"]
    code, out = command()
    assert code == 0, out
    assert "  + bob  1 database created (web); 1 database restored (web)\n" in out
    assert command.server.databases["bob_web"].rows == ROWS
    lines = [json.loads(line) for line in (command.directory / "audit.jsonl").read_text().splitlines()]
    assert [line["status"] for line in lines if line["action"] == "restore_database"] == ["started", "done"]
    assert lines[-2]["reason"] == f"from {command.archive.name}"


def test_an_account_that_is_not_ready_is_named(command: Command) -> None:
    assert "run a sync first" in command()[1]
    command.sync()
    command.server.accounts["bob"].lock = Lock.FOREIGN
    code, out = command()
    assert (code, "bob is locked" in out) == (2, True)
    command.server.accounts["bob"].roster = "another"
    assert "no managed account" in command()[1]
    assert command.server.databases["bob_web"].rows == []


def test_a_foreign_database_is_left_alone(command: Command) -> None:
    command.sync()
    command.server.databases["bob_web"].mark = None
    code, out = command()
    assert (code, "is not bob's" in out) == (2, True)


def test_an_archive_of_another_engine_is_refused_whatever_is_said(command: Command) -> None:
    command.sync()
    code, out = command("--from-another", archive=command.write("mongodb"))
    assert (code, "an archive of mongodb" in out) == (2, True)


def test_an_archive_of_another_roster_needs_a_word(command: Command) -> None:
    command.sync()
    foreign = command.write(roster="theirs")
    assert "--from-another" in command(archive=foreign)[1]
    assert command("--from-another", archive=foreign)[0] == 0
    assert command.server.databases["bob_web"].rows == ROWS


def test_a_line_that_can_not_be_used_protects_its_user(command: Command) -> None:
    command.sync()
    config(command.directory, f"ann:{PASSWORD}\nbob:short\n")
    code, out = command()
    assert (code, "can't be used" in out) == (2, True)


def test_what_is_missing_is_told_before_anything_is_changed(command: Command) -> None:
    command.sync()
    before = len(command.server.changes())
    command.server.missing_tools = ["fake_restore is not installed"]
    assert "nothing can be restored here:\n        fake_restore" in command()[1]
    command.server.missing_tools, command.server.lacking = [], ["GRANT everything"]
    assert "GRANT everything" in command()[1]
    assert len(command.server.changes()) == before


def test_what_the_server_could_not_take_is_refused_before_anything_is_changed(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A8: not even the database is created."""
    command.sync()
    del command.server.databases["bob_web"]
    monkeypatch.setattr(FakeArchiver, "obstacle", lambda *_: "SET GLOBAL max_allowed_packet = 2048;", raising=True)
    before = len(command.server.changes())
    code, out = command()
    assert (code, "nothing was done: SET GLOBAL max_allowed_packet = 2048;" in out) == (2, True)
    assert len(command.server.changes()) == before


def test_a_login_that_fails_is_a_failure(command: Command) -> None:
    command.sync()
    command.server.accounts["bob"].stored = None
    code, out = command()
    assert (code, "bob can't log in" in out) == (1, True)


def test_one_of_several_servers_has_to_be_named(command: Command) -> None:
    one = CONNECTIONS.partition("postgresql:")[2].strip().replace("\n  ", ", ")
    servers = f"postgresql:\n- {{name: a, {one}}}\n- {{name: b, {one}}}\n"
    config(command.directory, f"bob:{PASSWORD}\n", connections=servers)
    code, out = command()
    assert (code, "--server (a, b)" in out) == (2, True)
    assert "run a sync first" in command("--server", "b")[1]


def test_files_that_can_not_be_used_stop_it(command: Command) -> None:
    (command.directory / "users.txt").chmod(0o644)
    code, out = command()
    assert (code, "chmod 600" in out) == (2, True)
    assert Secret(PASSWORD).reveal() not in out
