"""Progress on a terminal: nothing for short runs, a line or rich's bars for long ones, gone before the report."""

import io
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TextIO

import pytest

from dbroster.report.progress import EVERY_SECONDS, QUIET_SECONDS, Progress
from tests.support.samples import Terminal


@pytest.fixture
def without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own way to say that a module can't be imported."""
    for module in ("rich.console", "rich.progress"):
        monkeypatch.setitem(sys.modules, module, None)


def work(stream: TextIO, *, after: float, enabled: bool = True) -> None:
    """Two servers at work; what is drawn at once holds their first stage, what is drawn later their progress."""
    progress = Progress(stream, enabled=enabled, after=after)
    tasks = [progress.task("mysql"), progress.task("postgresql eu")]
    for task in tasks:
        task.stage("apply")
        task.total(40)
    if after == 0.0:
        time.sleep(EVERY_SECONDS)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: tasks[number % 2].advance(1), range(40)))
    progress.close()


@pytest.mark.usefixtures("without_rich")
def test_a_plain_line_that_is_taken_away() -> None:
    stream = Terminal()
    work(stream, after=0.0)
    told = stream.getvalue()
    assert "mysql: apply" in told
    assert "postgresql eu: apply" in told
    assert "/40" in told
    assert "\n" not in told
    assert told.endswith("\r\x1b[K")


def test_rich_bars_that_are_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    work(stream, after=0.0)
    told = stream.getvalue()
    assert "mysql apply" in told
    assert "/40" in told
    assert "\x1b[?25h" in told  # the cursor is back


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_nothing_for_a_short_run(stream: io.StringIO) -> None:
    work(stream, after=60 * QUIET_SECONDS)  # short is what a busy machine needs for this, too
    assert stream.getvalue() == ""


@pytest.mark.usefixtures("without_rich")
def test_nothing_for_a_short_run_without_rich() -> None:
    stream = Terminal()
    work(stream, after=60 * QUIET_SECONDS)  # short is what a busy machine needs for this, too
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("stream", "enabled"), [(io.StringIO(), True), (Terminal(), False)])
def test_nothing_where_nobody_looks(stream: io.StringIO, enabled: bool) -> None:
    work(stream, after=0.0, enabled=enabled)
    assert stream.getvalue() == ""
