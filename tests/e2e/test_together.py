"""All engines side by side: one command for all, and whatever is wrong with one is nothing to the others."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from tests.contract.adapters import Adapter
from tests.e2e.site import TEMPLATES, Run
from tests.e2e.together import ENGINES, Everything, Gate, black_hole

SERVERS = ("mysql", "mariadb", "postgresql", "clickhouse", "mongodb")
_numbers = count(1)


@pytest.fixture
def everything(adapters: dict[str, Adapter], tmp_path: Path) -> Iterator[Everything]:
    everything = Everything(adapters, tmp_path / "config", f"a{next(_numbers)}q")
    everything.users()
    yield everything
    everything.wipe()


def expected(everything: Everything) -> set[tuple[str, str]]:
    """What the audit log tells of a server that got the whole roster."""
    databases = {f"{user}_{template}" for user in everything.roster for template in TEMPLATES}
    made = {("create_user", user) for user in everything.roster}
    return made | {(verb, name) for verb in ("create_database", "grant_privileges") for name in databases}


def others_are_done(everything: Everything, hurt: str) -> None:
    """See that every server but one has the whole roster, and that one nothing at all."""
    changed = everything.changed()
    for name in SERVERS:
        assert changed[name] == (set() if name == hurt else expected(everything)), name
        assert everything.nobody(name) if name == hurt else everything.at_home(name), name


# --- all is well ------------------------------------------------------------------------------------------------------


def table(run: Run) -> list[list[str]]:
    """The rows of the closing table."""
    return [line.split() for line in run.out.partition("\nall servers")[2].splitlines()[2:-1]]


def test_one_command_for_all_servers(everything: Everything) -> None:
    planned = everything.results("plan", "--detailed-exitcode", code=4)
    run = everything.run("sync")
    assert run.code == 0, run.out + run.err
    heading, *rows = table(run)
    assert heading == ["engine", "server", "users", "same", "user", "db", "failed", "exit"]
    names = [("mysql", "mysql"), ("mysql", "mariadb"), *((name, "default") for name in SERVERS[2:])]
    assert rows == [[*name, "2", "0", "2", "4", "0", "0"] for name in names]
    assert max(map(len, run.out.partition("\nall servers")[2].splitlines())) <= 100
    changed = everything.changed()
    for name in SERVERS:
        assert {(a["action"], a["database"] or a["user"]) for a in planned[name]["actions"]} == changed[name]
        assert everything.at_home(name), name
    again = everything.results("sync", code=0)
    assert [result["actions"] for result in again.values()] == [[]] * len(SERVERS)
    assert everything.run("sync", "--quiet") == Run(0, "", "")


def test_engines_that_are_named_and_a_server_that_is_named(everything: Everything) -> None:
    assert set(everything.results("sync", "mongodb", "clickhouse", code=0)) == {"mongodb", "clickhouse"}
    assert set(everything.results("sync", "mysql", "--server", "mariadb", code=0)) == {"mariadb"}
    assert [everything.nobody(name) for name in SERVERS] == [True, False, True, False, False]


def test_four_scripts_at_once_don_t_wait_for_each_other_and_share_one_audit_log(everything: Everything) -> None:
    with ThreadPoolExecutor(len(ENGINES)) as pool:
        runs = list(pool.map(everything.script, ENGINES))
    assert [run.code for run in runs] == [0] * len(ENGINES), [run.out + run.err for run in runs]
    assert everything.changed() == dict.fromkeys(SERVERS, expected(everything))
    assert all(everything.at_home(name) for name in SERVERS)
    command = [sys.executable, "-m", "dbroster", "audit", "verify", "--config", str(everything.directory)]
    verified = subprocess.run(command, capture_output=True, text=True, check=False, env=everything.environment)
    assert verified.returncode == 0, verified.stdout + verified.stderr


# --- one is wrong -----------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[str, dict[str, object], str]] = {
    "a broken section": ("postgresql", {"prot": 5, "jobs": "many"}, "2 problems in the files"),
    "a variable that is not set": ("mongodb", {"password": "${NOT_SET_ANYWHERE}"}, "problems in the files"),
    "a wrong password": ("clickhouse", {"password": "Wrong-admin-password-1"}, ""),
    "an unknown option": ("mariadb", {"charsett": "utf8mb4"}, "1 problem in the files"),
    "a file that is missing": ("mysql", {"tls": {"ca": "nowhere.pem"}}, "1 problem in the files"),
    "nobody listens": ("mongodb", {"port": 1, "connect_timeout": 1}, ""),
    **{
        f"an authority that did not sign: {n}": (n, {"tls": {"ca": "ca.pem"}, "connect_timeout": 1}, "")
        for n in SERVERS
    },
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_one_is_nothing_to_the_others(everything: Everything, wrong: str) -> None:
    name, values, error = WRONG[wrong]
    others = (adapter for adapter in everything.adapters.values() if adapter.engine != everything.adapters[name].engine)
    (everything.directory / "ca.pem").write_bytes(next(a.server.ca for a in others if a.server.ca).read_bytes())
    everything.hurt(name, **values)
    results = everything.results("sync", code=2)
    assert error in results.pop(name)["error"]
    assert {result["error"] for result in results.values()} == {None}
    others_are_done(everything, name)


def test_a_section_that_is_missing(everything: Everything) -> None:
    everything.configure(postgresql=None)
    results = everything.results("sync", "postgresql", "mysql", "clickhouse", "mongodb", code=2)
    assert results["postgresql"]["problems"][0]["text"].startswith("no section 'postgresql'")
    others_are_done(everything, "postgresql")


@pytest.mark.parametrize(
    ("engine", "module"),
    [("postgresql", "psycopg"), ("clickhouse", "clickhouse_connect"), ("mongodb", "pymongo"), ("mysql", "pymysql")],
)
def test_a_driver_that_can_not_be_loaded(everything: Everything, tmp_path: Path, engine: str, module: str) -> None:
    (tmp_path / f"{module}.py").write_text("raise ImportError('libfoo.so.7: cannot open shared object file')\n")
    everything.environment["PYTHONPATH"] += f":{tmp_path}"
    results = everything.results("sync", code=2)
    for name in SERVERS:
        if everything.adapters[name].engine == engine:
            assert f"the driver for {engine} is installed, but can't be loaded: libfoo" in results[name]["error"]
            assert everything.nobody(name)
        else:
            assert results[name]["error"] is None
            assert everything.at_home(name)


@pytest.mark.parametrize("name", SERVERS)
def test_a_black_hole_is_given_up(everything: Everything, name: str) -> None:
    with black_hole() as port:
        everything.hurt(name, port=port, connect_timeout=1)
        results = everything.results("sync", code=2)
    assert results.pop(name)["error"]
    assert {result["error"] for result in results.values()} == {None}
    others_are_done(everything, name)


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_is_silent_keeps_no_other_one_waiting(everything: Everything, name: str) -> None:
    """It speaks only when all the others have been changed: if they waited for it, nothing would ever end."""
    server = everything.adapters[name].server
    with Gate(server.host, server.port) as gate:
        everything.hurt(name, port=gate.port, connect_timeout=200)
        with subprocess.Popen(
            everything.command("sync"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=everything.environment,
        ) as process:
            wait_until_all_but_one_are_changed(everything, name)
            others_are_done(everything, name)
            gate.open()
            out, _ = process.communicate(timeout=200)
    assert process.returncode == 0, out
    assert everything.changed()[name] == expected(everything)
    assert everything.at_home(name)


def wait_until_all_but_one_are_changed(everything: Everything, name: str) -> None:
    wanted = expected(everything)
    deadline = time.monotonic() + 120
    while any(done != wanted for other, done in everything.changed().items() if other != name):
        assert time.monotonic() < deadline, everything.changed()
        time.sleep(0.02)
