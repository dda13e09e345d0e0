"""connections.yaml: everything that is wrong is told at once with its line; whatever stands there, only ConfigError."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dbroster.config.connections import archive_warning, has_section, read_connections, server_names, transport_warning
from dbroster.engines import options_of
from dbroster.engines.mysql.options import MySQLOptions
from dbroster.engines.postgresql.options import PostgreSQLOptions
from dbroster.errors import ConfigError
from dbroster.files.read import Files
from dbroster.model.connection import Connection, Removals, Tls
from dbroster.model.problems import Problem
from dbroster.passwords.policy import PasswordRules
from dbroster.passwords.secret import Secret
from tests.support.samples import private

LEAST = {"host": "127.0.0.1", "username": "admin", "password": "pw"}


def read(directory: Path, text: str | bytes, engine: str = "mysql", server: str | None = None) -> list[Connection]:
    private(directory / "connections.yaml", text)
    return read_connections(Files(directory), engine, server)


def one(directory: Path, engine: str = "mysql", **keys: object) -> Connection:
    (connection,) = read(directory, yaml.safe_dump({engine: {**LEAST, **keys}}), engine)
    return connection


def problems(
    directory: Path, text: str | bytes, engine: str = "mysql", server: str | None = None
) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        read(directory, text, engine, server)
    return caught.value.problems


def wrong(directory: Path, engine: str = "mysql", **keys: object) -> list[str]:
    return [problem.text for problem in problems(directory, yaml.safe_dump({engine: {**LEAST, **keys}}), engine)]


# --- what stands there ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("engine", "port"), [("mysql", 3306), ("postgresql", 5432)])
def test_defaults_for_all_but_host_and_credentials(tmp_path: Path, engine: str, port: int) -> None:
    found = one(tmp_path, engine)
    assert (found.engine, found.server, found.host, found.port) == (engine, "default", "127.0.0.1", port)
    assert (found.username, found.password, found.tls) == ("admin", Secret("pw"), Tls())
    assert (found.connect_timeout, found.jobs, found.roster) == (10, None, "default")
    assert (found.rules, found.removals, found.protected) == (PasswordRules(), Removals(1, 10), frozenset())


def test_everything_that_may_be_set(tmp_path: Path) -> None:
    private(tmp_path / "ca.pem", "x")
    text = """
roster: team-a
mysql:
  host: db.example.com
  port: 3307
  username: admin
  password: pw
  tls: {mode: verify-ca, ca: ca.pem}
  connect_timeout: 5
  jobs: 8
  password_policy: {min_length: 16, classes: 4, forbid_user_name: false, forbidden: [acme]}
  protected: [boss]
  removals: {max: 10, max_percent: 20, grace_days: 30}
  hosts: [localhost]
  auth_plugin: caching_sha2_password
  privileges: [select, INSERT]
  charset: latin1
