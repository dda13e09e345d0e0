"""Two real nodes: what dbroster does reaches both, and what one of them lacks is seen and mended.

Accounts are each node's own, or replicated; nodes are replicas or shards, and speak to each other in the clear or by
TLS only. `DBROSTER_SOAK=1` tries everything on each kind.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dbroster.engines import connect
from dbroster.engines.clickhouse import sync_lock as clickhouse_lock
from dbroster.engines.clickhouse.cluster.nodes import Cluster
from dbroster.errors import OperationError, Stalled, SyncLockHeld
from dbroster.passwords.secret import Secret
from tests.e2e.site import OTHER_PASSWORD, PASSWORD, ROOT, Site
from tests.engines.clickhouse.adapter import HttpProxy, literal, quoted
from tests.engines.clickhouse.clustered import (
    ADMIN,
    KINDS,
    Clustered,
    NodeAdapter,
    brought_in_step,
    frozen,
    hidden,
    silent_disk,
    site_on,
    started,
)
from tests.engines.clickhouse.unstoppable import QUERY, unstoppable
from tests.support import warm
from tests.support.bounded import within
from tests.support.waiting import wait_until

TEMPLATES = ("tools", "web")
REPLICATED = "ENGINE = ReplicatedMergeTree('{}', 'one') ORDER BY x"
SOAK = bool(os.environ.get("DBROSTER_SOAK"))
on_unlike_kinds = pytest.mark.parametrize("cluster", KINDS if SOAK else ["local", "tls"], indirect=True, scope="module")
ALL = ("--max-removals", "all")
with_replicated_accounts = pytest.mark.parametrize("cluster", ["tls"], indirect=True, scope="module")
with_own_accounts = pytest.mark.parametrize("cluster", ["local"], indirect=True, scope="module")


@pytest.fixture(scope="module", params=KINDS if SOAK else ["local"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Clustered]:
    with started(KINDS[request.param]) as clustered:
        yield clustered


@pytest.fixture
def site(cluster: Clustered, tmp_path: Path) -> Site:
    return site_on(cluster, tmp_path)


@pytest.mark.parametrize("sign", "\u2028\u2029\x85\x0b\x1c")
def test_no_sign_in_a_name_cuts_an_answer_of_the_queue(sign: str) -> None:
    """T4: a leaver's view with such a name stands in the error of its drop, and ended every run of everybody."""
    answer = f"a\t1\t0\t\t1\t0\nb\t1\t630\tCode: 630. DB::Exception: `v{sign}w` needs it (version 25)\t0\t0\n"
    with pytest.raises(OperationError, match=f"^on the node b:1: `v{sign}w` needs it .code 630.$"):
        Cluster("both", "'both'", ("a:1", "b:1")).judge(answer, 20)


@on_unlike_kinds
def test_the_main_job_on_both_nodes(cluster: Clustered, site: Site) -> None:
    """E8: create, password, lock, drop with the documented admin; pending, done, nothing; no password anywhere."""
    ann, bob = site.users("ann", "bob")
    site.converge()
    cluster.at_home(site)
    for adapter in cluster.adapters:
        assert adapter.log_comment(ann) == f"dbroster/2 {site.prefix} {ann}"
        assert adapter.comment(f"{ann}_web") == f"dbroster/2 {site.prefix} {ann} {ann}_web"
    site.users("ann", bob=OTHER_PASSWORD)
    assert site.converge().actions == {("update_password", bob, None)}
    cluster.at_home(site)

    site.users("ann")
    cluster.adapters[0].do(f"GRANT{cluster.on} CREATE ROLE, ROLE ADMIN ON *.* TO {ADMIN}")  # for grace days
    site.configure(removals={"grace_days": 7})
    assert site.converge("--max-removals", "all").actions == {("lock_user", bob, None)}
    for adapter in cluster.adapters:
        assert not adapter.can_login(bob, OTHER_PASSWORD)
        assert adapter.log_comment(bob) == f"dbroster/2 {site.prefix} {bob} locked"
    site.configure()
    site.converge("--max-removals", "all")
    assert cluster.accounts(site.prefix) == [{ann}] * 2
    assert cluster.databases(site.prefix) == [{f"{ann}_{template}" for template in TEMPLATES}] * 2
    hidden(cluster, PASSWORD, OTHER_PASSWORD)


