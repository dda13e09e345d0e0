"""The ClickHouse stand-in seen through an unmodified clickhouse-connect client."""

import base64
import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from servers import ClickHouse
from tests.servers.available import available

# Printable ASCII in full, and some of what lies beyond it.
PASSWORDS = [
    "abc",
    "a:b@c/d?e=f&g#h%i",
    "sp ace\ttab",
    "q'u\"o`t\\e",
    "\u00fc\u00f1\u00ee\u20ac\U0001f600",
    "$;--/*x*/{a:String}",
]


@pytest.fixture(scope="module")
def stand_in() -> Iterator[ClickHouse]:
    with available(ClickHouse) as running:
        yield running


@pytest.fixture
def server(stand_in: ClickHouse) -> ClickHouse:
    """The running stand-in without anything that earlier tests have left."""
    with connect(stand_in) as admin:
        for database in column(
            admin,
            "SELECT name FROM system.databases WHERE name NOT IN ('default', 'system') "
            "AND lower(name) != 'information_schema'",
        ):
            admin.command(f"DROP DATABASE {quoted(database)} SYNC")
        for user in column(admin, "SELECT name FROM system.users WHERE storage != 'users_xml'"):
            admin.command(f"DROP USER {quoted(user)}")
        for role in column(admin, "SELECT name FROM system.roles"):
            admin.command(f"DROP ROLE {quoted(role)}")
    return stand_in


def column(client: Client, sql: str) -> list[str]:
    """The only column of an answer."""
    return [str(row[0]) for row in client.query(sql).result_rows]


def connect(server: ClickHouse, user: str = "default", password: str | None = None) -> Client:
    secret = server.admin_password if password is None else password
    return clickhouse_connect.get_client(host="127.0.0.1", port=server.port, username=user, password=secret)


@pytest.fixture
def admin(server: ClickHouse) -> Client:
    return connect(server)


def verifier(password: str, salt: str = "5A17") -> str:
    digest = hashlib.sha256((password + salt).encode()).hexdigest().upper()
    return f"IDENTIFIED WITH sha256_hash BY '{digest}' SALT '{salt}'"


def code_of(call: Callable[..., Any], *args: object, **kwargs: object) -> int:
    with pytest.raises(DatabaseError) as caught:
        call(*args, **kwargs)
    assert caught.value.code == int(str(caught.value).split("code: ")[1].split(",")[0])
    return int(caught.value.code)


def quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def test_marker_role_is_granted_by_the_create_statement_itself(admin: Client) -> None:
    admin.command("CREATE ROLE dbroster_managed")
    admin.command(f"CREATE USER bob {verifier('abc')} DEFAULT ROLE dbroster_managed")
    rows = admin.query(
        "SELECT user_name, granted_role_name, granted_role_is_default FROM system.role_grants"
    ).result_rows
    assert rows == [("bob", "dbroster_managed", 1)]
    assert admin.query("SELECT name, storage, auth_type FROM system.users ORDER BY name").result_rows == [
        ("bob", "local_directory", ["sha256_password"]),
        ("default", "users_xml", ["plaintext_password"]),
    ]
    assert admin.command("SHOW CREATE USER bob") == (
        "CREATE USER bob IDENTIFIED WITH sha256_password DEFAULT ROLE dbroster_managed"
    )


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_client_side_hash_lets_exactly_that_password_in(server: ClickHouse, admin: Client, password: str) -> None:
    admin.command(f"CREATE USER bob {verifier(password)}")
    assert connect(server, "bob", password).command("SELECT currentUser()") == "bob"
    assert code_of(connect, server, "bob", password + "x") == 516
    admin.command(f"ALTER USER bob {verifier('changed')}")
    assert code_of(connect, server, "bob", password) == 516
    assert connect(server, "bob", "changed").command("SELECT 1") == 1


