"""What comes through an archive of ClickHouse."""

import zipfile
from collections.abc import Callable

import pytest

from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.clickhouse.options import ClickHouseOptions
from dbroster.errors import OperationError
from dbroster.model.connection import Connection
from dbroster.model.roster import User
from dbroster.passwords.secret import Secret
from tests.engines.clickhouse.adapter import ClickHouseAdapter, quoted
from tests.engines.clickhouse.conftest import PASSWORD, Site, make
from tests.support.waiting import wait_until

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


def test_everything_comes_back_as_it_was(site: Site) -> None:
    """A8: rows of every engine, in memory and in a Buffer too, MATERIALIZED columns, TTLs, projections, views on views.

    A table that its user has detached for good is in the archive, and detached for good again.
    """
    site.ask(*CONTENT)
    reading = [*READ, *(f"SELECT * FROM {{d}}.`{name}` ORDER BY 1" for name in refreshed(site))]
    before = [site.ask(query) for query in reading]
    site.ask("DETACH TABLE {d}.put_off", "DETACH TABLE {d}.put_away PERMANENTLY")
    assert site.losses() == []
    made = site.there_and_back()
    assert site.ask("ATTACH TABLE {d}.put_away", "SELECT * FROM {d}.put_away") == "7"
    assert site.ask("SELECT * FROM {d}.put_off") == "8"
    after = [site.ask(query) for query in reading]
    for query, was, now in zip(reading, before, after, strict=True):
        assert now == was, query
    assert (made.manifest.counts["z täble 語"], made.manifest.counts["b_kept"]) == (5000, 1)
    assert site.ask("INSERT INTO {d}.log VALUES ('three')", "SELECT count() FROM {d}.target") == "2"


def refreshed(site: Site) -> list[str]:
    """Make views that fill themselves, where users may, and return the names of those that did, once they have."""
    allowed = "SELECT value FROM system.settings WHERE name = 'allow_experimental_refreshable_materialized_view'"
    if site.ask(allowed) == "0":
        return []
    site.ask(*REFRESHED)
    filled = ["again AS EMPTY", "more", "target3"]
    for name in filled:
        wait_until(lambda name=name: site.ask(f"SELECT count() FROM {{d}}.`{name}`") == "2")  # type: ignore[misc]
    return filled


def test_what_can_not_be_archived_is_said(site: Site) -> None:
    """A8: rows of a Set, detached parts, a dictionary's password, row policies."""
    site.ask(
        "CREATE TABLE {d}.s (x Int8) ENGINE = Set",
        "CREATE TABLE {d}.t (x Int8) ENGINE = MergeTree ORDER BY x PARTITION BY x",
        "INSERT INTO {d}.t VALUES (1), (2)",
        "ALTER TABLE {d}.t DETACH PARTITION 2",
    )
    source = "CLICKHOUSE(USER 'x' PASSWORD 'Correct-horse-8' TABLE 't' DB 'x')"
    layout = f"SOURCE({source}) LAYOUT(FLAT()) LIFETIME(0)"
    site.dba(f"CREATE DICTIONARY {{d}}.dict (x UInt64, y String) PRIMARY KEY x {layout}")
    site.dba(f"CREATE ROW POLICY `{site.user} hides` ON {{d}}.t USING x > 7 TO ALL")
    try:
        said = "; ".join(site.losses())
        for text in ("the rows of s", "1 detached parts of the table t", "password in the definition of dict", "hides"):
            assert text in said
        with pytest.raises(OperationError, match=r"has seen 0 of 1 rows of .* since a row policy hides"):
            site.archive()
    finally:
        site.dba(f"DROP ROW POLICY `{site.user} hides` ON {{d}}.t")
    site.dba("DROP DICTIONARY {d}.dict")
    site.there_and_back()


