"""What comes through an archive of ClickHouse."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.clickhouse.options import ClickHouseOptions
from dbroster.errors import OperationError
from dbroster.model.connection import Connection
from dbroster.model.roster import User
from dbroster.passwords.secret import Secret
from tests.engines.clickhouse.adapter import ClickHouseAdapter, quoted
from tests.support.archiving import archive, archiving, there_and_back
from tests.support.waiting import wait_until

PASSWORD = "Correct-horse-7 ünd mehr"

CONTENT = (
    "CREATE TABLE {d}.`z täble 語` (id UInt64, text Nullable(String), tags Array(LowCardinality(String)),"
    " at DateTime64(3) DEFAULT '2024-02-29 12:00:00', twice UInt64 MATERIALIZED id * 2, alias UInt64 ALIAS id,"
    " INDEX i text TYPE set(100)) ENGINE = MergeTree PARTITION BY id % 2 ORDER BY id",
    "INSERT INTO {d}.`z täble 語` (id, text, tags) SELECT number, if(number % 3 = 0, NULL, 'ünï \\t\\n\\\\ \\''),"
    " ['a', toString(number)] FROM numbers(5000)",
    "CREATE TABLE {d}.large (data String) ENGINE = MergeTree ORDER BY tuple()",
    "INSERT INTO {d}.large SELECT randomString(10000000) FROM numbers(2)",
    "CREATE TABLE {d}.sums (k UInt8, s AggregateFunction(sum, UInt64)) ENGINE = AggregatingMergeTree ORDER BY k",
    "INSERT INTO {d}.sums SELECT id % 5, sumState(id) FROM {d}.`z täble 語` GROUP BY 1",
    "CREATE TABLE {d}.log (line String) ENGINE = Log",
    "INSERT INTO {d}.log VALUES ('one')",
    "CREATE TABLE {d}.empty (x Int8) ENGINE = MergeTree ORDER BY x",
    "CREATE TABLE {d}.`.inner of my own` (x Int8) ENGINE = Log",
    "INSERT INTO {d}.`.inner of my own` VALUES (7)",
    "CREATE VIEW {d}.a_view AS SELECT count() AS n FROM {d}.`z täble 語`",
    "CREATE MATERIALIZED VIEW {d}.b_kept ENGINE = MergeTree ORDER BY line AS SELECT line FROM {d}.log",
    "CREATE MATERIALIZED VIEW {d}.`kept TO me` ENGINE = MergeTree ORDER BY line AS SELECT line FROM {d}.log",
    "CREATE TABLE {d}.target (line String) ENGINE = MergeTree ORDER BY line",
    "CREATE MATERIALIZED VIEW {d}.a_into TO {d}.target AS SELECT line FROM {d}.log",
    "INSERT INTO {d}.log VALUES ('two')",
    "CREATE TABLE {d}.in_memory (x Int8) ENGINE = Memory",
    "INSERT INTO {d}.in_memory VALUES (7)",
    "CREATE TABLE {d}.joined (k UInt8, v UInt8) ENGINE = Join(ANY, LEFT, k)",
    "INSERT INTO {d}.joined VALUES (1, 2)",
    "CREATE TABLE {d}.nothing (x UInt8) ENGINE = Null",
    "CREATE TABLE {d}.merged AS {d}.target ENGINE = Merge('{p}', '^(log|target)$')",
    "CREATE TABLE {d}.target2 (x UInt8) ENGINE = MergeTree ORDER BY x",
    "CREATE TABLE {d}.buffered AS {d}.target2"
    " ENGINE = Buffer('{p}', target2, 1, 9999, 9999, 99999, 99999, 99999, 99999)",
    "INSERT INTO {d}.buffered VALUES (7)",
    "CREATE TABLE {d}.replaced (k UInt8, v UInt8) ENGINE = ReplacingMergeTree ORDER BY k"
    " SETTINGS non_replicated_deduplication_window = 100",
    "INSERT INTO {d}.replaced VALUES (1, 1)",
    "INSERT INTO {d}.replaced VALUES (1, 2)",
    "CREATE TABLE {d}.deleted (x UInt8) ENGINE = MergeTree ORDER BY x",
    "INSERT INTO {d}.deleted VALUES (1), (2)",
    "DELETE FROM {d}.deleted WHERE x = 1",
    "CREATE TABLE {d}.noted (x UInt8, at DateTime64(9) MATERIALIZED now64(9), rnd UInt64 MATERIALIZED rand64(),"
    " e UInt8 EPHEMERAL 1, f UInt8 DEFAULT e + 1) ENGINE = MergeTree ORDER BY x",
    "INSERT INTO {d}.noted (x, e) VALUES (1, 5)",
    "CREATE TABLE {d}.rich (a DateTime, b String COMMENT 'it''s' CODEC(ZSTD(3)) TTL a + INTERVAL 50 YEAR, c Int32,"
    " PROJECTION p (SELECT b, count() GROUP BY b), CONSTRAINT k CHECK c < 100, INDEX i b TYPE bloom_filter)"
    " ENGINE = MergeTree ORDER BY a TTL a + INTERVAL 60 YEAR SETTINGS index_granularity = 1024"
    " COMMENT 'of a table'",
    "INSERT INTO {d}.rich VALUES (now(), 'x', 1)",
    "CREATE TABLE {d}.kinds (a Map(String, Array(Int32)), b Tuple(x Int8, y String), e Enum8('a' = 1),"
    " n Nested(q Int32), i IPv6, u UUID, d Decimal256(20), s String, f FixedString(4),"
    " l LowCardinality(Nullable(String)), y Date32, p Point, z Int256) ENGINE = MergeTree ORDER BY tuple()",
    "INSERT INTO {d}.kinds SELECT map('a', [1]), (1, 'x'), 'a', [1, 2], '::1', generateUUIDv4(), '1.5', "
    " unhex('ff00fe'), unhex('ff00fe01'), NULL, '1900-01-01', (1.5, 2.5), -5",
    "CREATE VIEW {d}.z_view AS SELECT n + 1 AS m FROM {d}.a_view",
    "CREATE VIEW {d}.aa_view AS SELECT m FROM {d}.z_view",
    "CREATE VIEW {d}.odd AS SELECT '\\xff' AS x",
    "CREATE TABLE {d}.gone (x Int8) ENGINE = Memory",
    "CREATE VIEW {d}.broken AS SELECT * FROM {d}.gone",
    "DROP TABLE {d}.gone",
    "CREATE TABLE {d}.put_away (x Int8) ENGINE = MergeTree ORDER BY x",
    "INSERT INTO {d}.put_away VALUES (7)",
    "CREATE TABLE {d}.put_off (x Int8) ENGINE = MergeTree ORDER BY x",
    "INSERT INTO {d}.put_off VALUES (8)",
)
REFRESHED = (
    "CREATE MATERIALIZED VIEW {d}.`again AS EMPTY` REFRESH EVERY 1 YEAR ENGINE = MergeTree ORDER BY line"
    " AS SELECT line FROM {d}.log",
    "CREATE MATERIALIZED VIEW {d}.more REFRESH EVERY 1 YEAR APPEND ENGINE = MergeTree ORDER BY line"
    " AS SELECT line FROM {d}.log",
    "CREATE TABLE {d}.target3 (line String) ENGINE = MergeTree ORDER BY line",
    "CREATE MATERIALIZED VIEW {d}.over REFRESH EVERY 1 YEAR TO {d}.target3 AS SELECT line FROM {d}.log",
)
READ = (
    "SELECT id, text, tags, at, twice, alias FROM {d}.`z täble 語` ORDER BY id",
    "SELECT sum(cityHash64(data)), sum(length(data)) FROM {d}.large",
    "SELECT k, sumMerge(s) FROM {d}.sums GROUP BY k ORDER BY k",
    "SELECT * FROM {d}.log ORDER BY line",
    "SELECT * FROM {d}.a_view",
    "SELECT * FROM {d}.b_kept ORDER BY line",
    "SELECT * FROM {d}.target ORDER BY line",
    "SELECT * FROM {d}.`.inner of my own`",
    "SELECT * FROM {d}.`kept TO me`",
    "SELECT * FROM {d}.in_memory",
    "SELECT * FROM {d}.joined",
    "SELECT * FROM {d}.buffered",
    "SELECT k, v FROM {d}.replaced FINAL",
    "SELECT * FROM {d}.deleted",
    "SELECT x, f, at, rnd FROM {d}.noted",
    "SELECT * FROM {d}.rich",
    "SELECT * FROM {d}.kinds",
    "SELECT * FROM {d}.aa_view",
    "SELECT hex(x) FROM {d}.odd",
    "SELECT name, create_table_query FROM system.tables WHERE database = '{p}' AND NOT startsWith(name, '.inner_id')"
    " ORDER BY name",
)


@pytest.fixture
def bob(prefix: str) -> str:
    return f"{prefix}bob"


def make(handler: Handler, user: str) -> str:
    handler.prepare()
    handler.create_user(user, Secret(PASSWORD))
    handler.create_database(user, f"{user}_web")
    handler.grant_privileges(user, f"{user}_web")
    return f"{user}_web"


def test_everything_comes_back_as_it_was(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """A8: rows of every engine, in memory and in a Buffer too, MATERIALIZED columns, TTLs, projections, views on views.

    A table that its user has detached for good is in the archive, and detached for good again.
    """
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, bob)
        names = {"d": quoted(database), "p": database}
        for statement in CONTENT:
            adapter.ask(bob, PASSWORD, statement.format(**names))
        reading = [*READ, *(f"SELECT * FROM {{d}}.`{name}` ORDER BY 1" for name in refreshed(adapter, bob, names))]
        before = [adapter.ask(bob, PASSWORD, query.format(**names)) for query in reading]
        for how in ("put_off", "put_away PERMANENTLY"):
            adapter.ask(bob, PASSWORD, f"DETACH TABLE {{d}}.{how}".format(**names))
        assert list(handler.archiver().losses(database)) == []
        made = there_and_back(handler, bob, PASSWORD, database)
        for name, rows in (("put_away", "7\n"), ("put_off", "8\n")):
            if name == "put_away":
                adapter.ask(bob, PASSWORD, "ATTACH TABLE {d}.put_away".format(**names))
            assert adapter.ask(bob, PASSWORD, f"SELECT * FROM {{d}}.{name}".format(**names)) == rows
        after = [adapter.ask(bob, PASSWORD, query.format(**names)) for query in reading]
        for query, was, now in zip(reading, before, after, strict=True):
            assert now == was, query
        assert (made.manifest.counts["z täble 語"], made.manifest.counts["b_kept"]) == (5000, 1)
        adapter.ask(bob, PASSWORD, "INSERT INTO {d}.log VALUES ('three')".format(**names))
        assert adapter.ask(bob, PASSWORD, "SELECT count() FROM {d}.target".format(**names)) == "2\n"


def refreshed(adapter: ClickHouseAdapter, user: str, names: dict[str, str]) -> list[str]:
    """Make views that fill themselves, where users may, and return the names of those that did, once they have."""
    if adapter.ask(user, PASSWORD, "SELECT value FROM system.settings WHERE name ="
                   " 'allow_experimental_refreshable_materialized_view'").strip() == "0":  # fmt: skip
        return []
    for statement in REFRESHED:
        adapter.ask(user, PASSWORD, statement.format(**names))
    filled = ["again AS EMPTY", "more", "target3"]
    for name in filled:
        wait_until(lambda name=name: adapter.ask(  # type: ignore[misc]
            user, PASSWORD, f"SELECT count() FROM {{d}}.`{name}`".format(**names)) == "2\n")  # fmt: skip
    return filled


def test_what_can_not_be_archived_is_said(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """A8: rows of a Set, detached parts, a dictionary's password, row policies."""
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, bob)
        for statement in (
            "CREATE TABLE {d}.s (x Int8) ENGINE = Set",
            "CREATE TABLE {d}.t (x Int8) ENGINE = MergeTree ORDER BY x PARTITION BY x",
            "INSERT INTO {d}.t VALUES (1), (2)",
            "ALTER TABLE {d}.t DETACH PARTITION 2",
        ):
            adapter.ask(bob, PASSWORD, statement.format(d=quoted(database)))
        dba = (adapter.server.admin_user, adapter.server.admin_password)
        source = "CLICKHOUSE(USER 'x' PASSWORD 'Correct-horse-8' TABLE 't' DB 'x')"
        layout = f"SOURCE({source}) LAYOUT(FLAT()) LIFETIME(0)"
        adapter.ask(*dba, f"CREATE DICTIONARY {database}.dict (x UInt64, y String) PRIMARY KEY x {layout}")
        adapter.ask(*dba, f"CREATE ROW POLICY `{bob} hides` ON {database}.t USING x > 7 TO ALL")
        try:
            said = "; ".join(handler.archiver().losses(database))
            for text in (
                "the rows of s",
                "1 detached parts of the table t",
                "password in the definition of dict",
                "hides",
            ):
                assert text in said
            with pytest.raises(OperationError, match=r"has seen 0 of 1 rows of .* since a row policy hides"):
                archive(handler, bob, database)
        finally:
            adapter.ask(*dba, f"DROP ROW POLICY `{bob} hides` ON {database}.t")
        adapter.ask(*dba, f"DROP DICTIONARY {database}.dict")
        there_and_back(handler, bob, PASSWORD, database)


