"""The command line with rosters that are encrypted or printed by a command: read once, and exit 2 if they can't be."""

from pathlib import Path

import pytest

from dbroster.cli.main import main
from dbroster.model.roster import AGE_FILE
from dbroster.roster.age import IDENTITY_VARIABLE
from tests.support.command import BOTH, Command
from tests.support.samples import PASSWORD, config, private
from tests.support.vault import Key, age_key, files, sealed

PLAIN = f"ann:{PASSWORD}\nbob:short\n".encode()


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return age_key(tmp_path)


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], key: Key) -> Command:
    """Three servers of two engines, and an encrypted roster."""
    site = tmp_path / "config"
    site.mkdir()
    config(site, connections=BOTH)
    (site / "users.txt").unlink()
    private(site / "mysql_databases.txt", "tools\n")
    private(site / AGE_FILE, sealed(PLAIN, key))
    return Command(site, capsys)


def test_every_server_follows_the_encrypted_roster(command: Command, key: Key) -> None:
    assert command("sync", "--identity", str(key.path)) == 1
    assert [sorted(server.accounts) for server in command.servers.values()] == [["admin", "ann"]] * 3
    assert command.out.count("users.txt.age line 2: bob: the password has 5 characters") == 1
    assert PASSWORD not in command.out + command.err


@pytest.mark.parametrize("engine", ["mysql", "postgresql", "clickhouse", "mongodb"])
def test_each_script_takes_an_identity(command: Command, key: Key, engine: str) -> None:
    private(command.directory / "connections.yaml", f"{engine}: {{host: h, username: admin, password_env: HOME}}\n")
    private(command.directory / f"{engine}_databases.txt", "web\n")
    assert command("--identity", str(key.path), engine=engine) == 1
    assert "ann" in command.server().accounts


@pytest.mark.parametrize("verb", ["sync", "plan", "check"])
def test_without_an_identity_nothing_is_done(command: Command, verb: str) -> None:
    before = files(command.directory)
    assert command(verb) == 2
    assert "users.txt.age needs an identity: --identity FILE" in command.out
    assert command.servers == {}
    assert files(command.directory) == before


def test_the_check_opens_it_too(command: Command, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(IDENTITY_VARIABLE, str(key.path))
    assert command("check") == 1
    assert "users.txt.age line 2: bob: the password has 5 characters" in command.out


@pytest.mark.parametrize(("script", "code"), [("cat users.enc", 1), ("cat users.enc; exit 1", 2)])
def test_the_command_is_run_once_for_all_servers(command: Command, script: str, code: int) -> None:
    (command.directory / AGE_FILE).unlink()
    (command.directory / "users.enc").write_bytes(PLAIN)
    script = f"[sh, -c, 'echo ran >> runs; {script}']"
    private(command.directory / "connections.yaml", f"users_command: {script}\n{BOTH}")
    assert command("sync") == code
    assert (command.directory / "runs").read_text() == "ran\n"
    assert len(command.servers) == (3 if code == 1 else 0)
    assert ("users_command line 2: bob: the password" in command.out) is (code == 1)
    assert ("users_command in connections.yaml: it failed with exit code 1" in command.out) is (code == 2)
    assert PASSWORD not in command.out + command.err


def test_a_failing_command_removes_nobody(command: Command, key: Key) -> None:
    assert command("sync", "--identity", str(key.path)) == 1
    (command.directory / AGE_FILE).unlink()
    private(command.directory / "connections.yaml", f"users_command: ['true']\n{BOTH}")
    assert command("sync", "--max-removals", "all") == 2
    assert "it printed nothing" in command.out
    assert [sorted(server.accounts) for server in command.servers.values()] == [["admin", "ann"]] * 3


def test_a_defect_in_a_verb_shows_nothing_that_it_held(
    command: Command, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError(PASSWORD)

    monkeypatch.setattr("dbroster.cli.verbs.roster.edit.edit", broken)
    assert command("edit") == 2
    assert "a defect in dbroster, please report it: RuntimeError in broken" in command.err
    assert PASSWORD not in command.out + command.err


def test_verbs_of_the_roster_are_not_the_scripts(command: Command) -> None:
    with pytest.raises(SystemExit):
        main(["encrypt", "--config", str(command.directory)], "mysql", command.connect)
