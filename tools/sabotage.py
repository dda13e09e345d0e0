"""Break dbroster on purpose, one way at a time, and see that tests notice: `make sabotage`.

Each sabotage is a change of one text in one file, made in a copy of the tree, with the tests that should catch it. A
sabotage that no test catches, or whose text is no longer there, is a failure. Prints the table of docs/safety.md.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".cache", ".*_cache", ".hypothesis", "__pycache__")
_FAILED = re.compile(r"^(?:FAILED|ERROR) \S*::(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Sabotage:
    """What is broken: in `file` stands `old`, and then `new`; `tests` are pytest's arguments."""

    name: str
    file: str
    old: str
    new: str
    tests: str


def main(names: list[str]) -> int:
    """Try every sabotage, or those whose names contain one of the words; return how many were not caught."""
    from tools.sabotages import SABOTAGES

    chosen = [each for each in SABOTAGES if not names or any(name in each.name for name in names)]
    survived = 0
    print("| sabotage | caught by |\n|---|---|")
    for sabotage in chosen:
        caught = attempt(sabotage)
        survived += not caught
        print(f"| {sabotage.name} | {', '.join(f'`{name}`' for name in caught) or '**nothing**'} |", flush=True)
    return survived


def attempt(sabotage: Sabotage) -> list[str]:
    """Break a copy and run the tests in it; return the names of those that failed, at most three."""
    with tempfile.TemporaryDirectory(prefix="dbroster-sabotage-") as name:
        tree = Path(name) / "tree"
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
        for linked in (".venv", ".cache"):
            (tree / linked).symlink_to(ROOT / linked)
        path = tree / sabotage.file
        text = path.read_text()
        if text.count(sabotage.old) != 1:
            sys.exit(f"{sabotage.name}: {sabotage.old!r} does not stand once in {sabotage.file}")
        path.write_text(text.replace(sabotage.old, sabotage.new))
        command = [sys.executable, "-m", "pytest", "-q", "--maxfail=3", "-p", "no:cacheprovider"]
        command += sabotage.tests.split("|")
        environment = {**os.environ, "PYTHONPATH": f"{tree / 'src'}:{tree}"}
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            sys.exit(f"{sabotage.name}: pytest itself failed:\n{done.stdout}{done.stderr}")
        return list(dict.fromkeys(_FAILED.findall(done.stdout)))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(min(main(sys.argv[1:]), 1))