def test_a_table_that_the_server_does_not_describe_spoils_no_restore(site: Site) -> None:
    """A8: newer servers show no statement for a table by loop(); what an archive can't hold is said before."""
    site.ask(
        "CREATE TABLE {d}.t (x Int8) ENGINE = MergeTree ORDER BY x",
        "INSERT INTO {d}.t VALUES (1)",
        "CREATE TABLE {d}.again AS loop('{p}', 't')",
    )
    shown = site.dba("SELECT create_table_query != '' FROM system.tables WHERE database = '{p}' AND name = 'again'")
    lost = [] if shown == "1" else ["the table again, since the server does not show how it is made"]
    assert site.losses() == lost
    site.there_and_back()
    assert site.ask("SELECT * FROM {d}.t") == "1"


@pytest.fixture
def beside_ann(site: Site) -> Site:
    """Beside another user, in whose database `{o}` is a row that says hers."""
    ann = f"{site.user}_ann"
    others = make(site.handler, ann)
    site.adapter.put(ann, PASSWORD, others, "hers")
    site.names["o"] = quoted(others)
    return site


def test_a_view_is_never_read_with_the_admin_s_power(beside_ann: Site) -> None:
    """A8, B4: beside a table that is named like a view's own, a view was read: others' rows, or rows without end."""
    beside_ann.ask(
        "CREATE TABLE {d}.`.inner.v` (x String) ENGINE = Log",
        "INSERT INTO {d}.`.inner.v` VALUES ('mine')",
        "CREATE VIEW {d}.v AS SELECT * FROM viewIfPermitted(SELECT * FROM {o}.note ELSE null('line String'))",
        "CREATE TABLE {d}.`.inner.w` (x String) ENGINE = Log",
        "CREATE VIEW {d}.w AS SELECT number FROM numbers(1000000000000000)",
    )
    with zipfile.ZipFile(beside_ann.archive().path) as file:
        assert not [name for name in file.namelist() if name.endswith(("/v.native", "/w.native"))]
        assert b"mine" in file.read(f"{beside_ann.database}/.inner.v.native")


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


def test_what_stands_in_the_place_of_a_view_s_rows_is_not_read_with_the_admin_s_power(beside_ann: Site) -> None:
    """A8, B4: a materialized view was read through; behind it its owner had put a view of others' rows."""
    site = beside_ann
    site.ask(*IN_PLACE_OF_ITS_TARGET)
    asked = "SELECT uuid FROM system.tables WHERE database = '{p}' AND name IN ('m', 'n') ORDER BY name"
    of_m, of_n = (f".inner_id.{uuid}" for uuid in site.ask(asked).split())
    site.ask(
        f"CREATE TABLE {{d}}.`{of_m}` (line String) ENGINE = Log",
        f"INSERT INTO {{d}}.`{of_m}` VALUES ('mine')",
        f"DROP TABLE {{d}}.`{of_n}`",
        f"CREATE VIEW {{d}}.`{of_n}` AS SELECT * FROM {{d}}.target",
    )
    kept = site.archive()
    with zipfile.ZipFile(kept.path) as file:
        rows = {name: file.read(name) for name in file.namelist() if name.endswith(".native")}
    assert not [name for name, data in rows.items() if b"hers" in data]
    for name in (".inner.m", of_m):
        assert b"mine" in rows[f"{site.database}/{name}.native"]
    assert kept.manifest.counts["k"] == 1


LIMITS = (
    "max_bytes_to_read = 1000000, read_overflow_mode = 'break'",
    "max_rows_to_read_leaf = 100000, max_bytes_to_read_leaf = 100000, read_overflow_mode_leaf = 'break'",
    "max_result_bytes = 1000000, result_overflow_mode = 'break'",
    "additional_table_filters = '{{''{p}.t'': ''0''}}'",
)


