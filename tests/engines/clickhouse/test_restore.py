"""What a restore at ClickHouse brings back that the server would not take from a client as it is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dbroster.engines import connect
from dbroster.engines.clickhouse.archive.statements import constraints
from dbroster.engines.clickhouse.options import MORE_PRIVILEGES, PRIVILEGES
from dbroster.errors import OperationError
from dbroster.model.connection import Connection
from tests.contract.adapters import Refused
from tests.engines.clickhouse.adapter import ClickHouseAdapter, quoted
from tests.engines.clickhouse.test_archive import PASSWORD, make
from tests.support.archiving import archiving, there_and_back

CONSTRAINED = (
    "CREATE TABLE db.t (`x` UInt8, `a,b) CONSTRAINT` String, INDEX i x TYPE minmax GRANULARITY 1, CONSTRAINT c CHECK"
    " (x > 0) AND (`a,b) CONSTRAINT` != 'q,)'), CONSTRAINT `we\\`ird, ` ASSUME x < 300, CONSTRAINT d CHECK (x, 1) IN"
    " tuple((1, 1))) ENGINE = MergeTree ORDER BY (x, CONSTRAINT)"
)


@pytest.fixture
def bob(prefix: str) -> str:
    return f"{prefix}bob"


def test_constraints_are_found_in_a_statement() -> None:
    """L2: commas and brackets inside of names, texts and expressions end none."""
    assert constraints(CONSTRAINED) == {
        "c": "CONSTRAINT c CHECK (x > 0) AND (`a,b) CONSTRAINT` != 'q,)')",
        "`we\\`ird, `": "CONSTRAINT `we\\`ird, ` ASSUME x < 300",
        "d": "CONSTRAINT d CHECK (x, 1) IN tuple((1, 1))",
    }
    assert not constraints("CREATE VIEW db.v AS SELECT 1")


def test_rows_that_break_a_constraint_come_back_with_it(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """L2, A8: one that was added later ended the restore; a constraint is checked for new rows only."""
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, bob)
        d = quoted(database)
        for statement in (
            "CREATE TABLE {d}.t (x UInt64, y String) ENGINE = MergeTree ORDER BY x",
            "INSERT INTO {d}.t SELECT number, 'a' FROM numbers(1000000)",
            "ALTER TABLE {d}.t ADD CONSTRAINT `o``dd` CHECK x != 999999, ADD CONSTRAINT c CHECK y IN ('b', 'c')",
            "CREATE TABLE {d}.u (x UInt8) ENGINE = MergeTree ORDER BY x",
            "INSERT INTO {d}.u VALUES (7)",
        ):
            adapter.ask(bob, PASSWORD, statement.format(d=d))
        shown = f"SELECT create_table_query FROM system.tables WHERE database = '{database}' AND name = 't'"
        before = adapter._do(shown)
        there_and_back(handler, bob, PASSWORD, database)
        assert adapter._do(shown) == before
        assert adapter._do(f"SELECT count(), sum(x) FROM {d}.t").split() == ["1000000", "499999500000"]
        assert adapter._do(f"SELECT * FROM {d}.u").strip() == "7"
        for row in ("(999999, 'b')", "(1, 'a')"):
            with pytest.raises(Refused):
                adapter.ask(bob, PASSWORD, f"INSERT INTO {d}.t VALUES {row}")


def test_rows_that_can_not_come_back_keep_nothing_else_away(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """L2, A8: they are named, and all other tables and views are there."""
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, bob)
        d = quoted(database)
        for statement in (
            *(f"CREATE TABLE {d}.{name} (x UInt8) ENGINE = MergeTree ORDER BY x" for name in ("a", "b", "c")),
            *(f"INSERT INTO {d}.{name} VALUES (7)" for name in ("a", "b", "c")),
            f"CREATE VIEW {d}.v AS SELECT * FROM {d}.c",
            f"ALTER TABLE {d}.b ADD INDEX i throwIf(x = 7) TYPE minmax",
        ):
            adapter.ask(bob, PASSWORD, statement)
        with pytest.raises(OperationError, match=r"^not everything is back: the rows of b: "):
            there_and_back(handler, bob, PASSWORD, database)
        for name in ("a", "c", "v"):
            assert adapter._do(f"SELECT x FROM {d}.{name}").strip() == "7", name


def test_tables_that_a_session_had_to_allow_come_back(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """L4, A8: types, codecs, indexes and statistics that the server makes only when a setting allows them."""
    rare = {
        "allow_suspicious_low_cardinality_types": "(x LowCardinality(UInt8)) ENGINE = MergeTree ORDER BY x",
        "allow_suspicious_fixed_string_types": "(x FixedString(300)) ENGINE = MergeTree ORDER BY x",
        "allow_suspicious_codecs": "(x UInt8 CODEC(Delta, Delta)) ENGINE = MergeTree ORDER BY x",
        "allow_experimental_statistics": "(x UInt8, y UInt8 STATISTICS(tdigest)) ENGINE = MergeTree ORDER BY x",
        "allow_suspicious_variant_types": "(x UInt8, y Variant(UInt8, Int8)) ENGINE = MergeTree ORDER BY x",
        "enable_time_time64_type": "(x Time64(3)) ENGINE = MergeTree ORDER BY x",
        "allow_experimental_full_text_index": "(x UInt8, s String, INDEX i s TYPE text(tokenizer = 'default'))"
        " ENGINE = MergeTree ORDER BY x",
    }
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, bob)
        known = adapter._do("SELECT name FROM system.settings").split()
        made = [
            name for name in rare if name in known and (name != list(rare)[-1] or "enable_time_time64_type" in known)
        ]
        for name in made:
            allowed = {"allow_experimental_variant_type": "1"} if "variant" in name else {}
            place = f"{quoted(database)}.{quoted(name)}"
            adapter.ask(bob, PASSWORD, f"CREATE TABLE {place} {rare[name]}", **{name: "1", **allowed})
            adapter.ask(bob, PASSWORD, f"INSERT INTO {place} (x) SELECT '1'")
        kept = there_and_back(handler, bob, PASSWORD, database)
        assert kept.manifest.counts == dict.fromkeys(made, 1)
        for name in made:
            assert adapter._do(f"SELECT count() FROM {quoted(database)}.{quoted(name)}").strip() == "1", name


def test_rows_in_many_partitions_come_back(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """T1, A8: the server takes a block of rows for 100 partitions at most, unless it is told otherwise."""
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, bob)
        place = f"{quoted(database)}.days"
        columns = "(d Date, x UInt64)"
        adapter.ask(bob, PASSWORD, f"CREATE TABLE {place} {columns} ENGINE = MergeTree PARTITION BY d ORDER BY x")
        rows = "SELECT toDate('2024-01-01') + number % 150, number FROM numbers(300)"
        adapter.ask(bob, PASSWORD, f"INSERT INTO {place} {rows}", max_partitions_per_insert_block="0")
        there_and_back(handler, bob, PASSWORD, database)
        assert adapter._do(f"SELECT count(), sum(x), uniqExact(d) FROM {place}").split() == ["300", "44850", "150"]


def test_a_table_with_names_longer_than_a_query_may_be_comes_back(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """T2, B4: with such a name, or thousands of columns, a user kept database and account: nobody could read it."""
    name = "c" * 300_000
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, bob)
        place = f"{quoted(database)}.wide"
        more = "".join(f", c{number} UInt8" for number in range(8))  # ten: the rows begin with a line feed
        statement = f"CREATE TABLE {place} (x UInt8, {name} UInt8{more}) ENGINE = MergeTree ORDER BY x"
        adapter.ask(bob, PASSWORD, statement, max_query_size="1000000")
        adapter.ask(bob, PASSWORD, f"INSERT INTO {place} (x) VALUES (7)")
        there_and_back(handler, bob, PASSWORD, database)
        assert adapter._do(f"SELECT x FROM {place}").strip() == "7"


def test_a_dictionary_that_was_detached_comes_back_so(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """T8, B4: the server attaches it by a statement of its own only, so its database was never archived nor dropped."""
    options = {"privileges": (*PRIVILEGES, *MORE_PRIVILEGES)}
    with connect(archiving(describe(options), tmp_path)) as handler:
        database = make(handler, bob)
        d = quoted(database)
        for name, how in (("put_off", ""), ("put_away", " PERMANENTLY")):
            columns = "(x UInt64, y String) PRIMARY KEY x SOURCE(NULL()) LAYOUT(FLAT()) LIFETIME(0)"
            adapter.ask(bob, PASSWORD, f"CREATE DICTIONARY {d}.{name} {columns}")
            adapter.ask(bob, PASSWORD, f"DETACH DICTIONARY {d}.{name}{how}")
        there_and_back(handler, bob, PASSWORD, database)
        assert adapter._do(f"EXISTS DICTIONARY {d}.put_off").strip() == "1"
        adapter.ask(bob, PASSWORD, f"ATTACH DICTIONARY {d}.put_away")


def test_what_was_detached_is_so_again_when_there_is_no_archive(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """T9: a view that the lock has put away would stop INSERTs of others for as long as the archive fails."""
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, bob)
        d = quoted(database)
        for name in ("away", "broken"):
            adapter.ask(bob, PASSWORD, f"CREATE TABLE {d}.{name} (x UInt8) ENGINE = MergeTree ORDER BY x")
            adapter.ask(bob, PASSWORD, f"INSERT INTO {d}.{name} VALUES (7)")
        adapter.ask(bob, PASSWORD, f"DETACH TABLE {d}.away PERMANENTLY")
        adapter.ask(bob, PASSWORD, f"ALTER TABLE {d}.broken ADD COLUMN y UInt8 DEFAULT throwIf(x = 7)")
        with pytest.raises(OperationError, match="broken can't be read"):
            handler.archive_database(bob, database)
        assert adapter._do(f"EXISTS TABLE {d}.away").strip() == "0"
