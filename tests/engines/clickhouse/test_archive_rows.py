"""Which rows come into an archive of ClickHouse: all that a database holds itself, and none of anybody else."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dbroster.archive import Archive
from dbroster.engines import connect
from dbroster.engines.clickhouse.archive.contents import is_read
from dbroster.errors import DbrosterError, OperationError, Stalled
from dbroster.model.connection import Connection
from tests.engines.clickhouse.adapter import ClickHouseAdapter, quoted
from tests.engines.clickhouse.test_archive import PASSWORD, make, make_admin
from tests.engines.clickhouse.unstoppable import SLOW
from tests.support.archiving import archive, archiving, there_and_back
from tests.support.bounded import BUSY
from tests.support.waiting import wait_until

LIMITS = (
    "limit = 1",
    "final = 1",
    "force_primary_key = 1",
    "apply_deleted_mask = 0",
    "max_rows_to_read = 1, read_overflow_mode = ''break''",
    "max_execution_time = 1, max_rows_to_read_leaf = 1, read_overflow_mode_leaf = ''break''",
    "extremes = 1",
)
"""Of an admin's profile; each would cut an archive, refuse it, or write it otherwise."""


@pytest.fixture
def bob(prefix: str) -> str:
    return f"{prefix}bob"


def rows_of(kept: Archive) -> dict[str, bytes]:
    """What is archived of each table."""
    with zipfile.ZipFile(kept.path) as file:
        return {Path(name).stem: file.read(name) for name in file.namelist() if name.endswith(".native")}


def has_setting(adapter: ClickHouseAdapter, name: str) -> bool:
    return adapter._do(f"SELECT count() FROM system.settings WHERE name = '{name}'").strip() == "1"