def test_no_limit_of_the_admin_s_profile_cuts_an_archive(own_admin: Site) -> None:
    """A8: with `break` the server leaves rows out and says nothing; the database was dropped behind such an archive.

    Nor does a setting of a table keep its owner's rows from being read.
    """
    own_admin.ask(
        "CREATE TABLE {d}.t (x UInt64) ENGINE = MergeTree ORDER BY x",
        "INSERT INTO {d}.t SELECT number FROM numbers(1000000)",
        "CREATE TABLE {d}.parts (x UInt8) ENGINE = MergeTree ORDER BY x PARTITION BY x"
        " SETTINGS max_partitions_to_read = 1",
        "INSERT INTO {d}.parts VALUES (1), (2)",
    )
    for limit in LIMITS:
        own_admin.dba(f"ALTER USER {{a}} SETTINGS {limit}")
        own_admin.reconnect()
        assert own_admin.archive().manifest.counts == {"t": 1_000_000, "parts": 2}, limit


def test_rows_that_a_policy_hides_stop_an_archive_whatever_the_engine(own_admin: Site) -> None:
    """A8: only parts were counted: a Log, rows in memory, and a table with a deleted row were archived empty."""
    site = own_admin
    made = {
        "of_log": "ENGINE = Log", "tiny": "ENGINE = TinyLog", "memory": "ENGINE = Memory",
        "joined": "ENGINE = Join(ANY, LEFT, x)", "deleted": "ENGINE = MergeTree ORDER BY x",
    }  # fmt: skip
    for name, how in made.items():
        table = f"{{d}}.{name}"
        site.ask(f"CREATE TABLE {table} (x UInt8, y UInt8) {how}", f"INSERT INTO {table} VALUES (1, 1), (2, 2)")
    site.ask("DELETE FROM {d}.deleted WHERE x = 1")
    counts = {**dict.fromkeys(made, 2), "deleted": 1}
    assert site.archive().manifest.counts == counts
    for name in made:
        policy = f"`{site.user} hides` ON {{d}}.{name}"
        site.dba(f"CREATE ROW POLICY {policy} USING 0 TO ALL")
        try:
            with pytest.raises(OperationError, match=rf"has seen 0 of .* rows of {site.database}\.{name}, since a row"):
                site.archive()
            site.dba(f"ALTER ROW POLICY {policy} TO ALL EXCEPT {{a}}")
            assert site.archive().manifest.counts == counts, name
        finally:
            site.dba(f"DROP ROW POLICY {policy}")


def test_a_default_that_can_not_be_worked_out_is_named_with_its_cure(site: Site) -> None:
    """B4: an owner can't be archived, and whoever has to do it is told what to do; then he is."""
    site.ask(
        "CREATE TABLE {d}.t (x UInt8) ENGINE = MergeTree ORDER BY x",
        "INSERT INTO {d}.t VALUES (1)",
        "ALTER TABLE {d}.t ADD COLUMN s UInt8 DEFAULT throwIf(1)",
    )
    with pytest.raises(OperationError, match=f"the table {site.database}.t can't be read: .*") as failed:
        site.archive()
    cure = str(failed.value).rpartition("take it away: ")[2].partition("; or give its rows up: ")[0]
    assert cure == f"ALTER TABLE `{site.database}`.`t` MODIFY COLUMN `s` REMOVE DEFAULT"
    site.dba(cure)
    site.archive()


def test_a_change_that_can_not_be_done_is_named_with_what_ends_that(site: Site) -> None:
    """T13, B4: with a type that the rows don't have, a user kept database and account; no message said what to do."""
    site.ask(
        "CREATE TABLE {d}.t (x UInt8, y String) ENGINE = MergeTree ORDER BY x", "INSERT INTO {d}.t VALUES (7, 'a')"
    )
    site.ask("ALTER TABLE {d}.t MODIFY COLUMN y UInt8", mutations_sync="0", alter_sync="0")
    with pytest.raises(OperationError, match=r"not done: .*y.* UInt8\): end them by KILL MUTATION") as failed:
        site.archive()
    site.dba(str(failed.value).rpartition("give its rows up: ")[2])
    assert not site.archive().manifest.counts


_ROWS = (
    "CREATE TABLE {d}.t (x UInt8, y String) ENGINE = MergeTree ORDER BY x",
    "INSERT INTO {d}.t VALUES (1, 'old'), (2, 'old'), (3, 'old')",
)