@with_own_accounts
def test_hashes_are_in_no_log(cluster: Clustered, tmp_path: Path) -> None:
    """E8: they do stand in the queue of statements, but not in what nodes write about it."""
    site = site_on(cluster, tmp_path)
    site.users("ann")
    site.sync()
    with connect(cluster.connection(tmp_path, site.prefix)) as handler:
        verifiers = cluster.adapters[0].verifiers(handler)
    assert verifiers
    for text in verifiers:
        assert not any(node.logs_contain(text) for node in cluster.nodes)


Drift = Callable[[NodeAdapter, str], object]
ON_ACCOUNTS: dict[str, Drift] = {
    "account": lambda node, user: node.do(f"DROP USER {quoted(user)}"),
    "password": lambda node, user: node.do(f"ALTER USER {quoted(user)} IDENTIFIED BY 'of-nobody'"),
    "grant": lambda node, user: node.do(f"REVOKE INSERT ON {quoted(f'{user}_web')}.* FROM {quoted(user)}"),
    "too-much": lambda node, user: node.do(
        f"GRANT SELECT ON {quoted(f'{user}_web')}.* TO {quoted(user[:-8] + 'grant')}"
    ),
    "marker": lambda node, user: node.do(f"ALTER USER {quoted(user)} SETTINGS NONE"),
}
ON_DATABASES: dict[str, Drift] = {
    "database": lambda node, user: node.do(f"DROP DATABASE {quoted(f'{user}_web')} SYNC"),
}
LEAVING: dict[str, Drift] = {
    "left-account": lambda node, user: node.do(f"DROP USER {quoted(user)}"),
    "left-database": lambda node, user: node.do(f"DROP DATABASE {quoted(f'{user}_web')} SYNC"),
    "left-both": lambda node, user: [
        node.do(f"DROP DATABASE {quoted(f'{user}_web')} SYNC"),
        node.do(f"DROP DATABASE {quoted(f'{user}_tools')} SYNC"),
        node.do(f"DROP USER {quoted(user)}"),
    ],
    "left-marked": lambda node, user: node.do(f"ALTER USER {quoted(user)} HOST NONE"),
}


@with_own_accounts
@pytest.mark.parametrize("place", [0, 1] if SOAK else [1])
def test_what_one_node_has_missed_is_mended(cluster: Clustered, tmp_path: Path, place: int) -> None:
    """E8: account, password, grant, marker, database; a leaver whom one node has not dropped is dropped there."""
    site, node = site_on(cluster, tmp_path), cluster.adapters[place]
    everybody = [*ON_ACCOUNTS, *ON_DATABASES]
    names = dict(zip([*everybody, *LEAVING], site.users(*everybody, *LEAVING), strict=True))
    site.sync()
    site.users(*everybody)
    for kind, drift in {**ON_ACCOUNTS, **ON_DATABASES, **LEAVING}.items():
        drift(node, names[kind])
    done = site.converge("--max-removals", "all")
    for kind in everybody:
        assert names[kind] in {user for _, user, _ in done.actions} or kind == "too-much", kind
    cluster.at_home(site)
    stay = {names[kind] for kind in everybody}
    assert cluster.accounts(site.prefix) == [stay] * 2
    assert cluster.databases(site.prefix) == [{f"{user}_{t}" for user in stay for t in TEMPLATES}] * 2


@on_unlike_kinds
def test_a_database_that_one_node_has_missed(cluster: Clustered, site: Site) -> None:
    """E8: made where it is missing; dropped where it has been left."""
    ann, bob = site.users("ann", "bob")
    site.sync()
    site.users("ann")
    cluster.adapters[1].do(f"DROP DATABASE {quoted(f'{ann}_web')} SYNC")
    cluster.adapters[0].do(f"DROP DATABASE {quoted(f'{bob}_web')} SYNC")
    cluster.adapters[1].do(f"DROP DATABASE {quoted(f'{bob}_tools')} SYNC")
    site.converge("--max-removals", "all")
    cluster.at_home(site)
    assert cluster.databases(site.prefix) == [{f"{ann}_{template}" for template in TEMPLATES}] * 2


