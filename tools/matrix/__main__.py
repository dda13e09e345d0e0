"""Run the tests of an engine on versions of its server: `make matrix ARGS="postgresql-17 mariadb-11.8"`, or all."""

import argparse
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from typing import IO

from servers.template import cache_directory
from tools.matrix import table
from tools.matrix.table import Row
from tools.matrix.versions import ROOT, VERSIONS, Version

_COUNT = re.compile(r"(\d+) (passed|skipped|failed|errors?)\b")
_RAN = (0, 1)
"""Exit codes of a pytest that has run its tests to the end, well or not."""


def counts(log: str) -> tuple[int, int, int]:
    """Return how many tests have passed, were skipped, have failed, by the last line of pytest."""
    said = {kind: int(number) for number, kind in _COUNT.findall(log.rstrip().rpartition("\n")[2])}
    return (
        said.get("passed", 0),
        said.get("skipped", 0),
        sum(said.get(kind, 0) for kind in ("failed", "error", "errors")),
    )


AGAIN = ("--reruns", "1", "-rfER")
"""As in CI: what fails among many tests side by side is run once more, and named in the log."""


class Run:
    """One version: installed, asked who it is, tested; all that is said goes to .cache/matrix/NAME.log."""

    def __init__(self, version: Version, workers: str) -> None:
        self.version = version
        self.cache = cache_directory().resolve()
        self.workers = workers
        self.log = self.cache / "matrix" / f"{version.name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        told = version.environment(self.cache, os.environ.get("PATH", os.defpath))
        self.environment = {**os.environ, "DBROSTER_REQUIRE": "all", **told}

    def row(self) -> Row:
        """Do all of it. Raises CalledProcessError when there is no server, or no result."""
        with self.log.open("wb") as log:
            self._do(self.version.installer(self.cache), log)
            asked = [sys.executable, "-m", "servers", "version", self.version.engine]
            said = subprocess.run(asked, cwd=ROOT, env=self.environment, check=True, stdout=subprocess.PIPE, text=True)
            tests = [sys.executable, "-m", "pytest", *self.version.tests(), "-v", "-n", self.workers, *AGAIN]
            done = self._do(tests, log, check=False)
        if done.returncode not in _RAN:
            raise subprocess.CalledProcessError(done.returncode, done.args)
        server = f"{self.version.product} {said.stdout.strip()}"
        return Row(self.version.name, server, f"{datetime.now(UTC):%F}", *counts(self.log.read_text()))

    def _do(self, command: list[str], log: IO[bytes], *, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, check=check, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


def run(version: Version, workers: str) -> bool:
    """Run one version, tell the result, keep it in the README; return whether all of it was well."""
    wanted = Run(version, workers)
    print(f"{version.name} ... ", end="", flush=True)
    try:
        row = wanted.row()
    except subprocess.CalledProcessError as error:
        print(f"did not run (exit {error.returncode}): see {wanted.log}")
        return False
    table.write(row)
    print(f"{row.server}: {row.counts}", f"(see {wanted.log})" if row.failed else "", flush=True)
    return not row.failed


def main() -> int:
    """Run what is asked for, or everything; 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="make matrix", description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*VERSIONS, []], metavar="NAME", help="such as postgresql-17")
    parser.add_argument("--list", action="store_true", help="print all names, and do nothing")
    parser.add_argument("-n", "--workers", default=str((os.cpu_count() or 1) + 1), help="processes for the tests")
    told = parser.parse_args()
    if told.list:
        print("\n".join(VERSIONS))
        return 0
    results = [run(VERSIONS[name], told.workers) for name in told.name or VERSIONS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
