"""Drivers that are too old are refused by name and version, before anything is sent."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dbroster.engines import ENGINES

ROOT = Path(__file__).parents[3]

PROGRAM = """
import sys
from dbroster.model.connection import Connection
from dbroster.engines import connect
from dbroster.errors import ConnectError, ServerError
from dbroster.passwords.secret import Secret

try:
    connect(Connection(sys.argv[1], "default", "127.0.0.1", 1, "admin", Secret("secret"), connect_timeout=1))
except ServerError as error:
    print(type(error).__name__, error)
"""


def answer(engine: str, path: Path) -> str:
    command = [sys.executable, "-c", PROGRAM, engine]
    environment = {"PYTHONPATH": f"{path}:{ROOT / 'src'}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("version", ["0.9.31", "0.0.2rc1", "0.22"])
def test_an_old_driver_is_refused_by_name_and_version(engine: str, version: str, tmp_path: Path) -> None:
    """C5: PyMySQL 1.0.2 would work without TLS, PyMongo 4.3.3 was said not to be installed."""
    driver = ENGINES[engine]
    module = driver.module
    (tmp_path / module).mkdir()
    (tmp_path / module / "__init__.py").write_text(f"__version__ = {version!r}\n")
    text = answer(engine, tmp_path)
    assert f"ServerError {driver.driver} {version} is too old: dbroster needs {driver.oldest} or newer" in text
    assert f"pip install --upgrade '{driver.package}>={driver.oldest}'" in text


@pytest.mark.parametrize("engine", ENGINES)
def test_the_drivers_that_are_installed_are_taken(engine: str, tmp_path: Path) -> None:
    """C5: nothing listens on port 1, so all that is wrong is the connection."""
    assert answer(engine, tmp_path).startswith("ConnectError")


def test_a_file_of_our_own_that_is_missing_is_no_missing_driver(tmp_path: Path) -> None:
    """D8: an installation that was broken off, or is being replaced."""
    shutil.copytree(ROOT / "src/dbroster", tmp_path / "dbroster", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "dbroster/engines/mysql/handler.py").unlink()
    told = "a file of dbroster is missing (dbroster.engines.mysql.handler): install dbroster again\n"
    assert answer("mysql", tmp_path) == f"ServerError {told}"


@pytest.mark.parametrize("engine", ENGINES)
def test_the_oldest_drivers_are_those_that_the_package_asks_for(engine: str) -> None:
    """C5, D8: what pip installs is never refused, and what a message tells to install is just that."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (wanted,) = extras[engine]
    assert f"{ENGINES[engine].package}>={ENGINES[engine].oldest}".lower() == wanted.lower()