def test_a_table_that_the_server_does_not_describe_spoils_no_restore(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """A8: newer servers show no statement for a table by loop(); what an archive can't hold is said before."""
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, bob)
        for statement in (
            "CREATE TABLE {d}.t (x Int8) ENGINE = MergeTree ORDER BY x",
            "INSERT INTO {d}.t VALUES (1)",
            "CREATE TABLE {d}.again AS loop('{p}', 't')",
        ):
            adapter.ask(bob, PASSWORD, statement.format(d=quoted(database), p=database))
        query = f"SELECT create_table_query != '' FROM system.tables WHERE database = '{database}' AND name = 'again'"
        described = adapter._do(query).strip() == "1"
        lost = [] if described else ["the table again, since the server does not show how it is made"]
        assert list(handler.archiver().losses(database)) == lost
        there_and_back(handler, bob, PASSWORD, database)
        assert adapter.ask(bob, PASSWORD, f"SELECT * FROM {quoted(database)}.t") == "1\n"


def test_a_view_is_never_read_with_the_admin_s_power(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """A8, B4: beside a table that is named like a view's own, a view was read: others' rows, or rows without end."""
    ann = f"{bob}_ann"
    with connect(archiving(describe(), tmp_path)) as handler:
        database, others = make(handler, bob), make(handler, ann)
        adapter.put(ann, PASSWORD, others, "hers")
        for statement in (
            "CREATE TABLE {d}.`.inner.v` (x String) ENGINE = Log",
            "INSERT INTO {d}.`.inner.v` VALUES ('mine')",
            "CREATE VIEW {d}.v AS SELECT * FROM viewIfPermitted(SELECT * FROM {o}.note ELSE null('line String'))",
            "CREATE TABLE {d}.`.inner.w` (x String) ENGINE = Log",
            "CREATE VIEW {d}.w AS SELECT number FROM numbers(1000000000000000)",
        ):
            adapter.ask(bob, PASSWORD, statement.format(d=quoted(database), o=quoted(others)))
        kept = archive(handler, bob, database)
        with zipfile.ZipFile(kept.path) as file:
            assert not [name for name in file.namelist() if name.endswith(("/v.native", "/w.native"))]
            assert b"mine" in file.read(f"{database}/.inner.v.native")


IN_PLACE_OF_ITS_TARGET = (
    "CREATE TABLE {d}.s (line String) ENGINE = Log",
    "CREATE TABLE {d}.target (line String) ENGINE = Log",
    "CREATE MATERIALIZED VIEW {d}.m TO {d}.target AS SELECT line FROM {d}.s",
    "DROP TABLE {d}.target",
    "CREATE VIEW {d}.target AS SELECT * FROM viewIfPermitted(SELECT * FROM {o}.note ELSE null('line String'))",
    "CREATE TABLE {d}.`.inner.m` (line String) ENGINE = Log",
    "INSERT INTO {d}.`.inner.m` VALUES ('mine')",
    "CREATE MATERIALIZED VIEW {d}.n ENGINE = MergeTree ORDER BY line AS SELECT line FROM {d}.s",
    "CREATE MATERIALIZED VIEW {d}.k ENGINE = MergeTree ORDER BY at TTL at TO DISK 'default' AS"
    " SELECT toDate(line) AS at FROM {d}.s",
    "INSERT INTO {d}.k VALUES ('2024-02-29')",
)


def test_what_stands_in_the_place_of_a_view_s_rows_is_not_read_with_the_admin_s_power(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """A8, B4: a materialized view was read through; behind it its owner had put a view of others' rows."""
    ann = f"{bob}_ann"
    with connect(archiving(describe(), tmp_path)) as handler:
        database, others = make(handler, bob), make(handler, ann)
        adapter.put(ann, PASSWORD, others, "hers")
        names = {"d": quoted(database), "o": quoted(others)}
        for statement in IN_PLACE_OF_ITS_TARGET:
            adapter.ask(bob, PASSWORD, statement.format(**names))
        asked = f"SELECT uuid FROM system.tables WHERE database = '{database}' AND name IN ('m', 'n') ORDER BY name"
        of_m, of_n = (f".inner_id.{uuid}" for uuid in adapter.ask(bob, PASSWORD, asked).split())
        for statement in (
            f"CREATE TABLE {{d}}.`{of_m}` (line String) ENGINE = Log",
            f"INSERT INTO {{d}}.`{of_m}` VALUES ('mine')",
            f"DROP TABLE {{d}}.`{of_n}`",
            f"CREATE VIEW {{d}}.`{of_n}` AS SELECT * FROM {{d}}.target",
        ):
            adapter.ask(bob, PASSWORD, statement.format(**names))
        kept = archive(handler, bob, database)
        with zipfile.ZipFile(kept.path) as file:
            rows = {name: file.read(name) for name in file.namelist() if name.endswith(".native")}
        assert not [name for name, data in rows.items() if b"hers" in data]
        for name in (".inner.m", of_m):
            assert b"mine" in rows[f"{database}/{name}.native"]
        assert kept.manifest.counts["k"] == 1


def make_admin(adapter: ClickHouseAdapter, bob: str) -> dict[str, Any]:
    """An admin whose settings and policies a test may change; the server's own stands in a file."""
    adapter.create_account_by_hand(f"{bob}_adm", PASSWORD)
    adapter._do(f"GRANT ALL ON *.* TO {quoted(f'{bob}_adm')} WITH GRANT OPTION")
    return {"username": f"{bob}_adm", "password": Secret(PASSWORD)}


LIMITS = (
    "max_bytes_to_read = 1000000, read_overflow_mode = 'break'",
    "max_rows_to_read_leaf = 100000, max_bytes_to_read_leaf = 100000, read_overflow_mode_leaf = 'break'",
    "max_result_bytes = 1000000, result_overflow_mode = 'break'",
    "additional_table_filters = '{{''{d}.t'': ''0''}}'",
)


def test_no_limit_of_the_admin_s_profile_cuts_an_archive(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """A8: with `break` the server leaves rows out and says nothing; the database was dropped behind such an archive.

    Nor does a setting of a table keep its owner's rows from being read.
    """
    connection = archiving(describe(**make_admin(adapter, bob)), tmp_path)
    dba = (adapter.server.admin_user, adapter.server.admin_password)
    with connect(connection) as handler:
        database = make(handler, bob)
        for statement in (
            "CREATE TABLE {d}.t (x UInt64) ENGINE = MergeTree ORDER BY x",
            "INSERT INTO {d}.t SELECT number FROM numbers(1000000)",
            "CREATE TABLE {d}.parts (x UInt8) ENGINE = MergeTree ORDER BY x PARTITION BY x"
            " SETTINGS max_partitions_to_read = 1",
            "INSERT INTO {d}.parts VALUES (1), (2)",
        ):
            adapter.ask(bob, PASSWORD, statement.format(d=quoted(database)))
    for limit in LIMITS:
        adapter.ask(*dba, f"ALTER USER {quoted(connection.username)} SETTINGS {limit.format(d=database)}")
        with connect(connection) as handler:
            assert archive(handler, bob, database).manifest.counts == {"t": 1_000_000, "parts": 2}, limit


def test_rows_that_a_policy_hides_stop_an_archive_whatever_the_engine(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """A8: only parts were counted: a Log, rows in memory, and a table with a deleted row were archived empty."""
    dba = (adapter.server.admin_user, adapter.server.admin_password)
    made = {
        "of_log": "ENGINE = Log", "tiny": "ENGINE = TinyLog", "memory": "ENGINE = Memory",
        "joined": "ENGINE = Join(ANY, LEFT, x)", "deleted": "ENGINE = MergeTree ORDER BY x",
    }  # fmt: skip
    connection = archiving(describe(**make_admin(adapter, bob)), tmp_path)
    with connect(connection) as handler:
        database = make(handler, bob)
        for name, how in made.items():
            for statement in ("CREATE TABLE {t} (x UInt8, y UInt8) {how}", "INSERT INTO {t} VALUES (1, 1), (2, 2)"):
                adapter.ask(bob, PASSWORD, statement.format(t=f"{quoted(database)}.{name}", how=how))
        adapter.ask(bob, PASSWORD, f"DELETE FROM {quoted(database)}.deleted WHERE x = 1")
        counts = {**dict.fromkeys(made, 2), "deleted": 1}
        assert archive(handler, bob, database).manifest.counts == counts
        for name in made:
            policy = f"`{bob} hides` ON {quoted(database)}.{name}"
            adapter.ask(*dba, f"CREATE ROW POLICY {policy} USING 0 TO ALL")
            try:
                with pytest.raises(OperationError, match=rf"has seen 0 of .* rows of {database}\.{name}, since a row"):
                    archive(handler, bob, database)
                adapter.ask(*dba, f"ALTER ROW POLICY {policy} TO ALL EXCEPT {quoted(connection.username)}")
                assert archive(handler, bob, database).manifest.counts == counts, name
            finally:
                adapter.ask(*dba, f"DROP ROW POLICY {policy}")


def test_a_default_that_can_not_be_worked_out_is_named_with_its_cure(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """B4: an owner can't be archived, and whoever has to do it is told what to do; then he is."""
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, bob)
        for statement in (
            "CREATE TABLE {d}.t (x UInt8) ENGINE = MergeTree ORDER BY x",
            "INSERT INTO {d}.t VALUES (1)",
            "ALTER TABLE {d}.t ADD COLUMN s UInt8 DEFAULT throwIf(1)",
        ):
            adapter.ask(bob, PASSWORD, statement.format(d=quoted(database)))
        with pytest.raises(OperationError, match=f"the table {database}.t can't be read: .*") as failed:
            archive(handler, bob, database)
        cure = str(failed.value).rpartition("take it away: ")[2]
        assert cure == f"ALTER TABLE `{database}`.`t` MODIFY COLUMN `s` REMOVE DEFAULT"
        adapter.ask(adapter.server.admin_user, adapter.server.admin_password, cure)
        archive(handler, bob, database)


def test_a_name_that_a_dropped_table_had_may_be_another_s(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """B4: 24.8 lists a table that was dropped minutes ago among those that are detached."""
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, bob)
        for statement in (
            "CREATE TABLE {d}.t (x Int8) ENGINE = MergeTree ORDER BY x",
            "INSERT INTO {d}.t VALUES (1)",
            "CREATE VIEW {d}.v AS SELECT 7 AS x",
            "DROP TABLE {d}.t",
            "RENAME TABLE {d}.v TO {d}.t",
        ):
            adapter.ask(bob, PASSWORD, statement.format(d=quoted(database)))
        there_and_back(handler, bob, PASSWORD, database)
        assert adapter.ask(bob, PASSWORD, f"SELECT x FROM {quoted(database)}.t") == "7\n"


def test_what_can_not_be_made_again_keeps_nothing_else_away(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """A8: a table that only a DBA may make; everything else comes back, and it is named."""
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, bob)
        for statement in (
            "CREATE TABLE {d}.kept (x Int8) ENGINE = Log",
            "INSERT INTO {d}.kept VALUES (1)",
            "CREATE VIEW {d}.z_view AS SELECT x FROM {d}.kept",
        ):
            adapter.ask(bob, PASSWORD, statement.format(d=quoted(database)))
        dba = (adapter.server.admin_user, adapter.server.admin_password)
        adapter.ask(*dba, f"CREATE TABLE {database}.a_file (x Int8) ENGINE = File(CSV)")
        adapter.ask(*dba, f"INSERT INTO {database}.a_file VALUES (1)")
        with pytest.raises(OperationError, match=r"not everything is back: a_file: .*privileges"):
            there_and_back(handler, bob, PASSWORD, database)
        assert adapter.ask(bob, PASSWORD, f"SELECT x FROM {quoted(database)}.z_view") == "1\n"


def test_nothing_is_restored_into_a_database_that_holds_anything(
    adapter: ClickHouseAdapter, handler: Handler, bob: str
) -> None:
    """E1: 25.8 answers EXISTS for system.tables wrongly, and what is detached counts as well."""
    database, receiver = make(handler, bob), User(bob, Secret(PASSWORD), 1)
    assert handler.archiver().is_empty(receiver, database)
    for statement in (
        "CREATE TABLE {d}.t (x Int8) ENGINE = Log", "DETACH TABLE {d}.t PERMANENTLY", "ATTACH TABLE {d}.t",
        "CREATE VIEW {d}.v AS SELECT 1", "DROP TABLE {d}.t",
    ):  # fmt: skip
        adapter.ask(bob, PASSWORD, statement.format(d=quoted(database)))
        assert not handler.archiver().is_empty(receiver, database), statement


def test_an_empty_database_comes_back(describe: Callable[..., Connection], bob: str, tmp_path: Path) -> None:
    with connect(archiving(describe(), tmp_path)) as handler:
        there_and_back(handler, bob, PASSWORD, make(handler, bob))


def test_a_database_with_a_table_is_not_empty(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    """E1: 25.8 answers 0 to SELECT EXISTS (... FROM system.tables ...), whatever there is."""
    database, user = make(handler, bob), User(bob, Secret(PASSWORD), 1)
    assert handler.archiver().is_empty(user, database)
    adapter.put(bob, PASSWORD, database, "his")
    assert not handler.archiver().is_empty(user, database)


def test_a_cluster_is_not_archived_by_one_node(handler: Handler) -> None:
    archiver = handler.archiver()
    assert archiver.missing() == []
    archiver.connection = handler.connection._replace(options=ClickHouseOptions(cluster="all"))
    assert "cluster" in archiver.missing()[0]


def test_an_admin_who_can_not_end_queries_can_not_archive(
    adapter: ClickHouseAdapter, handler: Handler, describe: Callable[..., Connection], prefix: str
) -> None:
    """A query that goes on might write after the archive."""
    admin = f"{prefix}adm"
    adapter.create_account_by_hand(admin, PASSWORD)
    with connect(describe(username=admin, password=Secret(PASSWORD))) as weak:
        assert weak.archiver().missing() == [f"GRANT KILL QUERY ON *.* TO `{admin}`;"]
