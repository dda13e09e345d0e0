"""`dbroster grants`: which server is meant, what is a comment, and where a password may stand."""

import socket
from pathlib import Path
from threading import Thread

import pytest

from dbroster.cli.main import main
from dbroster.errors import ConnectError
from dbroster.run.server_run import Connect
from tests.support.command import BOTH, Command
from tests.support.samples import config, private

SECRET = "Top-Secret-Of-The-Admin"
ONE = "postgresql: {host: db1, username: adm, password_file: pw}\n"


def refuse(_: object) -> None:
    raise ConnectError("no such\naccount")


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    directory = config(tmp_path / "config", connections=ONE, templates="web\ntools\n")
    private(directory / "pw", SECRET)
    return Command(directory, capsys)


def test_what_the_server_says_is_printed(command: Command) -> None:
    assert command("grants", "postgresql") == 0
    there = "-- The account adm is there already. It was made by:\n-- CREATE ADMIN '...';\nGRANT web, tools;\n"
    assert there in command.out
    assert command.out.startswith("-- The admin account of dbroster on Fake 1.0 at db1:5432\n-- Run it as ")
    assert command.out.endswith("GRANT web, tools;\n\n-- to dance\nGRANT DANCE;\n")
    assert SECRET not in command.out
    assert command.server().changes() == []


def test_what_check_finds_missing_is_printed_too(command: Command) -> None:
    command.server().lacking = ["GRANT web, tools;", "GRANT MORE;"]
    assert command("grants") == 0
    assert command.out.count("GRANT web, tools;\nGRANT MORE;\n") == 1


@pytest.mark.parametrize("options", [[], ["--show"]])
def test_of_a_server_that_can_t_be_asked_the_newest_version_is_assumed(command: Command, options: list[str]) -> None:
    command.connect = refuse  # type: ignore[assignment]
    assert command("grants", *options) == 0
    assert "on PostgreSQL 18 at db1:5432\n-- dbroster can't log in there yet" in command.out
    assert "(no such account)\n" in command.out
    assert (SECRET in command.out) is bool(options)
    create = f"""CREATE ROLE "adm" LOGIN CREATEROLE CREATEDB PASSWORD '{SECRET if options else "..."}';\n"""
    assert f"\n{'' if options else '-- '}{create}" in command.out
    assert f"dbroster grants postgresql --config {command.directory} --show | psql -h db1 -p 5432" in command.out


def test_without_show_no_password_has_to_be_there(command: Command) -> None:
    (command.directory / "pw").unlink()
    assert command("grants") == 0
    assert "the admin's password of connections.yaml is not there yet" in command.out
    assert command("grants", "--show") == 2
    assert command.err.startswith("problem: ")
    assert "pw does not exist" in command.err


def test_nothing_can_end_a_comment(command: Command) -> None:
    section = 'postgresql: {host: db1, username: "adm\\nDROP", password_file: pw}\n'
    private(command.directory / "connections.yaml", section)
    assert command("grants") == 0
    assert not [line for line in command.out.splitlines() if line.startswith("DROP")]


def test_who_logs_in_without_a_password_is_made_by_hand(command: Command) -> None:
    private(command.directory / "connections.yaml", "postgresql: {host: /run/postgresql, username: adm}\n")
    command.connect = refuse  # type: ignore[assignment]
    assert command("grants", "--show") == 0
    assert "-- adm logs in without a password: make the account by hand\n" in command.out
    assert "CREATE ROLE" not in command.out


def test_one_server_has_to_be_chosen(command: Command) -> None:
    private(command.directory / "connections.yaml", BOTH)
    private(command.directory / "mysql_databases.txt", "web\n")
    assert command("grants") == 2
    assert "choose one with dbroster grants ENGINE (mysql, postgresql)" in command.err
    assert command("grants", "postgresql") == 2
    assert "choose one with --server NAME (a, b)" in command.err
    assert command("grants", "postgresql", "--server", "b") == 0
    assert "unknown engine 'oracle'" in command.refused("grants", "oracle")


def test_a_template_list_that_can_t_be_used_is_told(command: Command) -> None:
    private(command.directory / "postgresql_databases.txt", "web\na b\n")
    assert command("grants") == 2
    assert "postgresql_databases.txt line 2: not a template name" in command.err


@pytest.mark.parametrize(
    ("called", "greeting", "product"),
    [
        ("mysql", b"\n5.5.5-10.11.18-MariaDB-log\0", "MariaDB 10.11.18"),
        ("mysql", b"\n11.8.9-MariaDB\0", "MariaDB 11.8.9"),
        ("mariadb", b"\n9.7.4\0", "MySQL 9.7.4"),
        ("mariadb", b"\xff\x10\x04Too many connections", "MariaDB 11.8"),
        ("mysql", b"", "MySQL 9.7"),
    ],
)
def test_mysql_and_mariadb_are_told_apart_before_a_login(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], called: str, greeting: bytes, product: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        section = f"mysql: {{host: 127.0.0.1, port: {port}, username: adm, password: x}}\n"
        private(config(tmp_path / "config", connections=section) / "mysql_databases.txt", "web\n")

        def greet() -> None:
            way, _ = listener.accept()
            with way:
                way.sendall(len(greeting).to_bytes(3, "little") + b"\0" + greeting if greeting else b"")

        thread = Thread(target=greet)
        thread.start()
        connect: Connect = refuse  # type: ignore[assignment]
        assert main(["grants", called, "--config", str(tmp_path / "config")], connect=connect) == 0
        thread.join()
    assert f"The admin account of dbroster on {product} at " in capsys.readouterr().out
