"""Rows that an archive of ClickHouse could miss without a word."""

import pytest

from dbroster.errors import OperationError
from tests.engines.clickhouse.adapter import quoted
from tests.engines.clickhouse.conftest import Site

KEYWORDS = ("TO", "_TO", "x1.TO", "to", "ENGINE", "EMPTY", "REFRESH", "AS", "SQL")
"""The server shows such a name without quotes, as it does with the words of the language."""


def test_a_view_whose_name_is_a_word_of_the_language_keeps_its_rows(site: Site) -> None:
    """L1, A8: a materialized view called TO, or one that waits for such a one, lost its rows without a word."""
    view = "CREATE MATERIALIZED VIEW {{d}}.{} {} ENGINE = MergeTree ORDER BY x {} AS SELECT x FROM {{d}}.t"
    site.ask(
        "CREATE TABLE {d}.t (x UInt8) ENGINE = MergeTree ORDER BY x",
        *(view.format(quoted(name), "", "") for name in KEYWORDS),
        "INSERT INTO {d}.t VALUES (7)",
    )
    waiting = view.format("waiting", "REFRESH EVERY 1 YEAR DEPENDS ON {d}.TO", "EMPTY")
    site.ask(waiting, allow_experimental_refreshable_materialized_view="1")
    site.ask("INSERT INTO {d}.waiting VALUES (7)")
    assert not site.losses()
    assert site.there_and_back().manifest.counts == dict.fromkeys((*KEYWORDS, "t", "waiting"), 1)
    for name in KEYWORDS:
        assert site.dba(f"SELECT * FROM {{d}}.{quoted(name)}") == "7", name


def test_rows_of_a_buffer_without_its_table_are_told(site: Site) -> None:
    """L7, A8: the server throws them away when it empties the Buffer, and nobody said so."""
    engine = "ENGINE = Buffer('{}', 1, 9999, 9999, 99999, 99999, 99999, 99999)"
    gone, good = (f"{site.database}', '{table}" for table in ("g\\'one", "t"))
    targets = {"b": gone, "none": "', '", "empty": gone, "good": good}
    site.ask("CREATE TABLE {d}.t (x UInt8) ENGINE = MergeTree ORDER BY x")
    for name, target in targets.items():
        site.ask(f"CREATE TABLE {{d}}.{name} (x UInt8) {engine.format(target)}")
        if name != "empty":
            site.ask(f"INSERT INTO {{d}}.{name} VALUES (1), (2)")
    assert sorted(site.losses()) == [
        f"the 2 rows of the Buffer b, whose table {site.database}.g'one is not there",
        "the 2 rows of the Buffer none, which has no table",
    ]
    assert site.archive().manifest.counts == {"t": 2}


VIEW = "CREATE MATERIALIZED VIEW {d}.m ENGINE = MergeTree ORDER BY x AS SELECT x FROM {d}.t"


def test_a_buffer_that_can_not_be_emptied_keeps_nothing_for_good(site: Site) -> None:
    """T11, B4: with one over itself a user kept database and account; what ends one with rows is named."""
    engine = "Buffer('{{p}}', '{}', 1, 9999, 9999, 99999, 99999, 99999, 99999)"
    site.ask(
        "CREATE TABLE {d}.t (x UInt8, CONSTRAINT c CHECK x > 5) ENGINE = MergeTree ORDER BY x",
        f"CREATE TABLE {{d}}.itself (x UInt8) ENGINE = {engine.format('itself')}",
        f"CREATE TABLE {{d}}.full (x UInt8) ENGINE = {engine.format('t')}",
        "INSERT INTO {d}.full VALUES (1)",
    )
    with pytest.raises(OperationError, match=r"^the Buffer .*full` can't hand its rows over") as failed:
        site.archive()
    site.dba(str(failed.value).rpartition("give these rows up: ")[2])
    assert site.archive().manifest.counts == {"t": 0}
    site.handler.drop_database(site.user, site.database)


def test_a_name_that_is_no_utf_8_can_be_asked_for(site: Site) -> None:
    """T17, B4: a Buffer over a table with such a name ended every run, dry runs too, for as long as it was there."""
    table, buffer = r"`\xFF\xFE`", r"`\xFFb`"
    engine = r"Buffer('{p}', '\xFF\xFE', 1, 9999, 9999, 99999, 99999, 99999, 99999)"
    site.ask(
        f"CREATE TABLE {{d}}.{table} (x UInt8) ENGINE = MergeTree ORDER BY x",
        f"CREATE TABLE {{d}}.{buffer} (x UInt8) ENGINE = {engine}",
        f"INSERT INTO {{d}}.{table} VALUES (7)",
        f"INSERT INTO {{d}}.{buffer} VALUES (8)",
    )
    assert site.losses() == []
    site.there_and_back()
    assert site.dba(f"SELECT x FROM {{d}}.{table} ORDER BY x").split() == ["7", "8"]


def test_a_column_that_only_the_inner_table_of_a_view_has_is_told(site: Site) -> None:
    """L8, A8: the view makes its table again, without what was added to that."""
    site.ask("CREATE TABLE {d}.t (x UInt8) ENGINE = MergeTree ORDER BY x", VIEW, VIEW.replace(".m", ".n"))
    uuid = site.ask("SELECT uuid FROM system.tables WHERE database = '{p}' AND name = 'm'")
    site.ask(f"ALTER TABLE {{d}}.`.inner_id.{uuid}` ADD COLUMN y UInt8, ADD COLUMN z UInt8 ALIAS 1")
    assert site.losses() == ["the column y, which only the inner table of m has"]


def test_a_view_comes_back_whatever_the_admin_is_shown_of_uuids(own_admin: Site) -> None:
    """P1, A8: its rows were archived as those of a table of that UUID, and the restore could not make the view."""
    site = own_admin
    site.dba("ALTER USER {a} SETTINGS show_table_uuid_in_table_create_query_if_not_nil = 1")
    site.reconnect()
    site.ask("CREATE TABLE {d}.t (x UInt8) ENGINE = MergeTree ORDER BY x", VIEW, "INSERT INTO {d}.t VALUES (7)")
    assert site.there_and_back().manifest.counts == {"m": 1, "t": 1}
    assert site.dba("SELECT * FROM {d}.m") == "7"
