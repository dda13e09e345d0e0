"""The usage examples of the plan that dbroster was made from, word for word, in a directory like the plan's."""

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.contract.adapters import Adapter
from tests.e2e.site import ROOT, TEMPLATES
from tests.e2e.together import ENGINES, Everything

ADD = """echo "new_developer:SecurePass123!" >> config/users.txt"""
CHANGE = """sed -i 's/old_developer:old_pass/old_developer:new_pass/' config/users.txt"""
REMOVE = """sed -i '/old_developer:/d' config/users.txt"""
SECURE = "chmod 600 config/users.txt"
MYSQL = "python mysql_sync.py --config config/"
POSTGRESQL = "python postgresql_sync.py --config config/"
DRY_RUN = "python mysql_sync.py --config config/ --dry-run"
ALL_ENGINES = """\
python mysql_sync.py --config config/
python postgresql_sync.py --config config/
python clickhouse_sync.py --config config/
python mongodb_sync.py --config config/
"""

_numbers = count(1)


@pytest.fixture
def plan(adapters: dict[str, Adapter], tmp_path: Path) -> Iterator[Everything]:
    """The plan's directory, and a roster with the user whom the examples change and remove."""
    for script in (ROOT / "scripts").glob("*_sync.py"):
        (tmp_path / script.name).symlink_to(script)
    plan = Everything(adapters, tmp_path / "config", f"p{next(_numbers)}q")
    sections = plan.sections()
    for section in (*sections["mysql"], *(sections[engine] for engine in ENGINES[1:])):
        section["password_policy"] = {"min_length": 8, "classes": 2}  # `old_pass` and `new_pass` are no good ones
    plan.configure(**sections)
    plan.users({"old_developer": "old_pass", "qa_user": "TestPassword789#"})
    yield plan
    for prefix in (plan.prefix, "old_developer", "new_developer", "qa_user"):
        for adapter in adapters.values():
            adapter.wipe(prefix)


def shell(plan: Everything, command: str) -> str:
    """Run a command in the plan's directory, where `python` is this interpreter."""
    directory = plan.directory.parent
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-e", "-c", command],
        cwd=directory,
        env={"PATH": path, "HOME": str(directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def logins(plan: Everything, user: str, password: str) -> list[str]:
    """The servers on which this user works in all own databases, and in no other user's."""
    found = []
    for name, adapter in plan.adapters.items():
        if all(adapter.can_write(user, password, f"{user}_{template}") for template in TEMPLATES):
            assert not any(adapter.can_write(user, password, f"{other}_web") for other in plan.roster if other != user)
            found.append(name)
    return found


def test_the_examples_word_for_word(plan: Everything) -> None:
    everywhere = list(plan.adapters)
    (plan.directory / "users.txt").chmod(0o644)
    shell(plan, SECURE)
    shell(plan, ALL_ENGINES)
    assert logins(plan, "old_developer", "old_pass") == everywhere
    assert logins(plan, "qa_user", "TestPassword789#") == everywhere

    shell(plan, ADD)
    assert "  + new_developer  new: 2 databases\n" in shell(plan, DRY_RUN)
    assert logins(plan, "new_developer", "SecurePass123!") == []
    assert "  + new_developer  new: 2 databases\n" in shell(plan, MYSQL)
    assert set(logins(plan, "new_developer", "SecurePass123!")) == {"mysql", "mariadb"}
    shell(plan, POSTGRESQL)
    assert set(logins(plan, "new_developer", "SecurePass123!")) == {"mysql", "mariadb", "postgresql"}
    shell(plan, ALL_ENGINES)
    assert logins(plan, "new_developer", "SecurePass123!") == everywhere

    shell(plan, CHANGE)
    assert shell(plan, ALL_ENGINES).count("  ~ old_developer  password changed\n") == len(ENGINES)
    assert logins(plan, "old_developer", "new_pass") == everywhere
    assert logins(plan, "old_developer", "old_pass") == []

    shell(plan, REMOVE)
    assert shell(plan, ALL_ENGINES).count("  - old_developer  removed: 2 databases dropped (tools, web)\n") == len(
        ENGINES
    )
    assert logins(plan, "old_developer", "new_pass") == []
    assert logins(plan, "new_developer", "SecurePass123!") == logins(plan, "qa_user", "TestPassword789#") == everywhere
    for name, adapter in plan.adapters.items():
        assert "old_developer" not in adapter.accounts(), name
        assert not any(database.startswith("old_developer") for database in adapter.databases()), name
    assert shell(plan, ALL_ENGINES).count(": nothing to do\n") == len(ENGINES)
