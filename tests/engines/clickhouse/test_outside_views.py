"""Views on tables of others: they stop no INSERT of anybody, whatever becomes of the database that they stand in."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dbroster.engines import connect
from dbroster.engines.clickhouse.archive.archiver import ClickHouseArchiver
from dbroster.errors import OperationError
from dbroster.model.plan import Action, Verb
from tests.e2e.site import PASSWORD as OF_CLUSTER
from tests.engines.clickhouse.adapter import quoted
from tests.engines.clickhouse.clustered import KINDS, Clustered, site_on, started
from tests.engines.clickhouse.conftest import PASSWORD, Site, make
from tests.support.waiting import wait_until

EVENTS = "{s}.events"
TABLE = "CREATE TABLE {{d}}.{} (x UInt8) ENGINE = MergeTree ORDER BY x"
AS_BOB = f"DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT x FROM {EVENTS}"
VIEWS = (
    TABLE.format("kept"),
    f"CREATE MATERIALIZED VIEW {{d}}.to_kept TO {{d}}.kept {AS_BOB}",
    f"CREATE MATERIALIZED VIEW {{d}}.holding ENGINE = MergeTree ORDER BY x {AS_BOB}",
)


class Shared:
    """A table of others, in which bob has a view, and their INSERTs."""

    def __init__(self, site: Site) -> None:
        self.site, self.number = site, 0
        self.app = f"{site.user}app"
        site.names["s"] = quoted(f"{site.user}shared")
        site.adapter.create_account_by_hand(self.app, PASSWORD)
        site.dba("CREATE DATABASE {s}", f"CREATE TABLE {EVENTS} (x UInt8) ENGINE = MergeTree ORDER BY x")
        site.dba(f"GRANT SELECT ON {EVENTS} TO {quoted(site.user)}", f"GRANT INSERT ON {EVENTS} TO {quoted(self.app)}")
        site.ask(*VIEWS)
        self.insert()

    def insert(self, *_: Any) -> None:
        """Raises Refused where a view is in the way."""
        self.number += 1
        statement = f"INSERT INTO {EVENTS} VALUES ({self.number})".format(**self.site.names)
        self.site.adapter.ask(self.app, PASSWORD, statement)


@pytest.fixture
def shared(site: Site) -> Iterator[Shared]:
    yield Shared(site)
    site.handler.lock_user(site.user)
    site.handler.drop_database(site.user, site.database)
    site.handler.drop_user(site.user)


def inserting(monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    """Let the others go on while an archive is made, before each table that is read."""
    read = ClickHouseArchiver._read

    def read_later(*given: Any) -> int:
        shared.insert()
        return read(*given)

    monkeypatch.setattr(ClickHouseArchiver, "_read", read_later)


@pytest.mark.parametrize("leaves", [True, False], ids=["user", "template"])
def test_they_stop_no_insert_while_an_archive_is_made(
    site: Site, shared: Shared, monkeypatch: pytest.MonkeyPatch, leaves: bool
) -> None:
    """Z8, T9: an archive attaches them again; and nothing put them away where only a template goes."""
    if leaves:
        site.handler.lock_user(site.user)
    before = site.dba("SELECT count() FROM {d}.kept")
    inserting(monkeypatch, shared)
    made = site.archive()
    assert shared.number > 2
    assert made.manifest.counts == {"kept": int(before), "holding": int(before)}
    assert made.manifest.settings["detached"] == ["holding", "to_kept"]
    shared.insert()
    site.handler.drop_database(site.user, site.database)
    shared.insert()


def test_they_stop_no_insert_when_there_is_no_archive(site: Site, shared: Shared) -> None:
    """Z8, T9: a template goes, its user stays; he has no privileges there; the run says what comes back."""
    site.ask(TABLE.format("broken"), "INSERT INTO {d}.broken VALUES (7)")
    site.ask("ALTER TABLE {d}.broken ADD COLUMN y UInt8 DEFAULT throwIf(x = 7)")
    for _ in range(2):
        (outcome,) = site.handler.perform_all([Action(Verb.ARCHIVE_DATABASE, site.user, site.database)])
        assert "broken can't be read" in (outcome.error or "")
        shared.insert()
    assert "ATTACH TABLE" not in (outcome.error or "")
    site.handler.grant_privileges(site.user, site.database)
    site.ask("ATTACH TABLE {d}.to_kept", "ATTACH TABLE {d}.holding")
    shared.insert()
    (outcome,) = site.handler.perform_all([Action(Verb.ARCHIVE_DATABASE, site.user, site.database)])
    assert re.findall("ATTACH TABLE [^;]*", outcome.error or "") == [
        f"ATTACH TABLE {site.names['d']}.`{name}`" for name in ("holding", "to_kept")
    ]


def test_they_stop_no_insert_when_their_database_can_not_be_dropped(site: Site, shared: Shared) -> None:
    """Z8, T9: a dictionary of somebody else's needs it."""
    source = f"SOURCE(CLICKHOUSE(DB '{site.database}' TABLE 'kept')) LAYOUT(FLAT()) LIFETIME(0)"
    site.dba(f"CREATE DICTIONARY {{s}}.of_it (x UInt64) PRIMARY KEY x {source}")
    with pytest.raises(OperationError, match=r"of_it depends on .*ATTACH TABLE .*`to_kept`"):
        site.handler.drop_database(site.user, site.database)
    shared.insert()
    site.dba("DROP DICTIONARY {s}.of_it SYNC")


