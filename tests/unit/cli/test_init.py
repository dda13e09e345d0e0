"""`dbroster init`, and how every command finds its directory."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dbroster.cli.main import main
from dbroster.cli.verbs import VERBS
from dbroster.config.connections import read_connections
from dbroster.engines import ENGINES
from dbroster.engines.base import Handler
from dbroster.errors import ConnectError
from dbroster.files.read import Files
from dbroster.model.connection import Connection
from dbroster.passwords.generated import generated
from tests.support.samples import config

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to begin in."""
    monkeypatch.delenv("DBROSTER_CONFIG", raising=False)
    monkeypatch.setattr("sys.argv", ["dbroster"])
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


# --- init -----------------------------------------------------------------------------------------------------------


def test_init_makes_what_check_finds_sound(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--engine", "pg=db1:5433", "--engine", "mongodb"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.startswith("config: made users.txt, postgresql_databases.txt, postgresql.password, ")
    assert "connections.yaml\nnext:\n  dbroster " in told.out
    (server,) = read_connections(Files(empty / "config"), "postgresql")
    assert (server.host, server.port, server.username) == ("db1", 5433, "dbroster")
    assert main(["check"]) == 0
    assert "problem" not in capsys.readouterr().out


def test_nobody_else_may_read_what_init_makes_and_no_password_is_published(
    empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "team"]) == 0
    files = {path.name: path for path in (empty / "team").iterdir()}
    assert files.keys() == {
        "users.txt", "connections.yaml", ".gitignore",
        *(f"{engine}{end}" for engine in ENGINES for end in ("_databases.txt", ".password")),
    }  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    assert stat.S_IMODE((empty / "team").stat().st_mode) == 0o700
    assert all(line.startswith("#") for line in files["users.txt"].read_text().splitlines())
    passwords = {files[f"{engine}.password"].read_text().strip() for engine in ENGINES}
    assert len(passwords) == len(ENGINES)
    assert not any(password in capsys.readouterr().out for password in passwords)
    assert {"users.txt", "*.password"} <= set(files[".gitignore"].read_text().splitlines())


def test_without_an_engine_every_section_can_be_chosen(empty: Path) -> None:
    assert main(["init"]) == 0
    text = (empty / "config/connections.yaml").read_text()
    assert yaml.safe_load(text) == {"roster": "default"}
    for engine in ENGINES:
        lines = text.splitlines()
        first = next(number for number, line in enumerate(lines) if line.startswith(f"# {engine}:"))
        chosen = [line.removeprefix("# ") if first <= n < first + 5 else line for n, line in enumerate(lines)]
        (empty / "config/connections.yaml").write_text("\n".join(chosen) + "\n")
        assert len(read_connections(Files(empty / "config"), engine)) == 1


def test_init_overwrites_nothing(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "config").mkdir()
    (empty / "config/users.txt").write_text("mine\n")
    (empty / "elsewhere").write_text("theirs")
    (empty / "config/mysql.password").symlink_to(empty / "elsewhere")
    assert main(["init"]) == 0
    made = capsys.readouterr().out.partition("\n")[0]
    assert "users.txt" not in made
    assert "mysql.password" not in made
    assert (empty / "config/users.txt").read_text() == "mine\n"
    assert (empty / "elsewhere").read_text() == "theirs"
    before = {path: path.read_bytes() for path in (empty / "config").iterdir()}
    assert main(["init"]) == 2
    assert capsys.readouterr().err == "problem: config/connections.yaml is there already; nothing was changed\n"
    assert {path: path.read_bytes() for path in (empty / "config").iterdir()} == before


