"""`dbroster handout`: what it tells, where it writes, and what it refuses."""

import json
import os
import stat
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.samples import PASSWORD, config, private

SERVERS = """\
postgresql: {host: db1, username: adm, password_file: not-there, tls: {mode: require}}
mysql:
- {name: a, host: 127.0.0.1, username: adm, password_env: NOT_SET, hosts: ["10.%"], tls: {mode: verify-ca, ca: ca.pem}}
- {name: b, host: /run/my.sock, username: adm, handout: {host: "::1", port: 7, ca: /home/ca.pem}}
clickhouse: {host: ch, username: adm, password_env: NOT_SET, http_path: /in/here, tls: {mode: require}}
mongodb: {uri: "mongodb://m1:1,m2/?replicaSet=r", username: adm, password_env: NOT_SET, auth_database: people}
"""


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    directory = config(tmp_path / "config", f"bob:{PASSWORD}\nann:{PASSWORD}\n", connections=SERVERS)
    for engine in ("mysql", "clickhouse", "mongodb"):
        private(directory / f"{engine}_databases.txt", "web\n")
    private(directory / "ca.pem", "")
    return Command(directory, capsys)


def uris(command: Command, *options: str) -> dict[tuple[str, str], str]:
    assert command("handout", "bob", "--output", "json", *options) == 0
    return {(each["engine"], each["server"]): each["uri"] for each in command.document["databases"]}


def test_the_uris_say_where_and_how(command: Command) -> None:
    ca = str(command.directory / "ca.pem").replace("/", "%2F")
    assert uris(command) == {
        ("postgresql", "default"): "postgresql://bob@db1:5432/bob_web?sslmode=require",
        ("mysql", "a"): f"mysql://bob@127.0.0.1:3306/bob_web?ssl-mode=VERIFY_CA&ssl-ca={ca}",
        ("mysql", "b"): "mysql://bob@[::1]:7/bob_web?ssl-mode=VERIFY_IDENTITY&ssl-ca=%2Fhome%2Fca.pem",
        ("clickhouse", "default"): "https://bob@ch:8123/in/here/?database=bob_web",
        ("mongodb", "default"): "mongodb://bob@m1:1,m2/bob_web?authSource=people&replicaSet=r",
    }
    secret = uris(command, "--show")
    assert secret["postgresql", "default"] == f"postgresql://bob:{PASSWORD}@db1:5432/bob_web?sslmode=require"


@pytest.mark.parametrize(
    ("section", "uri", "said"),
    [
        ("host: /run/pg", "postgresql://bob@/bob_web?host=%2Frun%2Fpg&port=5432", "/run/pg:5432:bob_web:bob:PASSWORD"),
        ('host: "fe80::1"', "postgresql://bob@[fe80::1]:5432/bob_web", "fe80\\:\\:1:5432:bob_web:bob:PASSWORD"),
        ("host: h, tls: {mode: disable}", "postgresql://bob@h:5432/bob_web?sslmode=disable", "h:5432:"),
        (
            "host: h, tls: {mode: verify-full}",
            "postgresql://bob@h:5432/bob_web?sslmode=verify-full&sslrootcert=system",
            "needs libpq 16",
        ),
        ("host: h, handout: {host: db.example, port: 1}", "postgresql://bob@db.example:1/bob_web", "db.example:1:"),
    ],
)
def test_where_a_server_is(command: Command, section: str, uri: str, said: str) -> None:
    text = f"postgresql: {{{section}, username: adm, password_env: HOME}}\n"
    private(command.directory / "connections.yaml", text)
    assert command("handout", "bob") == 0
    assert f"  URI       {uri}\n" in command.out
    assert said in command.out


def test_a_replica_set_behind_a_tunnel_is_one_host(command: Command) -> None:
    section = 'uri: "mongodb://m1,m2/?replicaSet=r", username: a, password_env: HOME, handout: {host: t, port: 9}'
    private(command.directory / "connections.yaml", f"mongodb: {{{section}}}\n")
    assert uris(command) == {("mongodb", "default"): "mongodb://bob@t:9/bob_web?authSource=admin"}


