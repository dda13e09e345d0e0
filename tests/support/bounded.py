"""A wait that must have an end; how many seconds it may take is for a machine that has nothing else to do."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

BUSY = 2.5
"""Several tests run at once, and machines differ."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """The block ends within so many seconds, or so many times BUSY."""
    began = time.monotonic()
    yield
    taken = time.monotonic() - began
    assert taken < seconds * BUSY, f"{taken:.1f} s"
