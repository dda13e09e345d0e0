"""A bounded set of open connections to one server, lent to one thread at a time and replaced when they break."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from dbroster.engines.base import Handler


class Sessions:
    """Lends handlers; opened when first needed, never more at once than `count` threads ask for."""

    def __init__(self, connect: Callable[[], Handler], count: int) -> None:
        self.count = count
        self._connect = connect
        self._idle: SimpleQueue[Handler] = SimpleQueue()

    @contextmanager
    def borrow(self) -> Iterator[Handler]:
        """Lend a handler. One that broke, or left the block in any other unplanned way, is closed, not lent again."""
        try:
            handler = self._idle.get_nowait()
        except Empty:
            handler = self._connect()
        try:
            yield handler
        except BaseException:
            handler.close()
            raise
        self._idle.put(handler)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while not self._idle.empty():
            self._idle.get_nowait().close()
