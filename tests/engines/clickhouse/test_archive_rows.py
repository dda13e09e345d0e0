"""Which rows come into an archive of ClickHouse: all that a database holds itself, and none of anybody else."""

import zipfile
from pathlib import Path

import pytest

from dbroster.archive import Archive
from dbroster.engines.clickhouse.archive.contents import is_read
from dbroster.errors import DbrosterError, OperationError, Stalled
from tests.engines.clickhouse.adapter import ClickHouseAdapter, quoted
from tests.engines.clickhouse.conftest import PASSWORD, Site, make
from tests.engines.clickhouse.unstoppable import SLOW
from tests.support.bounded import BUSY
from tests.support.waiting import wait_until

LIMITS = (
    "limit = 1",
    "final = 1",
    "force_primary_key = 1",
    "apply_deleted_mask = 0",
    "max_rows_to_read = 1, read_overflow_mode = 'break'",
    "max_execution_time = 1, max_rows_to_read_leaf = 1, read_overflow_mode_leaf = 'break'",
    "extremes = 1",
)
"""Of an admin's profile; each would cut an archive, refuse it, or write it otherwise."""


def rows_of(kept: Archive) -> dict[str, bytes]:
    """What is archived of each table."""
    with zipfile.ZipFile(kept.path) as file:
        return {Path(name).stem: file.read(name) for name in file.namelist() if name.endswith(".native")}


def test_no_setting_of_the_admin_changes_what_is_archived(own_admin: Site) -> None:
    """A8: with a row that is deleted, rows were counted under the limits of the profile; other settings cut, too."""
    own_admin.ask(
        "CREATE TABLE {d}.t (x UInt64, y String) ENGINE = ReplacingMergeTree ORDER BY x SETTINGS index_granularity = 8",
        "INSERT INTO {d}.t SELECT number, 'one' FROM numbers(1000)",
        "DELETE FROM {d}.t WHERE x = 1",
    )
    wanted = rows_of(own_admin.archive())
    for limit in LIMITS:
        own_admin.dba(f"ALTER USER {{a}} SETTINGS {limit}")
        own_admin.reconnect()
        assert rows_of(own_admin.archive()) == wanted, limit


@pytest.mark.parametrize(
    "setting",
    ["apply_deleted_mask = 0", "max_bytes_to_read = 100000000", "max_columns_to_read = 7"],
)
def test_a_setting_that_the_profile_fixes_is_named_with_its_cure(own_admin: Site, setting: str) -> None:
    """A8: an archive that such a setting might cut is refused; the statement in the message mends that."""
    own_admin.ask("CREATE TABLE {d}.t (x UInt64) ENGINE = MergeTree ORDER BY x", "INSERT INTO {d}.t VALUES (1)")
    own_admin.dba(f"ALTER USER {{a}} SETTINGS {setting} CONST")
    with pytest.raises(DbrosterError, match=setting.split()[0]) as failed:
        own_admin.reconnect().archive()
    own_admin.dba("ALTER USER" + str(failed.value).rpartition("ALTER USER")[2])
    own_admin.reconnect()
    assert own_admin.archive().manifest.counts == {"t": 1}


POLICIES = {
    "p ON {d}.t USING 0 TO ALL": "CREATE ROW POLICY",
    "p ON {d}.* USING x = 1 TO ALL EXCEPT {bob}": "CREATE ROW POLICY",
    "p ON {d}.t USING 0 TO {a}, {bob}": "CREATE ROW POLICY",
    "p ON {d}.t AS RESTRICTIVE USING 0 TO ALL EXCEPT {bob}": "ALTER ROW POLICY",
    "p ON {d}.* AS RESTRICTIVE USING 0 TO {a}, {bob}": "ALTER ROW POLICY",
    "p ON {d}.t AS RESTRICTIVE USING 0 TO {a}": "ALTER ROW POLICY",
    "p ON {d}.t AS RESTRICTIVE USING 0 TO {role}": "REVOKE",
}


@pytest.mark.parametrize("engine", ["MergeTree ORDER BY x", "Log", "EmbeddedRocksDB PRIMARY KEY x"])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_that_hides_rows_is_named_with_the_statement_that_mends_it(
    own_admin: Site, policy: str, engine: str
) -> None:
    """A8: told before, and a reason to archive nothing; once the statement was run, the archive is whole."""
    site, bob = own_admin, own_admin.user
    site.names |= {"bob": bob, "role": quoted(f"{bob}_role")}
    site.dba("CREATE ROLE {role}", "GRANT {role} TO {a}")
    site.ask(f"CREATE TABLE {{d}}.t (x UInt8, y UInt8) ENGINE = {engine}", "INSERT INTO {d}.t VALUES (1, 1), (2, 2)")
    site.dba(f"CREATE ROW POLICY {policy}")
    try:
        (said,) = site.losses()
        with pytest.raises(OperationError, match="since a row policy hides the others") as failed:
            site.archive()
        cure = POLICIES[policy] + str(failed.value).rpartition(POLICIES[policy])[2]
        assert said.endswith(cure)
        site.dba(cure)
        assert site.archive().manifest.counts == {"t": 2}
    finally:
        site.dba(f"DROP ROW POLICY IF EXISTS p ON {policy.split()[2]}")
        site.dba(f"DROP ROW POLICY IF EXISTS `all rows for {bob}_adm` ON {{d}}.*", "DROP ROLE {role}")