def test_what_is_not_ours_on_one_node_is_left_alone_on_both(cluster: Clustered, site: Site) -> None:
    """E8: a statement ON CLUSTER would change both; the node is named, and what to do there."""
    ann, bob = site.users("ann", "bob")
    site.sync()
    second = cluster.adapters[1]
    second.do(f"DROP DATABASE {quoted(f'{ann}_web')} SYNC")
    second.do(f"CREATE DATABASE {quoted(f'{ann}_web')}")
    if not cluster.replicated:
        second.do(f"DROP USER {quoted(bob)}")
        second.do(f"CREATE USER {quoted(bob)} IDENTIFIED BY 'his-own'")
    run = site.run("--dry-run")
    assert run.code == 1
    place = f"on the node {cluster.nodes[1].name} it has no marker of this roster; drop or rename it there"
    assert place in run.out
    site.users()
    run = site.run("--max-removals", "all")
    assert f"the database {ann}_web is left alone on every node of the cluster: {place}" in run.out
    assert all(f"{ann}_web" in found for found in cluster.databases(site.prefix))
    if not cluster.replicated:
        assert run.code == 1
        assert all(bob in found for found in cluster.accounts(site.prefix))
    for adapter in cluster.adapters:
        adapter.wipe(site.prefix)


def test_a_policy_that_hides_rows_on_the_other_node(cluster: Clustered, site: Site) -> None:
    """J7: nothing is begun; the statement that is told lets the admin see everything on both nodes."""
    _, bob = site.users("ann", "bob")
    site.sync()
    site.users("ann")
    second, policies = cluster.adapters[1], (site.prefix, f"all rows for {ADMIN}")
    second.do(f"CREATE ROW POLICY {quoted(site.prefix)} ON system.users USING 0 TO {ADMIN}")
    try:
        for options in (["--dry-run"], ["--max-removals", "all"]):
            run = site.run(*options)
            assert (run.code, run.actions) == (2, set())
            assert "hide rows of system.users from the admin account" in run.result["error"]
        second.do(run.result["error"].partition("as another administrator: ")[2].rstrip(";"))
        site.converge("--max-removals", "all")
    finally:
        for policy, place in zip(policies, ("users", "*"), strict=True):
            second.do(f"DROP ROW POLICY IF EXISTS {quoted(policy)}{cluster.on} ON system.{place}")
    assert not any(bob in found for found in cluster.accounts(site.prefix))