@pytest.mark.parametrize("user", ["bob", "b-o'b", "we ird", "a.b", "\u00fcser", "q`t", "back\\slash", "select"])
def test_names_of_any_shape_get_their_own_database_and_nothing_else(
    server: ClickHouse, admin: Client, user: str
) -> None:
    database = f"{user}_web"
    admin.command(f"CREATE USER {quoted(user)} {verifier('pw')}")
    admin.command(f"CREATE DATABASE {quoted(database)}")
    admin.command("CREATE DATABASE other_web")
    admin.command(f"GRANT ALL ON {quoted(database)}.* TO {quoted(user)}")
    mine = connect(server, user, "pw")
    mine.command(f"CREATE TABLE {quoted(database)}.t (a Int32) ENGINE = MergeTree ORDER BY a")
    mine.command(f"INSERT INTO {quoted(database)}.t VALUES (1), (2)")
    assert mine.command(f"SELECT sum(a) FROM {quoted(database)}.t") == 3
    assert mine.query("SHOW DATABASES").result_rows == [(database,)]
    assert code_of(mine.command, "CREATE TABLE other_web.t (a Int32) ENGINE = Memory") == 497
    assert code_of(mine.command, "CREATE DATABASE third") == 497
    assert code_of(mine.command, "CREATE USER eve") == 497
    assert code_of(mine.query, "SELECT name FROM system.users") == 497
    found = admin.query("SELECT DISTINCT user_name, database FROM system.grants WHERE database IS NOT NULL").result_rows
    assert found == [(user, database)]
    grants = admin.query(f"SHOW GRANTS FOR {quoted(user)}").result_rows
    assert len(grants) == 1
    assert grants[0][0].endswith((f" TO {user}", f" TO {quoted(user)}"))


def test_error_codes_of_the_real_server(admin: Client) -> None:
    admin.command("CREATE USER bob")
    assert code_of(admin.command, "CREATE USER bob") == 493
    admin.command("CREATE USER IF NOT EXISTS bob")
    assert code_of(admin.command, "DROP USER nobody") == 192
    admin.command("DROP USER IF EXISTS nobody")
    assert code_of(admin.command, "ALTER USER nobody IDENTIFIED BY 'x'") == 192
    assert code_of(admin.command, "GRANT SELECT ON x.* TO nobody") == 511
    assert code_of(admin.command, "GRANT nothing TO bob") == 511
    assert code_of(admin.command, "ALTER USER default IDENTIFIED BY 'x'") == 495
    assert code_of(admin.command, "DROP USER default") == 495
    assert code_of(admin.command, "CREATE USER eve IDENTIFIED WITH sha256_hash BY 'zz'") == 36
    assert code_of(admin.command, "CREATE USER eve IDENTIFIED BY") == 62
    assert code_of(admin.command, "SELECT 1; SELECT 2") == 62
    assert code_of(admin.command, "DROP DATABASE nothing") == 81
    admin.command("CREATE DATABASE web COMMENT 'x'")
    assert code_of(admin.command, "CREATE DATABASE web") == 82
    admin.command("DROP DATABASE web SYNC")
    assert code_of(admin.command, "SELECT * FROM no.such") == 81


def test_a_failed_statement_over_several_users_changes_nothing(admin: Client) -> None:
    admin.command("CREATE USER bob")
    assert code_of(admin.command, "CREATE USER ann, bob, cid") == 493
    assert code_of(admin.command, "DROP USER bob, nobody") == 192
    assert admin.query("SELECT name FROM system.users ORDER BY name").result_columns[0] == ["bob", "default"]
    admin.command("CREATE USER ann, cid")
    admin.command("DROP USER ann, bob, cid")


def test_a_limited_administrator_is_limited_by_the_real_engine(server: ClickHouse, admin: Client) -> None:
    admin.command(f"CREATE USER ops {verifier('pw')}")
    admin.command("CREATE ROLE dbroster_managed")
    admin.command("GRANT CREATE USER, ALTER USER, SHOW USERS, SHOW ROLES ON *.* TO ops")
    admin.command("GRANT CREATE DATABASE, SELECT ON *.* TO ops WITH GRANT OPTION")
    ops = connect(server, "ops", "pw")
    assert code_of(ops.command, f"CREATE USER bob {verifier('x')} DEFAULT ROLE dbroster_managed") == 497
    admin.command("GRANT dbroster_managed TO ops WITH ADMIN OPTION")
    ops.command(f"CREATE USER bob {verifier('x')} DEFAULT ROLE dbroster_managed")
    ops.command("CREATE DATABASE bob_web")
    ops.command("GRANT SELECT ON bob_web.* TO bob")
    assert code_of(ops.command, "GRANT INSERT ON bob_web.* TO bob") == 497
    assert code_of(ops.command, "DROP USER bob") == 497
    assert ops.command("CHECK GRANT CREATE USER ON *") == 1
    assert ops.command("CHECK GRANT DROP USER ON *") == 0
    assert ops.query("SELECT name FROM system.users WHERE storage != 'users_xml' ORDER BY name").result_columns[0] == [
        "bob",
        "ops",
    ]


