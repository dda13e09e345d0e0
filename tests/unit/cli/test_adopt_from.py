"""`--adopt-from FILE`: many --adopt at once, for sync, plan and the scripts."""

import json
from pathlib import Path

import pytest

from tests.fake_server import Database
from tests.support.command import Command
from tests.support.samples import PASSWORD, config, private

USERS = "".join(f"{name}:{PASSWORD}\n" for name in ("ann", "bob", "cyd"))


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    command = Command(config(tmp_path / "config", USERS), capsys)
    for name in ("ann", "bob", "cyd"):
        command.server().add_account(name, "old")
        command.server().databases[f"{name}_web"] = Database(users={name})
    private(command.directory / "adopt.txt", "# whom\nann\n\nbob\n")
    return command


def adopted(command: Command) -> set[str]:
    (result,) = json.loads(command.out)["results"]
    return {action["user"] for action in result["actions"] if action["action"] == "adopt"}


@pytest.mark.parametrize(
    ("words", "engine"), [(["sync", "postgresql"], None), (["plan", "postgresql"], None), ([], "postgresql")]
)
def test_it_is_as_many_adopts(command: Command, words: list[str], engine: str | None) -> None:
    path = str(command.directory / "adopt.txt")
    assert command(*words, "--adopt-from", path, "--output", "json", engine=engine) == 1  # cyd is a conflict
    assert adopted(command) == {"ann", "bob"}
    assert bool(command.server().changes()) is (words[:1] != ["plan"])


def test_with_adopt_it_is_both(command: Command) -> None:
    path = str(command.directory / "adopt.txt")
    both = ("--adopt", "cyd", "--adopt-from", path)
    assert command("plan", *both, "--detailed-exitcode", "--output", "json") == 4
    assert adopted(command) == {"ann", "bob", "cyd"}
    assert command("sync", *both) == 0
    assert command("plan", "--detailed-exitcode") == 0
    assert command("plan", "--adopt-from", path, "--detailed-exitcode") == 0
    assert "no effect" not in command.out
    assert command("plan", "--adopt", "cyd", "--detailed-exitcode") == 0
    assert "--adopt had no effect" in command.out


def test_names_that_nobody_has_are_told(command: Command) -> None:
    path = private(command.directory / "adopt.txt", "ann\nzoe\n")
    command("plan", "--adopt-from", str(path))
    assert "zoe: --adopt-from had no effect" in command.out


def test_a_bad_file_stops_all_before_a_server_is_asked(command: Command) -> None:
    path = private(command.directory / "adopt.txt", f"ann\nbob:{PASSWORD}\n")
    assert command("sync", "--adopt-from", str(path)) == 2
    assert "adopt.txt line 2: not a user name" in command.err
    assert PASSWORD not in command.err + command.out
    assert command.server().log == []


def test_the_command_that_is_told_names_the_file(command: Command) -> None:
    path = str(command.directory / "adopt.txt")
    assert command("sync", "--adopt-from", path, "--adopt", "cyd") == 0
    private(command.directory / "users.txt", "")
    assert command("sync", "--adopt-from", path) == 3
    assert f"--adopt-from {path}" in command.out
