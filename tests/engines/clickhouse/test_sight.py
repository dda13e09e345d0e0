"""Row policies on system tables: no run begins that would not see everything."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dbroster import engines
from dbroster.engines import connect
from dbroster.engines.clickhouse.access.row_policies import TABLES
from dbroster.errors import ConnectError, ServerError
from dbroster.model.connection import Connection
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Status
from tests.contract.adapters import Refused
from tests.e2e.site import Site
from tests.engines.clickhouse.adapter import ClickHouseAdapter, quoted
from tests.engines.clickhouse.conftest import PASSWORD, make, make_admin

Describe = Callable[..., Connection]


def mend(adapter: ClickHouseAdapter, text: str) -> None:
    """Run the statements that a message ends with, as they stand."""
    statements = text.partition("as another administrator: ")[2].split("; ")
    assert all(statements), text
    for statement in statements:
        adapter._do(statement.rstrip(";"))


def refused(connection: Connection) -> str:
    """What a run says that does not begin."""
    with connect(connection) as handler, pytest.raises(ServerError, match="row policies hide rows") as caught:
        handler.missing_privileges(["web"])
    return str(caught.value)


def test_what_a_dba_has_taken_from_the_admin_keeps_nobody_in(
    adapter: ClickHouseAdapter, describe: Describe, prefix: str
) -> None:
    """T3, A8: the lock failed for good; and a table that the admin may not see would go with no archive of it."""
    connection = describe(**make_admin(adapter, prefix))
    admin, user = quoted(connection.username), f"{prefix}bob"
    with connect(connection) as handler:
        database = make(handler, user)
        adapter.ask(user, PASSWORD, f"CREATE TABLE {quoted(database)}.secret (x UInt8) ENGINE = MergeTree ORDER BY x")
        adapter._do(f"REVOKE ALL ON {quoted(database)}.secret FROM {admin}")
        verbs = (Verb.LOCK_USER, Verb.ARCHIVE_DATABASE, Verb.DROP_DATABASE)
        plan = [Action(verb, user, None if verb is Verb.LOCK_USER else database) for verb in verbs]
        (lock,) = handler.perform_all(plan[:1])
        assert lock.status is Status.DONE
        assert lock.note
        assert lock.note.startswith(f"a session that {user} has open keeps its privileges")
        with pytest.raises(Refused):
            adapter.ask(user, PASSWORD, "SELECT 1")
        nothing, *reasons = handler.foresee(plan)
        assert nothing is None
        for reason in filter(None, reasons):
            mend(adapter, reason)
        assert len(set(reasons)) == 1
        assert handler.foresee(plan) == [None] * 3
        handler.drop_database(user, database)


def test_every_system_table_that_is_read_is_looked_at() -> None:
    """J7: whatever is read may be hidden; a table more than these is one more to look at."""
    sources = (Path(engines.__file__).parent / "clickhouse").rglob("*.py")
    read = {name for path in sources for name in re.findall(r"(?:FROM|JOIN) system\.([a-z_]+)", path.read_text())}
    assert read - {"zookeeper_connection"} == set(TABLES)


@pytest.mark.parametrize("kind", ["", "AS RESTRICTIVE "])
def test_no_run_begins_while_a_policy_hides_system_tables(
    adapter: ClickHouseAdapter, describe: Describe, prefix: str, kind: str
) -> None:
    """J7, A8: leavers went unseen, and archives were empty; the table is named, and the statement ends it."""
    connection = describe(**make_admin(adapter, prefix))
    admin = connection.username
    everything = f"{quoted(f'all rows for {admin}')} ON system.*"
    for table in TABLES:
        policy = f"ROW POLICY {quoted(prefix)} ON system.{table}"
        adapter._do(f"CREATE {policy} {kind}USING 0 TO {quoted(admin)}")
        try:
            text = refused(connection)
            assert f"hide rows of system.{table} from the admin account" in text
            if table != "row_policies":
                mend(adapter, text)
            else:  # which hides itself
                assert f"CREATE ROW POLICY IF NOT EXISTS {everything} USING 1 TO {quoted(admin)}; " in text
                assert f"ALTER ROW POLICY ... ON system.... TO ALL EXCEPT {quoted(admin)};" in text
                adapter._do(
                    f"ALTER {policy} TO ALL EXCEPT {quoted(admin)}"
                    if kind
                    else f"CREATE ROW POLICY {everything} USING 1 TO {quoted(admin)}"
                )
            with connect(connection) as handler:
                assert handler.missing_privileges(["web"]) == []
        finally:
            adapter._do(f"DROP {policy}")
            adapter._do(f"DROP ROW POLICY IF EXISTS {everything}")


def test_a_policy_on_all_system_tables_hides_itself_too(
    adapter: ClickHouseAdapter, describe: Describe, prefix: str
) -> None:
    """J7: none is to be seen then, so how the server reads the tables tells; not even system.one may have a row."""
    connection = describe(**make_admin(adapter, prefix))
    policy, admin = f"ROW POLICY {quoted(prefix)} ON system.*", quoted(connection.username)
    everything = quoted(f"all rows for {connection.username}")
    adapter._do(f"CREATE {policy} USING 0 TO {admin}")
    try:
        with pytest.raises(ConnectError, match=r"hides even system\.one") as caught:
            connect(connection)
        adapter._do(f"CREATE ROW POLICY {quoted(prefix)} ON system.one USING 1 TO {admin}")
        assert "hide rows of system.asynchronous_inserts, system.asynchronous_loader, system.clusters, " in refused(
            connection
        )
        adapter._do(str(caught.value).rpartition("admin: ")[2].rstrip(";"))
        with connect(connection) as handler:
            assert handler.missing_privileges(["web"]) == []
    finally:
        adapter._do(f"DROP {policy}")
        adapter._do(f"DROP ROW POLICY IF EXISTS {quoted(prefix)} ON system.one")
        adapter._do(f"DROP ROW POLICY IF EXISTS {everything} ON system.*")


def test_a_restrictive_policy_is_told_by_name(adapter: ClickHouseAdapter, describe: Describe, prefix: str) -> None:
    """J7: no other policy opens what it hides, so it must leave out the admin."""
    connection = describe(**make_admin(adapter, prefix))
    policy = f"ROW POLICY {quoted(prefix)} ON system.users"
    try:
        adapter._do(f"CREATE {policy} AS RESTRICTIVE USING name != 'nobody' TO {quoted(connection.username)}")
        text = refused(connection)
        assert f"ALTER ROW POLICY {quoted(prefix)} ON `system`.`users` TO NONE;" in text
        mend(adapter, text)
        with connect(connection) as handler:
            assert handler.missing_privileges(["web"]) == []
    finally:
        adapter._do(f"DROP {policy}")


def test_the_dry_run_and_the_check_refuse_it_too(adapter: ClickHouseAdapter, prefix: str, tmp_path: Path) -> None:
    """J7: pending, done, nothing around it; while it is there, nothing is begun, and all say the same."""
    login = make_admin(adapter, prefix)
    site = Site(adapter, tmp_path / "config", prefix)
    site.configure(username=login["username"], password=login["password"].reveal())
    _, bob = site.users("ann", "bob")
    site.converge()
    site.users("ann")
    adapter._do(f"CREATE ROW POLICY {quoted(prefix)} ON system.tables USING 0 TO {quoted(login['username'])}")
    try:
        for options in (["--dry-run"], ["--max-removals", "all"]):
            run = site.run(*options)
            assert (run.code, run.actions) == (2, set())
            assert "hide rows of system.tables from the admin account" in run.result["error"]
        assert bob in adapter.accounts()
    finally:
        adapter._do(f"DROP ROW POLICY {quoted(prefix)} ON system.tables")
    site.converge("--max-removals", "all")