"""
    (found,) = read(tmp_path, text)
    assert (found.roster, found.port, found.connect_timeout, found.jobs) == ("team-a", 3307, 5, 8)
    assert found.tls == Tls("verify-ca", str(tmp_path / "ca.pem"))
    assert found.rules == PasswordRules(16, 4, forbid_user_name=False, forbidden=("acme",))
    assert (found.protected, found.removals) == (frozenset({"boss"}), Removals(10, 20, grace_days=30, max_per_day=10))
    assert found.options == MySQLOptions(
        hosts=("localhost",), auth_plugin="caching_sha2_password", privileges=("SELECT", "INSERT"), charset="latin1"
    )


def test_postgresql_options(tmp_path: Path) -> None:
    found = one(tmp_path, "postgresql", connection_limit=5)
    assert found.options == PostgreSQLOptions(
        maintenance_database="postgres", connection_limit=5, encoding="UTF8", locale=""
    )
    assert PostgreSQLOptions.of(found).connection_limit == 5


def test_no_limit_to_removals(tmp_path: Path) -> None:
    assert one(tmp_path, removals={"max": "all"}).removals == Removals(None, 10, max_per_day=None)
    assert one(tmp_path, removals={"max_per_day": "all"}).removals == Removals(1, 10, max_per_day=None)


def test_a_day_may_see_as_much_as_one_run(tmp_path: Path) -> None:
    assert one(tmp_path, removals={"max": 7, "max_percent": 50}).removals == Removals(
        7, 50, max_per_day=7, max_percent_per_day=50
    )
    keys = {"max": 7, "max_per_day": 5, "max_percent": 50, "max_percent_per_day": 20}
    assert one(tmp_path, removals=keys).removals == Removals(7, 50, max_per_day=5, max_percent_per_day=20)


def test_removals_of_all_servers(tmp_path: Path) -> None:
    """A6, D3: `removals` stand at the top level for all servers; a server's own keys stand above them, one by one."""
    common = {"max": 5, "archive_dir": "old", "grace_days": 7}
    servers = [
        {**LEAST, "name": "a"},
        {**LEAST, "name": "b", "removals": {"max": 2, "archive_dir": False}},
        {**LEAST, "name": "c", "removals": {"archive_dir": "new"}},
    ]
    text = yaml.safe_dump({"removals": common, "mysql": servers})
    first, second, third = (connection.removals for connection in read(tmp_path, text))
    assert first == Removals(5, 10, tmp_path / "old", 7, max_per_day=5)
    assert second == Removals(2, 10, None, 7, max_per_day=3, unarchived=True)
    assert third == first._replace(archive_dir=tmp_path / "new")
    assert read(tmp_path, text, server="c")[0].removals == third


@pytest.mark.parametrize("text", ["", "~", "''", "${DBROSTER_EMPTY}"])
def test_an_archive_dir_without_a_value_is_no_way_to_archive_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A8: a `~` that was to be the home directory, an empty variable: databases would be dropped without an archive."""
    monkeypatch.setenv("DBROSTER_EMPTY", "")
    for place in ("removals:\n  {}\nmysql:\n  host: a", "mysql:\n  removals:\n    {}\n  host: a"):
        found = problems(tmp_path, place.format(f"archive_dir: {text}") + "\n  username: a\n  password: b\n")
        assert any("removals.archive_dir: has " in problem.text for problem in found), found


def test_a_password_policy_of_all_servers(tmp_path: Path) -> None:
    """D3: a server's own rules stand above those of all."""
    servers = [{**LEAST, "name": "a"}, {**LEAST, "name": "b", "password_policy": {"classes": 4}}]
    text = yaml.safe_dump({"password_policy": {"min_length": 20, "classes": 2}, "mysql": servers})
    assert [connection.rules for connection in read(tmp_path, text)] == [PasswordRules(20, 2), PasswordRules(20, 4)]
    assert problems(tmp_path, yaml.safe_dump({"password_policy": {"min_len": 5}, "mysql": LEAST}))