def test_no_setting_of_the_admin_changes_what_is_archived(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """A8: with a row that is deleted, rows were counted under the limits of the profile; other settings cut, too."""
    connection = archiving(describe(**make_admin(adapter, bob)), tmp_path)
    with connect(connection) as handler:
        database = make(handler, bob)
        for statement in (
            "CREATE TABLE {d}.t (x UInt64, y String) ENGINE = ReplacingMergeTree ORDER BY x"
            " SETTINGS index_granularity = 8",
            "INSERT INTO {d}.t SELECT number, 'one' FROM numbers(1000)",
            "DELETE FROM {d}.t WHERE x = 1",
        ):
            adapter.ask(bob, PASSWORD, statement.format(d=quoted(database)))
        wanted = rows_of(archive(handler, bob, database))
    for limit in LIMITS:
        adapter._do(f"ALTER USER {quoted(connection.username)} SETTINGS {limit}".replace("''", "'"))
        with connect(connection) as handler:
            assert rows_of(archive(handler, bob, database)) == wanted, limit


@pytest.mark.parametrize(
    "setting",
    ["apply_deleted_mask = 0", "max_bytes_to_read = 100000000", "max_columns_to_read = 7"],
)
def test_a_setting_that_the_profile_fixes_is_named_with_its_cure(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path, setting: str
) -> None:
    """A8: an archive that such a setting might cut is refused; the statement in the message mends that."""
    connection = archiving(describe(**make_admin(adapter, bob)), tmp_path)
    with connect(connection) as handler:
        database = make(handler, bob)
        adapter.ask(bob, PASSWORD, f"CREATE TABLE {quoted(database)}.t (x UInt64) ENGINE = MergeTree ORDER BY x")
        adapter.ask(bob, PASSWORD, f"INSERT INTO {quoted(database)}.t VALUES (1)")
    adapter._do(f"ALTER USER {quoted(connection.username)} SETTINGS {setting} CONST")
    with pytest.raises(DbrosterError, match=setting.split()[0]) as failed, connect(connection) as handler:
        archive(handler, bob, database)
    adapter._do("ALTER USER" + str(failed.value).rpartition("ALTER USER")[2])
    with connect(connection) as handler:
        assert archive(handler, bob, database).manifest.counts == {"t": 1}


POLICIES = {
    "p ON {t} USING 0 TO ALL": "CREATE ROW POLICY",
    "p ON {d}.* USING x = 1 TO ALL EXCEPT {b}": "CREATE ROW POLICY",
    "p ON {t} USING 0 TO {a}, {b}": "CREATE ROW POLICY",
    "p ON {t} AS RESTRICTIVE USING 0 TO ALL EXCEPT {b}": "ALTER ROW POLICY",
    "p ON {d}.* AS RESTRICTIVE USING 0 TO {a}, {b}": "ALTER ROW POLICY",
    "p ON {t} AS RESTRICTIVE USING 0 TO {a}": "ALTER ROW POLICY",
    "p ON {t} AS RESTRICTIVE USING 0 TO {r}": "REVOKE",
}


@pytest.mark.parametrize("engine", ["MergeTree ORDER BY x", "Log", "EmbeddedRocksDB PRIMARY KEY x"])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_that_hides_rows_is_named_with_the_statement_that_mends_it(
    adapter: ClickHouseAdapter,
    describe: Callable[..., Connection],
    bob: str,
    tmp_path: Path,
    policy: str,
    engine: str,
) -> None:
    """A8: told before, and a reason to archive nothing; once the statement was run, the archive is whole."""
    connection = archiving(describe(**make_admin(adapter, bob)), tmp_path)
    with connect(connection) as handler:
        database = make(handler, bob)
        names = {"d": quoted(database), "t": f"{quoted(database)}.t", "a": quoted(connection.username), "b": bob}
        names["r"] = quoted(f"{bob}_role")
        adapter._do(f"CREATE ROLE {names['r']}")
        adapter._do(f"GRANT {names['r']} TO {names['a']}")
        adapter.ask(bob, PASSWORD, f"CREATE TABLE {names['t']} (x UInt8, y UInt8) ENGINE = {engine}")
        adapter.ask(bob, PASSWORD, f"INSERT INTO {names['t']} VALUES (1, 1), (2, 2)")
        adapter._do(f"CREATE ROW POLICY {policy.format(**names)}")
        try:
            (said,) = handler.archiver().losses(database)
            with pytest.raises(OperationError, match="since a row policy hides the others") as failed:
                archive(handler, bob, database)
            cure = POLICIES[policy] + str(failed.value).rpartition(POLICIES[policy])[2]
            assert said.endswith(cure)
            adapter._do(cure)
            assert archive(handler, bob, database).manifest.counts == {"t": 2}
        finally:
            for name, place in (
                ("p", policy.split()[2].format(**names)),
                (f"all rows for {bob}_adm", f"{names['d']}.*"),
            ):
                adapter._do(f"DROP ROW POLICY IF EXISTS {quoted(name)} ON {place}")
            adapter._do(f"DROP ROLE {names['r']}")


def test_a_policy_for_others_keeps_nobody_from_being_archived(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """B4: where the server tells no number of rows, every policy that does not except the admin stopped the archive."""
    with connect(archiving(describe(), tmp_path)) as handler:
        database = make(handler, bob)
        adapter.ask(
            bob, PASSWORD, f"CREATE TABLE {quoted(database)}.t (x UInt8) ENGINE = EmbeddedRocksDB PRIMARY KEY x"
        )
        adapter.ask(bob, PASSWORD, f"INSERT INTO {quoted(database)}.t VALUES (1), (2)")
        adapter._do(f"CREATE ROW POLICY p ON {quoted(database)}.t USING x = 1 TO {bob}")
        try:
            with pytest.raises(OperationError, match="CREATE ROW POLICY") as failed:
                archive(handler, bob, database)
            adapter._do("CREATE ROW POLICY" + str(failed.value).rpartition("CREATE ROW POLICY")[2])
            assert archive(handler, bob, database).manifest.counts == {"t": 2}
        finally:
            adapter._do(f"DROP ROW POLICY p ON {quoted(database)}.t")
            mended = quoted(f"all rows for {adapter.server.admin_user}")
            adapter._do(f"DROP ROW POLICY IF EXISTS {mended} ON {quoted(database)}.*")


def test_rows_that_an_update_has_changed_are_archived_as_they_are(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """A8, B4: changes that wait in parts of their own, since 25.7, were counted as rows, so nothing was archived."""
    connection = archiving(describe(**make_admin(adapter, bob)), tmp_path)
    with connect(connection) as handler:
        database = make(handler, bob)
        numbered = "enable_block_number_column = 1, enable_block_offset_column = 1"
        for statement in (
            f"CREATE TABLE {{t}} (x UInt64, y String) ENGINE = MergeTree ORDER BY x SETTINGS {numbered}",
            "INSERT INTO {t} SELECT number, 'before' FROM numbers(10)",
        ):
            adapter.ask(bob, PASSWORD, statement.format(t=f"{quoted(database)}.t"))
        if has_setting(adapter, "apply_patch_parts"):
            update = f"UPDATE {quoted(database)}.t SET y = 'after' WHERE x < 9"
            adapter.ask(bob, PASSWORD, update, allow_experimental_lightweight_update="1")
            adapter._do(f"ALTER USER {quoted(connection.username)} SETTINGS apply_patch_parts = 0")
        else:
            adapter.ask(
                bob, PASSWORD, f"ALTER TABLE {quoted(database)}.t UPDATE y = 'after' WHERE x < 9", mutations_sync="1"
            )
        adapter.ask(bob, PASSWORD, f"DELETE FROM {quoted(database)}.t WHERE x < 2")
        kept = archive(handler, bob, database)
        assert kept.manifest.counts == {"t": 8}
        assert (rows_of(kept)["t"].count(b"after"), rows_of(kept)["t"].count(b"before")) == (7, 1)
        there_and_back(handler, bob, PASSWORD, database)


def test_only_engines_that_hold_rows_themselves_are_read(adapter: ClickHouseAdapter) -> None:
    """A8, B4: any other, and any that is new, might show what its owner could not see, or rows without end."""
    engines = adapter._do("SELECT name FROM system.table_engines").split()
    read = {name for name in engines if is_read(name, own_data=True) and not name.endswith("MergeTree")}
    assert read == {"EmbeddedRocksDB", "File", "Join", "Log", "Memory", "StripeLog", "TinyLog"}
    assert not {name for name in engines if is_read(name, own_data=False)} - {"Memory"}


def test_what_shows_other_tables_is_not_read_and_what_can_not_be_read_is_said(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """A8: rows of engines that no archive holds are told before; those that only show others' are nobody's loss."""
    ann = f"{bob}_ann"
    with connect(archiving(describe(), tmp_path)) as handler:
        database, others = make(handler, bob), make(handler, ann)
        adapter.ask(ann, PASSWORD, f"CREATE TABLE {quoted(others)}.hers (x String) ENGINE = MergeTree ORDER BY x")
        adapter.ask(ann, PASSWORD, f"INSERT INTO {quoted(others)}.hers VALUES ('hers')")
        for statement in (
            "CREATE TABLE {d}.index AS mergeTreeIndex('{o}', 'hers')",
            "CREATE TABLE {d}.merged (x String) ENGINE = Merge('{o}', 'hers')",
            "CREATE TABLE {d}.random (x String) ENGINE = GenerateRandom",
            "CREATE TABLE {d}.ts ENGINE = TimeSeries SETTINGS allow_experimental_time_series_table = 1",
            "CREATE TABLE {d}.s (x UInt8) ENGINE = Set",
            "CREATE TABLE {d}.from (x UInt8) ENGINE = Log",
            "CREATE MATERIALIZED VIEW {d}.m ENGINE = MergeTree ORDER BY x AS SELECT x FROM {d}.from",
            "INSERT INTO {d}.from VALUES (7)",
        ):
            adapter.ask(
                bob,
                PASSWORD,
                statement.format(d=database, o=others).replace(
                    " SETTINGS allow_experimental_time_series_table = 1", ""
                ),
                allow_experimental_time_series_table="1",
            )
        try:
            asked = f"SELECT uuid FROM system.tables WHERE database = '{database}' AND name = 'm'"
            inner = f"{quoted(database)}.`.inner_id.{adapter.ask(bob, PASSWORD, asked).strip()}`"
            said = handler.archiver().losses(database)
            assert [text.partition(":")[0] for text in said] == ["the rows of s", "the rows of ts"]
            adapter.ask(bob, PASSWORD, f"DROP TABLE {inner}")
            said = handler.archiver().losses(database)
            assert [text.partition(":")[0] for text in said] == ["the rows of m", "the rows of s", "the rows of ts"]
            kept = archive(handler, bob, database)
            assert not [name for name, data in rows_of(kept).items() if b"hers" in data]
            assert not {"index", "merged", "random", "s", "ts", "m"} & set(kept.manifest.counts)
        finally:  # it holds the table that it shows, and a DROP of that would wait for it
            adapter._do(f"DROP TABLE {quoted(database)}.index SYNC")


def test_no_second_archive_is_begun_beside_one_that_the_server_goes_on_with(
    adapter: ClickHouseAdapter, describe: Callable[..., Connection], bob: str, tmp_path: Path
) -> None:
    """J2, B4: each run left another query behind, which the server can't break off, for days."""
    connection = archiving(describe(), tmp_path)
    with connect(connection) as handler:
        database = make(handler, bob)
        for statement in (
            "CREATE TABLE {d}.t (x UInt64) ENGINE = MergeTree ORDER BY x",
            "INSERT INTO {d}.t SELECT number FROM numbers(16)",
            f"ALTER TABLE {{d}}.t ADD COLUMN y UInt64 DEFAULT {SLOW}",
        ):
            adapter.ask(bob, PASSWORD, statement.format(d=quoted(database)))
    with connect(connection._replace(timeout=2)) as hasty:
        with pytest.raises(Stalled):
            archive(hasty, bob, database)
        with pytest.raises(
            OperationError, match="still at work on an earlier archive of it: the query dbroster-archive-"
        ):
            archive(hasty, bob, database)
    left = "SELECT count() FROM system.processes WHERE startsWith(query_id, 'dbroster-archive-')"
    wait_until(lambda: adapter._do(left).strip() == "0", 60 * BUSY)
    with connect(connection) as handler:
        assert archive(handler, bob, database).manifest.counts == {"t": 16}