def test_a_view_on_what_a_run_takes_from_its_user_stops_nobody(site: Site, shared: Shared) -> None:
    """Z12, T9: a DBA had let bob into ann's database, and he has a view there; each INSERT of hers failed, untold."""
    ann = f"{site.user}ann"
    web = site.names["w"] = quoted(make(site.handler, ann))
    insert = f"INSERT INTO {web}.events VALUES (7)"
    site.adapter.ask(ann, PASSWORD, f"CREATE TABLE {web}.events (x UInt8) ENGINE = MergeTree ORDER BY x")
    site.dba(f"GRANT SELECT ON {web}.* TO {quoted(site.user)}")
    site.ask(
        *(statement.replace("{s}", "{w}").replace("kept", "hers").replace("holding", "hold") for statement in VIEWS)
    )
    site.ask("RENAME TABLE {d}.to_hers TO {d}.of_hers")
    site.adapter.ask(ann, PASSWORD, insert)
    grants = [Action(Verb.GRANT_PRIVILEGES, ann, f"{ann}_web")]
    (outcome,) = site.handler.perform_all(grants)
    site.adapter.ask(ann, PASSWORD, insert)
    assert re.findall("ATTACH TABLE [^;]*", outcome.note or "") == [
        f"ATTACH TABLE {site.names['d']}.`{name}`" for name in ("hold", "of_hers")
    ]
    shared.insert()
    assert site.dba("EXISTS TABLE {d}.to_kept") == "1", "that one he may go on with"


def test_an_archive_waits_for_who_is_in_a_view(site: Site, shared: Shared) -> None:
    """Z11: an INSERT that is in a view still when that is put away kept it from being archived in this run."""
    site.ask("DROP TABLE {d}.to_kept", "DROP TABLE {d}.holding")
    slow = "SELECT x FROM {s}.events WHERE NOT ignore(sleepEachRow(1))"
    site.ask(f"CREATE MATERIALIZED VIEW {{d}}.slow TO {{d}}.kept {AS_BOB}".partition("SELECT")[0] + slow)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(site.dba, f"INSERT INTO {EVENTS} VALUES (1), (2), (3)")
        mine = "query_kind = 'Insert' AND user = currentUser() AND elapsed > 0.2"
        working = f"SELECT count() FROM system.processes WHERE {mine}"
        wait_until(lambda: site.dba(working) != "0")
        site.handler.lock_user(site.user)
        assert not running.done()
        site.archive()
        running.result()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Clustered]:
    with started(KINDS["local"]) as clustered:
        yield clustered


@pytest.mark.parametrize("engine", ["", "Replicated('/databases/{database}', '{shard}', '{replica}')"])
def test_they_are_put_away_on_every_node(cluster: Clustered, tmp_path: Path, engine: str) -> None:
    """Z10, T9: a database that replicates itself takes no ON CLUSTER, so its views stopped all INSERTs."""
    site = site_on(cluster, tmp_path)
    if engine:
        site.configure(database_engine=engine)
    _, bob = site.users("ann", "bob")
    site.sync()
    names = {"d": quoted(f"{bob}_web"), "s": quoted(f"{site.prefix}shared")}
    first = cluster.adapters[0]
    first.do(f"CREATE DATABASE {names['s']} ON CLUSTER both")
    first.do(f"CREATE TABLE {EVENTS} ON CLUSTER both (x UInt8) ENGINE = MergeTree ORDER BY x".format(**names))
    first.do(f"GRANT ON CLUSTER both SELECT ON {EVENTS} TO {quoted(bob)}".format(**names))
    for adapter in cluster.adapters[: 1 if engine else None]:
        for statement in VIEWS[:2]:
            adapter.ask(bob, OF_CLUSTER, statement.format(**names))
    site.users("ann")
    with connect(cluster.connection(tmp_path, site.prefix)) as handler:
        (lock,) = handler.perform_all([Action(Verb.LOCK_USER, bob)])
    for adapter in cluster.adapters:
        adapter.do(f"INSERT INTO {EVENTS} VALUES (7)".format(**names))
    back = re.findall("ATTACH TABLE [^;]*", lock.note or "")
    assert back == [f"ATTACH TABLE {names['d']}.`to_kept`{'' if engine else ' ON CLUSTER `both`'}"]
    first.do(back[0])
    for adapter in cluster.adapters:
        assert adapter.do("EXISTS TABLE {d}.to_kept".format(**names)).strip() == "1"
    first.do(f"DROP DATABASE {names['s']} ON CLUSTER both")