def test_tls_of_all_servers(tmp_path: Path) -> None:
    """A server's own keys stand above those of all, one by one; a socket has no TLS, and `disable` no certificate."""
    for name in ("ca.pem", "own.pem", "cert.pem", "key.pem"):
        private(tmp_path / name, "x")
    ca, own, cert, key = (str(tmp_path / name) for name in ("ca.pem", "own.pem", "cert.pem", "key.pem"))
    servers = [
        {**LEAST, "name": "a"},
        {**LEAST, "name": "b", "tls": {"mode": "verify-ca"}},
        {**LEAST, "name": "c", "tls": {"ca": "own.pem"}},
        {**LEAST, "name": "d", "tls": {"mode": "disable"}},
        {**LEAST, "name": "e", "host": "/run/mysqld.sock"},
    ]
    text = yaml.safe_dump({"tls": {"ca": "ca.pem"}, "mysql": servers})
    assert [connection.tls for connection in read(tmp_path, text)] == [
        Tls("verify-full", ca), Tls("verify-ca", ca), Tls("verify-full", own), Tls("disable"), Tls(),
    ]  # fmt: skip
    common = {"mode": "require", "ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
    found = [connection.tls for connection in read(tmp_path, yaml.safe_dump({"tls": common, "mysql": servers}))]
    assert found == [
        Tls("require", ca, cert, key), Tls("verify-ca", ca, cert, key), Tls("require", own, cert, key), Tls("disable"),
        Tls(),
    ]  # fmt: skip
    wrong = yaml.safe_dump({"tls": {"mod": "require", "ca": "missing.pem"}, "mysql": servers})
    assert sorted(problem.text.split(":")[0] for problem in problems(tmp_path, wrong)) == ["tls.ca", "tls.mod"]


def test_what_is_protected_on_all_servers(tmp_path: Path) -> None:
    servers = [{**LEAST, "name": "a"}, {**LEAST, "name": "b", "protected": ["own"]}]
    text = yaml.safe_dump({"protected": ["legacy"], "mysql": servers})
    assert [connection.protected for connection in read(tmp_path, text)] == [{"legacy"}, {"legacy", "own"}]
    (problem,) = problems(tmp_path, yaml.safe_dump({"protected": "legacy", "mysql": servers}))
    assert problem.text.startswith("protected: expected a list of texts")


def test_what_is_wrong_with_removals_of_all_servers_is_told_once(tmp_path: Path) -> None:
    servers = [{**LEAST, "name": "a"}, {**LEAST, "name": "b"}]
    text = yaml.safe_dump({"removals": {"max": -1, "maxi": 1}, "mysql": servers})
    assert sorted(problem.text.split(":")[0] for problem in problems(tmp_path, text)) == [
        "removals.max", "removals.maxi",
    ]  # fmt: skip


def test_a_server_that_archives_nothing_where_others_do(tmp_path: Path) -> None:
    """A6, D3: three of four servers have an archive_dir, and the fourth would drop databases without an archive."""
    kept = {**LEAST, "removals": {"archive_dir": "old"}}
    text = yaml.safe_dump({"mysql": [{**kept, "name": "a"}, {**LEAST, "name": "b"}], "postgresql": kept, "mongodb": 5})
    first, second = read(tmp_path, text)
    assert archive_warning(first) is None
    warning = archive_warning(second)
    assert warning is not None
    assert warning.warning
    assert warning.text.startswith("mysql b: databases are dropped without an archive, unlike those of mysql a, postg")
    text = yaml.safe_dump({"mysql": {**LEAST, "removals": {"archive_dir": False}}, "postgresql": kept})
    assert archive_warning(read(tmp_path, text)[0]) is None


def test_tls_is_verified_in_full_as_soon_as_it_is_mentioned(tmp_path: Path) -> None:
    private(tmp_path / "ca.pem", "x")
    assert one(tmp_path, tls={"ca": "ca.pem"}).tls.mode == "verify-full"
    assert "tls.ca" in wrong(tmp_path, tls={"ca": "missing.pem"})[0]


def test_several_servers(tmp_path: Path) -> None:
    text = yaml.safe_dump({"mysql": [{**LEAST, "name": "a"}, {**LEAST, "name": "b"}]})
    assert [connection.server for connection in read(tmp_path, text)] == ["a", "b"]
    assert [connection.server for connection in read(tmp_path, text, server="b")] == ["b"]
    (problem,) = problems(tmp_path, text, server="bb")
    assert problem.text == "mysql has no server 'bb'; did you mean 'b'?"


@pytest.mark.parametrize("names", [("a", "a"), (None, "a"), ("a", "x" * 33), ("a", "../x"), ("a", "b c")])
def test_servers_need_names_of_their_own(tmp_path: Path, names: tuple[str | None, str]) -> None:
    assert problems(tmp_path, yaml.safe_dump({"mysql": [{**LEAST, "name": name} for name in names]}))


def test_names_that_are_the_same_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE", "a")
    text = yaml.safe_dump({"mysql": [{**LEAST, "name": "${SITE}"}, {**LEAST, "name": "a"}]})
    assert all("a `name` of its own" in problem.text for problem in problems(tmp_path, text))
    assert server_names(Files(tmp_path), "mysql") == [None]


def test_a_named_server_is_judged_by_itself(tmp_path: Path) -> None:
    text = yaml.safe_dump({"mysql": [{**LEAST, "name": "a", "prot": 5}, {**LEAST, "name": "b"}]})
    assert [connection.server for connection in read(tmp_path, text, server="b")] == ["b"]
    assert server_names(Files(tmp_path), "mysql") == ["a", "b"]
    (problem,) = problems(tmp_path, text, server="a")
    assert "mysql.0.prot: unknown key" in problem.text


@pytest.mark.parametrize(
    "section", [None, [], 5, LEAST, [{**LEAST, "name": "a"}], [LEAST, LEAST], [{**LEAST, "name": "a"}, "b"]]
)
def test_servers_that_can_be_told_only_together(tmp_path: Path, section: object) -> None:
    private(tmp_path / "connections.yaml", yaml.safe_dump({"mysql": section}))
    assert server_names(Files(tmp_path), "mysql") == [None]


def test_no_server_at_all(tmp_path: Path) -> None:
    assert problems(tmp_path, "mysql: []\n")


# --- where the password comes from ----------------------------------------------------------------------------------


def test_password_from_a_file(tmp_path: Path) -> None:
    for data, expected in ((b"pw", "pw"), (b"pw\n", "pw"), (b"pw\r\n", "pw"), (b" pw \n\n", " pw \n")):
        private(tmp_path / "secret", data)
        assert one(tmp_path, password=None, password_file="secret").password == Secret(expected)


@pytest.mark.parametrize(("data", "mode"), [(b"pw", 0o644), (b"\xff", 0o600), (b"", 0o600), (b"a\0b", 0o600)])
def test_a_password_file_that_can_not_be_used(tmp_path: Path, data: bytes, mode: int) -> None:
    private(tmp_path / "secret", data).chmod(mode)
    assert "mysql.password_file" in wrong(tmp_path, password=None, password_file="secret")[0]


def test_a_password_file_that_is_not_there(tmp_path: Path) -> None:
    assert "does not exist" in wrong(tmp_path, password=None, password_file="secret")[0]


def test_password_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_PW", "pw2")
    assert one(tmp_path, password=None, password_env="ADMIN_PW").password == Secret("pw2")
    assert one(tmp_path, password="${ADMIN_PW}").password == Secret("pw2")
    for value in ("", "\udcff"):  # not UTF-8 in the environment
        monkeypatch.setenv("ADMIN_PW", value)
        assert wrong(tmp_path, password=None, password_env="ADMIN_PW")
        assert wrong(tmp_path, password="${ADMIN_PW}")
    monkeypatch.delenv("ADMIN_PW")
    assert "ADMIN_PW is not set" in wrong(tmp_path, password=None, password_env="ADMIN_PW")[0]
    assert "ADMIN_PW is not set" in wrong(tmp_path, password="${ADMIN_PW}")[0]


def test_one_password_and_only_one(tmp_path: Path) -> None:
    assert "only one of password and password_env" in wrong(tmp_path, password_env="HOME")[0]
    assert "must be set" in wrong(tmp_path, password=None)[0]
    assert wrong(tmp_path, password="")
    assert wrong(tmp_path, password=12345)


def test_a_socket_or_a_client_certificate_needs_no_password(tmp_path: Path) -> None:
    private(tmp_path / "c.pem", "x")
    assert one(tmp_path, password=None, host="/run/mysqld.sock").password is None
    assert one(tmp_path, password=None, tls={"cert": "c.pem", "key": "c.pem"}).password is None


# --- the file's mode ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "refused"),
    [
        ({"password": "pw"}, True),
        ({"password": "${HOME}"}, False),
        ({"password": "x${HOME}"}, True),
        ({"password_env": "HOME"}, False),
    ],
)
def test_mode_matters_when_a_password_stands_in_the_file(tmp_path: Path, keys: dict[str, str], refused: bool) -> None:
    section = {"host": "127.0.0.1", "username": "admin", **keys}
    path = private(tmp_path / "connections.yaml", yaml.safe_dump({"mysql": section}))
    path.chmod(0o644)
    if not refused:
        assert read_connections(Files(tmp_path), "mysql")
        return
    with pytest.raises(ConfigError, match=r"connections.yaml holds passwords and has mode 0644.*chmod 600"):
        read_connections(Files(tmp_path), "mysql")


