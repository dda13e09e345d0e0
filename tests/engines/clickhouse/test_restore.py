"""What a restore at ClickHouse brings back that the server would not take from a client as it is."""

import pytest

from dbroster.engines.clickhouse.archive.statements import constraints
from dbroster.engines.clickhouse.options import MORE_PRIVILEGES, PRIVILEGES
from dbroster.errors import OperationError
from tests.contract.adapters import Refused
from tests.engines.clickhouse.adapter import quoted
from tests.engines.clickhouse.conftest import Site

CONSTRAINED = (
    "CREATE TABLE db.t (`x` UInt8, `a,b) CONSTRAINT` String, INDEX i x TYPE minmax GRANULARITY 1, CONSTRAINT c CHECK"
    " (x > 0) AND (`a,b) CONSTRAINT` != 'q,)'), CONSTRAINT `we\\`ird, ` ASSUME x < 300, CONSTRAINT d CHECK (x, 1) IN"
    " tuple((1, 1))) ENGINE = MergeTree ORDER BY (x, CONSTRAINT)"
)


def test_constraints_are_found_in_a_statement() -> None:
    """L2: commas and brackets inside of names, texts and expressions end none."""
    assert constraints(CONSTRAINED) == {
        "c": "CONSTRAINT c CHECK (x > 0) AND (`a,b) CONSTRAINT` != 'q,)')",
        "`we\\`ird, `": "CONSTRAINT `we\\`ird, ` ASSUME x < 300",
        "d": "CONSTRAINT d CHECK (x, 1) IN tuple((1, 1))",
    }
    assert not constraints("CREATE VIEW db.v AS SELECT 1")


def test_rows_that_break_a_constraint_come_back_with_it(site: Site) -> None:
    """L2, A8: one that was added later ended the restore; a constraint is checked for new rows only."""
    site.ask(
        "CREATE TABLE {d}.t (x UInt64, y String) ENGINE = MergeTree ORDER BY x",
        "INSERT INTO {d}.t SELECT number, 'a' FROM numbers(1000000)",
        "ALTER TABLE {d}.t ADD CONSTRAINT `o``dd` CHECK x != 999999, ADD CONSTRAINT c CHECK y IN ('b', 'c')",
        "CREATE TABLE {d}.u (x UInt8) ENGINE = MergeTree ORDER BY x",
        "INSERT INTO {d}.u VALUES (7)",
    )
    shown = "SELECT create_table_query FROM system.tables WHERE database = '{p}' AND name = 't'"
    before = site.dba(shown)
    site.there_and_back()
    assert site.dba(shown) == before
    assert site.dba("SELECT count(), sum(x) FROM {d}.t").split() == ["1000000", "499999500000"]
    assert site.dba("SELECT * FROM {d}.u") == "7"
    for row in ("(999999, 'b')", "(1, 'a')"):
        with pytest.raises(Refused):
            site.ask(f"INSERT INTO {{d}}.t VALUES {row}")


def test_rows_that_can_not_come_back_keep_nothing_else_away(site: Site) -> None:
    """L2, A8: they are named, and all other tables and views are there."""
    site.ask(
        *(f"CREATE TABLE {{d}}.{name} (x UInt8) ENGINE = MergeTree ORDER BY x" for name in ("a", "b", "c")),
        *(f"INSERT INTO {{d}}.{name} VALUES (7)" for name in ("a", "b", "c")),
        "CREATE VIEW {d}.v AS SELECT * FROM {d}.c",
        "ALTER TABLE {d}.b ADD INDEX i throwIf(x = 7) TYPE minmax",
    )
    with pytest.raises(OperationError, match=r"^not everything is back: the rows of b: "):
        site.there_and_back()
    for name in ("a", "c", "v"):
        assert site.dba(f"SELECT x FROM {{d}}.{name}") == "7", name


def test_tables_that_a_session_had_to_allow_come_back(site: Site) -> None:
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
    known = site.dba("SELECT name FROM system.settings").split()
    made = [name for name in rare if name in known and (name != list(rare)[-1] or "enable_time_time64_type" in known)]
    for name in made:
        allowed = {"allow_experimental_variant_type": "1"} if "variant" in name else {}
        site.ask(f"CREATE TABLE {{d}}.{quoted(name)} {rare[name]}", **{name: "1", **allowed})
        site.ask(f"INSERT INTO {{d}}.{quoted(name)} (x) SELECT '1'")
    assert site.there_and_back().manifest.counts == dict.fromkeys(made, 1)
    for name in made:
        assert site.dba(f"SELECT count() FROM {{d}}.{quoted(name)}") == "1", name