def test_password_rules_apply_to_plain_passwords_only() -> None:
    with ClickHouse(options={"password_pattern": ".{12}"}) as server:
        admin = connect(server)
        assert code_of(admin.command, "CREATE USER bob IDENTIFIED BY 'short'") == 36
        admin.command(f"CREATE USER bob {verifier('short')}")


def test_hosts_are_enforced_at_login(server: ClickHouse, admin: Client) -> None:
    admin.command(f"CREATE USER bob {verifier('pw')} HOST IP '10.0.0.0/8'")
    assert code_of(connect, server, "bob", "pw") == 516
    admin.command("ALTER USER bob HOST LOCAL")
    connect(server, "bob", "pw")


def test_parameters_settings_and_sessions(admin: Client) -> None:
    assert admin.query("SELECT {x:String}", parameters={"x": "it's \\ \n"}).result_rows == [("it's \\ \n",)]
    assert admin.query("SELECT getSetting('max_threads')", settings={"max_threads": 1}).result_rows == [(1,)]
    assert code_of(admin.command, "SELECT 1 FROM no_such_db.t") == 81
    admin.command("CREATE TEMPORARY TABLE t (a Int32)")
    admin.command("INSERT INTO t VALUES (7)")
    assert admin.command("SELECT a FROM t") == 7
    admin.command("CREATE DATABASE d")
    admin.command("CREATE TABLE d.t (a Int32, b String) ENGINE = Memory")
    admin.insert("d.t", [[1, "x"], [2, "y"]], column_names=["a", "b"])
    assert admin.query("SELECT b FROM d.t ORDER BY a").result_columns[0] == ["x", "y"]


