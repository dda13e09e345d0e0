"""Runs a command and writes to a file, as JSON, what it took.

A small process of its own, since Linux takes the memory of whoever starts a process for the least of what that needed.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path


def main(report: str, *command: str) -> None:
    """Run the command with this standard output; wall time, processor time, and the most memory."""
    began = time.perf_counter()
    code = subprocess.call(command)
    seconds = time.perf_counter() - began
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {"code": code, "seconds": seconds, "processor": usage.ru_utime + usage.ru_stime}
    Path(report).write_text(json.dumps({**found, "megabytes": usage.ru_maxrss / 1024}))


if __name__ == "__main__":
    main(*sys.argv[1:])