def test_rows_in_many_partitions_come_back(site: Site) -> None:
    """T1, A8: the server takes a block of rows for 100 partitions at most, unless it is told otherwise."""
    site.ask("CREATE TABLE {d}.days (d Date, x UInt64) ENGINE = MergeTree PARTITION BY d ORDER BY x")
    rows = "SELECT toDate('2024-01-01') + number % 150, number FROM numbers(300)"
    site.ask(f"INSERT INTO {{d}}.days {rows}", max_partitions_per_insert_block="0")
    site.there_and_back()
    assert site.dba("SELECT count(), sum(x), uniqExact(d) FROM {d}.days").split() == ["300", "44850", "150"]


def test_a_table_with_names_longer_than_a_query_may_be_comes_back(site: Site) -> None:
    """T2, B4: with such a name, or thousands of columns, a user kept database and account: nobody could read it."""
    name = "c" * 300_000
    more = "".join(f", c{number} UInt8" for number in range(8))  # ten: the rows begin with a line feed
    statement = f"CREATE TABLE {{d}}.wide (x UInt8, {name} UInt8{more}) ENGINE = MergeTree ORDER BY x"
    site.ask(statement, max_query_size="1000000")
    site.ask("INSERT INTO {d}.wide (x) VALUES (7)")
    site.there_and_back()
    assert site.dba("SELECT x FROM {d}.wide") == "7"


WITH_DICTIONARIES = {"privileges": (*PRIVILEGES, *MORE_PRIVILEGES)}


@pytest.mark.parametrize("site", [WITH_DICTIONARIES], indirect=True, ids=["with dictionaries"])
def test_a_dictionary_that_was_detached_comes_back_so(site: Site) -> None:
    """T8, B4: the server attaches it by a statement of its own only, so its database was never archived nor dropped."""
    columns = "(x UInt64, y String) PRIMARY KEY x SOURCE(NULL()) LAYOUT(FLAT()) LIFETIME(0)"
    for name, how in (("put_off", ""), ("put_away", " PERMANENTLY")):
        site.ask(f"CREATE DICTIONARY {{d}}.{name} {columns}", f"DETACH DICTIONARY {{d}}.{name}{how}")
    site.there_and_back()
    assert site.dba("EXISTS DICTIONARY {d}.put_off") == "1"
    site.ask("ATTACH DICTIONARY {d}.put_away")


def test_what_was_detached_is_so_again_when_there_is_no_archive(site: Site) -> None:
    """T9: a view that the lock has put away would stop INSERTs of others for as long as the archive fails."""
    for name in ("away", "broken"):
        site.ask(f"CREATE TABLE {{d}}.{name} (x UInt8) ENGINE = MergeTree ORDER BY x")
        site.ask(f"INSERT INTO {{d}}.{name} VALUES (7)")
    site.ask("DETACH TABLE {d}.away PERMANENTLY")
    site.ask("ALTER TABLE {d}.broken ADD COLUMN y UInt8 DEFAULT throwIf(x = 7)")
    with pytest.raises(OperationError, match="broken can't be read"):
        site.archive()
    assert site.dba("EXISTS TABLE {d}.away") == "0"


def test_a_view_whose_table_is_gone_comes_back_with_its_rows(site: Site) -> None:
    """T14, A8: the server made none without that table; one that reads another view is still made after that."""
    view = "CREATE MATERIALIZED VIEW {{d}}.{} ENGINE = MergeTree ORDER BY x AS SELECT x FROM {{d}}.{}"
    site.ask(
        "CREATE TABLE {d}.t (x UInt8) ENGINE = MergeTree ORDER BY x",
        *(view.format(name, source) for name, source in ("ct", "bc", "ab")),
        "INSERT INTO {d}.t VALUES (7)",
        "INSERT INTO {d}.b VALUES (8)",
        "INSERT INTO {d}.a VALUES (9)",
        "DROP TABLE {d}.t",
    )

    def rows() -> list[list[str]]:
        return [site.dba(f"SELECT x FROM {{d}}.{name} ORDER BY x").split() for name in ("a", "b", "c")]

    before = rows()
    assert all(before)
    site.there_and_back()
    assert rows() == before