def test_a_policy_for_others_keeps_nobody_from_being_archived(site: Site) -> None:
    """B4: where the server tells no number of rows, every policy that does not except the admin stopped the archive."""
    site.ask("CREATE TABLE {d}.t (x UInt8) ENGINE = EmbeddedRocksDB PRIMARY KEY x", "INSERT INTO {d}.t VALUES (1), (2)")
    site.dba(f"CREATE ROW POLICY p ON {{d}}.t USING x = 1 TO {site.user}")
    try:
        with pytest.raises(OperationError, match="CREATE ROW POLICY") as failed:
            site.archive()
        site.dba("CREATE ROW POLICY" + str(failed.value).rpartition("CREATE ROW POLICY")[2])
        assert site.archive().manifest.counts == {"t": 2}
    finally:
        mended = quoted(f"all rows for {site.connection.username}")
        site.dba("DROP ROW POLICY p ON {d}.t", f"DROP ROW POLICY IF EXISTS {mended} ON {{d}}.*")


def test_rows_that_an_update_has_changed_are_archived_as_they_are(own_admin: Site) -> None:
    """A8, B4: changes that wait in parts of their own, since 25.7, were counted as rows, so nothing was archived."""
    site = own_admin
    numbered = "enable_block_number_column = 1, enable_block_offset_column = 1"
    site.ask(
        f"CREATE TABLE {{d}}.t (x UInt64, y String) ENGINE = MergeTree ORDER BY x SETTINGS {numbered}",
        "INSERT INTO {d}.t SELECT number, 'before' FROM numbers(10)",
    )
    if site.dba("SELECT count() FROM system.settings WHERE name = 'apply_patch_parts'") == "1":
        site.ask("UPDATE {d}.t SET y = 'after' WHERE x < 9", allow_experimental_lightweight_update="1")
        site.dba("ALTER USER {a} SETTINGS apply_patch_parts = 0")
    else:
        site.ask("ALTER TABLE {d}.t UPDATE y = 'after' WHERE x < 9", mutations_sync="1")
    site.ask("DELETE FROM {d}.t WHERE x < 2")
    kept = site.archive()
    assert kept.manifest.counts == {"t": 8}
    assert (rows_of(kept)["t"].count(b"after"), rows_of(kept)["t"].count(b"before")) == (7, 1)
    site.there_and_back()


def test_only_engines_that_hold_rows_themselves_are_read(adapter: ClickHouseAdapter) -> None:
    """A8, B4: any other, and any that is new, might show what its owner could not see, or rows without end."""
    engines = adapter._do("SELECT name FROM system.table_engines").split()
    read = {name for name in engines if is_read(name, own_data=True) and not name.endswith("MergeTree")}
    assert read == {"EmbeddedRocksDB", "File", "Join", "Log", "Memory", "StripeLog", "TinyLog"}
    assert not {name for name in engines if is_read(name, own_data=False)} - {"Memory"}


def test_what_shows_other_tables_is_not_read_and_what_can_not_be_read_is_said(
    adapter: ClickHouseAdapter, site: Site
) -> None:
    """A8: rows of engines that no archive holds are told before; those that only show others' are nobody's loss."""
    ann = f"{site.user}_ann"
    site.names["o"] = others = make(site.handler, ann)
    adapter.ask(ann, PASSWORD, f"CREATE TABLE {others}.hers (x String) ENGINE = MergeTree ORDER BY x")
    adapter.ask(ann, PASSWORD, f"INSERT INTO {others}.hers VALUES ('hers')")
    site.ask(
        "CREATE TABLE {d}.index AS mergeTreeIndex('{o}', 'hers')",
        "CREATE TABLE {d}.merged (x String) ENGINE = Merge('{o}', 'hers')",
        "CREATE TABLE {d}.random (x String) ENGINE = GenerateRandom",
        "CREATE TABLE {d}.ts ENGINE = TimeSeries",
        "CREATE TABLE {d}.s (x UInt8) ENGINE = Set",
        "CREATE TABLE {d}.from (x UInt8) ENGINE = Log",
        "CREATE MATERIALIZED VIEW {d}.m ENGINE = MergeTree ORDER BY x AS SELECT x FROM {d}.from",
        "INSERT INTO {d}.from VALUES (7)",
        allow_experimental_time_series_table="1",
    )
    try:
        uuid = site.ask("SELECT uuid FROM system.tables WHERE database = '{p}' AND name = 'm'")
        assert [text.partition(":")[0] for text in site.losses()] == ["the rows of s", "the rows of ts"]
        site.ask(f"DROP TABLE {{d}}.`.inner_id.{uuid}`")
        said = [text.partition(":")[0] for text in site.losses()]
        assert said == ["the rows of m", "the rows of s", "the rows of ts"]
        kept = site.archive()
        assert not [name for name, data in rows_of(kept).items() if b"hers" in data]
        assert not {"index", "merged", "random", "s", "ts", "m"} & set(kept.manifest.counts)
    finally:  # it holds the table that it shows, and a DROP of that would wait for it
        site.dba("DROP TABLE {d}.index SYNC")


def test_no_second_archive_is_begun_beside_one_that_the_server_goes_on_with(site: Site) -> None:
    """J2, B4: each run left another query behind, which the server can't break off, for days."""
    site.ask(
        "CREATE TABLE {d}.t (x UInt64) ENGINE = MergeTree ORDER BY x",
        "INSERT INTO {d}.t SELECT number FROM numbers(16)",
        f"ALTER TABLE {{d}}.t ADD COLUMN y UInt64 DEFAULT {SLOW}",
    )
    site.reconnect(timeout=2)
    with pytest.raises(Stalled):
        site.archive()
    with pytest.raises(OperationError, match="still at work on an earlier archive of it: the query dbroster-archive-"):
        site.archive()
    left = "SELECT count() FROM system.processes WHERE startsWith(query_id, 'dbroster-archive-')"
    wait_until(lambda: site.dba(left) == "0", 60 * BUSY)
    site.reconnect()
    assert site.archive().manifest.counts == {"t": 16}