def test_init_takes_the_directory_as_every_other_verb_does(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--config", "team"]) == 0
    assert "  dbroster plan --config team " in capsys.readouterr().out
    assert (empty / "team/connections.yaml").exists()
    with pytest.raises(SystemExit):
        main(["init", "here", "--config", "there"])
    assert "not allowed with" in capsys.readouterr().err
    assert not (empty / "here").exists()


def test_init_makes_no_second_roster_beside_an_encrypted_one(empty: Path) -> None:
    (empty / "config").mkdir()
    (empty / "config/users.txt.age").write_bytes(b"age")
    assert main(["init"]) == 0
    assert not (empty / "config/users.txt").exists()


def test_init_refuses_a_directory_that_others_may_write(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "config").mkdir()
    (empty / "config").chmod(0o777)
    assert main(["init"]) == 2
    assert "chmod o-w" in capsys.readouterr().err
    assert list((empty / "config").iterdir()) == []


@pytest.mark.parametrize(
    ("given", "host", "port"),
    [
        ("mysql", "127.0.0.1", 3306),
        ("mariadb=db.example.com", "db.example.com", 3306),
        ("mysql=[::1]:3307", "::1", 3307),
        ("mysql=/run/mysqld/mysqld.sock", "/run/mysqld/mysqld.sock", 3306),
    ],
)
def test_a_server_of_the_command_line_is_the_one_of_connections_yaml(given: str, host: str, port: int) -> None:
    assert main(["init", "--engine", given]) == 0
    (server,) = read_connections(Files(Path("config")), "mysql")
    assert (server.host, server.port) == (host, port)


def test_several_servers_of_an_engine_are_a_list(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["mysql", "mariadb=127.0.0.1:3307", "postgresql=db1", "postgresql=db2", "mongodb"]
    assert main(["init", *(word for each in given for word in ("--engine", each))]) == 0
    told = capsys.readouterr().out
    commands = [line.split("#")[0].strip() for line in told.splitlines() if "dbroster grants" in line]
    assert commands == [
        "dbroster grants mysql --server mysql", "dbroster grants mariadb --server mariadb",
        "dbroster grants postgresql --server postgresql-1", "dbroster grants postgresql --server postgresql-2",
        "dbroster grants mongodb",
    ]  # fmt: skip
    files = Files(empty / "config")
    servers = [server for engine in ENGINES if engine != "clickhouse" for server in read_connections(files, engine)]
    assert [(server.server, server.host, server.port) for server in servers] == [
        ("mysql", "127.0.0.1", 3306), ("mariadb", "127.0.0.1", 3307),
        ("postgresql-1", "db1", 5432), ("postgresql-2", "db2", 5432), ("default", "127.0.0.1", 27017),
    ]  # fmt: skip
    passwords = [path.read_text() for path in (empty / "config").glob("*.password")]
    assert len(set(passwords)) == len(passwords) == 5
    assert main(["check", "--quiet"]) == 0
    for command in commands:
        assert main([*command.split()[1:], "--show"], connect=refuse) == 0


def refuse(_: Connection) -> Handler:
    raise ConnectError("nobody there")


@pytest.mark.parametrize("given", [("mysql", "mariadb"), ("pg=db1", "postgresql=db1:5432"), ("mongodb", "mongodb")])
def test_one_server_is_not_two(given: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--engine", given[0], "--engine", given[1]]) == 2
    first, second = (text.partition("=")[0] for text in given)
    told = capsys.readouterr().err
    assert told.startswith(f"problem: {first} and {second} would be one server, at ")
    assert told.endswith(f"; give one another host or port: --engine {second}=HOST:PORT\n")
    assert not Path("config").exists()


@pytest.mark.parametrize("given", ["oracle", "mysql=a b", "mysql=h:0", "mysql=h:65536", "mysql=h:x", "mysql=::1"])
def test_what_is_no_server_is_refused(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["init", "--engine", given])
    assert "argument --engine" in capsys.readouterr().err
    assert not Path("config").exists()


def test_generated_passwords_differ_and_have_all_kinds_of_characters() -> None:
    found = {generated() for _ in range(100)}
    assert len(found) == 100
    for text in found:
        assert all(any(map(kind, text)) for kind in (str.islower, str.isupper, str.isdigit))
        assert not set(text) & set("0O1lI'\"\\:# ")


# --- which directory ------------------------------------------------------------------------------------------------


def test_the_first_directory_that_is_there_is_taken(
    empty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dbroster.cli.config_directory.SYSTEM", system := config(empty / "etc"))
    assert main(["check"]) == 0
    assert capsys.readouterr().err == f"config directory: {system} (there is no config here)\n"
    assert main(["check", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    config(empty / "config")
    assert main(["check"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("DBROSTER_CONFIG", str(named := config(empty / "named")))
    assert main(["check"]) == 0
    assert capsys.readouterr().err == f"config directory: {named} (named by DBROSTER_CONFIG)\n"
    assert main(["check", "--config", "config"]) == 0
    assert capsys.readouterr().err == ""


USES = {
    "audit": "audit verify",
    "restore": "restore mysql x.sql",
    "rename": "rename bob robert",
    "import": "import mysql",
    **{verb: f"{verb} bob" for verb in ("add", "passwd", "remove", "handout")},
}


@pytest.mark.parametrize("verb", [USES.get(verb, verb) for verb in VERBS if verb != "init"])
def test_a_missing_directory_is_one_sentence_that_names_init(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """D9: it was 12 problems."""
    assert main([*verb.split(), "--config", "team"]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "problem: there is no directory team; make one with: dbroster init team\n")


def test_without_any_directory_all_places_are_told(
    empty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """D9: and which ones were looked for."""
    monkeypatch.setattr("dbroster.cli.config_directory.SYSTEM", empty / "etc")
    assert main(["plan"]) == 2
    looked = f"(looked for config, {empty}/etc)"
    assert f"there is no directory config {looked}; make one with: dbroster init config" in capsys.readouterr().err


def test_a_file_is_no_directory(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "config").write_text("")
    assert main(["plan"]) == 2
    assert capsys.readouterr().err == "problem: config is not a directory; name one with --config\n"


def test_the_plans_own_lines_work_in_scripts(tmp_path: Path) -> None:
    """`python mysql_sync.py --config config/`, typed in `scripts/`, means the checkout's own directory."""
    checkout = tmp_path / "checkout"
    (checkout / "scripts").mkdir(parents=True)
    (checkout / "src").symlink_to(ROOT / "src")
    (checkout / "scripts/mysql_sync.py").write_bytes((ROOT / "scripts/mysql_sync.py").read_bytes())
    section = "mysql: {host: 127.0.0.1, port: 9, username: dbroster, password_env: HOME}\n"
    (config(checkout / "config", connections=section) / "mysql_databases.txt").write_text("web\n")
    for options in (["--config", "config/"], []):
        command = [sys.executable, "mysql_sync.py", *options, "--dry-run"]
        done = subprocess.run(
            command, cwd=checkout / "scripts", capture_output=True, text=True, timeout=60, check=False
        )
        assert f"config directory: {checkout}/config (there is no config here)\n" in done.stderr
        assert "there is no directory" not in done.stderr
        assert "127.0.0.1:9" in done.stdout
