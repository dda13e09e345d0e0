"""Passwords by the stored hash, on a server that shows it, and what is taken for one."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from benchmarks import raw_checks
from benchmarks.engines import tls_port
from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.clickhouse.access import show_create_users as clickhouse_shown
from dbroster.model.connection import Connection
from dbroster.model.roster import User
from dbroster.model.state import PasswordCheck
from dbroster.passwords.secret import Secret
from servers import ClickHouse
from tests.engines.clickhouse.adapter import ClickHouseAdapter
from tests.servers.available import available


def hashes_in(lines: list[str]) -> dict[str, Secret]:
    return {name: shown.hash for name, shown in clickhouse_shown.read(lines).items() if shown.hash}


GOOD, WRONG = Secret("Correct-horse-7"), Secret("wrong-Horse-9")
HASH = "0123456789ABCDEF" * 4


@pytest.fixture(scope="module")
def showing() -> Iterator[ClickHouseAdapter]:
    """A server of its own with display_secrets_in_show_and_select."""
    with available(lambda: ClickHouse(options={"display_secrets_in_show_and_select": "1"})) as server:
        adapter = ClickHouseAdapter(server)
        yield adapter
        adapter.close()


@pytest.fixture
def connection(showing: ClickHouseAdapter, tmp_path: Path) -> Connection:
    return showing.connection(tmp_path, "h")


@pytest.fixture
def handler(showing: ClickHouseAdapter, connection: Connection) -> Iterator[Handler]:
    with connect(connection) as handler:
        handler.prepare()
        yield handler
    showing.wipe("h")


def check(handler: Handler, user: str, password: Secret = GOOD) -> PasswordCheck:
    return handler.check_passwords([User(user, password, 1)], handler.get_existing_users())[user]


def logins(adapter: ClickHouseAdapter, user: str) -> int:
    adapter._do("SYSTEM FLUSH LOGS")
    return int(adapter._do(f"SELECT count() FROM system.query_log WHERE user = '{user}' AND type = 'QueryFinish'"))


def test_a_shown_hash_needs_no_login(showing: ClickHouseAdapter, handler: Handler) -> None:
    """E5: All hashes are read in one statement."""
    handler.create_user("h.bob-1", GOOD)
    before = logins(showing, "h.bob-1")
    assert before == 1, "after a change there is one login, to prove it"
    assert check(handler, "h.bob-1") is PasswordCheck.SAME
    assert check(handler, "h.bob-1", WRONG) is PasswordCheck.DIFFERENT
    assert logins(showing, "h.bob-1") == before


def test_a_hash_tells_where_a_login_could_not(showing: ClickHouseAdapter, handler: Handler) -> None:
    handler.create_user("hbob", GOOD)
    showing.ask("default", showing.server.admin_password, "ALTER USER hbob HOST IP '192.0.2.1'")
    assert check(handler, "hbob") is PasswordCheck.SAME
    assert check(handler, "hbob", WRONG) is PasswordCheck.DIFFERENT


def test_an_admin_without_the_privilege_logs_in(
    showing: ClickHouseAdapter, handler: Handler, connection: Connection
) -> None:
    handler.create_user("hbob", GOOD)
    showing.create_account_by_hand("hadmin", GOOD.reveal())
    showing.ask("default", showing.server.admin_password, "GRANT SHOW USERS, SHOW ROLES, SELECT ON *.* TO hadmin")
    before = logins(showing, "hbob")
    with connect(connection._replace(username="hadmin", password=GOOD)) as limited:
        assert check(limited, "hbob") is PasswordCheck.SAME
        assert check(limited, "hbob", WRONG) is PasswordCheck.DIFFERENT
    assert logins(showing, "hbob") == before + 1, "the refused one never became a statement"


def test_hashes_are_in_no_repr(handler: Handler) -> None:
    handler.create_user("hbob", GOOD)
    users = handler.get_existing_users()
    checked = handler.check_passwords([User("hbob", GOOD, 1)], users)
    assert "sha256_hash" not in f"{users}{checked}{vars(handler)}"


@pytest.mark.parametrize("end", ["", " SALT 'AB12'", " DEFAULT ROLE `dbroster:default`", " SALT 'x' HOST NONE"])
@pytest.mark.parametrize("name", ["bob", "`bob`"])
def test_what_is_a_hash(name: str, end: str) -> None:
    shown = f"CREATE USER {name} IDENTIFIED WITH sha256_hash BY '{HASH}'{end}"
    assert list(hashes_in(["CREATE USER other IDENTIFIED WITH no_password", shown])) == ["bob"]


@pytest.mark.parametrize(
    "line",
    [
        "CREATE USER bob IDENTIFIED WITH sha256_password",
        f"CREATE USER bob IDENTIFIED WITH double_sha1_hash BY '{HASH[:40]}'",
        f"CREATE USER bob IDENTIFIED WITH sha256_hash BY '{HASH}', sha256_hash BY '{HASH}'",
        f"CREATE USER bob IDENTIFIED WITH sha256_hash BY '{HASH}' SALT 'a', no_password",
        f"CREATE USER bob IDENTIFIED WITH sha256_hash BY '{HASH}' SALT 'a' VALID UNTIL '2020-01-01 00:00:00'",
        f"CREATE USER `bob IDENTIFIED WITH sha256_hash BY '{HASH}'",
        f"CREATE USER `a\\nCREATE USER bob` IDENTIFIED WITH sha256_hash BY '{HASH}'",
        f" CREATE USER bob IDENTIFIED WITH sha256_hash BY '{HASH}'",
    ],
)
def test_what_is_no_hash_that_dbroster_judges(line: str) -> None:
    assert hashes_in([line]) == {}


def test_a_refusal_that_nobody_expects_is_told(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    """E5: The check by hashes was a syntax error on every server, and nobody could see it."""
    handler.create_user("hbob", GOOD)
    monkeypatch.setattr(clickhouse_shown, "SHOW", "SHOW CREATE USERS FORMAT TSVRaw")
    assert check(handler, "hbob") is PasswordCheck.SAME, "by a login"
    (told,) = handler.warnings()
    assert "passwords are checked by logins" in told.text


@pytest.mark.parametrize("kind", ["hashes", "logins"])
def test_the_raw_client_of_the_benchmarks_checks_as_well(
    showing: ClickHouseAdapter, handler: Handler, tmp_path: Path, kind: str
) -> None:
    """`make bench` measures beside it, and broke off at hashes, which SHOW CREATE USERS gives with escaped quotes."""
    handler.create_user("h.raw-1", GOOD)
    section = {"host": showing.server.host, "port": tls_port(showing.server), "tls": {"ca": str(showing.server.ca)}}
    section |= {"username": showing.server.admin_user, "password": showing.server.admin_password}
    (tmp_path / "connections.yaml").write_text(yaml.safe_dump({"clickhouse": section}))
    command, codes = [sys.executable, raw_checks.__file__, kind, str(tmp_path)], []
    for password in (GOOD, WRONG):
        (tmp_path / "users.txt").write_text(f"h.raw-1:{password.reveal()}\n")
        codes.append(subprocess.run(command, check=False, stderr=subprocess.DEVNULL, timeout=60).returncode)
    assert codes == [0, 1]
