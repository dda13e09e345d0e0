"""An account in users.xml that has the name of one of dbroster's."""

from pathlib import Path

from servers import ClickHouse
from tests.contract.team import Team
from tests.contract.world import World
from tests.engines.clickhouse.adapter import ClickHouseAdapter
from tests.servers.available import available
from tests.support.waiting import wait_until

_SECOND = "<{0}><password>Other-pw-1</password><networks><ip>::/0</ip></networks><profile>default</profile></{0}>"
USERS = {"ann": "Correct-horse-7", "bob": "Another-staple-8"}


def test_an_account_in_users_xml_beside_dbrosters_own_is_told_and_nothing_of_it_is_tried(tmp_path: Path) -> None:
    """L6, C7: the dry run promised what the server refused the run; who left stayed by it, as a failure of the lock."""
    with available(ClickHouse) as server:
        adapter = ClickHouseAdapter(server)
        team = Team(World(adapter, "beside", tmp_path))
        team.sync(USERS)
        bob = team.world.name("bob")
        fixed = server.home / "users.xml"
        before = fixed.read_text()
        fixed.write_text(before.replace("</users>", _SECOND.format(bob) + "</users>"))
        adapter._do("SYSTEM RELOAD CONFIG")
        count = f"SELECT count() FROM system.users WHERE name = '{bob}'"
        wait_until(lambda: adapter._do(count).strip() == "2")
        for users in (USERS, {"ann": USERS["ann"]}):
            team.write_users(users)
            for dry_run in (True, False):
                result = team.run(dry_run=dry_run)
                assert result.outcomes == ()
                (told,) = result.conflicts
                assert told.user == bob
                assert "it is defined in users.xml, where SQL can't change it" in told.text
        fixed.write_text(before)
        adapter._do("SYSTEM RELOAD CONFIG")
        wait_until(lambda: adapter._do(count).strip() == "1")
        assert team.run().conflicts == ()
        team.assert_in_step({"ann": USERS["ann"]})
        adapter.close()
