"""SIGTERM, SIGHUP and Ctrl-C while plain text is about: they break off only where the program waits for a person.

Anywhere else they are remembered until then, so that no clean-up is ever cut short.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from dbroster.errors import ConfigError
from dbroster.model.problems import Problem

_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT)
_KEYS = (signal.SIGQUIT, signal.SIGINT)


class Interrupts:
    """Holds the signals while the block runs; of the main thread only."""

    def __init__(self) -> None:
        self._pending: int | None = None
        self._waiting = False
        self._keys = True

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._take) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def keys_elsewhere(self) -> Iterator[None]:
        """While the block runs, Ctrl-C is for the program that has the terminal, and nothing here."""
        self._keys = False
        try:
            yield
        finally:
            self._keys = True

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let signals break off the block."""
        self._waiting = True
        try:
            self.check()
            yield
        finally:
            self._waiting = False
        self.check()

    def check(self) -> None:
        """Break off if a signal came. Raises ConfigError."""
        if self._pending is not None:
            name = signal.Signals(self._pending).name
            raise ConfigError([Problem(f"{name}: broken off, nothing was changed")])

    def _take(self, number: int, _: FrameType | None) -> None:
        if number in _KEYS and not self._keys:
            return
        self._pending = number
        if self._waiting:
            self._waiting = False
            self.check()
