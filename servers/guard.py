"""The watcher: ends the servers and removes their directories when the program that started them is gone.

It runs as a process of its own and reads orders from its standard input. The input ends when the program ends, in
whatever way, SIGKILL included. A kernel's parent-death signal would not do: it follows the *thread* that started a
server, so a server started in a worker thread would die with that thread.

Orders, one per line: `watch PID SIGNAL`, `forget PID`, `directory PATH`, `forget-directory PATH`.
"""

import contextlib
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

PATIENCE = 5.0
"""Seconds that a server has for ending by itself."""


def descendants(pid: int) -> set[int]:
    """All living children of a process, their children, and so on."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name in parentheses may hold spaces; the parent is the second field after it.
            parents[int(stat.parent.name)] = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
    found, fresh = set[int](), {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def is_alive(pid: int) -> bool:
    """Whether the process still runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill_tree(pid: int) -> None:
    """SIGKILL a process and all its descendants, and wait until none of them is left."""
    doomed = {pid} | descendants(pid)
    for member in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while any(map(is_alive, doomed)) and time.monotonic() < deadline:
        time.sleep(0.01)


def _end(watched: dict[int, tuple[int, int]]) -> None:
    """Ask every server to end, and kill what has not ended in time."""
    for handle, number in watched.values():
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)
    deadline = time.monotonic() + PATIENCE
    for pid, (handle, _) in watched.items():
        # The handle becomes readable when the process ends; unlike the number it cannot mean another process by now.
        if not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
            kill_tree(pid)


def main(orders: Iterable[str]) -> None:
    """Follow orders until there are no more, then end and remove whatever is left."""
    watched: dict[int, tuple[int, int]] = {}
    directories: set[str] = set()
    for line in orders:
        order, _, rest = line.rstrip("\n").partition(" ")
        if order == "watch":
            pid, number = map(int, rest.split())
            with contextlib.suppress(ProcessLookupError):
                watched[pid] = os.pidfd_open(pid), number
        elif order == "forget":
            handle, _ = watched.pop(int(rest), (-1, 0))
            if handle >= 0:
                os.close(handle)
        elif order == "directory":
            directories.add(rest)
        elif order == "forget-directory":
            directories.discard(rest)
    _end(watched)
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(sys.stdin)
