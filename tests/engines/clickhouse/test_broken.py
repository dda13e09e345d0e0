"""A table that the server can't load when it starts, so that it refuses to show any list with that table in it."""

from pathlib import Path

from dbroster.model.connection import Removals
from dbroster.model.plan import Verb
from dbroster.model.result import Status
from servers import ClickHouse
from tests.contract.team import Team
from tests.contract.world import World
from tests.engines.clickhouse.adapter import ClickHouseAdapter, quoted
from tests.servers.available import available

USERS = {"ann": "Correct-horse-7", "bob": "Another-staple-8", "cid": "Third-battery-9"}


def damage(server: ClickHouse, adapter: ClickHouseAdapter, database: str) -> None:
    """Give a database a table with a damaged part of which the server makes much, and start the server again."""
    name = quoted(database)
    table = f"{name}.t (x UInt8) ENGINE = MergeTree ORDER BY x SETTINGS max_suspicious_broken_parts = 0"
    adapter._do(f"CREATE TABLE {table}")
    adapter._do(f"INSERT INTO {name}.t VALUES (1)")
    place = adapter._do(f"SELECT path FROM system.parts WHERE active AND database = '{database}'").strip()
    server.stop()
    for file in ("checksums.txt", "columns.txt"):
        (Path(place) / file).write_bytes(b"damaged")
    server.start()


def test_a_table_that_can_not_be_loaded_keeps_its_own_database_only(tmp_path: Path) -> None:
    """P4, B4: each run ended with the server's error, so nobody was locked or removed any more."""
    with available(lambda: ClickHouse(options={"async_load_databases": "true"})) as server:
        adapter = ClickHouseAdapter(server)
        team = Team(World(adapter, "broken", tmp_path))
        team.sync(USERS)
        bob, cid = team.world.name("bob"), team.world.name("cid")
        damage(server, adapter, f"{bob}_web")
        team.write_users({"ann": USERS["ann"]})
        planned, done = team.run(dry_run=True), team.run()
        for result in (planned, done):
            assert [p.text for p in result.problems if f"load table {bob}_web.t when it started" in p.text], result
        failed = [o.action.database for o in done.outcomes if o.status is Status.FAILED]
        assert failed == [f"{bob}_web"]
        with team.world.open() as handler:
            there = handler.get_existing_users()
            assert cid not in there
            assert there[bob].lock.name == "OURS"
            ann = team.world.name("ann")
            assert list(handler.archiver().losses(f"{ann}_web")) == [
                "changes of its tables: the server can't say whether all are done",
                "the detached parts of its tables: the server can't say whether it has any",
            ]
        again = team.run(dry_run=True)
        assert {o.action.verb for o in again.outcomes} == {Verb.DROP_DATABASE, Verb.DROP_USER}
        with team.world.open() as handler:
            handler.connection = handler.connection._replace(removals=Removals(archive_dir=tmp_path / "archives"))
            handler.archive_database(ann, f"{ann}_web")
        adapter.close()
