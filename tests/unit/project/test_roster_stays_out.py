"""Whoever follows the README has no roster in what is committed or shipped."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from pathspec import GitIgnoreSpec

ROOT = Path(__file__).resolve().parents[3]
SECRET = ["users.txt", "users.txt.age", "connections.yaml", "postgresql.password", "audit.jsonl", "audit.jsonl.head"]


def shipped(path: str) -> bool:
    """Whether a file is part of a source distribution, by the rules that hatchling applies."""
    target = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"]
    assert set(target) == {"include"}
    return GitIgnoreSpec.from_lines(target["include"]).match_file(path)


@pytest.mark.parametrize("name", [*SECRET, ".postgresql-default.lock", "archives/x.dump"])
def test_no_roster_is_shipped(name: str) -> None:
    """D5: a source distribution had it, for everybody to read."""
    assert not shipped(f"config/{name}")


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("src/dbroster/cli/main.py", True),
        ("scripts/mysql_sync.py", True),
        ("config/mysql_databases.txt", True),
        ("docs/safety.md", True),
        ("README.md", True),
        ("tests/unit/config/test_connections.py", False),
        ("servers/README.md", False),
    ],
)
def test_the_program_is_shipped_and_its_tests_are_not(path: str, part: bool) -> None:
    assert (ROOT / path).exists()
    assert shipped(path) is part


@pytest.mark.parametrize("name", ["postgresql.password", "audit.jsonl", ".postgresql-default.cache", "archives/x.dump"])
def test_git_takes_nothing_that_a_run_leaves_in_the_sample(name: str) -> None:
    """D5: `git add -A` took it."""
    ignored = subprocess.run(["git", "check-ignore", "-q", f"config/{name}"], cwd=ROOT, check=False)
    assert ignored.returncode == 0


def test_the_readme_keeps_the_roster_out_of_the_checkout() -> None:
    """D5: whoever follows it has nothing to leak."""
    chapter = (ROOT / "README.md").read_text().partition("\n## Use\n")[2].partition("\n## ")[0]
    commands = [line for line in re.findall(r"^    (.*)$", chapter, re.MULTILINE) if not line.startswith(" ")]
    assert any(command.startswith("dbroster init") for command in commands)
    used = [command for command in commands if re.search(r"EDITOR|chmod|_sync\.py|dbroster (add|edit)", command)]
    assert used
    assert not [command for command in used if "config/users.txt" in command or "--config config" in command]
