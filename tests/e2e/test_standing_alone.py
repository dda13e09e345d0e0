"""Each script alone: a virtual environment with PyYAML and its one driver, the other engines absent or broken."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from dbroster.engines import ENGINES
from tests.contract.adapters import Adapter
from tests.e2e.site import ROOT, Run, Site

DRIVERS = {
    "postgresql": "psycopg", "mysql": "pymysql", "mongodb": "pymongo", "clickhouse": "clickhouse_connect",
}  # fmt: skip
OTHERS = {
    "broken": {"host": ["not", "text"], "nonsense": True},
    "dead": {"host": "127.0.0.1", "port": 1, "username": "nobody", "password_env": "NOT_SET_ANYWHERE"},
    "empty": None,
}


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Fresh virtual environments, one per engine, with what requirements-ENGINE.txt names; returns its python.

    All workers of a run of the tests share them.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    @cache
    def make(engine: str) -> Path:
        directory = shared / f"venv-{engine}"
        with directory.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (directory / "complete").exists():
                fill(directory, engine)
        return directory / "bin" / "python"

    return make


def fill(directory: Path, engine: str) -> None:
    """Make an environment; pip works on it from outside, since to install pip takes longer than all else."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(directory)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(directory / "bin" / "python"), "--disable-pip-version-check"]
    install = ["install", "--quiet", "--no-input", "--no-compile", "-r", str(ROOT / f"requirements-{engine}.txt")]
    subprocess.run([*pip, *install], check=True)
    (directory / "complete").touch()


@pytest.fixture
def environment(environments: Callable[[str], Path], adapter: Adapter) -> Path:
    return environments(adapter.engine)


def alone(python: Path, site: Site, *options: str) -> Run:
    """Run the script with that python, from another directory, with nothing of ours in the environment."""
    script = ROOT / "scripts" / f"{site.adapter.engine}_sync.py"
    command = [str(python), str(script), "--config", str(site.directory), "--output", "json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env={}, timeout=120)
    return Run(done.returncode, done.stdout, done.stderr)


def test_the_environment_holds_one_driver_only(environment: Path, adapter: Adapter) -> None:
    found = set()
    for module in ("psycopg", "pymysql", "pymongo", "clickhouse_connect", "yaml", "dbroster"):
        done = subprocess.run([str(environment), "-c", f"import {module}"], check=False, env={}, stderr=subprocess.PIPE)
        if done.returncode == 0:
            found.add(module)
    assert found == {DRIVERS[adapter.engine], "yaml"}


def test_the_real_job(environment: Path, site: Site) -> None:
    site.users("ann", "bob")
    assert alone(environment, site, "--dry-run", "--detailed-exitcode").code == 4
    run = alone(environment, site)
    assert run.code == 0, run.out + run.err
    assert alone(environment, site, "--dry-run", "--detailed-exitcode").code == 0
    site.everybody_is_at_home()


def test_other_engines_sections_do_not_matter(environment: Path, site: Site) -> None:
    """Each of them is wrong in a way of its own."""
    site.users("ann")
    others = dict(zip(sorted(DRIVERS.keys() - {site.adapter.engine}), OTHERS.values(), strict=True))
    path = site.directory / "connections.yaml"
    path.write_text(
        path.read_text() + "".join(f"{name}: {what!r}\n".replace("None", "") for name, what in others.items())
    )
    run = alone(environment, site)
    assert run.code == 0, run.out + run.err


def test_a_missing_driver_is_told(tmp_path: Path, environment: Path, adapter: Adapter, site: Site) -> None:
    """D8: dbroster is on no package index, so the driver itself is named."""
    other = "postgresql" if adapter.engine == "mysql" else "mysql"
    (site.directory / f"{other}_databases.txt").write_text("web\n")
    path = site.directory / "connections.yaml"
    path.write_text(path.read_text() + f"{other}: {{host: 127.0.0.1, username: x, password: y}}\n")
    script = ROOT / "scripts" / f"{other}_sync.py"
    done = subprocess.run(
        [str(environment), str(script), "--config", str(site.directory)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"is missing): pip install --upgrade '{ENGINES[other].package}>=" in done.stdout
    assert "Traceback" not in done.stderr


def test_the_command_serves_the_engine_whose_driver_is_there(environment: Path, site: Site) -> None:
    """`dbroster sync` with a section for each engine, where three of the drivers are not installed."""
    site.users("ann")
    others = sorted(DRIVERS.keys() - {site.adapter.engine})
    path = site.directory / "connections.yaml"
    path.write_text(path.read_text() + "".join(f"{name}: {{host: h, username: x, password: y}}\n" for name in others))
    for name in others:
        (site.directory / f"{name}_databases.txt").write_text("web\n")
    command = [str(environment), "-m", "dbroster", "sync", "--config", str(site.directory), "--output", "json"]
    source = {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env=source, timeout=120)
    assert done.returncode == 2, done.stdout + done.stderr
    results = {result["engine"]: result for result in json.loads(done.stdout)["results"]}
    assert results.pop(site.adapter.engine)["error"] is None
    assert sorted(results) == others
    for name, result in results.items():
        assert f"the driver for {name} is not installed" in result["error"]
    site.everybody_is_at_home()
