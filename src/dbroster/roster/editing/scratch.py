"""Plain text for an editor: in a directory that nobody else may enter, in memory where there is such a place.

It is wiped in the end. After a SIGKILL it stays, but nobody holds its lock any more; the next edit finds and wipes it.
"""

import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dbroster.files.lock import taken
from dbroster.files.write import failing, wipe_file

_PREFIX = "dbroster-edit-"
_NAME = re.compile(re.escape(_PREFIX) + r"[a-z0-9_]{8}")  # as mkdtemp makes them


@contextmanager
def private_file(name: str, data: bytes) -> Iterator[Path]:
    """Give a file in a directory of its own; wipe what killed edits have left before, and this one in the end.

    Everything in the directory goes, with what an editor left there. Raises ConfigError.
    """
    places = list(_places())
    for place in places:
        _wipe_abandoned(place)
    with failing(places[0]):
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=places[0]))  # mode 0700
    try:
        with _opened(directory) as descriptor:
            with failing(directory):
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # until then it is empty, and who finds it so leaves it alone
            try:
                path = directory / name
                with failing(path):
                    path.touch(0o600, exist_ok=False)
                    path.write_bytes(data)
                yield path
            finally:
                _empty(descriptor)
    finally:
        with suppress(OSError):
            directory.rmdir()


def _places() -> Iterator[Path]:
    """Where plain text touches no disk: the user's own directory of the session, shared memory; then, where it may."""
    session = Path(os.environ.get("XDG_RUNTIME_DIR") or "/nowhere")
    with suppress(OSError):
        if session.is_absolute() and _is_private(session.stat()):
            yield session
    memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a private directory in it
    if memory.is_dir() and os.access(memory, os.W_OK | os.X_OK):
        yield memory
    yield Path(tempfile.gettempdir())


def _is_private(status: os.stat_result) -> bool:
    return (status.st_mode, status.st_uid) == (stat.S_IFDIR | 0o700, os.geteuid())


def _wipe_abandoned(place: Path) -> None:
    """Wipe the directories that edits have left here; only ours, never through a link, and none that is in use."""
    with suppress(OSError):
        for name in filter(_NAME.fullmatch, os.listdir(place)):  # noqa: PTH208 - names are enough
            with suppress(OSError), _opened(place / name) as descriptor:
                if _is_private(os.fstat(descriptor)) and _is_abandoned(descriptor):
                    _empty(descriptor)
                    (place / name).rmdir()


def _is_abandoned(descriptor: int) -> bool:
    """Whether nobody holds its lock; an empty one may have been made just now, by somebody who waits for the lock."""
    return taken(descriptor) and bool(os.listdir(descriptor))


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _empty(descriptor: int) -> None:
    """Wipe and remove everything in a directory, by descriptors: no link leads out of it."""
    for _, directories, names, here in os.fwalk(".", topdown=False, dir_fd=descriptor):
        for name in names:
            with suppress(OSError):
                wipe_file(name, here)
        for name in directories:
            with suppress(OSError):
                try:
                    os.rmdir(name, dir_fd=here)
                except NotADirectoryError:  # a link to a directory
                    os.unlink(name, dir_fd=here)
