"""Computing on all processors what would hold the interpreter's lock: helpers that are fed through pipes.

A helper is an interpreter of its own without site packages, which starts in a fraction of the time that
multiprocessing takes, since it imports neither the calling script nor the driver. Passwords reach it through its
standard input, never as arguments or environment. Helpers are kept for the next computation, until we end.
"""

import atexit
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from dbroster.passwords.verifiers.heavy import TASKS

STARTING = 0.03
"""Seconds of a processor that starting a helper takes."""

J = TypeVar("J")
Job = Sequence[Any]
"""What a task gets: what JSON can carry."""

_PARTS = 8  # per helper or thread: large enough to make the handing out cheap, small enough to keep all busy to the end
_HERE = str(Path(__file__).parent)
# the package without what it imports by itself
_MAIN = """
import sys
from types import ModuleType
for name in ("dbroster", "dbroster.passwords.verifiers"):
    sys.modules[name] = ModuleType(name)
sys.modules["dbroster.passwords.verifiers"].__path__ = sys.argv[1:]
from dbroster.passwords.verifiers.heavy import serve
serve()
"""

if TYPE_CHECKING:
    from subprocess import Popen

    Helper = Popen[str]


class _Pool:
    """The helpers of this process, which serve one caller after the other.

    So the first can go on, to the server, while those after it are served, instead of all waiting for the last.
    """

    def __init__(self) -> None:
        self._helpers: list[Helper] = []
        self._due = 0.0
        self._counting, self._turn = Lock(), Lock()

    @contextmanager
    def due(self, seconds: float) -> Iterator[float]:
        """Tell how many seconds of computation all callers are waiting for, this one's included."""
        with self._counting:
            self._due += seconds
            due = self._due
        try:
            yield due
        finally:
            with self._counting:
                self._due -= seconds

    @contextmanager
    def lend(self, count: int) -> Iterator[Sequence["Helper"]]:
        """Lend so many helpers; all of them are given up when the block fails. Raises OSError."""
        with self._turn:
            try:
                while len(self._helpers) < count:
                    self._helpers.append(_start())
                yield self._helpers[:count]
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """End the helpers."""
        while self._helpers:
            with suppress(OSError), self._helpers.pop() as helper:  # leaving the block closes its pipes and waits
                helper.kill()


_POOL = _Pool()


@atexit.register
def end_helpers() -> None:
    """End all helpers that are kept; the next computation starts new ones."""
    _POOL.close()


def compute(task: str, jobs: Sequence[Job], seconds: float) -> list[Any]:
    """Do a task for each job; `seconds` is about what all of them take together.

    As many helpers as pay, at most one per processor; none for a short computation, or when none is to be had.
    """
    with _POOL.due(seconds) as due:
        count = min(os.cpu_count() or 1, round(due / (2 * STARTING)), len(jobs))
        if count:
            try:
                return _by_helpers(task, jobs, count)
            except (OSError, ValueError):
                pass  # they can't be started or have died (limits, memory): slower here, same answers
        return [TASKS[task](*job) for job in jobs]


def in_parts(work: Callable[[Sequence[J]], list[Any]], jobs: Sequence[J], threads: int) -> list[Any]:
    """Let threads do some jobs at a time, and return all answers in the order of the jobs."""
    from concurrent.futures import ThreadPoolExecutor  # here, since most runs have nothing to check

    size = -(-len(jobs) // (_PARTS * threads)) or 1
    parts = [jobs[start : start + size] for start in range(0, len(jobs), size)]
    with ThreadPoolExecutor(threads) as pool:
        return list(chain.from_iterable(pool.map(work, parts)))


def _by_helpers(task: str, jobs: Sequence[Job], count: int) -> list[Any]:
    with _POOL.lend(count) as helpers:
        idle: SimpleQueue[Helper] = SimpleQueue()
        for helper in helpers:
            idle.put(helper)

        def ask(part: Sequence[Job]) -> list[Any]:
            helper = idle.get()
            try:
                return _ask(helper, task, part)
            finally:
                idle.put(helper)

        return in_parts(ask, jobs, count)


def _start() -> "Helper":
    """In a session of its own: Ctrl-C is for us; it ends when its input does, so also when we are killed."""
    import subprocess  # here, since most runs need no helper

    command = [sys.executable or "python3", "-I", "-S", "-c", _MAIN, _HERE]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )


def _ask(helper: "Helper", task: str, part: Sequence[Job]) -> list[Any]:
    if helper.stdin is None or helper.stdout is None:
        raise ValueError("a helper without pipes")
    helper.stdin.write(json.dumps([task, part]) + "\n")
    helper.stdin.flush()
    answers: list[Any] = json.loads(helper.stdout.readline())  # of nothing, when it has died: ValueError
    return answers