def test_a_password_in_another_section_counts_too(tmp_path: Path) -> None:
    text = "mysql: {host: h, username: u, password_env: HOME}\nmongodb: [{deep: {password: x}}]\n"
    private(tmp_path / "connections.yaml", text).chmod(0o640)
    assert read_connections(Files(tmp_path), "mysql")
    (tmp_path / "connections.yaml").chmod(0o604)
    with pytest.raises(ConfigError, match="0604"):
        read_connections(Files(tmp_path), "mysql")


# --- everything that is wrong ---------------------------------------------------------------------------------------


def test_every_problem_is_told_with_its_line(tmp_path: Path) -> None:
    text = "roster: a b\nmysql:\n  hots: h\n  port: 70000\n  username: u\n  password: p\n  removals: {max: -1}\n"
    found = {problem.text.split(":")[0]: problem.line for problem in problems(tmp_path, text)}
    assert found == {"roster": 1, "mysql.hots": 3, "mysql.port": 4, "mysql.removals.max": 7, "mysql.host": 2}


@pytest.mark.parametrize(
    "keys",
    [
        {"host": None}, {"host": 5}, {"host": ["h"]}, {"username": None}, {"port": 0}, {"port": 65536}, {"port": "x"},
        {"port": True}, {"tls": 5}, {"tls": {"mode": "on"}}, {"tls": {"mod": "require"}}, {"connect_timeout": 0},
        {"jobs": 0}, {"jobs": 65}, {"password_policy": [1]}, {"password_policy": {"classes": 5}},
        {"password_policy": {"min_length": 0}}, {"password_policy": {"forbidden": "x"}}, {"protected": "boss"},
        {"removals": {"max": "most"}}, {"removals": {"max_percent": 101}}, {"removals": {"max_per_day": -1}},
        {"removals": {"max_percent_per_day": "x"}}, {"removals": {"archive_dir": True}},
        {"removals": {"grace_days": 3651}}, {"removals": {"grace_days": -1}}, {"removals": {"maximum": 1}},
        {"hosts": []}, {"hosts": "%"}, {"privileges": []}, {"privileges": ["SUPER"]}, {"auth_plugin": "old"},
        {"charset": 5}, {"locale": "de"}, {"connection_limit": 5}, {"name": "a b"},
    ],
)  # fmt: skip
def test_wrong_keys(tmp_path: Path, keys: dict[str, Any]) -> None:
    (text,) = wrong(tmp_path, **keys)
    assert text.startswith(f"mysql.{next(iter(keys))}")