def test_an_archive_waits_for_a_change_that_is_at_work(site: Site) -> None:
    """T12: its rows were archived as they had been before, and what the user had asked for was lost without a word."""
    site.ask(*_ROWS)
    site.ask("ALTER TABLE {d}.t UPDATE y = 'new' WHERE sleepEachRow(1) = 0", mutations_sync="0")
    assert "1 changes of the table t that are not done yet" in "".join(site.losses())
    site.there_and_back()
    assert site.ask("SELECT DISTINCT y FROM {d}.t") == "new"
    assert not site.handler.notes


def test_a_change_that_is_never_done_is_told_and_keeps_nothing(site: Site) -> None:
    """T12, B4: before the archive, and with it; a user could make any number of them."""
    site.ask(*_ROWS)
    site.ask("ALTER TABLE {d}.t UPDATE y = 'new' WHERE throwIf(x = 2) = 0", mutations_sync="0")
    told = "1 changes of the table t that are not done yet: SELECT"
    assert told in "".join(site.losses())
    site.there_and_back()
    assert told in site.handler.notes[site.database]
    assert site.ask("SELECT DISTINCT y FROM {d}.t") == "old"


def test_rows_that_the_server_has_not_written_yet_are_told(site: Site) -> None:
    """W5: what it had taken by async_insert without being waited for was in no archive, without a word."""
    site.ask(*_ROWS)
    later = {f"async_insert_busy_timeout{each}_ms": "600000" for each in ("", "_min", "_max")}
    site.ask(
        "INSERT INTO {d}.t VALUES (4, 'late')",
        async_insert="1", wait_for_async_insert="0", async_insert_use_adaptive_busy_timeout="0", **later,
    )  # fmt: skip
    assert (
        "1 INSERTs of the table t that are not done yet: SELECT * FROM system.asynchronous_inserts" in site.losses()[0]
    )


def test_a_name_that_a_dropped_table_had_may_be_another_s(site: Site) -> None:
    """B4: 24.8 lists a table that was dropped minutes ago among those that are detached."""
    site.ask(
        "CREATE TABLE {d}.t (x Int8) ENGINE = MergeTree ORDER BY x",
        "INSERT INTO {d}.t VALUES (1)",
        "CREATE VIEW {d}.v AS SELECT 7 AS x",
        "DROP TABLE {d}.t",
        "RENAME TABLE {d}.v TO {d}.t",
    )
    site.there_and_back()
    assert site.ask("SELECT x FROM {d}.t") == "7"


def test_what_can_not_be_made_again_keeps_nothing_else_away(site: Site) -> None:
    """A8: a table that only a DBA may make; everything else comes back, and it is named."""
    site.ask(
        "CREATE TABLE {d}.kept (x Int8) ENGINE = Log",
        "INSERT INTO {d}.kept VALUES (1)",
        "CREATE VIEW {d}.z_view AS SELECT x FROM {d}.kept",
    )
    site.dba("CREATE TABLE {d}.a_file (x Int8) ENGINE = File(CSV)", "INSERT INTO {d}.a_file VALUES (1)")
    with pytest.raises(OperationError, match=r"not everything is back: a_file: .*privileges"):
        site.there_and_back()
    assert site.ask("SELECT x FROM {d}.z_view") == "1"


def test_nothing_is_restored_into_a_database_that_holds_anything(site: Site) -> None:
    """E1: 25.8 answers EXISTS for system.tables wrongly, and what is detached counts as well."""
    archiver, receiver = site.handler.archiver(), User(site.user, Secret(PASSWORD), 1)
    assert archiver.is_empty(receiver, site.database)
    for statement in (
        "CREATE TABLE {d}.t (x Int8) ENGINE = Log", "DETACH TABLE {d}.t PERMANENTLY", "ATTACH TABLE {d}.t",
        "CREATE VIEW {d}.v AS SELECT 1", "DROP TABLE {d}.t",
    ):  # fmt: skip
        site.ask(statement)
        assert not archiver.is_empty(receiver, site.database), statement


def test_an_empty_database_comes_back(site: Site) -> None:
    site.there_and_back()


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
