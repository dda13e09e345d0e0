"""`dbroster import` with a fake server: what it tells and writes, what it refuses, and that it only reads."""

import re
import shlex
from pathlib import Path

import pytest

from dbroster.model.state import Lock
from tests.fake_server import Account, Database
from tests.support.command import Command
from tests.support.samples import config, private

CONNECTIONS = """\
roster: default
postgresql: {host: db1, username: admin, password_file: pw, protected: [dan]}
"""
PASSWORD = re.compile(r"[^:\n]{25,}")


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    directory = config(tmp_path / "config", connections=CONNECTIONS, templates="other\n")
    private(directory / "pw", "the-admin-s")
    command = Command(directory, capsys)
    team(command, ann="web tools", bob="web tools", cyd="web")
    return command


def team(command: Command, **databases: str) -> None:
    """Make accounts and databases as a DBA does."""
    server = command.server()
    for user, endings in databases.items():
        server.add_account(user, f"old-{user}")
        for ending in endings.split():
            server.databases[f"{user}_{ending}"] = Database(users={user}, rows=[f"data of {user}"])


def files(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


def commands(command: Command) -> list[list[str]]:
    """The commands that come next, as a shell reads them, without `dbroster`."""
    told = command.out.partition("\nnext:\n")[2].splitlines()
    return [shlex.split(line, comments=True)[1:] for line in told]


def test_without_a_place_it_only_tells(command: Command, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert command("import", "postgresql") == 0
    assert "Fake 1.0 at db1: looked at, nothing was changed there\n" in command.out
    rows = [line.split() for line in command.out.splitlines()]
    assert [row for row in rows if row[:1] in (["web"], ["tools"])] == [["web", "3", "0"], ["tools", "2", "1"]]
    assert ["cyd", "cyd_web", "cyd_tools"] in rows
    assert "Databases that are missing, and would be created: 1." in command.out
    assert "nothing was written\n" in command.out
    ((*words, to),) = commands(command)
    assert words == ["import", "postgresql", "--config", str(command.directory), "--to"]
    assert to == "postgresql-proposal"
    assert sorted(tmp_path.rglob("*")) == before
    assert command.server().changes() == []


def test_the_proposal_is_a_config_directory(command: Command, tmp_path: Path) -> None:
    to = tmp_path / "to"
    assert command("import", "postgresql", "--to", str(to)) == 0
    assert to.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in to.iterdir()} == {0o600}
    found = files(to)
    passwords = dict(line.split(":", 1) for line in lines(found["users.txt"]))
    assert list(passwords) == lines(found["adopt.txt"]) == ["ann", "bob", "cyd"]
    assert all(map(PASSWORD.fullmatch, passwords.values()))
    assert len(set(passwords.values())) == 3
    assert lines(found["postgresql_databases.txt"]) == ["web", "tools"]
    assert found.keys() == {"users.txt", "adopt.txt", "postgresql_databases.txt", "connections.yaml", ".gitignore"}
    assert "users.txt" in lines(found[".gitignore"])
    assert not any(password in command.out + command.err for password in passwords.values())
    assert command.server().changes() == []


def test_the_commands_that_it_says_take_everybody_over(command: Command, tmp_path: Path) -> None:
    """Pending, done, nothing left: and no data is lost, though old passwords are."""
    assert command("import", "postgresql", "--to", str(tmp_path / "to")) == 0
    plan, sync, again, handout = commands(command)
    server, old = command.server(), dict(command.server().databases)
    command.directory = tmp_path / "to"
    for words in (plan, sync, again):
        words.remove("--config")
        words.remove(str(tmp_path / "to"))
    assert command(*plan, "--detailed-exitcode", "--dry-run") == 4
    assert server.changes() == []
    assert command(*sync) == 0
    assert "3 users" in command.out
    assert command(*again, "--detailed-exitcode", "--dry-run") == 0
    assert command(*plan, "--detailed-exitcode", "--dry-run") == 0
    assert "no effect" not in command.out
    assert {name: found.rows for name, found in server.databases.items() if name in old} == {
        name: found.rows for name, found in old.items()
    }
    assert server.databases["cyd_tools"].users == {"cyd"}
    assert handout[:2] == ["handout", "NAME"]


def test_what_does_not_fit_is_told_with_the_reason(command: Command, tmp_path: Path) -> None:
    server = command.server()
    team(command, dan="web", eve="", fay="web old", gus="web", hal="web", Ann="web", ida="tools")
    server.accounts["gus"].lock = Lock.FOREIGN
    server.accounts["jil"] = Account("x", "others", "jil")
    server.accounts["kim\n: x"] = Account("x")
    server.databases["hal_tools"] = Database(users={"ann"})
    server.databases["shop"] = Database(users={"eve"})
    assert command("import", "postgresql", "--to", str(tmp_path / "to")) == 0
    assert lines(files(tmp_path / "to")["adopt.txt"]) == ["bob", "cyd", "ida"]
    for start in (
        "account Ann: the user names of lines",
        "account ann: the user names of lines",
        "account admin: the admin of this connection",
        "account dan: connections.yaml protects it",
        "account eve: it has no database whose name begins with eve_",
        "account fay: with the account fay its database fay_old could become dbroster's",
        "account gus: nobody can log in to it",
        "account hal: a sync would take over the database hal_tools, but by its name it belongs to hal, who does not",
        "account jil: it belongs to the roster 'others'",
        "account kim?: x: not a user name",
        "database hal_tools: by its name it belongs to hal",
        "database shop: its name does not begin with the name of an account",
    ):
        assert f"\n  {start}" in command.out
    assert server.changes() == []


def test_a_template_that_is_named(command: Command, tmp_path: Path) -> None:
    for name in command.server().databases.copy():
        if name.endswith("_tools"):
            command.server().databases.pop(name)
    to = str(tmp_path / "to")
    assert command("import", "postgresql", "--template", "web", "--template", "new", "--to", to) == 0
    assert lines(files(tmp_path / "to")["postgresql_databases.txt"]) == ["web", "new"]
    assert "argument --template: not a template name" in command.refused("import", "postgresql", "--template", "a b")


def test_when_nobody_fits_nothing_is_written(command: Command, tmp_path: Path) -> None:
    command.server().databases.clear()
    assert command("import", "postgresql", "--to", str(tmp_path / "to")) == 1
    assert "no account fits" in command.out
    assert "nothing was written" in command.out
    assert not (tmp_path / "to").exists()


def test_who_can_have_no_password_is_left_out(command: Command) -> None:
    connections = command.directory / "connections.yaml"
    private(
        connections, CONNECTIONS.replace("protected", "password_policy: {forbidden: [a, e, i, o, u, '7']}, protected")
    )
    code = command("import", "postgresql")
    assert code in (0, 1)
    private(
        connections,
        CONNECTIONS.replace(
            "protected", f"password_policy: {{forbidden: [{', '.join('abcdefghijkmnopqrstuvwxyz')}]}}, protected"
        ),
    )
    assert command("import", "postgresql") == 1
    assert "account ann: no new password meets all rules" in command.out


def test_a_roster_that_has_accounts_there_is_not_written_anew(command: Command, tmp_path: Path) -> None:
    """A sync of the new users.txt would remove those whom it does not name."""
    command.server().accounts["zoe"] = Account("x", "default", "zoe")
    assert command("import", "postgresql") == 0
    assert "accounts that are this roster's already: 1" in command.out
    assert command("import", "postgresql", "--to", str(tmp_path / "to")) == 2
    assert "the roster 'default' has accounts there already (1, zoe is one)" in command.err
    assert "dbroster sync postgresql --adopt NAME; nothing was written" in command.err
    assert not (tmp_path / "to").exists()


def test_a_place_that_is_taken_is_refused_before_the_server_is_asked(command: Command) -> None:
    assert command("import", "postgresql", "--to", str(command.directory)) == 2
    assert "is not empty: name a new directory; nothing was written" in command.err
    assert command.server().log == []


def test_one_server_of_several(command: Command, tmp_path: Path) -> None:
    section = "{{name: {0}, host: db1, username: admin, password_file: pw}}"
    text = f"postgresql: [{section.format('a')}, {section.format('b')}]\n"
    private(command.directory / "connections.yaml", text)
    assert command("import", "postgresql") == 2
    assert "choose one with --server NAME (a, b)" in command.err
    assert command("import", "postgres", "--server", "b") == 1
    assert "unknown engine 'oracle'" in command.refused("import", "oracle")


def test_a_server_that_can_not_be_read(command: Command, tmp_path: Path) -> None:
    command.server().lacking = ["GRANT EVERYTHING;"]
    assert command("import", "postgresql", "--to", str(tmp_path / "to")) == 2
    assert "GRANT EVERYTHING;" in command.err
    assert not (tmp_path / "to").exists()


def test_who_has_a_roster_takes_them_over_there(command: Command, tmp_path: Path) -> None:
    """As docs/operations.md says: adopt.txt names them for `add`, too."""
    private(command.directory / "users.txt", "zoe:Correct-horse-7-battery\n")
    to = tmp_path / "to"
    assert command("import", "postgresql", "--to", str(to)) == 0
    assert command("add", "--from", str(to / "adopt.txt")) == 0
    private(command.directory / "postgresql_databases.txt", "web\ntools\n")
    assert command("sync", "postgresql", "--adopt-from", str(to / "adopt.txt")) == 0
    assert command("plan", "postgresql", "--detailed-exitcode") == 0
    assert {"ann", "bob", "cyd", "zoe"} <= command.server().accounts.keys()
    assert command.server().databases["ann_web"].rows == ["data of ann"]
