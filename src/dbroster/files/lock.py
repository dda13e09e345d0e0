"""Local locks: two syncs of one config directory on one machine exclude each other before they reach the server."""

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from errno import EACCES, ENOSPC, EROFS
from pathlib import Path

from dbroster.errors import ServerError, SyncLockHeld
from dbroster.files.permissions import trusted

_PAUSE = 0.002


def taken(descriptor: int) -> bool:
    """Take the lock of an open file, if nobody else holds it; it ends with the descriptor. Raises OSError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(descriptor: int, patience: float) -> bool:
    """Take the lock as soon as it is free, and say whether that was within so many seconds. Raises OSError."""
    deadline = time.monotonic() + patience
    while not taken(descriptor):
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True


@contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Hold the lock while the block runs; the system frees it when the process ends, however it ends.

    Raises SyncLockHeld with the holder's process id and start, ServerError when the file can't be written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        hint = "; with --audit-log FILE it is made beside that file" if error.errno in (EROFS, EACCES, ENOSPC) else ""
        raise ServerError(f"the lock file {path} can't be opened: {error.strerror}{hint}") from None
    try:
        _take(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ServerError(f"the lock file {path} is not a regular file; remove it: rm {path}")
    if status.st_nlink > 1:
        raise ServerError(f"the lock file {path} is another file as well (a hard link); remove it: rm {path}")
    if status.st_uid not in trusted(path.parent):
        text = f"the lock file {path} belongs to another user (uid {status.st_uid}), who may hold it for ever"
        raise ServerError(f"{text}; remove it: rm {path}")
    try:
        if not taken(descriptor):
            holder = os.pread(descriptor, 200, 0).decode("ascii", "replace").strip() or "another process"
            raise SyncLockHeld(f"another sync is at work: {holder} holds {path}")
    except OSError as error:
        raise ServerError(f"the lock file {path} can't be locked: {error.strerror}") from None
    now = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}, since {now}\n".encode("ascii"), 0)
    except OSError as error:
        raise ServerError(f"the lock file {path} can't be written: {error.strerror}") from None
