"""Each script alone: a virtual environment with PyYAML and its one driver, the other engines absent or broken."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.adapters import Adapter
from tests.e2e.site import ROOT, Run, Site

OTHERS = {
    "broken": {"host": ["not", "text"], "nonsense": True},
    "dead": {"host": "127.0.0.1", "port": 1, "username": "nobody", "password_env": "NOT_SET_ANYWHERE"},
    "empty": None,
}


@pytest.fixture(scope="session")
def environment(adapter: Adapter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with what requirements-ENGINE.txt names; returns its python."""
    directory = tmp_path_factory.mktemp("venv") / adapter.engine
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    python = directory / "bin" / "python"
    requirements = ROOT / f"requirements-{adapter.engine}.txt"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--no-input", "-r", str(requirements)], check=True)
    return python


def alone(python: Path, site: Site, *options: str) -> Run:
    """Run the script with that python, from another directory, with nothing of ours in the environment."""
    script = ROOT / "scripts" / f"{site.adapter.engine}_sync.py"
    command = [str(python), str(script), "--config", str(site.directory), "--output", "json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env={}, timeout=120)
    return Run(done.returncode, done.stdout, done.stderr)


def test_the_environment_holds_one_driver_only(environment: Path, adapter: Adapter) -> None:
    listed = subprocess.run([str(environment), "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
    drivers = {name for name in ("psycopg", "PyMySQL", "pymongo", "clickhouse-connect") if f"\n{name} " in listed}
    assert len(drivers) == 1
    assert "PyYAML" in listed
    assert "dbroster" not in listed


def test_the_real_job(environment: Path, site: Site) -> None:
    site.users("ann", "bob")
    assert alone(environment, site, "--dry-run", "--detailed-exitcode").code == 4
    run = alone(environment, site)
    assert run.code == 0, run.out + run.err
    assert alone(environment, site, "--dry-run", "--detailed-exitcode").code == 0
    site.everybody_is_at_home()


@pytest.mark.parametrize("kind", OTHERS)
def test_other_engines_sections_do_not_matter(environment: Path, site: Site, kind: str) -> None:
    site.users("ann")
    others = {"mysql", "postgresql", "clickhouse", "mongodb"} - {site.adapter.engine}
    path = site.directory / "connections.yaml"
    path.write_text(path.read_text() + "".join(f"{name}: {OTHERS[kind]!r}\n".replace("None", "") for name in others))
    run = alone(environment, site)
    assert run.code == 0, run.out + run.err


def test_a_missing_driver_is_told(tmp_path: Path, environment: Path, adapter: Adapter, site: Site) -> None:
    other = "postgresql" if adapter.engine == "mysql" else "mysql"
    (site.directory / f"{other}_databases.txt").write_text("web\n")
    path = site.directory / "connections.yaml"
    path.write_text(path.read_text() + f"{other}: {{host: 127.0.0.1, username: x, password: y}}\n")
    script = ROOT / "scripts" / f"{other}_sync.py"
    done = subprocess.run(
        [str(environment), str(script), "--config", str(site.directory)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"requirements-{other}.txt" in done.stdout
    assert "Traceback" not in done.stderr
