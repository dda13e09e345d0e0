"""`dbroster check` in a child process, with what it took."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.samples import CONNECTIONS, private

_ROOT = Path(__file__).parents[2]
_CHILD = """
import json, pathlib, re, sys, time
from dbroster.cli.main import main
began = time.perf_counter()
code = main(sys.argv[1:])
# ru_maxrss would be the parent's, if that was larger before exec
peak = int(re.search(r"VmHWM: *\\t* *(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) // 1024
print("\\n" + json.dumps([code, time.perf_counter() - began, peak]))
"""


@dataclass(frozen=True)
class Run:
    """Exit code, seconds, peak of the resident memory, and what was printed."""

    code: int
    seconds: float
    megabytes: int
    said: str


def measured(
    directory: Path, users: bytes = b"", templates: bytes = b"web\n", connections: bytes = CONNECTIONS.encode()
) -> Run:
    """Write the files and check them."""
    private(directory / "users.txt", users)
    private(directory / "postgresql_databases.txt", templates)
    private(directory / "connections.yaml", connections)
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, "check", "--config", str(directory), "postgresql"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(_ROOT / "src")},
    )  # fmt: skip
    said, _, figures = done.stdout.rstrip().rpartition("\n")
    assert "Traceback" not in done.stderr
    code, seconds, megabytes = json.loads(figures)
    return Run(code, seconds, megabytes, said)