def test_the_command_lines(command: Command) -> None:
    ca = command.directory / "ca.pem"
    assert command("handout", "bob") == 0
    for line in (
        "psql      psql 'postgresql://bob@db1:5432/bob_web?sslmode=require'",
        "mysql     mysql --host=127.0.0.1 --port=3306 --protocol=tcp --ssl-mode=VERIFY_CA "
        f"--ssl-ca={ca} --user=bob -p bob_web",
        "mariadb   mariadb --host=::1 --port=7 --protocol=tcp --ssl --ssl-verify-server-cert --ssl-ca=/home/ca.pem "
        "--user=bob -p bob_web",
        "mongosh   mongosh 'mongodb://m1:1,m2/bob_web?authSource=people&replicaSet=r' --username bob",
        "clickhouse-client --host=ch --port=9440 --secure --accept-invalid-certificate --user=bob --database=bob_web "
        "--ask-password",
        "note      the account is for clients at 10.% only",
    ):
        assert f"{line}\n" in command.out
    assert "mysql a: 127.0.0.1 is reached from this machine only; set handout: {host: NAME}" in command.err
    assert "mysql b" not in command.err


def test_files_are_private_and_whole(command: Command, tmp_path: Path) -> None:
    told = tmp_path / "bob.txt"
    told.write_text("old")
    told.chmod(0o644)
    assert command("handout", "bob", "--to", str(told)) == 0
    assert stat.S_IMODE(told.stat().st_mode) == 0o600
    assert PASSWORD in told.read_text()
    assert PASSWORD not in command.out + command.err
    home = tmp_path / "home"
    home.mkdir()
    assert command("handout", "bob", "--to", str(home), "--output", "html") == 0
    assert sorted(path.name for path in home.iterdir()) == ["bob.html", "bob.my.cnf", "bob.pgpass"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()} == {0o600}
    assert command("handout", "bob", "--to", str(told), "--without-password") == 0
    assert PASSWORD not in told.read_text()


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "directory above"])
def test_where_something_else_stands_nothing_is_written(command: Command, tmp_path: Path, kind: str) -> None:
    told, other = tmp_path / "told" / "bob.txt", tmp_path / "other"
    told.parent.mkdir()
    other.write_text("other")
    if kind == "link":
        told.symlink_to(other)
    elif kind == "dangling":
        told.symlink_to(tmp_path / "nowhere")
    elif kind == "fifo":
        os.mkfifo(told)
    else:
        told.parent.chmod(0o777)
    assert command("handout", "bob", "--to", str(told)) == 2
    assert f"{told} was not written" in command.err
    assert other.read_text() == "other"
    assert not (tmp_path / "nowhere").exists()
    assert PASSWORD not in command.out + command.err


