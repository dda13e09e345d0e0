"""`dbroster check`: what it says that it judged, what it needs for that, checkouts, and names of files."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from dbroster.cli.main import main, parser
from dbroster.cli.verbs.servers.check import FILES
from dbroster.engines import ENGINES
from tests.support.command import BOTH, TWO, Command
from tests.support.samples import PASSWORD, config, private

ROOT = Path(__file__).parents[3]
ABSENT = "postgresql: {host: 127.0.0.1, username: admin, password_env: DBROSTER_NOT_THERE}\n"


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(config(tmp_path / "config", TWO), capsys)


def test_it_says_what_it_judged_in_each_file(command: Command) -> None:
    """D1: "nothing to do" was said of a server that had none of the users."""
    private(command.directory / "connections.yaml", BOTH)
    private(command.directory / "mysql_databases.txt", "web\ntools\n")
    assert command("check") == 0
    judged = re.findall(r"^  judged (users\.txt: .*?); dbroster plan tells", command.out, re.MULTILINE)
    assert judged == [
        "users.txt: 2 users; mysql_databases.txt: 2 templates; connections.yaml: 1 server",
        *["users.txt: 2 users; postgresql_databases.txt: 1 template; connections.yaml: 2 servers"] * 2,
    ]
    assert "nothing to do" not in command.out


def test_files_are_judged_without_the_admin_s_password(command: Command) -> None:
    """D2: who judges files has no business with it."""
    for line in (ABSENT, ABSENT.replace("password_env:", "password_file:"), ABSENT.replace("_env: ", ": $")):
        private(command.directory / "connections.yaml", line)
        assert command("check") == 0, command.out
    private(command.directory / "connections.yaml", ABSENT)
    assert command("check", "--connect") == 2
    assert "the environment variable DBROSTER_NOT_THERE is not set" in command.out
    private(command.directory / "connections.yaml", ABSENT.replace(", password_env: DBROSTER_NOT_THERE", ""))
    assert command("check") == 2
    assert "one of password, password_file and password_env must be set" in command.out


def test_connect_says_login_version_privileges_and_what_is_too_long(command: Command) -> None:
    """D1: with --connect, what was found there."""
    private(command.directory / "users.txt", f"{TWO}{'x' * 60}:{PASSWORD}\n")
    assert command("check", "--connect") == 1
    assert command.out.startswith("postgresql: Fake 1.0 at 127.0.0.1")
    assert "the fake server takes" in command.out
    assert "; login as admin: has all privileges; this server can't carry 1 user; 1 problem above\n" in command.out
    command.server().lacking = ["GRANT everything TO admin;"]
    assert command("check", "--connect") == 2
    assert command.out.startswith("postgresql: Fake 1.0 at 127.0.0.1")
    assert "GRANT everything TO admin;" in command.out
    assert "has all privileges" not in command.out


def checkout(directory: Path) -> None:
    """As git leaves files."""
    for path in directory.iterdir():
        path.chmod(0o644)


def test_a_checkout_is_judged_whatever_its_modes(command: Command) -> None:
    """D2: git's 0644 is no fault of a checkout."""
    checkout(command.directory)
    command.directory.chmod(0o777)
    assert command("check") == 2
    command.directory.chmod(0o755)
    assert command("check") == 2
    assert "mode 0644" in command.out
    command.directory.chmod(0o777)
    assert command("check", "--files-only") == 0
    assert "users.txt: 2 users" in command.out
    (command.directory / "users.txt").write_text("ann:short\n")
    assert command("check", "--files-only") == 1
    assert "users.txt line 1: ann: the password has 5 characters" in command.out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_checkout_of_somebody_else_is_judged(command: Command) -> None:
    for path in (command.directory, *command.directory.iterdir()):
        os.chown(path, 65534, 65534)
    assert command("check") == 2
    assert command("check", "--files-only") == 0