def test_raw_http(server: ClickHouse) -> None:
    base = f"http://127.0.0.1:{server.port}/"

    def post(
        headers: dict[str, str], sql: str = "SELECT currentUser()", query: str = "?default_format=TSV"
    ) -> tuple[int, str, Any]:
        request = urllib.request.Request(base + query, data=sql.encode(), headers=headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(), error.headers

    plain = {"X-ClickHouse-User": "default", "X-ClickHouse-Key": "wrong"}
    status, text, headers = post(plain)
    assert status == 403
    assert headers["X-ClickHouse-Exception-Code"] == "516"
    assert text.startswith("Code: 516. DB::Exception: ")
    basic = {"Authorization": "Basic " + base64.b64encode(f"default:{server.admin_password}".encode()).decode()}
    assert post(basic)[:2] == (200, "default\n")
    assert post(basic, "SELEC")[0] == 400
    assert post(basic, "SELECT 1 AS a FORMAT JSONEachRow")[1] == '{"a":1}\n'
    assert json.loads(post(basic, "SELECT 1 AS a", "?default_format=JSON")[1])["rows"] == 1
    assert post(basic, "SELECT 1", "?no_such_setting=1")[2]["X-ClickHouse-Exception-Code"] == "115"
    with urllib.request.urlopen(base + "ping") as answer:
        assert answer.read() == b"Ok.\n"


OWNER = (
    "SELECT, INSERT, ALTER TABLE, ALTER VIEW, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, TRUNCATE, OPTIMIZE, "
    "SHOW, CHECK, UNDROP TABLE, dictGet"
)


def test_the_documented_administrator_and_owner_rights_suffice(server: ClickHouse, admin: Client) -> None:
    admin.command(f"CREATE USER ops {verifier('pw')}")
    admin.command("CREATE ROLE dbroster_managed")
    admin.command("GRANT dbroster_managed TO ops WITH ADMIN OPTION")
    admin.command("GRANT CREATE USER, ALTER USER, DROP USER ON *.* TO ops")
    admin.command("GRANT SHOW USERS, SHOW ROLES, SHOW DATABASES, CREATE DATABASE, DROP DATABASE ON *.* TO ops")
    admin.command(f"GRANT {OWNER} ON *.* TO ops WITH GRANT OPTION")
    ops = connect(server, "ops", "pw")
    assert (
        ops.command(
            "CHECK GRANT CREATE USER, ALTER USER, DROP USER ON *, CREATE DATABASE, DROP DATABASE, "
            "SHOW DATABASES, SHOW USERS, SHOW ROLES ON *.*"
        )
        == 1
    )
    for name in ("web", "analytics"):
        ops.command(f"CREATE DATABASE bob_{name} COMMENT 'dbroster:bob'")
    ops.command(f"CREATE USER bob {verifier('abc')} DEFAULT ROLE dbroster_managed")
    ops.command(f"GRANT {OWNER} ON bob_web.*, {OWNER} ON bob_analytics.* TO bob")
    assert ops.query("SELECT name FROM system.databases WHERE comment = 'dbroster:bob' ORDER BY name").result_columns[
        0
    ] == ["bob_analytics", "bob_web"]
    held = ops.query(
        "SELECT database, groupArray(toString(access_type)) FROM system.grants WHERE user_name = 'bob' "
        "AND database IS NOT NULL GROUP BY database"
    ).result_rows
    assert {database: sorted(found) for database, found in held} == {
        name: sorted(OWNER.split(", ")) for name in ("bob_web", "bob_analytics")
    }

    bob = connect(server, "bob", "abc")
    for statement in (
        "CREATE TABLE bob_web.t (a Int32) ENGINE = MergeTree ORDER BY a",
        "INSERT INTO bob_web.t VALUES (1)",
        "CREATE MATERIALIZED VIEW bob_web.m ENGINE = MergeTree ORDER BY a AS SELECT a FROM bob_web.t",
        "ALTER TABLE bob_web.t ADD COLUMN b Int32",
        "DELETE FROM bob_web.t WHERE a = 2",
        "OPTIMIZE TABLE bob_web.t FINAL",
        "RENAME TABLE bob_web.t TO bob_web.t2",
        "CREATE TEMPORARY TABLE tt (a Int32)",
        "TRUNCATE TABLE bob_web.t2",
        "DROP TABLE bob_web.t2",
    ):
        bob.command(statement)
    for statement in (
        "DROP DATABASE bob_web",
        "CREATE DATABASE bob_x",
        "ALTER DATABASE bob_web MODIFY COMMENT 'x'",
        "GRANT SELECT ON bob_web.* TO ops",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a Int32')",
        "SELECT * FROM remote('127.0.0.1', 'system.one')",
        "CREATE FUNCTION f AS x -> x",
        "CREATE DICTIONARY bob_web.d (a UInt64) PRIMARY KEY a SOURCE(HTTP(URL 'http://127.0.0.1:1/' "
        "FORMAT 'CSV')) LAYOUT(FLAT()) LIFETIME(0)",
    ):
        assert code_of(bob.command, statement) == 497

    ops.command(f"ALTER USER bob {verifier('new')}")
    ops.command("DROP USER bob")
    ops.command("KILL QUERY WHERE user = 'bob' ASYNC")
    for name in ("web", "analytics"):
        ops.command(f"DROP DATABASE bob_{name} SYNC")
    assert admin.query("SELECT count() FROM system.role_grants WHERE user_name = 'bob'").result_rows == [(0,)]


def test_a_view_definer_is_dropped_only_after_his_databases(server: ClickHouse, admin: Client) -> None:
    admin.command("CREATE ROLE dbroster_managed")
    admin.command(f"CREATE USER bob {verifier('pw')} DEFAULT ROLE dbroster_managed")
    admin.command("CREATE DATABASE bob_web COMMENT 'dbroster:bob'")
    admin.command("CREATE TABLE bob_web.t (a Int32) ENGINE = MergeTree ORDER BY a")
    # A server adds this clause to every materialized view by default; chdb does not.
    admin.command(
        "CREATE MATERIALIZED VIEW bob_web.m ENGINE = MergeTree ORDER BY a DEFINER = bob SQL SECURITY DEFINER "
        "AS SELECT a FROM bob_web.t"
    )
    assert code_of(admin.command, "DROP USER bob") == 630
    admin.command("ALTER USER bob HOST NONE")
    assert code_of(connect, server, "bob", "pw") == 516
    assert str(admin.command("SHOW CREATE USER bob")).endswith("HOST NONE DEFAULT ROLE dbroster_managed")
    admin.command("DROP DATABASE bob_web SYNC")
    admin.command("DROP USER bob")
    assert admin.query("SELECT count() FROM system.users WHERE name = 'bob'").result_rows == [(0,)]


@pytest.mark.parametrize("size", [300, 500, 1200])
def test_tables_that_are_long_only_together(admin: Client, size: int) -> None:
    """The store's rows travel in the query's text, for which the engine has a limit."""
    names = [f"crowd{number:05}" for number in range(size)]
    admin.command("CREATE ROLE IF NOT EXISTS crowd")
    admin.command(f"CREATE USER {', '.join(names)} DEFAULT ROLE crowd")
    joined = "SELECT count() FROM system.users AS u JOIN system.role_grants AS g ON u.name = g.user_name"
    assert admin.query(joined).result_rows == [(size,)]
