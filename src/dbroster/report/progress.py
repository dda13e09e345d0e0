"""Progress on a terminal: with rich if it is installed, one plain line otherwise; nothing for runs under a second."""

import sys
import time
from contextlib import suppress
from threading import Lock
from typing import Any, TextIO

QUIET_SECONDS = 1.0
EVERY_SECONDS = 0.2


class Task:
    """One server's progress; this one shows nothing."""

    def stage(self, name: str) -> None:
        """Say what is being done."""

    def total(self, count: int) -> None:
        """Say how many actions there are."""

    def advance(self, count: int) -> None:
        """Say that so many more are finished."""


class Progress:
    """Shows the tasks of a run on a terminal; safe to use from several threads."""

    def __init__(self, stream: TextIO | None = None, *, enabled: bool = True, after: float = QUIET_SECONDS) -> None:
        stream = stream or sys.stderr
        self._enabled = enabled and stream.isatty()
        self._stream = stream
        self._tasks: list[_Shown] = []
        self._lock = Lock()
        self._last = time.monotonic() + after - EVERY_SECONDS
        self._rich: Any = _rich(stream) if self._enabled else None
        self._shown = False

    def task(self, label: str) -> Task:
        """Return the task of one server."""
        if not self._enabled:
            return Task()
        task = _Shown(label, self)
        self._tasks.append(task)
        return task

    def refresh(self) -> None:
        """Draw again, unless that was done a moment ago."""
        with self._lock:
            now = time.monotonic()
            if now - self._last < EVERY_SECONDS:
                return
            self._last = now
            with suppress(OSError, ValueError):  # a terminal that is gone
                self._draw()

    def close(self) -> None:
        """Take the progress away, so that the report stands alone."""
        with self._lock, suppress(OSError, ValueError):
            if self._rich is not None and self._shown:
                self._rich.stop()
            elif self._shown:
                self._stream.write("\r\x1b[K")
                self._stream.flush()

    def _draw(self) -> None:
        if self._rich is None:
            self._stream.write("\r\x1b[K" + "  ".join(str(task) for task in self._tasks))
            self._stream.flush()
        else:
            self._draw_rich()
        self._shown = True

    def _draw_rich(self) -> None:
        for task in self._tasks:
            if task.bar is None:
                task.bar = self._rich.add_task(task.label)
            self._rich.update(task.bar, description=f"{task.label} {task.name}", total=task.count, completed=task.done)
        if not self._shown:
            self._rich.start()


class _Shown(Task):
    def __init__(self, label: str, progress: Progress) -> None:
        self.label = label
        self.name = ""
        self.count: int | None = None
        self.done = 0
        self.bar: Any = None
        self._progress = progress

    def __str__(self) -> str:
        return f"{self.label}: {self.name}" + (f" {self.done}/{self.count}" if self.count else "")

    def stage(self, name: str) -> None:
        self.name = name
        self._progress.refresh()

    def total(self, count: int) -> None:
        self.count = count

    def advance(self, count: int) -> None:
        self.done += count
        self._progress.refresh()


def _rich(stream: TextIO) -> Any:
    """Return rich's display when it is installed; it is a comfort, never a need."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress
    except ImportError:
        return None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return RichProgress(*columns, console=Console(file=stream), transient=True)
