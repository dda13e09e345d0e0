"""Nothing of a locked user runs, and nobody can stop the own removal."""

import re
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.model.plan import Action, Verb
from dbroster.model.result import Outcome, Status
from dbroster.model.roster import User
from dbroster.model.state import Lock, PasswordCheck
from dbroster.passwords.secret import Secret
from servers import ClickHouse
from tests.contract.adapters import Refused
from tests.engines.clickhouse.adapter import ClickHouseAdapter, quoted
from tests.engines.clickhouse.test_markers import GOOD, make
from tests.servers.available import available
from tests.support.bounded import within
from tests.support.waiting import wait_until


@pytest.fixture
def bob(handler: Handler, prefix: str) -> str:
    return make(handler, prefix + "bob")


def rows(adapter: ClickHouseAdapter, table: str) -> int:
    return int(adapter._do(f"SELECT count() FROM {table}"))


def wait_for_rows(adapter: ClickHouseAdapter, *tables: str) -> None:
    """See that each table gets another row; their views write every second."""
    for table in tables:
        before = rows(adapter, table)
        wait_until(lambda table=table, before=before: rows(adapter, table) > before)  # type: ignore[misc]


def grow(adapter: ClickHouseAdapter, *tables: str) -> bool:
    """Whether any of the tables gets a row within three seconds."""
    before = [rows(adapter, table) for table in tables]
    time.sleep(3)
    return [rows(adapter, table) for table in tables] != before


