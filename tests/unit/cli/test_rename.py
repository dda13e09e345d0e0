"""`dbroster rename`: the roster says what is under way, every server is asked first, and nothing else changes in it."""

from pathlib import Path

import pytest

from dbroster.model.plan import Verb
from dbroster.model.roster import AGE_FILE
from dbroster.roster.age import RECIPIENTS_FILE
from tests.support.command import BOTH, Command
from tests.support.samples import PASSWORD, config, private
from tests.support.vault import age_key, files, opened, sealed

ARCHIVES = "removals: {archive_dir: archives}\n"
PLAIN = f"# the team\n\nann:{PASSWORD}\n  bob :{PASSWORD}\n# the end\n"
RENAMED = PLAIN.replace("bob", "robert")


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Three servers of two engines, with bob on all of them."""
    directory = config(tmp_path / "config", PLAIN, connections=ARCHIVES + BOTH)
    private(directory / "mysql_databases.txt", "tools\n")
    command = Command(directory, capsys)
    assert command("sync") == 0
    return command


def text(command: Command) -> str:
    return (command.directory / "users.txt").read_text()


def refused(command: Command, *arguments: str) -> str:
    """See that nothing came of it, and return what is said."""
    before, changes = files(command.directory), [len(server.changes()) for server in command.servers.values()]
    assert command("rename", *arguments) == 2
    assert files(command.directory) == before
    assert [len(server.changes()) for server in command.servers.values()] == changes
    assert PASSWORD not in command.out + command.err
    return command.out + command.err


def test_on_every_server_and_in_the_roster(command: Command) -> None:
    """A12: comments, order and password stay."""
    assert command("rename", "bob", "robert") == 0
    assert text(command) == RENAMED
    assert all("robert" in server.accounts and "bob" not in server.accounts for server in command.servers.values())
    assert "bob is robert now, in users.txt and on all servers, with the same password" in command.out
    assert command("plan", "--detailed-exitcode") == 0


def test_a_dry_run_changes_nothing(command: Command) -> None:
    """A12: it says what would be done on each server."""
    before = files(command.directory)
    assert command("rename", "bob", "robert", "--dry-run", "--detailed-exitcode") == 4
    assert "bob" in command.out
    assert "~ robert  account created (the new name of bob): 1 database moved" in command.out
    assert "- bob     removed (robert now): 1 database archived and dropped" in command.out
    assert "False" not in command.out
    assert files(command.directory) == before


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("carl", "robert"), "carl is not in users.txt"), (("bob", "ann"), "ann is in users.txt already (line 3)"),
        (("bob", "b:b"), "is no user name"), (("bob", "root"), "the name of a system account"),
        (("bob", "ANN"), "differ only in case"), (("bob", "x" * 40), "fake server takes 32"),
    ],
)  # fmt: skip
def test_names_that_can_not_be(command: Command, names: tuple[str, str], reason: str) -> None:
    """A12: said beforehand."""
    assert reason in refused(command, *names)


def test_one_server_that_is_against_it_stops_all(command: Command) -> None:
    """A12: the name is foreign on one server."""
    list(command.servers.values())[-1].add_account("robert")
    said = refused(command, "bob", "robert")
    assert "an account robert exists already" in said
    assert "nothing was changed: bob keeps the name, in the roster and on all servers" in said


def test_a_server_that_is_down_stops_all(command: Command) -> None:
    """A12: half of the servers would know another name."""
    next(iter(command.servers.values())).lacking.append("GRANT EVERYTHING;")
    assert "GRANT EVERYTHING" in refused(command, "bob", "robert")


def test_what_was_not_finished_is_left_alone_until_it_is(command: Command) -> None:
    """A12: no sync, and no other verb, touches one of the two names."""
    last = list(command.servers.values())[-1]
    last.fail(Verb.LOCK_USER, "bob")
    assert command("rename", "bob", "robert") == 1
    assert f"dbroster rename bob robert --config {command.directory}" in command.err
    assert f"bob>robert :{PASSWORD}" in text(command)
    changes = [len(server.changes()) for server in command.servers.values()]
    assert command("sync", "--max-removals", "all") == 1
    assert "bob is being renamed to robert" in command.out
    assert [len(server.changes()) for server in command.servers.values()] == changes
    for verb in ("add robert", "passwd bob", "remove bob", "remove robert", "rename bob bert", "rename ann robert"):
        assert command(*verb.split()) == 2, verb
        assert "bob is being renamed to robert" in command.err, verb
    last.revive()
    assert command("rename", "bob", "robert") == 0
    assert "bob>" not in text(command)
    assert command("plan", "--detailed-exitcode") == 0


def test_an_encrypted_roster_stays_encrypted(command: Command, tmp_path: Path) -> None:
    """A12: and nothing of it is in clear on the way."""
    key = age_key(tmp_path)
    (command.directory / "users.txt").unlink()
    (command.directory / AGE_FILE).write_bytes(sealed(PLAIN.encode(), key))
    (command.directory / RECIPIENTS_FILE).write_text(key.public + "\n")
    assert command("rename", "bob", "robert", "--identity", str(key.path)) == 0
    assert opened(command.directory / AGE_FILE, key) == RENAMED.encode()


def test_a_line_that_only_looks_like_a_rename(command: Command) -> None:
    """A12: a password with the sign in it is never told."""
    private(command.directory / "users.txt", f"ann:{PASSWORD}\nSecret-Word-77>{PASSWORD}:bob\n")
    assert command("plan") == 1
    assert "Secret-Word" not in command.out + command.err


@pytest.mark.parametrize("name", ["RobertMiller12", "Service.Account.01"])
def test_names_that_look_like_passwords(command: Command, name: str) -> None:
    """G1: what is written while it is under way is read again, and the new name has its end, too."""
    last = list(command.servers.values())[-1]
    last.fail(Verb.LOCK_USER, "bob")
    assert command("rename", "bob", name) == 1
    assert command("sync") == 1
    assert f"bob is being renamed to {name}" in command.out
    last.revive()
    assert command("rename", "bob", name) == 0
    assert command("rename", name, "robert") == 0
    assert text(command) == RENAMED
    assert command("plan", "--detailed-exitcode") == 0


def test_a_line_that_would_not_be_read(command: Command) -> None:
    """G1: refused beforehand; add and passwd refuse it as well."""
    private(command.directory / "users.txt", PLAIN.replace(f"bob :{PASSWORD}", "bob :correct-horse-battery"))
    assert "would be taken for swapped" in refused(command, "bob", "RobertMiller12")