def test_other_sections_may_be_broken(tmp_path: Path) -> None:
    text = "mysql: {host: h, username: u, password: p}\npostgresql: [5, {x: 1, x: 2}]\nmongodb:\n"
    assert read(tmp_path, text)[0].host == "h"


def test_a_key_that_stands_twice(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "mysql:\n  host: h\n  username: u\n  password: p\n  host: other\n")
    assert (problem.text, problem.line) == ("'host' stands twice", 5)
    assert problems(tmp_path, "mysql: {host: h, username: u, password: p}\nmysql: {}\n")


def test_a_misspelt_roster_is_not_the_default_roster(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "rooster: team1\nmysql: {host: h, username: u, password: p}\n")
    assert (problem.text, problem.line) == ("rooster: unknown key; did you mean 'roster'?", 1)


@pytest.mark.parametrize(("key", "engine"), [("postgres", "postgresql"), ("mariadb", "mysql"), ("mongo", "mongodb")])
def test_a_section_by_another_name(key: str, engine: str, tmp_path: Path) -> None:
    """C8: one problem, with the right hint, whichever engine asks."""
    section = "{host: h, username: u, password: p}"
    private(tmp_path / "connections.yaml", f"{key}: {section}\nclickhouse: {section}\n")
    for asked in (engine, "clickhouse"):
        with pytest.raises(ConfigError) as caught:
            read_connections(Files(tmp_path), asked)
        (problem,) = caught.value.problems
        assert problem.text == f"{key}: no such section: its servers belong under {engine!r}; rename it"
        assert problem.line == 1
    assert has_section(Files(tmp_path), engine)


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("localhost:54399", "must not contain a port; set host: localhost and port: 54399"),
        ("[::1]:5432", "must not contain a port; set host: ::1 and port: 5432"),
        ("https://db.example.com", "without a scheme"), ("a,b", "one name"), ("a b", "one name"), ("[::1]", "brackets"),
        ("user@db", "one name"), ("", "must not be empty"),
    ],
)  # fmt: skip
def test_a_host_that_is_more_than_a_host(host: str, told: str, tmp_path: Path) -> None:
    """C8: found by a check, not by a driver that makes something else of it."""
    (problem,) = problems(tmp_path, f"mysql: {{host: '{host}', username: u, password: p}}\n")
    assert told in problem.text


