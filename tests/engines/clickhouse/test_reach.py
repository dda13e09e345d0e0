"""What ClickHouse lets a user of the roster read and write of others although no privilege allows it: seen and said."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dbroster.engines import connect
from dbroster.engines.base import Handler
from servers import ClickHouse
from tests.contract.adapters import Refused
from tests.engines.clickhouse.adapter import ClickHouseAdapter, quoted
from tests.engines.clickhouse.test_markers import GOOD, make
from tests.servers.available import available

BUFFER = "ENGINE = Buffer({}, note, 1, 1, 1, 1, 1, 1, 1)"


@pytest.fixture
def al(adapter: ClickHouseAdapter, handler: Handler, prefix: str) -> str:
    """A user with a row."""
    name = make(handler, prefix + "al")
    adapter.put(name, GOOD.reveal(), f"{name}_web", "of al")
    return name


@pytest.fixture
def bob(handler: Handler, prefix: str) -> str:
    return make(handler, prefix + "bob")


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[tuple[ClickHouseAdapter, Handler]]:
    """A server that lets nobody use an engine without a grant."""
    with available(lambda: ClickHouse(options={"table_engines_require_grant": "true"})) as server:
        adapter = ClickHouseAdapter(server)
        with connect(adapter.connection(tmp_path, "s")) as handler:
            handler.prepare()
            yield adapter, handler
        adapter.close()


def ask(adapter: ClickHouseAdapter, user: str, statement: str) -> str:
    return str(adapter.ask(user, GOOD.reveal(), statement))


def told(handler: Handler, part: str) -> list[str]:
    handler.get_existing_users()
    handler.get_existing_databases()
    return [problem.text for problem in handler.warnings() if part in problem.text]


@pytest.mark.parametrize("made", [BUFFER, "AS loop({}, 'note')"])
def test_a_table_that_gets_at_another_users_is_told(
    adapter: ClickHouseAdapter, handler: Handler, al: str, bob: str, made: str
) -> None:
    """B6: the server checks no privilege behind it, whatever dbroster grants; the statement that is told ends it."""
    trap, his = f"{quoted(f'{bob}_web')}.`t``rap`", f"{al}_web"
    columns = "(line String) " if made == BUFFER else ""
    ask(adapter, bob, f"CREATE TABLE {trap} {columns}" + made.format(f"'{his}'"))
    (text,) = told(handler, "gets at")
    assert f"{bob}'s database {bob}_web" in text
    if made == BUFFER:
        assert f"{al}'s database {his}" in text
    adapter._do(text.rpartition(": ")[2].rstrip(";"))
    assert told(handler, "gets at") == []


def test_tables_that_stay_at_home_are_not_told(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    """B6: a user may put a Buffer before an own table, also one in another own database."""
    more = make_more(handler, bob)
    for database in (f"{bob}_web", more):
        ask(adapter, bob, f"CREATE TABLE {quoted(database)}.note (line String) ENGINE = MergeTree ORDER BY line")
        made = BUFFER.format(f"'{more}'")
        ask(adapter, bob, f"CREATE TABLE {quoted(database)}.b (line String) {made}")
    assert told(handler, "gets at") == []


def make_more(handler: Handler, user: str) -> str:
    """A second database of a user."""
    handler.create_database(user, f"{user}_more")
    handler.grant_privileges(user, f"{user}_more")
    return f"{user}_more"


def test_a_merge_table_is_told_where_it_shows_rows(
    adapter: ClickHouseAdapter, handler: Handler, al: str, bob: str
) -> None:
    """B6: 24.8 looks at no privilege behind Merge, 25.8 does."""
    mine = quoted(f"{bob}_web")
    ask(adapter, bob, f"CREATE TABLE {mine}.m (line String) ENGINE = Merge('{al}_web', '.*')")
    ask(adapter, bob, f"CREATE TABLE {mine}.n (line String) ENGINE = Merge(REGEXP('^{al}'), '.*')")
    shown = "of al" in ask(adapter, bob, f"SELECT * FROM {mine}.m")
    assert len(told(handler, "gets at")) == (2 if shown else 0)


def test_what_closes_it_is_told_and_closes_it(strict: tuple[ClickHouseAdapter, Handler]) -> None:
    """B6: engines by name for all users of the roster, through its role, and none of those that reach out."""
    adapter, handler = strict
    al, bob = make(handler, "sal"), make(handler, "sbob")
    (text,) = told(handler, "table_engines_require_grant")
    adapter._do(text.rpartition(": ")[2].rstrip(";"))
    assert told(handler, "table_engines_require_grant") == told(handler, "only marks") == []
    ask(adapter, al, "CREATE TABLE sal_web.note (line String) ENGINE = MergeTree ORDER BY line")
    with pytest.raises(Refused):
        ask(adapter, bob, "CREATE TABLE sbob_web.b (line String) " + BUFFER.format("sal_web"))
    for user in (al, bob):
        handler.lock_user(user)
        handler.update_user_password(user, GOOD)
        handler.grant_privileges(user, f"{user}_web")
    ask(adapter, bob, "CREATE TABLE sbob_web.note (line String) ENGINE = MergeTree ORDER BY line")


@pytest.mark.parametrize("verb", ["CREATE TABLE {}", "ATTACH TABLE {} UUID '0b6ee671-cc62-42d1-82b9-90ff06db1bf5'"])
def test_a_table_on_a_disk_of_its_own_making_is_told(
    adapter: ClickHouseAdapter, handler: Handler, bob: str, verb: str
) -> None:
    """L3, B6: by it any user writes into, reads and deletes from directories of the server; no privilege is asked."""
    data = adapter._do("SELECT path FROM system.disks WHERE name = 'default'").strip()
    trap = f"{quoted(f'{bob}_web')}.`t``rap`"
    disk = f"disk(type = local_blob_storage, path = '{data}elsewhere/')"
    made = "(x String) ENGINE = MergeTree ORDER BY x"
    ask(adapter, bob, f"CREATE TABLE {quoted(f'{bob}_web')}.t {made}")
    assert told(handler, "on a disk") == []
    ask(adapter, bob, f"{verb.format(trap)} {made} SETTINGS disk = {disk}")
    ask(adapter, bob, f"INSERT INTO {trap} VALUES ('his')")
    assert ask(adapter, bob, f"SELECT * FROM {trap}").strip() == "his"
    (text,) = told(handler, "on a disk")
    assert f"the table t`rap in {bob}'s database {bob}_web" in text
    adapter._do(text.rpartition(": ")[2].rstrip(";") + " SYNC")
    assert told(handler, "on a disk") == []