def test_the_refreshable_views_of_a_locked_user_stop(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    """B3: also those that write where a DBA has let the user write; after the way back the own ones go on."""
    if isinstance(adapter.server, ClickHouse) and adapter.server.version == "24.8":
        return  # there such views are an experiment, and can't append
    web, dba = quoted(f"{bob}_web"), quoted(f"{bob}dba")
    adapter._do(f"CREATE DATABASE {dba}")
    adapter._do(f"CREATE TABLE {dba}.t (a DateTime64(3)) ENGINE = MergeTree ORDER BY a")
    adapter._do(f"GRANT SELECT, INSERT ON {dba}.* TO {quoted(bob)}")
    adapter.ask(bob, GOOD.reveal(), f"CREATE TABLE {web}.t (a DateTime64(3)) ENGINE = MergeTree ORDER BY a")
    for name, target in (("v", f"{web}.t"), ("w", f"{dba}.t")):
        view = (
            f"CREATE MATERIALIZED VIEW {web}.{name} REFRESH EVERY 1 SECOND APPEND TO {target} AS SELECT now64(3) AS a"
        )
        adapter.ask(bob, GOOD.reveal(), view)
    wait_for_rows(adapter, f"{web}.t", f"{dba}.t")
    handler.lock_user(bob)
    assert handler.get_existing_databases()[f"{bob}_web"].owner == bob, "the claim stays"
    assert not grow(adapter, f"{web}.t", f"{dba}.t")
    handler.update_user_password(bob, GOOD)
    assert not handler.get_existing_databases()[f"{bob}_web"].granted, "so the core plans the grant"
    handler.grant_privileges(bob, f"{bob}_web")
    wait_for_rows(adapter, f"{web}.t")


@pytest.mark.parametrize("more", ["CREATE DICTIONARY", "CREATE DICTIONARY, BACKUP"])
def test_what_the_admin_can_not_take_back_stops_no_removal(
    adapter: ClickHouseAdapter, handler: Handler, prefix: str, more: str
) -> None:
    """E3, B5: REVOKE ALL is refused as a whole; what can be taken is taken, the rest told with its REVOKE."""
    admin, bob, web = prefix + "adm", prefix + "bob", prefix + "bob_web"
    adapter.create_account_by_hand(admin, GOOD.reveal())
    fields = {name: getattr(handler.connection, name) for name in type(handler.connection)._fields}
    limited = type(handler.connection)(**{**fields, "username": admin, "password": GOOD})
    with connect(limited) as weak:
        for statement in weak.missing_privileges(["web"]):
            adapter._do(statement.rstrip(";"))
    with connect(limited) as weak:
        make(weak, bob)
        adapter._do(f"GRANT {more} ON {quoted(web)}.* TO {quoted(bob)}")
        assert weak.get_existing_databases()[web].granted, "nothing that this admin could mend"
        told = " ".join(problem.text for problem in weak.warnings())
        revoke = f"REVOKE {', '.join(sorted(more.split(', ')))} ON {quoted(web)}.* FROM {quoted(bob)};"
        assert revoke in told
        actions = [Action(Verb.LOCK_USER, bob), Action(Verb.DROP_DATABASE, bob, web), Action(Verb.DROP_USER, bob)]
        done: list[Outcome] = [outcome for action in actions for outcome in weak.perform_all([action])]
        assert [outcome.status for outcome in done] == [Status.DONE] * 3
    assert bob not in adapter.accounts()
    assert web not in adapter.databases()


def test_what_the_dba_takes_back_is_told_no_more(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    """B5: a full admin takes it back by itself, so nothing is told."""
    adapter._do(f"GRANT CREATE DICTIONARY ON {quoted(f'{bob}_web')}.* TO {quoted(bob)}")
    assert not handler.get_existing_databases()[f"{bob}_web"].granted
    assert not [problem for problem in handler.warnings() if "can't take it back" in problem.text]
    handler.grant_privileges(bob, f"{bob}_web")
    assert handler.get_existing_databases()[f"{bob}_web"].granted


def test_no_user_can_make_a_dbas_lock_look_like_dbrosters(
    adapter: ClickHouseAdapter, handler: Handler, bob: str
) -> None:
    """B4: who locked an account stands where the user can't reach it; since 25 users may change their default roles."""
    with suppress(Refused):
        adapter.ask(bob, GOOD.reveal(), "SET DEFAULT ROLE NONE TO CURRENT_USER")
    adapter.lock_by_hand(bob)
    assert handler.get_existing_users()[bob].lock is Lock.FOREIGN
    handler.update_user_password(bob, GOOD)
    assert not adapter.can_login(bob, GOOD.reveal())


def test_a_lock_that_a_dba_has_opened_is_forgotten(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    """B4: or the next lock of a DBA would count as dbroster's."""
    handler.lock_user(bob)
    adapter._do(f"ALTER USER {quoted(bob)} HOST ANY")
    found = handler.get_existing_users()[bob]
    assert (found.lock, found.complete) == (Lock.OPEN, False), "the core plans a part that is missing"
    handler.create_user(bob, GOOD)
    assert handler.get_existing_users()[bob].complete
    adapter.lock_by_hand(bob)
    assert handler.get_existing_users()[bob].lock is Lock.FOREIGN


# --- wider grants, patterns, roles ------------------------------------------------------------------------------------


def test_a_grant_on_everything_counts_as_held_and_is_told(
    adapter: ClickHouseAdapter, handler: Handler, bob: str
) -> None:
    """E4, B6: the server folds the narrower grant away, so it was missing for ever."""
    adapter._do(f"GRANT SELECT ON *.* TO {quoted(bob)}")
    handler.grant_privileges(bob, f"{bob}_web")
    assert handler.get_existing_databases()[f"{bob}_web"].granted
    told = [problem.text for problem in handler.warnings() if "on every database" in problem.text]
    assert len(told) == 1
    assert f"REVOKE SELECT ON *.* FROM {quoted(bob)};" in told[0]
    adapter._do(f"REVOKE SELECT ON {quoted(f'{bob}_web')}.* FROM {quoted(bob)}")
    assert not handler.get_existing_databases()[f"{bob}_web"].granted, "a partial revoke takes it away again"
    handler.grant_privileges(bob, f"{bob}_web")
    assert handler.get_existing_databases()[f"{bob}_web"].granted


def test_a_grant_on_a_pattern_is_seen_and_taken_away(
    adapter: ClickHouseAdapter, handler: Handler, bob: str, prefix: str
) -> None:
    """E4: system.grants shows ann_* as a grant on a database ann_, which does not exist."""
    if isinstance(adapter.server, ClickHouse) and adapter.server.version == "24.8":
        return  # there are no patterns
    al, web = make(handler, prefix + "al"), f"{bob}_web"
    adapter.put(bob, GOOD.reveal(), web, "his")
    adapter._do(f"GRANT SELECT ON {quoted(bob)}*.* TO {quoted(al)}")
    assert adapter.can_read(al, GOOD.reveal(), web)
    assert not handler.get_existing_databases()[web].granted
    (outcome,) = handler.perform_all([Action(Verb.GRANT_PRIVILEGES, bob, web)])
    assert outcome.status is Status.DONE
    assert handler.get_existing_databases()[web].granted
    assert not adapter.can_read(al, GOOD.reveal(), web)
    assert adapter.can_write(bob, GOOD.reveal(), web)


def test_names_that_begin_other_names_are_no_patterns(handler: Handler, bob: str, prefix: str) -> None:
    """E4: bob_web and bob_web_2 begin alike, and are granted one by one."""
    handler.create_database(bob, f"{bob}_web_2")
    assert not handler.get_existing_databases()[f"{bob}_web_2"].granted
    handler.grant_privileges(bob, f"{bob}_web_2")
    found = handler.get_existing_databases()
    assert (found[f"{bob}_web"].granted, found[f"{bob}_web_2"].granted) == (True, True)


@pytest.mark.parametrize("depth", [1, 2])
def test_power_through_a_role_protects(
    adapter: ClickHouseAdapter, handler: Handler, bob: str, prefix: str, depth: int
) -> None:
    """B6: whoever manages accounts through a role, or through a role of a role, is left alone."""
    roles = [f"{prefix}role{number}" for number in range(depth)]
    for role in roles:
        adapter._do(f"CREATE ROLE {quoted(role)}")
    for inner, outer in pairwise(roles):
        adapter._do(f"GRANT {quoted(inner)} TO {quoted(outer)}")
    adapter._do(f"GRANT ALTER USER ON *.* TO {quoted(roles[0])}")
    adapter._do(f"GRANT {quoted(roles[-1])} TO {quoted(bob)}")
    found = handler.get_existing_users()[bob]
    for role in roles:
        adapter._do(f"DROP ROLE {quoted(role)}")
    assert (found.managed, found.protected) == (False, f"it may manage accounts through the role {roles[-1]}")
    assert found.roster == prefix, "whoever leaves with such power is told: without a roster nobody would miss them"


def test_another_users_data_through_a_role_is_told(
    adapter: ClickHouseAdapter, handler: Handler, bob: str, prefix: str
) -> None:
    """B6: al reads bob's database by a role that a DBA gave to al; dbroster names role and REVOKE."""
    al, role = make(handler, prefix + "al"), prefix + "analysts"
    adapter._do(f"CREATE ROLE {quoted(role)}")
    adapter._do(f"GRANT SELECT ON {quoted(f'{bob}_web')}.* TO {quoted(role)}")
    adapter._do(f"GRANT {quoted(role)} TO {quoted(al)}")
    handler.get_existing_databases()
    told = [problem.text for problem in handler.warnings() if role in problem.text]
    adapter._do(f"DROP ROLE {quoted(role)}")
    assert len(told) == 1
    assert f"{al} has SELECT on {bob}'s database {bob}_web" in told[0]
    assert f"REVOKE {quoted(role)} FROM {quoted(al)};" in told[0]


# --- logins that have ended, and several ways to log in ---------------------------------------------------------------


def test_an_account_that_has_expired_stays_so_and_is_told(
    adapter: ClickHouseAdapter, handler: Handler, bob: str
) -> None:
    """E2, C6: VALID UNTIL is a DBA's lock. It was opened by the password that 'differs', or failed in every run."""
    adapter._do(f"ALTER USER {quoted(bob)} VALID UNTIL '2020-01-01 00:00:00'")
    found = handler.get_existing_users()
    assert "it has expired (VALID UNTIL 2020-01-01 00:00:00)" in (found[bob].unusable or "")
    assert handler.check_passwords([User(bob, GOOD, 1)], found) == {bob: PasswordCheck.UNKNOWN}
    handler.update_user_password(bob, Secret("Another-staple-8"))
    assert not adapter.can_login(bob, "Another-staple-8")
    adapter._do((found[bob].unusable or "").rpartition(": ")[2].rstrip(";"))
    assert adapter.can_login(bob, "Another-staple-8")


def test_an_end_that_is_to_come_stays(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    """E2: since 24.9 a new password would make the account valid for ever."""
    adapter._do(f"ALTER USER {quoted(bob)} VALID UNTIL '2099-01-01 00:00:00'")
    assert handler.get_existing_users()[bob].unusable is None
    (outcome,) = handler.perform_all([Action(Verb.UPDATE_PASSWORD, bob, password=Secret("Another-staple-8"))])
    assert outcome.status is Status.DONE
    assert adapter.can_login(bob, "Another-staple-8")
    assert "VALID UNTIL '2099-01-01 00:00:00'" in adapter._do(f"SHOW CREATE USER {quoted(bob)} FORMAT TSVRaw")


def test_who_logs_in_otherwise_gets_the_marker_again_and_no_password(
    adapter: ClickHouseAdapter, handler: Handler, bob: str
) -> None:
    """E2, C8: "left as it is" was said of LDAP, and the very run replaced it, since SETTINGS had taken the marker."""
    adapter._do(f"ALTER USER {quoted(bob)} IDENTIFIED WITH ldap SERVER 'x' SETTINGS readonly = 0")
    found = handler.get_existing_users()
    assert not found[bob].complete
    assert handler.check_passwords([User(bob, GOOD, 1)], found) == {bob: PasswordCheck.UNKNOWN}
    handler.create_user(bob, GOOD)
    assert handler.get_existing_users()[bob].complete
    assert "IDENTIFIED WITH ldap SERVER 'x'" in adapter._do(f"SHOW CREATE USER {quoted(bob)} FORMAT TSVRaw")


def test_other_ways_to_log_in_are_kept(adapter: ClickHouseAdapter, handler: Handler, bob: str) -> None:
    """E2, C7: IDENTIFIED replaces all methods; so it is refused, by the dry run, too, with the way out."""
    if isinstance(adapter.server, ClickHouse) and adapter.server.version == "24.8":
        return  # there is one method only
    adapter._do(f"ALTER USER {quoted(bob)} ADD IDENTIFIED WITH ssl_certificate CN 'bob'")
    change = Action(Verb.UPDATE_PASSWORD, bob, password=Secret("Another-staple-8"))
    (reason,) = handler.foresee([change])
    (outcome,) = handler.perform_all([change])
    assert reason == outcome.error
    assert "ssl_certificate" in adapter._do(f"SHOW CREATE USER {quoted(bob)} FORMAT TSVRaw")
    adapter._do(f"ALTER USER {quoted(bob)} ADD IDENTIFIED WITH sha256_password BY 'third-Password-3'")
    adapter._do((reason or "").rpartition(": ")[2].rstrip(";"))
    (outcome,) = handler.perform_all([change])
    assert outcome.status is Status.DONE
    assert adapter.can_login(bob, "Another-staple-8")


# --- drops that must fail ---------------------------------------------------------------------------------------------


def test_a_definer_of_a_view_elsewhere_is_told_before(
    adapter: ClickHouseAdapter, handler: Handler, bob: str, prefix: str
) -> None:
    """C7, B4: DROP USER must fail (630) while a view of somebody else runs with the user's rights."""
    if isinstance(adapter.server, ClickHouse) and adapter.server.version == "24.8":
        return  # there it succeeds
    dba = quoted(prefix + "dba")
    adapter._do(f"CREATE DATABASE {dba}")
    adapter._do(f"CREATE VIEW {dba}.v DEFINER = {quoted(bob)} SQL SECURITY DEFINER AS SELECT 1")
    plan = [Action(Verb.LOCK_USER, bob), Action(Verb.DROP_DATABASE, bob, f"{bob}_web"), Action(Verb.DROP_USER, bob)]
    *others, reason = handler.foresee(plan)
    assert others == [None, None]
    assert reason
    adapter._do(reason.rpartition(": ")[2].rstrip(";"))
    assert handler.foresee(plan) == [None] * 3


def test_a_table_that_is_too_large_to_drop_is_told_before(tmp_path: Path) -> None:
    """C7: 359 comes when other tables are dropped already; the dry run names the table, and nothing is archived."""
    with available(lambda: ClickHouse(options={"max_table_size_to_drop": "1000"})) as server:
        adapter = ClickHouseAdapter(server)
        with connect(adapter.connection(tmp_path, "l")) as handler:
            handler.prepare()
            bob = make(handler, "lbob")
            adapter.put(bob, GOOD.reveal(), "lbob_web", "small")
            adapter._do("CREATE TABLE lbob_web.`l arge` (a String) ENGINE = MergeTree ORDER BY a")
            adapter._do("INSERT INTO lbob_web.`l arge` SELECT toString(number) FROM numbers(10000)")
            plan = [Action(verb, bob, "lbob_web") for verb in (Verb.ARCHIVE_DATABASE, Verb.DROP_DATABASE)]
            reason, same = handler.foresee(plan)
            assert reason == same
            assert reason
            adapter._do(reason.rpartition(": ")[2].rstrip(";"))
            assert handler.foresee(plan) == [None, None]
            handler.drop_database(bob, "lbob_web")
        adapter.close()


def test_own_databases_that_need_each_other_can_be_dropped(
    adapter: ClickHouseAdapter, handler: Handler, bob: str
) -> None:
    """B4: DROP DATABASE is refused (630) while a table elsewhere depends on one in it; an owner can arrange that."""
    data = f"{bob}_data"
    handler.create_database(bob, data)
    handler.grant_privileges(bob, data)
    for one, other in ((data, f"{bob}_web"), (f"{bob}_web", data)):
        adapter.ask(
            bob, GOOD.reveal(), f"CREATE TABLE {quoted(one)}.j (k UInt64, v String) ENGINE = Join(ANY, LEFT, k)"
        )
        value = f"v String DEFAULT joinGet('{one}.j', 'v', k)"
        adapter.ask(
            bob, GOOD.reveal(), f"CREATE TABLE {quoted(other)}.t (k UInt64, {value}) ENGINE = MergeTree ORDER BY k"
        )
    plan = [Action(Verb.DROP_DATABASE, bob, database) for database in (data, f"{bob}_web")]
    assert handler.foresee(plan) == [None, None]
    assert [outcome.status for outcome in handler.perform_all(plan)] == [Status.DONE] * 2
    assert not {data, f"{bob}_web"} & adapter.databases()


@pytest.mark.parametrize("made", ["loop('{}', 'note')", "mergeTreeIndex('{}', 'note')"])
def test_a_table_that_holds_another_one_keeps_no_drop_waiting(
    adapter: ClickHouseAdapter, handler: Handler, bob: str, prefix: str, made: str
) -> None:
    """B4: DROP DATABASE ... SYNC waits for ever then, whosever table it is; the note says how the rows go for good."""
    ann = make(handler, prefix + "ann")
    web, held = f"{bob}_web", f"{ann}_web"
    adapter.put(ann, GOOD.reveal(), held, "hers")
    adapter.ask(bob, GOOD.reveal(), f"CREATE TABLE {quoted(web)}.`tr``ap` AS {made.format(held)}")
    with within(10):
        (outcome,) = handler.perform_all([Action(Verb.DROP_DATABASE, ann, held)])
    assert outcome.status is Status.DONE
    assert held not in adapter.databases()
    assert outcome.note
    adapter._do(outcome.note.rpartition(": ")[2].rstrip(";"))
    with within(10):
        (outcome,) = handler.perform_all([Action(Verb.DROP_DATABASE, bob, web)])
    assert (outcome.status, outcome.note) == (Status.DONE, None)


def test_what_others_have_made_of_a_table_is_told_before(
    adapter: ClickHouseAdapter, handler: Handler, bob: str, prefix: str
) -> None:
    """C7: a DBA's dictionary that reads from the user's table; the dry run names it, and nothing is archived."""
    web, dba = f"{bob}_web", quoted(prefix + "dba")
    adapter.put(bob, GOOD.reveal(), web, "his")
    adapter._do(f"CREATE DATABASE {dba}")
    source = f"SOURCE(CLICKHOUSE(TABLE 'note' DB '{web}'))"
    adapter._do(
        f"CREATE DICTIONARY {dba}.d (line String) PRIMARY KEY line {source} LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)"
    )
    plan = [Action(verb, bob, web) for verb in (Verb.ARCHIVE_DATABASE, Verb.DROP_DATABASE)]
    reason, same = handler.foresee(plan)
    (outcome,) = handler.perform_all(plan[1:])
    assert reason
    assert (same, outcome.error) == (reason, reason)
    adapter._do(reason.rpartition(": ")[2].rstrip(";"))
    assert handler.foresee(plan) == [None, None]
    handler.drop_database(bob, web)


def test_a_running_refresh_on_24_8_is_told_and_not_waited_for(tmp_path: Path) -> None:
    """B4, C1: there a DROP waits for it for ever, and would keep all others from being removed."""
    with available(lambda: ClickHouse(version="24.8")) as server:
        adapter = ClickHouseAdapter(server)
        with connect(adapter.connection(tmp_path, "r")) as handler:
            handler.prepare()
            bob = make(handler, "rbob")
            view = "CREATE MATERIALIZED VIEW rbob_web.v REFRESH EVERY 1 SECOND ENGINE = Memory AS SELECT sleep(1) AS a"
            adapter.ask(bob, GOOD.reveal(), view, allow_experimental_refreshable_materialized_view="1")
            while "Running" not in adapter._do("SELECT status FROM system.view_refreshes"):
                time.sleep(0.1)
            plan = [Action(Verb.LOCK_USER, bob), Action(Verb.DROP_DATABASE, bob, "rbob_web")]
            lock, drop = handler.foresee(plan)
            assert lock is None
            assert "refreshable view v" in (drop or "")
            outcomes = [outcome for action in plan for outcome in handler.perform_all([action])]
            assert [outcome.status for outcome in outcomes] == [Status.DONE, Status.FAILED]
            assert outcomes[1].error == drop
        adapter.close()


FORGOTTEN = (
    ("DETACH TABLE {d}.v",),
    ("DETACH TABLE {d}.v PERMANENTLY",),
    ("RENAME TABLE {d}.v TO {d}.w",),
    ("RENAME TABLE {d}.v TO {d}.`w\\`w`", "RENAME TABLE {d}.`w\\`w` TO {d}.w", "DROP TABLE {d}.w"),
    ("CREATE VIEW {d}.`we\\`ird \\\\ 'v` DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT 1", "RENAME "
     "TABLE {d}.`we\\`ird \\\\ 'v` TO {d}.w"),
    ("RENAME TABLE {d}.v TO {d}.w", "CREATE VIEW {d}.v DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT 1",
     "RENAME TABLE {d}.v TO {d}.x", "CREATE VIEW {d}.v DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT 1"),
    ("CREATE OR REPLACE VIEW {d}.v DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT 2",),
)  # fmt: skip


@pytest.mark.parametrize("statements", FORGOTTEN)
def test_a_view_that_is_gone_keeps_no_account(
    adapter: ClickHouseAdapter, handler: Handler, bob: str, statements: tuple[str, ...]
) -> None:
    """P3, B4: the server took bob for the definer of a view whose database it had dropped, and kept him for ever."""
    web = f"{bob}_web"
    view = "CREATE VIEW {d}.v DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT 1"
    for statement in (view, *statements):
        adapter.ask(bob, GOOD.reveal(), statement.format(d=quoted(web)))
    handler.lock_user(bob)
    handler.drop_database(bob, web)
    handler.drop_user(bob)
    assert bob not in handler.get_existing_users()
    assert web not in handler.get_existing_databases()


def test_views_of_a_locked_user_stop_no_insert_of_others(
    adapter: ClickHouseAdapter, handler: Handler, bob: str
) -> None:
    """T9, W4: one that reads a shared table runs in each INSERT of anybody, which failed for all days of grace."""
    shared, app, own = f"{bob}-shared", f"{bob}-app", quoted(f"{bob}_web")
    adapter._do(f"CREATE DATABASE {quoted(shared)}")
    adapter.create_account_by_hand(app, GOOD.reveal())
    events = f"{quoted(shared)}.events"
    for statement in (
        f"CREATE TABLE {events} (x UInt8) ENGINE = MergeTree ORDER BY x",
        f"GRANT SELECT ON {events} TO {quoted(bob)}",
        f"GRANT INSERT ON {events} TO {quoted(app)}",
    ):
        adapter._do(statement)
    as_bob = "DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT x"
    for statement in (
        f"CREATE TABLE {own}.kept (x UInt8) ENGINE = MergeTree ORDER BY x",
        f"CREATE MATERIALIZED VIEW {own}.`of all` TO {own}.kept {as_bob} FROM {events}",
        f"CREATE MATERIALIZED VIEW {own}.`of\\xFF` TO {own}.kept {as_bob} FROM {events}",
        f"CREATE MATERIALIZED VIEW {own}.mine ENGINE = MergeTree ORDER BY x {as_bob} FROM {own}.kept",
    ):
        adapter.ask(bob, GOOD.reveal(), statement)
    (lock,) = handler.perform_all([Action(Verb.LOCK_USER, bob)])
    assert lock.status is Status.DONE, lock
    assert lock.note
    assert f"the view {bob}_web.of all is detached, or it would stop every INSERT" in lock.note
    assert f"ATTACH TABLE {own}.`of\\xFF`;" in lock.note
    assert "mine" not in lock.note
    adapter.ask(app, GOOD.reveal(), f"INSERT INTO {events} VALUES (7)")
    for back in re.findall("ATTACH TABLE [^;]*", lock.note):
        adapter._do(back)
    with pytest.raises(Refused):
        adapter.ask(app, GOOD.reveal(), f"INSERT INTO {events} VALUES (8)")
    handler.drop_database(bob, f"{bob}_web")
    adapter.ask(app, GOOD.reveal(), f"INSERT INTO {events} VALUES (9)")
    adapter._do(f"DROP DATABASE {quoted(shared)} SYNC")
    adapter._do(f"DROP USER {quoted(app)}")
