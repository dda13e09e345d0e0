"""A5: files that change while a run waits or works: what is removed, created, and said then."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dbroster.engines.base import Handler
from dbroster.files.read import Files
from dbroster.model.connection import Connection
from dbroster.roster.source import UsersSource
from dbroster.run import rereading
from dbroster.run.sync import load
from tests.fake import FakeHandler
from tests.support.command import ANN, BOTH, TWO, Command
from tests.support.samples import OTHER_PASSWORD, PASSWORD, config, private
from tests.support.waiting import wait_until

PERMITTED = ("--max-removals", "all")


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Three servers of two engines that have ann and bob."""
    config(tmp_path, TWO, connections=BOTH)
    private(tmp_path / "mysql_databases.txt", "tools\n")
    found = Command(tmp_path, capsys)
    assert found("sync") == 0
    return found


def when_connecting(command: Command, server: str, change: Callable[[], object]) -> None:
    """Let somebody change files while the run reaches this server, which it has read the files for."""

    def connect(connection: Connection) -> Handler:
        if connection.server == server:
            change()
        return FakeHandler(connection, command.server(connection.server))

    command.connect = connect


def accounts(command: Command, server: str) -> list[str]:
    return sorted(command.servers[server].accounts.keys() - {"admin"})


def write_users(command: Command, text: str) -> None:
    private(command.directory / "users.txt", text)


def test_a_user_who_was_added_meanwhile_is_not_removed(command: Command) -> None:
    """A5: a run that has waited takes bob for a leaver; he was put back meanwhile."""
    write_users(command, ANN)
    when_connecting(command, "b", lambda: write_users(command, TWO))
    assert command("sync", "postgresql", "--server", "b", *PERMITTED) == 1
    assert accounts(command, "b") == ["ann", "bob"]
    assert "users.txt changed meanwhile, run again" in command.out
    command.connect = lambda connection: FakeHandler(connection, command.server(connection.server))
    assert command("sync") == 0


def test_servers_that_wait_for_others(command: Command) -> None:
    """A5: the roster is read once for all; each server looks at it again."""
    write_users(command, ANN)
    when_connecting(command, "b", lambda: write_users(command, TWO))
    assert command("sync", "--max-servers", "1", *PERMITTED) == 1
    assert {server: accounts(command, server) for server in ("default", "a", "b")} == {
        "default": ["ann"],
        "a": ["ann"],
        "b": ["ann", "bob"],
    }


@pytest.mark.parametrize("name", ["postgresql_databases.txt", "connections.yaml"])
def test_what_else_decides_who_goes(command: Command, name: str) -> None:
    """A5: a template that comes back, a name that is protected now."""
    path = command.directory / name
    if name == "connections.yaml":
        write_users(command, ANN)
        text = BOTH.replace("{name: b,", "{name: b, protected: [bob],")
    else:
        text = path.read_text()
        private(path, "other\n")
    when_connecting(command, "b", lambda: private(path, text))
    assert command("sync", "postgresql", "--server", "b", *PERMITTED) == 1
    assert accounts(command, "b") == ["ann", "bob"]
    assert {"ann_web", "bob_web"} <= command.servers["b"].databases.keys()
    assert f"{name} changed meanwhile, run again" in command.out


def test_a_leaver_is_not_let_in_again(command: Command) -> None:
    """A5: a run that has waited must not create whom another run has removed meanwhile."""
    command.servers.clear()
    when_connecting(command, "b", lambda: write_users(command, ANN))
    assert command("sync", "postgresql", "--server", "b") == 1
    assert accounts(command, "b") == ["ann"]


def test_a_password_is_not_set_back(command: Command) -> None:
    """A5: nor is the old password set again."""
    command.servers.clear()
    when_connecting(command, "b", lambda: write_users(command, TWO.replace(PASSWORD, OTHER_PASSWORD, 1)))
    assert command("sync", "postgresql", "--server", "b") == 1
    assert accounts(command, "b") == ["bob"]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.chmod(0o644)])
def test_files_that_can_not_be_used_any_more(command: Command, damage: Callable[[Path], object]) -> None:
    """A5: nothing is done."""
    write_users(command, ANN + f"eve:{PASSWORD}\n")
    when_connecting(command, "b", lambda: damage(command.directory / "users.txt"))
    assert command("sync", "postgresql", "--server", "b", *PERMITTED) == 1
    assert accounts(command, "b") == ["ann", "bob"]
    assert "changed meanwhile, run again" in command.out


