"""How a run ends early: SIGTERM or Ctrl-C first lets what runs finish, then breaks it off, then ends without it.

A kill at any moment loses nothing, so each step may be rougher than the one before. A second signal is a kill.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Lock, Thread
from weakref import WeakSet

from dbroster.cli.standard_streams import mutter
from dbroster.engines import waits
from dbroster.engines.base import Handler
from dbroster.errors import ConnectError
from dbroster.model.connection import Connection

FINISH = 5.0
"""Seconds for what runs to finish by itself."""

BREAK_OFF = 3.0
"""Seconds for what was broken off to report; with FINISH and a report, a run ends within 10 s of the signal."""

LOOK = 0.5
"""Seconds after which the main thread, which alone serves signals, looks whether there is one."""

Connect = Callable[[Connection], Handler]


class Stopping:
    """The wish to stop, and every open connection of the run, so that what it waits for can be broken off."""

    def __init__(self, connect: Connect) -> None:
        self.wish = Event()
        self._connect = connect
        self._handlers: WeakSet[Handler] = WeakSet()
        self._mutex = Lock()
        self._broken_off = False

    def connect(self, connection: Connection) -> Handler:
        """Open a connection that `break_off` knows. Raises ConnectError once everything was broken off."""
        if self._broken_off:
            raise ConnectError("the run was told to end")
        handler = self._connect(connection)
        with self._mutex:
            self._handlers.add(handler)
        if self._broken_off:
            _abort(handler)
        return handler

    def break_off(self) -> None:
        """Break every wait of every connection and of users_command, and open no new one."""
        self._broken_off = True
        if program := sys.modules.get("dbroster.roster.command"):  # imported where the roster is printed by one
            program.break_off()
        with self._mutex:
            handlers = list(self._handlers)
        for handler in handlers:
            _abort(handler)

    @contextmanager
    def on_signals(self, give_up: Callable[[], int]) -> Iterator[None]:
        """While the block runs, let signals end it; `give_up` reports what is known and returns the exit code."""
        over = Event()

        def ask(number: int, _: object) -> None:
            self.wish.set()
            signal.signal(number, signal.SIG_DFL)
            name = signal.Signals(number).name
            mutter(f"{name}: finishing what runs, starting nothing new (once more to break off)\n")
            Thread(target=self._insist, args=(over, give_up), name="dbroster-stop", daemon=True).start()

        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            over.set()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _insist(self, over: Event, give_up: Callable[[], int]) -> None:
        if over.wait(FINISH):
            return
        self.break_off()
        if over.wait(BREAK_OFF):
            return
        Thread(target=_end_anyhow, args=(over,), daemon=True).start()
        code = give_up()
        os._exit(code)  # a thread that waits for a server would keep a normal exit waiting as well


def await_all(threads: Sequence[Thread]) -> None:
    """Wait for all of them, piece by piece: a signal that comes just before a wait begins does not end that wait."""
    for thread in threads:
        while thread.is_alive():
            thread.join(LOOK)


def _abort(handler: Handler) -> None:
    """Break the connection, and what an archive or a restore of that server waits for."""
    handler.abort()
    waits.end_all(handler.connection)


def _end_anyhow(over: Event) -> None:
    """End although nobody reads the report."""
    if not over.wait(1.0):
        os._exit(1)
