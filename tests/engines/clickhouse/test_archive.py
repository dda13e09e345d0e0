"""What comes through an archive of ClickHouse."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dbroster.config import Connection
from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.model import User
from dbroster.secret import Secret
from tests.archiving import archiving, there_and_back
from tests.contract.adapter_clickhouse import ClickHouseAdapter, quoted

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
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, bob)
        names = {"d": quoted(database), "p": database}
        for statement in CONTENT:
            adapter.ask(bob, PASSWORD, statement.format(**names))
        before = [adapter.ask(bob, PASSWORD, query.format(**names)) for query in READ]
        made = there_and_back(handler, bob, PASSWORD, database)
        assert [adapter.ask(bob, PASSWORD, query.format(**names)) for query in READ] == before
        assert (made.manifest.counts["z täble 語"], made.manifest.counts["b_kept"]) == (5000, 1)
        adapter.ask(bob, PASSWORD, "INSERT INTO {d}.log VALUES ('three')".format(**names))
        assert adapter.ask(bob, PASSWORD, "SELECT count() FROM {d}.target".format(**names)) == "2\n"


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
    assert handler.archiver().missing() == []
    handler.connection.options["cluster"] = "all"  # type: ignore[index]
    assert "cluster" in handler.archiver().missing()[0]


def test_an_admin_who_can_not_end_queries_can_not_archive(
    adapter: ClickHouseAdapter, handler: Handler, describe: Callable[..., Connection], prefix: str
) -> None:
    """A query that goes on might write after the archive."""
    admin = f"{prefix}adm"
    adapter.create_account_by_hand(admin, PASSWORD)
    with connect(describe(username=admin, password=Secret(PASSWORD))) as weak:
        assert weak.archiver().missing() == [f"GRANT KILL QUERY ON *.* TO `{admin}`;"]