def test_a_change_while_databases_are_archived(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: what is locked stays locked until the next run, and nothing is dropped."""
    monkeypatch.setattr(rereading, "SECONDS", 0.0)
    write_users(command, ANN)
    lock = FakeHandler.lock_user

    def slow(self: FakeHandler, user: str) -> None:
        lock(self, user)
        write_users(command, TWO)

    monkeypatch.setattr(FakeHandler, "lock_user", slow)
    assert command("sync", "postgresql", "--server", "b", *PERMITTED) == 1
    assert accounts(command, "b") == ["ann", "bob"]
    assert "bob_web" in command.servers["b"].databases
    assert "  ! bob  not attempted: drop bob_web, drop the account: " in command.out
    assert "users.txt changed meanwhile, run again" in command.out
    monkeypatch.undo()
    assert command("sync") == 0


def test_a_change_that_changes_nothing(command: Command) -> None:
    """A5: a comment at the end decides nothing."""
    write_users(command, ANN)
    when_connecting(command, "b", lambda: write_users(command, f"{ANN}# bob has left\n"))
    assert command("sync", "postgresql", "--server", "b", *PERMITTED) == 0
    assert accounts(command, "b") == ["ann"]


def test_a_run_that_changes_nothing_reads_once(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: the second reading costs only runs that change something."""

    def never(_: UsersSource) -> UsersSource:
        raise AssertionError("read again")

    monkeypatch.setattr(UsersSource, "anew", never)
    assert command("sync") == 0


# --- a program that prints the roster -----------------------------------------------------------------------------


def users_command(command: Command, script: str) -> None:
    (command.directory / "users.txt").unlink()
    private(command.directory / "connections.yaml", f"users_command: [sh, -c, '{script}']\n{BOTH}")


def test_the_command_runs_again_before_a_removal(command: Command) -> None:
    """A5: what it prints then counts."""
    (command.directory / "first").write_text(ANN)
    (command.directory / "then").write_text(TWO)
    users_command(command, "cat first; test ! -e then || mv then first")
    assert command("sync", "postgresql", "--server", "b", *PERMITTED) == 1
    assert accounts(command, "b") == ["ann", "bob"]
    assert "users_command changed meanwhile, run again" in command.out


def test_the_command_runs_once_more_for_servers_that_ask_together(command: Command) -> None:
    """A5: bounded, however many servers there are: nobody needs a reading of the own that begins later."""
    users = UsersSource(Files(command.directory))
    again = users.anew()
    assert users.anew() is again
    assert again.users.data
    assert users.anew() is not again


def test_servers_that_wait_for_the_command_share_its_next_run(command: Command) -> None:
    """A5: who asks while it runs waits for its end, and is answered by one more run, of which no file is older."""
    users_command(command, "echo ran >> runs; until test -e go; do sleep 0.01; done; echo >> runs; cat users")
    directory = command.directory
    (directory / "users").write_text(ANN)
    root = UsersSource(Files(directory))
    with ThreadPoolExecutor() as pool:
        first = pool.submit(load, root.anew(), "postgresql", "b")
        wait_until((directory / "runs").exists)
        private(directory / "postgresql_databases.txt", "tools\n")
        waiting = [pool.submit(load, root.anew(), "postgresql", "a")]
        with pytest.raises(TimeoutError):
            waiting[0].result(timeout=0.5)  # so that it has begun, if it doesn't wait
        waiting.append(pool.submit(load, root.anew(), "postgresql", "b"))
        (directory / "go").touch()
        rosters = [each.result()[1] for each in (first, *waiting)]
    assert (directory / "runs").read_text().split() == ["ran", "ran"]
    assert [roster.templates for roster in rosters[1:]] == [("tools",)] * 2


def test_a_command_that_fails_the_second_time_removes_nobody(command: Command) -> None:
    """A5: a token that served once."""
    (command.directory / "first").write_text(ANN)
    users_command(command, "cat first && rm first")
    assert command("sync", "postgresql", "--server", "b", *PERMITTED) == 1
    assert accounts(command, "b") == ["ann", "bob"]
