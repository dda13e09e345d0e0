"""Break dbroster on purpose, one way at a time, and see that tests notice: `make sabotage`.

Each sabotage takes away one thing that keeps data, passwords or doors safe: it is a change of one text in one file,
made in a copy of the tree, with the tests that should catch it. One that no test catches, or whose text is no longer
there, is a failure. Prints the table of docs/safety.md.

They stand in sabotages.txt: a name, a file, the text with `-` in front of each line, what replaces it with `+`, and
behind `?` the servers' environment and the arguments of pytest, or `lint` for the borders between modules. A blank line
parts them. Without `-` the file is new.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Self

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".cache", ".*_cache", ".hypothesis", "__pycache__")
LINT = "lint"
_ROW = re.compile(r"(.+)\n(\S+)\n((?:-.*\n)*)((?:\+.*\n)*)\? (.+)\n?")
_VARIABLE = re.compile(r"[A-Z_]+=")
_NOTICED = re.compile(r"^(?:FAILED|ERROR) \S*::(\w+)|^(.+) BROKEN", re.MULTILINE)


class Sabotage(NamedTuple):
    """What is broken, and what has to notice it."""

    name: str
    file: str
    old: str
    new: str
    judge: str

    @classmethod
    def of(cls, row: str) -> Self:
        """Read one of sabotages.txt. Raises ValueError."""
        if (found := _ROW.fullmatch(row)) is None:
            raise ValueError(f"this is no sabotage:\n{row}")
        name, file, *texts, judge = found.groups()
        old, new = ("\n".join(line[1:] for line in text.splitlines()) for text in texts)
        return cls(name, file, old, new, judge)

    @property
    def tests(self) -> list[str]:
        """Pytest's arguments, or LINT."""
        return [word for word in shlex.split(self.judge) if not _VARIABLE.match(word)]

    @property
    def environment(self) -> dict[str, str]:
        """Which servers the tests need."""
        return dict(word.split("=", 1) for word in shlex.split(self.judge) if _VARIABLE.match(word))

    def broken(self, text: str) -> str:
        """Return a file's text with the sabotage in it. Raises ValueError when it does not fit any more."""
        if text.count(self.old) != 1 if self.old else text:
            raise ValueError(f"{self.name}: {self.old!r} does not stand once in {self.file}")
        return text.replace(self.old, self.new) if self.old else self.new

    def command(self) -> list[str]:
        """Return what has to notice it."""
        if self.tests == [LINT]:
            return [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
        return [sys.executable, "-m", "pytest", "-q", "--maxfail=3", "-p", "no:cacheprovider", *self.tests]


def sabotages() -> list[Sabotage]:
    """Return all of them."""
    return [Sabotage.of(row) for row in (ROOT / "tools/sabotages.txt").read_text().split("\n\n")]


def main(names: list[str]) -> int:
    """Try every sabotage, or those whose names contain one of the words; return how many were not caught."""
    chosen = [each for each in sabotages() if not names or any(name in each.name for name in names)]
    survived = 0
    print("| sabotage | caught by |\n|---|---|")
    with ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool:  # tests wait much
        for sabotage, caught in zip(chosen, pool.map(attempt, chosen), strict=True):
            survived += not caught
            print(f"| {sabotage.name} | {', '.join(f'`{name}`' for name in caught) or '**nothing**'} |", flush=True)
    return survived


def attempt(sabotage: Sabotage) -> list[str]:
    """Break a copy and let it be judged; return what has noticed: the names of at most three tests, or of contracts."""
    with tempfile.TemporaryDirectory(prefix="dbroster-sabotage-") as name:
        tree = Path(name) / "tree"
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
        for linked in (".venv", ".cache"):
            (tree / linked).symlink_to(ROOT / linked)
        path = tree / sabotage.file
        path.write_text(sabotage.broken(path.read_text() if path.exists() else ""))
        environment = {**os.environ, **sabotage.environment, "PYTHONPATH": f"{tree / 'src'}:{tree}"}
        done = subprocess.run(
            sabotage.command(), cwd=tree, env=environment, check=False, capture_output=True, text=True
        )
        if done.returncode not in (0, 1):
            print(f"{sabotage.name}: what should notice it failed itself:\n{done.stdout}{done.stderr}", file=sys.stderr)
            return []
        return sorted({test or contract for test, contract in _NOTICED.findall(done.stdout)})[:3]


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
