"""Waiting for what another process does, never for one that will not do it any more."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from select import select
from subprocess import DEVNULL, PIPE, Popen

import pytest


@contextmanager
def running(command: Sequence[str]) -> "Iterator[Popen[str]]":
    """Run a command whose stderr is read; it is killed when the test has ended before it."""
    with Popen(command, stdout=DEVNULL, stderr=PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_word(fifo: Path, process: "Popen[str]", seconds: float = 60) -> None:
    """Wait until somebody has written to a FIFO; a test whose process ends before, or takes too long, fails at once."""
    reader, death = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), os.pidfd_open(process.pid)
    try:
        ready, _, _ = select([reader, death], [], [], seconds)
    finally:
        os.close(reader)
        os.close(death)
    if reader not in ready:
        process.kill()
        _, said = process.communicate(timeout=seconds)
        pytest.fail(f"nobody wrote to {fifo.name}; the process {'ended' if ready else 'hung'}: {said}")


def wait_until(happened: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something has happened that nobody tells us of."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.01)
