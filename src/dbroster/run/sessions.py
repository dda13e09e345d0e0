"""A bounded set of open connections to one server, lent to one thread at a time and replaced when they break.

A user may hold every connection that a server has. Whoever has to work then takes the one that the run has already,
turn by turn: to lock that user makes room for the others.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Self

from dbroster.engines.base import Handler
from dbroster.errors import ConnectError, ServerError, Stalled


class Sessions:
    """Lends handlers; opened when first needed, never more at once than `count` threads ask for.

    `spare` is open already, and lent where no other one can be opened.
    """

    def __init__(self, connect: Callable[[], Handler], count: int, spare: Handler | None = None) -> None:
        self.count = count
        self._connect = connect
        self._idle: SimpleQueue[Handler] = SimpleQueue()
        self._spare = spare
        self._guarded = spare is not None
        self._spare_is_lent = Lock()

    @contextmanager
    def borrow(self) -> Iterator[Handler]:
        """Lend a handler. One that broke, or left the block in any other unplanned way, is closed, not lent again."""
        handler = self._open()
        if handler is None:
            with self._borrow_spare() as spare:
                yield spare
            return
        try:
            yield handler
        except BaseException:
            handler.close()
            raise
        self._idle.put(handler)

    def _open(self) -> Handler | None:
        """Return an idle handler or a new one; None where the server has no place for one, but there is the spare."""
        try:
            return self._idle.get_nowait()
        except Empty:
            pass
        try:
            return self._connect()
        except Stalled:
            raise
        except ConnectError:
            if self._spare is None:
                raise
            return None

    def can_be_opened(self) -> bool:
        """Whether the server lets the admin in; the new session is there for whoever comes next."""
        try:
            self._idle.put(self._connect())
        except ServerError:
            return False
        return True

    def unguarded(self) -> str | None:
        """Say that another sync may have worked meanwhile, since the session that keeps it out has ended.

        A machine that sleeps, or a server that is started again, ends sessions; the others are opened anew.
        """
        if not self._guarded:
            return None
        lost = "the sync lock was lost"
        try:
            with self._spare_is_lent:
                if self._spare and self._spare.still_holds_sync_lock():
                    return None
        except ServerError as error:
            lost = f"whether the sync lock is held can't be seen: {error}"
        return f"{lost}; another sync may have changed what this one has seen: run again"

    @contextmanager
    def _borrow_spare(self) -> Iterator[Handler]:
        with self._spare_is_lent:
            if self._spare is None:
                raise ConnectError("the connection of this run broke")
            try:
                yield self._spare
            except BaseException:
                self._spare = None
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while not self._idle.empty():
            self._idle.get_nowait().close()
