"""Who can hold the lock, and who can't."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dbroster.engines import connect
from dbroster.engines.mongodb import sync_lock as mongodb_lock
from dbroster.engines.mongodb.access.admin_privileges import needed
from dbroster.engines.mongodb.options import MongoDBOptions
from dbroster.errors import SyncLockHeld
from dbroster.model.connection import Connection
from dbroster.passwords.secret import Secret
from servers import MongoDB, MongoReplicaSet
from tests.engines.mongodb.conftest import PASSWORD, Client, Site, opened

NAME = "dbroster lock 0badf00d 4711@elsewhere"
SOURCE = Path(__file__).parents[3] / "src"

HOLD = """
import sys
from dbroster.model.connection import Connection, Tls
from dbroster.engines import connect
from dbroster.passwords.secret import Secret

host, port, user, ca = sys.argv[1:]
password = Secret(sys.stdin.readline().strip())
with connect(Connection("mongodb", "default", host, int(port), user, password, tls=Tls("verify-full", ca))) as handler:
    handler.acquire_sync_lock()
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongodb_lock, "PATIENCE", 0.0)


def play_a_sync(site: Site, user: str | None, password: str | None, **more: Any) -> Client:
    client = site.login(user, password, appname=NAME, **more)
    client.admin.command("connectionStatus")
    return client


def make_user(site: Site, database: str, name: str, *roles: dict[str, str], **more: Any) -> str:
    site.dba[database].command("createUser", name, pwd=PASSWORD, roles=list(roles), **more)
    return name


def privileges() -> list[dict[str, Any]]:
    return [{"resource": resource, "actions": list(actions)} for resource, actions in needed("admin")]


@pytest.fixture
def least(site: Site) -> Iterator[Connection]:
    """The admin of docs/engines.md."""
    role = f"{site.bob}least"
    site.dba.admin.command("createRole", role, privileges=privileges(), roles=[])
    make_user(site, "admin", role, {"role": role, "db": "admin"})
    yield site.connection()._replace(username=role, password=Secret(PASSWORD))
    site.dba.admin.command("dropUser", role)
    site.dba.admin.command("dropRole", role)


def test_who_has_not_logged_in_holds_no_lock(site: Site) -> None:
    """B1: any client may choose an application name; nobody needs a login for that."""
    with play_a_sync(site, None, None), site.handler() as handler:
        handler.acquire_sync_lock()
        assert handler.warnings() == []


def test_a_user_of_the_roster_holds_no_lock(site: Site, least: Connection) -> None:
    """B1: the connection of bob, or of an account that an owner has made, is ignored, and the run says so."""
    with connect(least) as handler:
        site.make(handler)
        site.dba.admin.command("grantRolesToUser", site.bob, roles=[{"role": "dbOwner", "db": site.web}])
        with site.login(site.bob, PASSWORD) as bob:
            bob[site.web].command("createRole", "mighty", privileges=[], roles=["dbOwner", "userAdmin"])
            bob[site.web].command("createUser", "evil", pwd=PASSWORD, roles=["mighty"])
        with (
            play_a_sync(site, site.bob, PASSWORD),
            play_a_sync(site, site.bob, PASSWORD),
            play_a_sync(site, "evil", PASSWORD, authSource=site.web),
        ):
            handler.acquire_sync_lock()
            assert len(handler.warnings()) == 2
            texts = " ".join(problem.text for problem in handler.warnings())
            assert f"connection of {site.bob}@admin calls itself a sync" in texts
            assert f"connection of evil@{site.web} calls itself a sync" in texts
        handler.drop_database(site.bob, site.web)


@pytest.mark.parametrize("role", ["clusterMonitor", "readWriteAnyDatabase", "hostManager"])
def test_who_could_make_no_account_holds_no_lock(site: Site, least: Connection, role: str) -> None:
    """B1: a role on admin alone is not enough."""
    name = make_user(site, "admin", f"{site.bob}app", {"role": role, "db": "admin"})
    with play_a_sync(site, name, PASSWORD), connect(least) as handler:
        handler.acquire_sync_lock()


def test_a_roster_user_to_whom_a_dba_gave_power_holds_no_lock(site: Site, least: Connection) -> None:
    """B1: an account with a marker is nobody's admin, whatever roles it has."""
    with connect(least) as handler:
        site.make(handler)
        site.dba.admin.command("grantRolesToUser", site.bob, roles=[{"role": "userAdminAnyDatabase", "db": "admin"}])
        with play_a_sync(site, site.bob, PASSWORD):
            handler.acquire_sync_lock()


