"""The audit log as a chain: each line carries its number and the SHA-256 of the line before it.

Number and hash of the last line stand in the head file beside the log. The head file is the lock as well, for it is
never rotated: whoever appends holds it, so several processes and threads make one chain, over all rotated files.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Self

from dbroster.audit.log_files import MAX_LINE, ORIGIN, TORN, digest, entry_of, head_of, judge, number_of, read_record
from dbroster.errors import AuditError
from dbroster.files.lock import wait_for_lock
from dbroster.files.write import sync_directory
from dbroster.model.result import Link

PATIENCE = 10.0  # seconds to wait for the lock; whoever appends holds it for some microseconds


class _End(NamedTuple):
    """How the log ends: its last whole line, and a piece of one that was cut off when it was written."""

    line: bytes
    piece: bytes
    unfinished: bool


class HashChain:
    """An open audit log; safe to append to from several threads.

    `doubt`: what was wrong with it when it was opened. `last`: the last line that was appended here.
    """

    def __init__(self, path: Path) -> None:
        self.doubt: str | None = None
        self.last: Link | None = None
        self._mutex = Lock()
        self._files: list[_File] = []
        try:
            self._log = self._opened(path, os.O_APPEND)
            self._head = self._opened(head_of(path), 0)
            with self.alone():
                link = self._head_record()
                self.doubt = self._doubt(link)
                self._head.write(link)  # so that a disk that is full later has room for it
        except BaseException:
            self.close()
            raise

    def _opened(self, path: Path, flags: int) -> "_File":
        file = _File(path, flags)
        self._files.append(file)
        return file

    def close(self) -> None:
        """Close both files."""
        for file in self._files:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, entries: Sequence[Mapping[str, Any]], *, durable: bool = False) -> Link:
        """Append lines in one write and return the last one's link; a durable one outlives a power cut.

        Raises AuditError. What a full disk has cut off is told from an edited line by the note that the next append
        puts behind it.
        """
        with self._mutex:
            with self.alone():
                last, data = self._continued(entries)
                self._log.append(data)
                self._head.write(last)
            if durable:
                self._log.flush()
            self.last = last
        return last

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock, with both files being those that have the names now, whatever logrotate has done."""
        self._head.lock()
        while self._head.refresh():
            self._head.lock()
        try:
            self._log.refresh()
            yield
        finally:
            self._head.unlock()

    def _continued(self, entries: Sequence[Mapping[str, Any]]) -> tuple[Link, bytes]:
        """Return the last link and the bytes of the lines that continue the chain, head or log, whichever is longer.

        Lines that were taken away from the end of the log are missed for ever, since the head tells of them.
        """
        end = self._log.end()
        last = self._head_record()
        if end.line and digest(end.line) != last.digest:
            found = _link(end.line)
            last = found if found.number > last.number or not last.number else last
        if end.piece:
            note = {**dict.fromkeys(entries[0]), **_torn(entries[0]), TORN: digest(end.piece)}
            entries = [note, *entries]
        lines = [b""] if end.unfinished else []
        for entry in entries:
            line = json.dumps({"number": last.number + 1, "previous": last.digest, **entry}).encode()
            last = Link(last.number + 1, digest(line))
            lines.append(line)
        return last, b"\n".join([*lines, b""])

    def _head_record(self) -> Link:
        link = read_record(self._head.read(0, 200))
        if link is None:
            raise AuditError(
                f"{self._head.path} is not what dbroster writes; find out what has changed it, then move it away"
            )
        return link

    def _doubt(self, head: Link) -> str | None:
        """Say that lines were taken away at the end, or the last one changed; rotation leaves an empty log."""
        end = self._log.end()
        last = _link(end.line)
        if not end.line or last.number > head.number or last == head or not head.number:
            return None
        return f"{self._log.path} does not end with the line that {self._head.path.name} names: dbroster audit verify"


def _torn(entry: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: entry[key] for key in ("time", "run", "os_user", "host", "engine", "server") if key in entry}
    return {**kept, "status": TORN, "reason": "the line before this one was cut off when it was written"}


def _link(line: bytes) -> Link:
    """Return the link that the next line continues."""
    return Link(number_of(entry_of(line) or {}), digest(line)) if line else ORIGIN


class _File:
    """A file that dbroster alone writes, with the name that leads to it; every error is an AuditError."""

    def __init__(self, path: Path, flags: int) -> None:
        self.path = path
        self._flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | flags
        self._new = True
        self._open()

    def _open(self) -> None:
        with self._errors("opened"):
            with suppress(FileNotFoundError):  # a device must not even be opened
                judge(self.path, os.lstat(self.path))
            descriptor = os.open(self.path, self._flags, 0o600)
            try:
                status = os.fstat(descriptor)
                judge(self.path, status)
                if status.st_mode & 0o007:
                    os.fchmod(descriptor, status.st_mode & 0o660)
            except BaseException:
                os.close(descriptor)
                raise
        self._descriptor, self._identity = descriptor, (status.st_dev, status.st_ino)

    def close(self) -> None:
        os.close(self._descriptor)

    def refresh(self) -> bool:
        """Open the file again, if the name has come to lead to another one; say whether it has."""
        with self._errors("opened"), suppress(FileNotFoundError):
            status = os.lstat(self.path)
            if (status.st_dev, status.st_ino) == self._identity:
                return False
        before, self._new = self._descriptor, True
        self._open()
        os.close(before)
        return True

    def lock(self) -> None:
        """Wait for the lock, but not for ever: somebody's stopped process must not hang every sync."""
        with self._errors("locked"):
            if not wait_for_lock(self._descriptor, PATIENCE):
                raise AuditError(f"{self.path} is locked by another process for more than {PATIENCE:.0f} s")

    def unlock(self) -> None:
        with self._errors("unlocked"):
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def read(self, offset: int, size: int) -> bytes:
        with self._errors("read"):
            return os.pread(self._descriptor, size, offset)

    def write(self, link: Link) -> None:
        """Write the record in place: it never grows, so neither a kill nor a full disk can spoil it.

        The first one may find room for a part only; then the file is empty again.
        """
        record = f"{link.number:020} {link.digest}\n".encode()
        with self._errors("written"):
            written = os.pwrite(self._descriptor, record, 0)
            if written != len(record):
                os.ftruncate(self._descriptor, 0)
                raise AuditError(f"the audit log {self.path} can't be written: the disk is full")

    def append(self, data: bytes) -> None:
        with self._errors("written"):
            written = os.write(self._descriptor, data)
        if written != len(data):
            raise AuditError(f"the audit log {self.path} can't be written: the disk is full")

    def flush(self) -> None:
        """Wait until the disk has it; of a file that may be new, its name as well."""
        with self._errors("written"):
            os.fdatasync(self._descriptor)
            if self._new:
                sync_directory(self.path.parent)
                self._new = False

    def end(self) -> _End:
        """Return how the file ends, reading no more of it than it takes."""
        with self._errors("read"):
            size = os.fstat(self._descriptor).st_size
        step = 4096
        while True:
            data = self.read(max(0, size - step), step)
            body, found, piece = data.rpartition(b"\n")
            if step >= size or (found and b"\n" in body):
                break
            if step > MAX_LINE:
                raise AuditError(f"{self.path} is no audit log: it has a line of more than {MAX_LINE} bytes")
            step *= 8
        if piece and entry_of(piece) is not None:  # whole but for its line end
            return _End(piece, b"", unfinished=True)
        return _End(body.rpartition(b"\n")[2], piece, unfinished=bool(piece))

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise AuditError(f"the audit log {self.path} can't be {what}: {error.strerror}") from None
