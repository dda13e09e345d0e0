"""Every throw-away server does what servers/README.md promises."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import ENGINES, GivenServer, LocalServer, Missing, PostgreSQL, Server, find, wheel_bindirs
from servers import mysql as mysql_module
from servers.given import variable
from servers.guard import descendants, is_alive
from servers.mongodb import MongoReplicaSet
from servers.mysql import MySQL
from tests.servers.available import available

# What asks a server for 1, makes something that lasts, and finds it again.
SELECT = {"mongodb": '{"ping": 1}'}
# MongoDB writes its journal every 100 ms; only j makes it wait for that.
CREATE = {
    "mongodb": '{"create": "kept", "writeConcern": {"j": true}}',
    "postgresql": "CREATE DATABASE kept TEMPLATE template0",
}
FOUND = {
    "postgresql": "SELECT datname FROM pg_database",
    "mongodb": '{"listCollections": 1}',
}


@pytest.fixture(scope="module", params=sorted(ENGINES))
def running(request: pytest.FixtureRequest) -> Iterator[LocalServer]:
    """A server of each engine, for tests that let it run."""
    with available(ENGINES[request.param]) as server:
        yield server


def answer(server: Server) -> str:
    return server.admin(SELECT.get(server.engine, "SELECT 1"))


def processes(server: LocalServer) -> set[int]:
    assert server.process
    return {server.process.pid} | descendants(server.process.pid)


def test_native_client_answers_and_the_password_is_nowhere_to_be_seen(running: LocalServer) -> None:
    assert answer(running) == ('{"ok": 1.0}' if running.engine == "mongodb" else "1")
    done = running.client(running.admin_user, "wrong", "", SELECT.get(running.engine, "SELECT 1"))
    assert done.returncode != 0
    assert "wrong" not in " ".join(done.args)
    for pid in processes(running):
        assert running.admin_password.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert running.log_files()
    assert not running.logs_contain(running.admin_password)


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_a_server_comes_back_with_its_data_on_its_port_and_leaves_nothing_in_the_end(engine: str) -> None:
    """When it was killed, and when it was stopped; when it is closed, neither process nor file is left."""
    with available(ENGINES[engine]) as server:
        port, pids, directory = server.port, processes(server), server.directory
        assert directory
        assert directory.exists()
        server.admin(CREATE.get(engine, "CREATE DATABASE kept"))
        server.kill()
        assert not server.is_running
        assert not any(map(is_alive, pids))
        server.start()
        assert server.port == port
        assert "kept" in server.admin(FOUND.get(engine, "SHOW DATABASES"))
        server.restart()
        assert server.port == port
        assert "kept" in server.admin(FOUND.get(engine, "SHOW DATABASES"))
        pids = processes(server)
    assert not directory.exists()
    assert not any(map(is_alive, pids))


def test_a_given_server_is_used_and_left_alone(running: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable(running.engine), running.url)
    with find(running.engine) as given:
        assert isinstance(given, GivenServer)
        assert (given.port, given.admin_password, given.ca) == (running.port, running.admin_password, running.ca)
        assert answer(given) == answer(running)
        given.stop()
        given.kill()
    assert running.is_running
    assert not given.can_kill
    assert given.log_files() == []


def test_without_a_given_server_there_is_a_throw_away_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(variable("postgresql"), raising=False)
    assert isinstance(available(lambda: find("postgresql")), PostgreSQL)


def test_a_url_without_a_login_is_refused() -> None:
    with pytest.raises(ValueError, match="DBROSTER_TEST_MYSQL must look like mysql://admin:password@host:port"):
        GivenServer("mysql", "mysql://host:3306")


@pytest.mark.parametrize("running", sorted(ENGINES.keys() - {"mongodb"}), indirect=True)
def test_statements_are_logged(running: LocalServer) -> None:
    """But MongoDB logs slow commands only."""
    running.admin("CREATE DATABASE seen_in_the_log")
    assert running.logs_contain("seen_in_the_log")


@pytest.mark.parametrize("running", ["postgresql", "mysql", "mariadb", "mongodb"], indirect=True)
def test_tls_is_on_and_its_certificate_is_good(running: LocalServer) -> None:
    # The native clients check certificate and name as soon as there is an authority.
    assert running.ca
    assert running.ca.exists()
    answer(running)


def test_several_servers_of_a_kind_run_at_once() -> None:
    with available(PostgreSQL) as one, available(PostgreSQL) as other:
        assert one.port != other.port
        one.admin("CREATE DATABASE only_here")
        assert "only_here" not in other.admin("SELECT datname FROM pg_database")


def test_a_server_outlives_the_thread_that_started_it() -> None:
    server = available(PostgreSQL)
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    try:
        assert answer(server) == "1"
    finally:
        server.close()


def test_options_reach_the_server() -> None:
    with available(lambda: MySQL(options={"lower_case_table_names": "1", "read_only": "ON"})) as server:
        assert server.admin("SELECT @@lower_case_table_names, @@read_only") == "1\t1"


def test_durable_means_synchronous_writes() -> None:
    with available(lambda: PostgreSQL(durable=True)) as durable:
        assert durable.admin("SHOW fsync") == "on"
        assert durable.directory
        assert durable.directory.is_relative_to("/var/tmp")
    with available(PostgreSQL) as fast:
        assert fast.admin("SHOW fsync") == "off"


@pytest.mark.parametrize("bindir", wheel_bindirs(), ids=lambda path: path.parent.name)
def test_other_majors_of_postgresql(bindir: Path) -> None:
    version = subprocess.run([bindir / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    with available(lambda: PostgreSQL(bindir=bindir)) as server:
        assert f"PostgreSQL) {server.admin('SHOW server_version')}\n" in version


def test_a_replica_set_chooses_another_primary() -> None:
    with available(lambda: MongoReplicaSet(3)) as replica_set:
        first = replica_set.primary()
        first.kill()
        assert replica_set.primary() is not first
        replica_set.start()
        assert answer(replica_set).startswith('{"ok": 1.0')
        directories = [node.directory for node in replica_set.nodes]
    assert not any(directory and directory.exists() for directory in directories)


def test_what_is_missing_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DBROSTER_CACHE", str(tmp_path))
    monkeypatch.setattr(mysql_module, "DEBIAN_PROGRAM", tmp_path / "mysqld")
    with pytest.raises(Missing, match="make setup"):
        MySQL()