def test_the_lock_holds_on_both_nodes(cluster: Clustered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """E8: a second sync that comes to the other node is kept out, and told how to end the first."""
    monkeypatch.setattr(clickhouse_lock, "PATIENCE", 1.0)
    site = site_on(cluster, tmp_path)
    first, second = (cluster.connection(tmp_path, site.prefix, node) for node in (0, 1))
    with connect(first) as holder, connect(second) as late:
        holder.acquire_sync_lock()
        with pytest.raises(SyncLockHeld, match="KILL QUERY ON CLUSTER `both` WHERE query_id"):
            late.acquire_sync_lock()


def test_queries_of_a_leaver_end_on_the_other_node(cluster: Clustered, site: Site) -> None:
    """E8: what runs there when the line goes is killed."""
    (ann,) = site.users("ann")
    site.sync()
    other = cluster.adapters[1]
    endless = "SELECT sleepEachRow(1) FROM numbers(600) SETTINGS max_block_size = 1 FORMAT Null"
    ended: list[BaseException | str] = []

    def run() -> None:
        try:
            ended.append(other.ask(ann, PASSWORD, endless, function_sleep_max_microseconds_per_block="0"))
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    running = f"SELECT query_id FROM system.processes WHERE user = {literal(ann)}"
    while not other._names(running) and thread.is_alive():
        thread.join(0.05)
    assert other._names(running)
    site.users()
    site.sync("--max-removals", "all")
    thread.join(30)
    assert "QUERY_WAS_CANCELLED" in str(ended)
    assert not other._names(running)


# --- a node that is frozen, or down --------------------------------------------------------------------------------


def test_a_frozen_node_ends_the_run(cluster: Clustered, site: Site) -> None:
    """E8: within connect_timeout, by name, before anything is changed; the next run does it all."""
    _, bob = site.users("ann", "bob")
    site.sync()
    site.users("ann", "carl")
    site.configure(connect_timeout=2, timeout=10)
    before = cluster.accounts(site.prefix)
    with frozen(cluster.nodes[1]), within(20):
        run = site.run("--max-removals", "all")
    assert run.code == 2
    assert (
        f"of the cluster both {cluster.nodes[1].name} did not answer within 2 s (`connect_timeout`"
        in run.result["error"]
    )
    assert cluster.accounts(site.prefix) == before
    site.configure()
    brought_in_step(cluster, site, bob)


@with_own_accounts
def test_a_table_in_the_queue_of_statements_is_told(cluster: Clustered, site: Site) -> None:
    """J11: with it no node performs a statement ON CLUSTER; what is told sets the queue going again."""
    (bob,) = site.users("bob")
    site.sync()
    path = "/clickhouse/task_queue/ddl/query-9999999999"
    second = cluster.adapters[1]
    second.ask(bob, PASSWORD, f"CREATE TABLE {quoted(f'{bob}_web')}.k (x String) {REPLICATED.format(path)}")
    site.users("ann", "bob")
    site.configure(timeout=10)
    for options in (["--dry-run"], []):
        run = site.run(*options)
        assert run.code == (0 if options else 1)
        told = f"the table k in {bob}'s database {bob}_web on the node {cluster.nodes[1].name} has the path {path} in"
        assert told in run.out
    second.do(f"DROP TABLE {quoted(f'{bob}_web')}.`k` SYNC")
    assert f"DROP TABLE {quoted(f'{bob}_web')}.`k` SYNC; then" in run.out
    for node in cluster.nodes:
        node.kill()
        node.start()
    site.configure()
    site.converge()
    cluster.at_home(site)


@with_replicated_accounts
def test_a_table_among_the_accounts_is_told_with_what_ends_that(cluster: Clustered, site: Site) -> None:
    """W2: one of any user's kept every account on every node from being changed, and removed; nothing named it."""
    ann, bob = site.users("ann", "bob")
    site.sync()
    path = "/clickhouse/access/uuid/nobody"
    first, table = cluster.adapters[0], f"{quoted(f'{ann}_web')}.`k`"
    first.ask(ann, PASSWORD, f"CREATE TABLE {table} (x String) {REPLICATED.format(path + '/k')}")
    site.users("ann")
    told = f"the table k in {ann}'s database {ann}_web has the path {path}/k in ZooKeeper, among the accounts"
    assert told in site.run("--dry-run", *ALL).out
    run = site.run(*ALL)
    assert run.code == 1
    assert told in run.out
    assert f"To end that: DROP TABLE {table} SYNC; then see that ZooKeeper has nothing but accounts there" in run.out
    assert "Cannot parse uuid nobody (code 376); if that is about an account" in run.out
    first.do(f"DROP TABLE {table} SYNC")
    cluster.cluster.keeper.delete(path)
    brought_in_step(cluster, site, bob)


@with_replicated_accounts
def test_a_run_waits_until_every_node_has_heard_of_a_removal(cluster: Clustered, site: Site) -> None:
    """W9: a node that has met an error in ZooKeeper looks again after 5 s; the run ended sooner, and he stayed in."""
    _, bob = site.users("ann", "bob")
    site.sync()
    site.users("ann")
    path = "/clickhouse/access/uuid/nobody"
    table = f"{quoted(f'{bob}_web')}.`k`"
    cluster.adapters[0].ask(bob, PASSWORD, f"CREATE TABLE {table} (x String) {REPLICATED.format(path + '/k')}")
    cluster.adapters[0].do(f"DROP TABLE {table} SYNC")
    log = cluster.nodes[1].home / "clickhouse.log"
    failures = log.read_text(errors="replace").count("restart watching thread after error")
    wait_until(lambda: log.read_text(errors="replace").count("restart watching thread after error") > failures)
    cluster.cluster.keeper.delete(path)
    site.sync(*ALL)
    assert not any(bob in found for found in cluster.accounts(site.prefix))
    site.in_step()


@with_own_accounts
def test_what_must_fail_is_foreseen_on_a_cluster(cluster: Clustered, site: Site) -> None:
    """W3, T3: since the query failed there, and was passed over, a dry run promised what no run could do."""
    _, bob = site.users("ann", "bob")
    site.sync()
    site.users("ann")
    place = f"{quoted(f'{bob}_web')}.`secret`"
    cluster.adapters[1].do(f"REVOKE SELECT ON {place} FROM {ADMIN}")
    run = site.run("--dry-run", *ALL)
    assert f"the admin account was refused SELECT ON {place}" in run.out
    assert run.code == 1
    cluster.adapters[1].do(f"GRANT SELECT ON {place} TO {ADMIN} WITH GRANT OPTION")
    brought_in_step(cluster, site, bob)


@with_own_accounts
def test_views_that_were_put_away_keep_no_account(cluster: Clustered, site: Site) -> None:
    """P3, T9: each node remembers their definer when they are gone; the lock itself puts some of them away."""
    _, bob = site.users("ann", "bob")
    site.sync()
    for node, name in zip(cluster.adapters, ("here", "th\u2028ere"), strict=True):
        view = f"{quoted(f'{bob}_web')}.{quoted(name)}"
        node.ask(bob, PASSWORD, f"CREATE VIEW {view} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT 1")
        node.ask(bob, PASSWORD, f"DETACH TABLE {view} PERMANENTLY")
    site.users("ann")
    brought_in_step(cluster, site, bob)


@with_own_accounts
def test_replicas_of_another_users_table_are_told(cluster: Clustered, site: Site) -> None:
    """J11, B6: who names its path in ZooKeeper reads and changes all rows; the same table on two nodes is no matter."""
    ann, bob = site.users("ann", "bob")
    site.sync()
    path = f"/tables/{site.prefix}"
    for number, adapter in enumerate(cluster.adapters):
        table = (
            f"CREATE TABLE {quoted(f'{ann}_web')}.t (x String) {REPLICATED.format(path).replace('one', str(number))}"
        )
        adapter.ask(ann, PASSWORD, table)
    site.in_step()
    assert "replicas of each other" not in site.run("--dry-run").out
    first = cluster.adapters[0]
    first.ask(ann, PASSWORD, f"INSERT INTO {quoted(f'{ann}_web')}.t VALUES ('hers')")
    first.ask(bob, PASSWORD, f"CREATE TABLE {quoted(f'{bob}_web')}.k (x String) {REPLICATED.format(path)}")
    drop = f"DROP TABLE {quoted(f'{bob}_web')}.`k` SYNC;"
    told = f"the tables {ann}_web.t, {bob}_web.k of different users are replicas of each other"
    run = site.run("--dry-run")
    assert told in run.out
    assert drop in run.out
    first.do(drop.rstrip(";"))
    assert told not in site.run("--dry-run").out
    assert first.ask(ann, PASSWORD, f"SELECT x FROM {quoted(f'{ann}_web')}.t").strip() == "hers"


@with_own_accounts
def test_maps_of_another_users_path_are_told(cluster: Clustered, site: Site) -> None:
    """Z13, J11, B6: who names the path of her KeeperMap reads and changes all its rows."""
    ann, bob = site.users("ann", "bob")
    site.sync()
    first, engine = cluster.adapters[0], f"ENGINE = KeeperMap('/{site.prefix}') PRIMARY KEY x"
    first.ask(ann, PASSWORD, f"CREATE TABLE {quoted(f'{ann}_web')}.t (x String) {engine}")
    assert "replicas of each other" not in site.run("--dry-run").out
    first.ask(ann, PASSWORD, f"INSERT INTO {quoted(f'{ann}_web')}.t VALUES ('hers')")
    first.ask(bob, PASSWORD, f"CREATE TABLE {quoted(f'{bob}_web')}.k (x String) {engine}")
    assert first.ask(bob, PASSWORD, f"SELECT x FROM {quoted(f'{bob}_web')}.k").strip() == "hers"
    drop, run = f"DROP TABLE {quoted(f'{bob}_web')}.`k` SYNC", site.run("--dry-run")
    assert f"the tables {ann}_web.t, {bob}_web.k of different users are replicas of each other" in run.out
    assert drop in run.out
    first.do(drop)
    assert "replicas of each other" not in site.run("--dry-run").out
    assert first.ask(ann, PASSWORD, f"SELECT x FROM {quoted(f'{ann}_web')}.t").strip() == "hers"


def test_a_node_that_freezes_in_the_middle(cluster: Clustered, site: Site, tmp_path: Path) -> None:
    """E8: within timeout, by name; what was half done is finished by the next run, on every node."""
    _, bob = site.users("ann", "bob")
    site.sync()
    site.users("ann")
    connection = cluster.connection(tmp_path, site.prefix)._replace(timeout=8)
    with connect(connection) as handler, frozen(cluster.nodes[1]), within(20):
        with pytest.raises(Stalled, match=f"of the cluster both {cluster.nodes[1].name} did not answer within 8 s"):
            handler.get_existing_databases()
        cluster.adapters[0].do(f"DROP DATABASE {quoted(f'{bob}_web')} SYNC")
    silent = pytest.raises(Stalled, match=f"{cluster.nodes[1].name} did not answer")
    with connect(connection) as handler, frozen(cluster.nodes[1]), within(20), silent:
        handler._session.run(f"DROP DATABASE {quoted(f'{bob}_tools')} ON CLUSTER both SYNC")  # type: ignore[attr-defined]
    brought_in_step(cluster, site, bob)


def test_a_query_that_can_not_be_broken_off_holds_up_no_queue(cluster: Clustered, site: Site) -> None:
    """J10, B4: a drop that waited for it on one node kept all other changes of the cluster waiting behind it."""
    ann, bob = site.users("ann", "bob")
    site.sync()
    node, slow = cluster.adapters[1], "SELECT count() FROM {table} WHERE {slow} = 3"
    site.users("ann", "cy")

    def end() -> None:
        cluster.nodes[1].kill()
        cluster.nodes[1].start()

    with unstoppable(node, bob, Secret(PASSWORD), slow, QUERY.format(bob), end), within(20):
        site.sync("--max-removals", "all")
        assert node.do(QUERY.format(bob)).strip() == "1"
    assert cluster.accounts(site.prefix) == [{ann, site.name("cy")}] * 2


def test_a_silent_disk_of_another_user_stops_no_queue(cluster: Clustered, site: Site) -> None:
    """J4, J10: any DROP on that node would wait for the CREATE of somebody who stays, and all statements behind it."""
    ann, bob = site.users("ann", "bob")
    site.sync()
    node = cluster.adapters[1]
    site.configure(timeout=8)
    site.users("ann", "cy")
    # whoever asks for a table's storage policy now waits for the disk, too
    node.ask(ann, PASSWORD, f"CREATE TABLE {quoted(f'{ann}_web')}.t (x UInt8) ENGINE = MergeTree ORDER BY x")
    with silent_disk(node, ann) as query, within(30):
        run = site.run("--max-removals", "all")
        told = f"on the node {cluster.nodes[1].name} the query {query} of {ann} is at work"
        errors = [a["error"] for a in run.result["actions"] if a["status"] == "failed"]
        assert errors, run.out + run.err
        assert all(told in error for error in errors)
    assert cluster.accounts(site.prefix) == [{ann, site.name("cy"), bob}] * 2
    cluster.nodes[1].kill()  # a client of S3 tries again for very long
    cluster.nodes[1].start()
    site.configure()
    site.converge("--max-removals", "all")


def test_a_run_that_waits_for_a_frozen_node_can_be_ended(cluster: Clustered, site: Site) -> None:
    """E8: one SIGTERM, and it ends in seconds."""
    site.users("ann")
    site.configure(connect_timeout=60, timeout=300)
    script = ROOT / "scripts" / "clickhouse_sync.py"
    with frozen(cluster.nodes[1]):
        run = subprocess.Popen([sys.executable, str(script), "--config", str(site.directory)], stdout=subprocess.PIPE)
        asking = f"SELECT query_id FROM system.processes WHERE user = '{ADMIN}' AND query LIKE '%clusterAllReplicas%'"
        while not cluster.adapters[0]._names(asking) and run.poll() is None:
            time.sleep(0.05)
        run.terminate()
        with within(10):
            run.communicate(timeout=60)
        assert run.returncode not in (0, None)
    site.configure()
    site.converge()


def test_a_node_that_was_down_is_brought_in_step(cluster: Clustered, site: Site, tmp_path: Path) -> None:
    """E8: it dies while a leaver is removed; without it nothing goes on, and with it the leaver is gone there, too."""
    _, bob = site.users("ann", "bob")
    site.sync()
    site.users("ann")
    node = cluster.nodes[1]
    with connect(cluster.connection(tmp_path, site.prefix)._replace(timeout=8)) as handler:
        handler.get_existing_users()
        node.kill()
        with pytest.raises(Stalled, match=node.name):
            handler.lock_user(bob)
    site.configure(connect_timeout=2)
    run = site.run("--max-removals", "all")
    assert (run.code, node.name in run.result["error"]) == (2, True)
    node.start()
    site.configure()
    brought_in_step(cluster, site, bob)


def test_without_zookeeper_nothing_is_begun(cluster: Clustered, site: Site) -> None:
    """E8: what can't be changed is told at the start, and why; once it is back, the run does it all."""
    site.users("ann")
    cluster.cluster.keeper.kill()
    run = site.run()
    assert (run.code, run.actions) == (2, set())
    assert "ZooKeeper or ClickHouse Keeper does not answer" in run.result["error"]
    cluster.cluster.keeper.start()
    site.pending()
    site.sync()
    # accounts in ZooKeeper reach the other node when that has noticed that it is back
    wait_until(lambda: site.run("--dry-run", "--detailed-exitcode").code == 0)
    cluster.at_home(site)


# --- cost and privileges --------------------------------------------------------------------------------------------


def test_reading_takes_as_many_queries_for_many_as_for_few(cluster: Clustered, tmp_path: Path) -> None:
    """E8: one query asks all nodes; however many accounts there are."""
    site = site_on(cluster, tmp_path)
    connection = cluster.connection(tmp_path, site.prefix)

    def messages() -> int:
        with HttpProxy(cluster.nodes[0], None) as proxy, connect(connection._replace(port=proxy.port)) as handler:
            handler.missing_privileges([])
            handler.get_existing_users()
            handler.get_existing_databases()
            handler.warnings()
            return proxy.messages

    site.users("ann")
    site.sync()
    few = messages()
    site.users("ann", *(f"u{number}" for number in range(8)))
    site.sync()
    assert messages() == few


def test_over_tls(cluster: Clustered, site: Site) -> None:
    """E8: and logins at the other node go by TLS, too."""
    node = cluster.nodes[0]
    site.configure(port=node.https_port, tls={"mode": "verify-full", "ca": str(node.ca)})
    (ann,) = site.users("ann")
    site.converge()
    if not cluster.replicated:
        cluster.adapters[1].do(f"ALTER USER {quoted(ann)} IDENTIFIED BY 'of-nobody'")
        assert site.converge().actions == {("update_password", ann, None)}
    cluster.at_home(site)


def test_the_admin_that_grants_makes_is_on_every_node(cluster: Clustered, site: Site) -> None:
    admin = f"{site.prefix}adm"
    site.configure(username=admin, password="Admins-2")
    told = warm.run(["-m", "dbroster", "grants", "--show", "--config", str(site.directory)])
    assert told[0] == 0, told
    for line in told[1].splitlines():
        if line and not line.startswith("--"):
            cluster.adapters[0].do(line.removesuffix(";"))
    site.users("ann")
    site.converge()
    site.users()
    site.converge("--max-removals", "all")
    assert cluster.accounts(site.prefix) == [{admin}] * 2


def test_the_missing_privileges_are_all_that_is_needed(cluster: Clustered, site: Site) -> None:
    """E6, E8: an admin without any is told each GRANT; with those it does everything."""
    admin = f"{site.prefix}adm"
    cluster.adapters[0].do(f"CREATE USER {quoted(admin)}{cluster.on} IDENTIFIED BY 'Admins-2'")
    site.configure(username=admin, password="Admins-2")
    for _ in range(3):  # who may not look is not told all at once
        run = site.run("--dry-run")
        for line in filter(lambda line: line.endswith(";"), (run.result["error"] or "").splitlines()):
            cluster.adapters[0].do(line)
    cluster.adapters[0].do(f"GRANT{cluster.on} KILL QUERY ON *.* TO {quoted(admin)}")
    site.users("ann")
    site.converge()
    site.users()
    site.converge("--max-removals", "all")
    assert cluster.accounts(site.prefix) == [{admin}] * 2