def test_another_s_file_is_left(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = private(tmp_path / "bob.txt", "eve's")
    own = os.geteuid()
    if own == 0:
        os.chown(told, 4711, -1)
    else:
        monkeypatch.setattr("dbroster.files.write.os.geteuid", lambda: own + 1)
    assert command("handout", "bob", "--to", str(told)) == 2
    assert "belongs to another user" in command.err
    assert told.read_text() == "eve's"


def test_a_file_that_the_config_directory_has_a_link_to_is_no_place_for_it(command: Command, tmp_path: Path) -> None:
    """X6: the roster was replaced by a handout, with everybody's passwords in it."""
    roster, real = command.directory / "users.txt", tmp_path / "real"
    real.mkdir(0o700)
    roster.rename(real / "users.txt")
    roster.symlink_to(real / "users.txt")
    before = roster.read_bytes()
    assert command("handout", "bob", "--to", str(real / "users.txt")) == 2
    assert "is in the config directory: name a file elsewhere" in command.err
    assert roster.read_bytes() == before


def test_the_config_directory_is_no_place_for_it(command: Command) -> None:
    before = (command.directory / "users.txt").read_bytes()
    assert command("handout", "bob", "--to", str(command.directory / "users.txt")) == 2
    assert "is in the config directory: name a file elsewhere" in command.err
    assert command("handout", "bob", "--to", str(command.directory)) == 2
    assert (command.directory / "users.txt").read_bytes() == before


def test_who_is_not_there_is_told_so(command: Command) -> None:
    assert command("handout", "bop") == 2
    assert "bop is not in users.txt; did you mean 'bob'?" in command.err
    private(command.directory / "users.txt", f"bob: {PASSWORD}\n")
    assert command("handout", "bob") == 2
    assert "users.txt line 1: bob: the password begins or ends with white space" in command.err


def test_a_server_without_the_account_is_left_out(command: Command) -> None:
    one = SERVERS.replace("mysql:\n- {name: a,", "mysql:\n- {name: a, protected: [bob],")
    private(command.directory / "connections.yaml", one)
    assert command("handout", "bob") == 1
    assert "bob on mysql a" not in command.out
    assert "`protected` in connections.yaml; so there is no account on mysql a" in command.err
    assert "bob_web on mysql b" in command.out
    assert command("handout", "bob", "--engine", "mysql", "--server", "a") == 2


def test_a_broken_section_costs_only_itself(command: Command) -> None:
    private(command.directory / "connections.yaml", SERVERS.replace("host: ch", "hots: ch"))
    assert command("handout", "bob", "--output", "json") == 1
    assert {each["engine"] for each in command.document["databases"]} == {"postgresql", "mysql", "mongodb"}
    assert "hots" in command.err
    (command.directory / "mysql_databases.txt").unlink()
    assert command("handout", "bob", "--engine", "mysql") == 2
    assert "mysql_databases.txt does not exist" in command.err


def test_a_hostile_host_breaks_nothing_out(command: Command) -> None:
    private(
        command.directory / "connections.yaml", 'postgresql: {host: "<b>\'x\\e", username: adm, password_env: HOME}\n'
    )
    assert command("handout", "bob", "--output", "html") == 0
    assert "<b>" not in command.out
    assert "&lt;b&gt;&#x27;x" in command.out
    assert command("handout", "bob", "--output", "env") == 0
    assert "POSTGRESQL_WEB_HOST='<b>'\"'\"'x\x1b'\n" in command.out
    assert command("handout", "bob") == 0
    assert "\x1b" not in command.out + command.err


def test_the_page_loads_nothing(command: Command) -> None:
    private(command.directory / "users.txt", "bob:<img src=x onerror=alert(1)>Aa7\n")
    assert command("handout", "bob", "--output", "html", "--show") == 0
    assert "<img" not in command.out
    assert "&lt;img src=x onerror=alert(1)&gt;Aa7" in command.out
    assert "default-src 'none'" in command.out
    for word in ("<script", "<link", 'src="', 'http-equiv="refresh', "url("):
        assert word not in command.out


def test_no_two_databases_have_the_same_variables(command: Command) -> None:
    private(command.directory / "postgresql_databases.txt", "a-b\na.b\na_b\n")
    assert command("handout", "bob", "--output", "env", "--engine", "postgresql", "--show") == 0
    names = [line.partition("=")[0] for line in command.out.splitlines()]
    assert len(names) == len(set(names)) == 18
    assert {"POSTGRESQL_A_B_URL", "POSTGRESQL_A_B_2_URL", "POSTGRESQL_A_B_3_PASSWORD"} <= set(names)


def test_json_tells_all_of_it(command: Command) -> None:
    assert command("handout", "bob", "--output", "json", "--show", "--engine", "postgresql") == 0
    assert json.loads(command.out) == {
        "version": 1,
        "databases": [
            {
                "engine": "postgresql",
                "server": "default",
                "database": "bob_web",
                "host": "db1",
                "port": 5432,
                "user": "bob",
                "password": PASSWORD,
                "uri": f"postgresql://bob:{PASSWORD}@db1:5432/bob_web?sslmode=require",
                "commands": {"psql": "psql 'postgresql://bob@db1:5432/bob_web?sslmode=require'"},
                "notes": [],
            }
        ],
        "files": {".pgpass": f"db1:5432:bob_web:bob:{PASSWORD}\n"},
    }