@pytest.mark.parametrize(
    "host", ["db.example.com", "::1", "fe80::1%eth0", "10.0.0.1", "/run/mysqld/mysqld.sock", "dbä", "db_1"]
)
def test_a_host(host: str, tmp_path: Path) -> None:
    assert read(tmp_path, f"mysql: {{host: '{host}', username: u, password: p}}\n")[0].host == host


def test_a_section_that_is_missing(tmp_path: Path) -> None:
    missing, unknown = problems(tmp_path, "roster: x\nmysq: {}\n")
    assert missing.text == "no section 'mysql'; did you mean 'mysq'?"
    assert unknown.text == "mysq: unknown key; did you mean 'mysql'?"
    assert not has_section(Files(tmp_path), "mysql")
    assert has_section(Files(tmp_path), "mysq")


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_connections(Files(tmp_path), "mysql")
    assert not has_section(Files(tmp_path), "mysql")


@pytest.mark.parametrize(
    "text",
    [
        b"", b"5", b"[1]", b"- mysql", b"\xff", b"mysql: [", b"mysql: {a: b", b"a: b: c", b"\t", b"mysql: *x",
        b"mysql: !!python/object/apply:os.system [ls]", b"mysql: {a: !!bool maybe}", b'mysql: {a: !!int ""}',
        b"mysql: {a: !!float x}", b"mysql: {a: !!timestamp x}", b"mysql: {a: 2001-99-99}", b"? [a]\n: b", b"? {a: b}\n",
        b"mysql: &a {x: *a}", b"mysql: &a [*a]", b"a: &a [*a]\nmysql: {b: *a}", b"mysql: {<<: 5}", b"mysql: \x01",
        b"mysql: {port: " + b"9" * 5000 + b"}", b"[" * 3000, b"{a: " * 3000, b'mysql: {password: "\\ud800"}',
        b'mysql: {password_file: "a\\0b", host: "\\ud800"}', b"mysql: !!set {a, b}", b"mysql: !!binary x",
        b"--- {}\n--- {}\n", b"%YAML 9.9\n---\nmysql: {}",
    ],
)  # fmt: skip
def test_hostile_files(tmp_path: Path, text: bytes) -> None:
    found = problems(tmp_path, text)
    assert all(problem.file == "connections.yaml" for problem in found)