def test_a_checkout_needs_no_roster(command: Command) -> None:
    (command.directory / "users.txt").unlink()
    assert command("check", "--files-only") == 0
    assert "users.txt: not here; postgresql_databases.txt: 1 template" in command.out
    (command.directory / "users.txt.age").write_bytes(b"age")
    assert command("check", "--files-only") == 0
    assert "users.txt.age: not opened, since no identity is named; " in command.out
    assert command("check") == 2


def test_a_checkout_runs_no_program(command: Command, tmp_path: Path) -> None:
    (command.directory / "users.txt").unlink()
    (tmp_path / "program").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "program").chmod(0o755)
    section = (command.directory / "connections.yaml").read_text()
    private(command.directory / "connections.yaml", f"users_command: [{tmp_path}/program]\n{section}")
    assert command("check", "--files-only") == 0
    assert "users_command: not run; " in command.out
    assert not (tmp_path / "ran").exists()


def test_a_checkout_needs_no_place_for_archives(command: Command) -> None:
    section = (command.directory / "connections.yaml").read_text()
    (command.directory / "archives").mkdir(mode=0o755)
    private(command.directory / "connections.yaml", f"removals: {{archive_dir: archives}}\n{section}")
    assert command("check") == 2
    assert command("check", "--files-only") == 0


# --- names of files -------------------------------------------------------------------------------------------------


def test_the_directories_of_files_are_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """D2: pre-commit names files."""
    sound, broken = config(tmp_path / "a", TWO), config(tmp_path / "b", "ann:short\n")
    assert main(["check", str(sound / "users.txt"), str(sound / "connections.yaml")]) == 0
    assert capsys.readouterr().out.count("users.txt: 2 users") == 1
    assert main(["check", "postgresql", str(broken / "users.txt"), str(sound / "users.txt")]) == 1
    told = capsys.readouterr().out
    assert "ann: the password has 5 characters" in told
    assert "users.txt: 2 users" in told


def test_other_files_are_told_and_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config(tmp_path, "broken\n")
    (tmp_path / "README.md").write_text("")
    assert main(["check", str(tmp_path / "README.md")]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"{tmp_path}/README.md is no file of dbroster's: not judged\n")


def test_arguments_that_do_not_fit(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert "unknown engine 'oracle': choose from" in command.refused("check", "oracle")
    assert command("check", str(command.directory / "users.txt")) == 2
    assert "name files, or a directory with --config, not both" in command.err
    assert command("check", "--files-only", "--connect") == 2
    assert "--files-only asks no server" in command.err


def test_the_hook_for_pre_commit_names_what_there_is() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    for name in FILES:
        assert re.search(hook["files"], name)
        assert re.search(hook["files"], f"site/config/{name}")
        assert not re.search(hook["files"], f"{name}.bak")
    verb, *options = hook["entry"].split()[1:]
    given = parser(None).parse_args([verb, *options, "config/users.txt", *ENGINES])
    assert (given.files, given.engines, given.files_only) == ([Path("config/users.txt")], [*ENGINES], True)


def test_without_a_section_one_sentence_says_so(command: Command) -> None:
    private(command.directory / "connections.yaml", "roster: default\nremovals: {grace_days: 3}\n")
    for verb in ("check", "plan", "sync"):
        assert command(verb) == 2
        assert command.err.startswith("problem: connections.yaml: there is no server yet: add a section for mysql, ")
        assert command.out == ""
    private(command.directory / "connections.yaml", "postgersql: {}\n")
    assert command("check") == 2
    assert "did you mean" in command.out


def test_a_hook_runs_in_a_real_checkout(tmp_path: Path) -> None:
    """As pre-commit calls it: in the checkout, with paths relative to it, and modes by umask."""
    directory = config(tmp_path / "site/config", TWO)
    checkout(directory)
    hook = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())[0]["entry"].split()[1:]
    command = [ROOT / ".venv/bin/python", "-m", "dbroster", *hook, "config/users.txt", "config/connections.yaml"]
    done = subprocess.run(
        command, cwd=tmp_path / "site", capture_output=True, text=True, timeout=60, check=False, env={"PATH": "/bin"}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "users.txt: 2 users" in done.stdout
