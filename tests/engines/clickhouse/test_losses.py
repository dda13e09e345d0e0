"""Rows that an archive of ClickHouse could miss without a word."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dbroster.engines import connect
from dbroster.model.connection import Connection
from tests.engines.clickhouse.adapter import ClickHouseAdapter, quoted
from tests.engines.clickhouse.test_archive import PASSWORD, make, make_admin
from tests.support.archiving import archive, archiving, there_and_back

KEYWORDS = ("TO", "_TO", "x1.TO", "to", "ENGINE", "EMPTY", "REFRESH", "AS", "SQL")
"""The server shows such a name without quotes, as it does with the words of the language."""


@pytest.fixture
def bob(prefix: str) -> str:
    return f"{prefix}bob"


def test_a_view_whose_name_is_a_word_of_the_language_keeps_its_rows(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """L1, A8: a materialized view called TO, or one that waits for such a one, lost its rows without a word."""
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, bob)
        view = "CREATE MATERIALIZED VIEW {d}.{v} {refresh} ENGINE = MergeTree ORDER BY x {empty} AS SELECT x FROM {d}.t"
        waiting = "REFRESH EVERY 1 YEAR DEPENDS ON {d}.TO"
        statements = [
            "CREATE TABLE {d}.t (x UInt8) ENGINE = MergeTree ORDER BY x",
            *(view.format(d="{d}", v=quoted(name), refresh="", empty="") for name in KEYWORDS),
            "INSERT INTO {d}.t VALUES (7)",
            view.format(d="{d}", v="waiting", refresh=waiting, empty="EMPTY"),
            "INSERT INTO {d}.waiting VALUES (7)",
        ]
        for statement in statements:
            allowed = {"allow_experimental_refreshable_materialized_view": "1"} if "REFRESH EVERY" in statement else {}
            adapter.ask(bob, PASSWORD, statement.format(d=quoted(database)), **allowed)
        assert not list(handler.archiver().losses(database))
        kept = there_and_back(handler, bob, PASSWORD, database)
        assert kept.manifest.counts == dict.fromkeys((*KEYWORDS, "t", "waiting"), 1)
        for name in KEYWORDS:
            assert adapter._do(f"SELECT * FROM {quoted(database)}.{quoted(name)}").strip() == "7", name


def test_rows_of_a_buffer_without_its_table_are_told(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """L7, A8: the server throws them away when it empties the Buffer, and nobody said so."""
    engine = "ENGINE = Buffer('{target}', 1, 9999, 9999, 99999, 99999, 99999, 99999)"
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, bob)
        gone, good = (f"{database}', '{table}" for table in ("g\\'one", "t"))
        targets = {"b": gone, "none": "', '", "empty": gone, "good": good}
        adapter.ask(bob, PASSWORD, f"CREATE TABLE {quoted(database)}.t (x UInt8) ENGINE = MergeTree ORDER BY x")
        for name, target in targets.items():
            place = f"{quoted(database)}.{name}"
            adapter.ask(bob, PASSWORD, f"CREATE TABLE {place} (x UInt8) {engine.format(target=target)}")
            if name != "empty":
                adapter.ask(bob, PASSWORD, f"INSERT INTO {place} VALUES (1), (2)")
        said = sorted(handler.archiver().losses(database))
        assert said == [
            f"the 2 rows of the Buffer b, whose table {database}.g'one is not there",
            "the 2 rows of the Buffer none, which has no table",
        ]
        assert archive(handler, bob, database).manifest.counts == {"t": 2}


def test_a_column_that_only_the_inner_table_of_a_view_has_is_told(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """L8, A8: the view makes its table again, without what was added to that."""
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, bob)
        d = quoted(database)
        adapter.ask(bob, PASSWORD, f"CREATE TABLE {d}.t (x UInt8) ENGINE = MergeTree ORDER BY x")
        for name in ("m", "n"):
            view = f"CREATE MATERIALIZED VIEW {d}.{name} ENGINE = MergeTree ORDER BY x AS SELECT x FROM {d}.t"
            adapter.ask(bob, PASSWORD, view)
        found = f"SELECT uuid FROM system.tables WHERE database = '{database}' AND name = 'm'"
        inner = f".inner_id.{adapter.ask(bob, PASSWORD, found).strip()}"
        adapter.ask(bob, PASSWORD, f"ALTER TABLE {d}.`{inner}` ADD COLUMN y UInt8, ADD COLUMN z UInt8 ALIAS 1")
        assert list(handler.archiver().losses(database)) == ["the column y, which only the inner table of m has"]


def test_a_view_comes_back_whatever_the_admin_is_shown_of_uuids(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """P1, A8: its rows were archived as those of a table of that UUID, and the restore could not make the view."""
    admin = make_admin(adapter, bob)
    setting = "show_table_uuid_in_table_create_query_if_not_nil"
    adapter._do(f"ALTER USER {quoted(admin['username'])} SETTINGS {setting} = 1")
    with connect(archiving(describe(**admin), tmp_path)) as handler:
        database = make(handler, bob)
        d = quoted(database)
        adapter.ask(bob, PASSWORD, f"CREATE TABLE {d}.t (x UInt8) ENGINE = MergeTree ORDER BY x")
        view = f"CREATE MATERIALIZED VIEW {d}.m ENGINE = MergeTree ORDER BY x AS SELECT x FROM {d}.t"
        adapter.ask(bob, PASSWORD, view)
        adapter.ask(bob, PASSWORD, f"INSERT INTO {d}.t VALUES (7)")
        assert there_and_back(handler, bob, PASSWORD, database).manifest.counts == {"m": 1, "t": 1}
        assert adapter._do(f"SELECT * FROM {d}.m").strip() == "7"