@pytest.mark.parametrize(
    "text",
    [
        "mysql:\n  password: 'S3cr3t\n", 'mysql:\n  password: "S3cr3t\\q"\n', "mysql:\n  password: *S3cr3t\n",
        "mysql:\n  password: !S3cr3t x\n", "mysql: {password: [S3cr3t]}", "mysql: {password: {S3cr3t: S3cr3t2}}",
        "mysql:\n  password: %S3cr3t\n", "mysql:\n  password: @S3cr3t\n", "mysql:\n  password: S3cr3t: x\n",
        "mysql:\n  password: !!int S3cr3t\n", "mysql: {port: S3cr3t, tls: S3cr3t, jobs: S3cr3t, host: [S3cr3t]}",
        "mysql:\n\tpassword: S3cr3t\n", "mysql: {password: S3cr3t, password_env: S3cr3t_is_unset}",
        "S3cr3t", "mysql: S3cr3t", "mysql: [S3cr3t]",
    ],
)  # fmt: skip
def test_invariant_2_no_problem_tells_a_password(tmp_path: Path, text: str) -> None:
    found = problems(tmp_path, text)
    told = " ".join(problem.text for problem in found).replace("S3cr3t_is_unset", "")  # a variable's name is told
    assert "S3cr3t" not in told


def test_no_password_in_what_was_read(tmp_path: Path) -> None:
    assert "S3cr3t" not in repr(one(tmp_path, password="S3cr3t"))


# --- any YAML -------------------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.binary(max_size=4)
VALUES = st.recursive(
    SCALARS | st.dates() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["host", "port", "username", "password", "password_file", "password_env", "tls", "connect_timeout", "jobs", "name",
     "password_policy", "protected", "removals", "hosts", "auth_plugin", "privileges", "charset", "encoding", "x"]
)  # fmt: skip
SECTIONS = st.dictionaries(KEYS, VALUES).map(lambda keys: {**LEAST, **keys}) | st.dictionaries(KEYS, VALUES)


def accepts(directory: Path, text: str | bytes, engine: str) -> None:
    """Either connections with fields of the right kinds, or a ConfigError that says something."""
    try:
        found = read(directory, text, engine)
    except ConfigError as error:
        found, told = [], str(error)
    else:
        told = "read"
    assert told
    for connection in found:
        assert connection.host
        assert 1 <= connection.port <= 65535
        assert type(connection.options) is options_of(engine)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config")


@given(engine=st.sampled_from(["mysql", "postgresql"]), part=SECTIONS | st.lists(SECTIONS, max_size=3) | VALUES)
def test_any_section(directory: Path, engine: str, part: object) -> None:
    accepts(directory, yaml.safe_dump({engine: part}, allow_unicode=True).encode(errors="surrogatepass"), engine)


@given(document=VALUES)
def test_any_document(directory: Path, document: object) -> None:
    accepts(directory, yaml.safe_dump(document), "mysql")


@given(data=st.binary(max_size=60) | st.text("mysql: {}[]&*!|>-?'\"\n\t#%@`a1", max_size=60).map(str.encode))
def test_any_bytes(directory: Path, data: bytes) -> None:
    accepts(directory, data, "mysql")


# --- the way to the server ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1", "/run/mysqld/mysqld.sock"])
def test_this_machine(tmp_path: Path, host: str) -> None:
    assert transport_warning(one(tmp_path, host=host)) is None


@pytest.mark.parametrize(
    "host", ["db", "10.0.0.1", "localhost.example.com", "127.example.com", "127.0.0.1.example.com", "::1234", "0.0.0.0"]
)
def test_the_way_to_another_machine_needs_tls(tmp_path: Path, host: str) -> None:
    for tls, warned in ((None, True), ({"mode": "disable"}, True), ({"mode": "require"}, False)):
        warning = transport_warning(one(tmp_path, host=host, tls=tls))
        assert (warning is not None) is warned
        assert warning is None or (warning.warning and host in warning.text)