def test_any_admin_holds_the_lock(site: Site, least: Connection) -> None:
    """B1: two syncs with different admins never both run, in whatever database their accounts are."""
    other = make_user(site, "ops", f"{site.bob}ops", {"role": least.username, "db": "admin"})
    admins = (
        least,
        site.connection(),
        least._replace(
            username=other, options=MongoDBOptions(uri=f"mongodb://127.0.0.1:{site.server.port}/?authSource=ops")
        ),
    )
    for one in admins:
        for another in admins:
            with connect(one) as handler, connect(another) as late:
                handler.acquire_sync_lock()
                with pytest.raises(SyncLockHeld, match=f"{one.username}@"):
                    late.acquire_sync_lock()
    site.dba.ops.command("dropUser", other)


def test_an_admin_who_sees_only_the_auth_database(site: Site) -> None:
    """B1: with `viewUser` instead of `find` the same accounts count, and the same don't."""
    role = f"{site.bob}view"
    rest = [each for each in privileges() if each["actions"] != ["find"]]
    view = {"resource": {"db": "admin", "collection": ""}, "actions": ["viewUser"]}
    site.dba.admin.command("createRole", role, privileges=[*rest, view], roles=[])
    make_user(site, "admin", role, {"role": role, "db": "admin"})
    make_user(site, site.web, "evil", {"role": "dbOwner", "db": site.web})
    make_user(site, "admin", site.bob, {"role": "dbOwner", "db": site.web})
    connection = site.connection()._replace(username=role, password=Secret(PASSWORD))
    with connect(connection) as handler, connect(connection) as late, site.handler() as root:
        with (
            play_a_sync(site, site.bob, PASSWORD),
            play_a_sync(site, "evil", PASSWORD, authSource=site.web),
        ):
            handler.acquire_sync_lock()
        for other in (late, root):
            with pytest.raises(SyncLockHeld):
                other.acquire_sync_lock()


def test_the_lock_ends_with_its_process(site: Site) -> None:
    """B1: a sync that was killed leaves no lock."""
    server = site.server
    command = [sys.executable, "-c", HOLD, server.host, str(server.port), server.admin_user, str(server.ca)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env={"PYTHONPATH": str(SOURCE)}, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(server.admin_password + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "held\n"
        with site.handler() as handler, pytest.raises(SyncLockHeld, match=f" {process.pid}@"):
            handler.acquire_sync_lock()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with pytest.MonkeyPatch.context() as patch, site.handler() as handler:
        patch.setattr(mongodb_lock, "PATIENCE", 5.0)
        handler.acquire_sync_lock()


def test_the_lock_outlives_an_election(mongodb_server: object) -> None:
    """B1: a second sync that finds another primary finds the lock there, too; a member that is down stops nobody."""
    with MongoReplicaSet(members=3) as server, opened(server) as site:
        with site.handler() as handler:
            handler.acquire_sync_lock()
            server.step_down()
            server.primary()
            with site.handler() as late, pytest.raises(SyncLockHeld, match="root@admin"):
                late.acquire_sync_lock()
        secondary = next(node for node in server.nodes if node is not server.primary())
        secondary.kill()
        uri = f"mongodb://{','.join(server.hosts)}/?replicaSet=rs1"
        with pytest.MonkeyPatch.context() as patch, site.handler(uri=uri) as handler:
            patch.setattr(mongodb_lock, "PATIENCE", 5.0)
            handler.acquire_sync_lock()


def restart(server: MongoDB) -> None:
    server.kill()
    server.start()


def test_a_run_takes_its_lock_again_after_the_server_has_started_anew(mongodb_server: object) -> None:
    """B1: or another sync, which can't see it any more, would run beside it."""
    with MongoDB() as server, opened(server) as site, site.handler() as handler:
        handler.acquire_sync_lock()
        restart(server)
        elsewhere = site.connection()._replace(jobs=2)
        with site.handler(), connect(elsewhere) as late, pytest.raises(SyncLockHeld, match="root@admin"):
            late.acquire_sync_lock()


def test_a_run_whose_lock_another_one_has_taken_meanwhile_ends(mongodb_server: object) -> None:
    """B1: it gets no new connection any more."""
    with MongoDB() as server, opened(server) as site, site.handler() as handler:
        handler.acquire_sync_lock()
        restart(server)
        with connect(site.connection()._replace(jobs=2)) as faster:
            faster.acquire_sync_lock()
            with pytest.raises(SyncLockHeld, match="root@admin"):
                connect(site.connection())
        with site.handler() as again:
            assert again.missing_privileges(["web"]) == []
