"""Reading the files of a config directory: regular files of a sane size, unchanged, mode and bytes from one open."""

import os
import stat
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from dbroster.files.permissions import unsafe_link
from dbroster.model.problems import Problem

MAX_BYTES = 32 * 1024 * 1024
"""A roster of a million users has 20 to 30 MB."""

MAX_SETTINGS = 128 * 1024
"""For what people write by hand: connections.yaml, whose parser is slow, and template lists."""


class FileContent(NamedTuple):
    """A file's bytes, permission bits and owner; `problem` says why it can't be used, `missing` that it isn't there."""

    name: str
    data: bytes = b""
    mode: int = 0
    owner: int = 0
    problem: Problem | None = None
    missing: bool = False


class Files:
    """The files of a config directory as one run sees them: each is read once, by whoever comes first.

    In a `checkout` modes and owners say nothing, since git keeps none: all files count as private.
    """

    def __init__(self, directory: Path, *, checkout: bool = False) -> None:
        self.directory, self.checkout = directory, checkout
        self._contents: dict[str, FileContent] = {}
        self._reading = Lock()

    def read(self, name: str, limit: int = MAX_BYTES) -> FileContent:
        """Return what was read of a file, or read it."""
        with self._reading:  # each server has a thread of its own
            if name not in self._contents:
                content = read_file(self.directory / name, limit)
                private = content._replace(mode=stat.S_IRUSR, owner=os.geteuid())
                self._contents[name] = private if self.checkout else content
            return self._contents[name]


def read_file(path: Path, limit: int = MAX_BYTES) -> FileContent:
    """Read a file of the config directory, once more when it changes meanwhile.

    Never blocks on a FIFO, never follows the content of a device, and never a link that somebody else may have laid.
    """
    return _open(path, limit) or _open(path, limit) or _unusable(path, "changes while it is read; wait until it stops")


def _unusable(path: Path, why: str, *, missing: bool = False) -> FileContent:
    return FileContent(path.name, problem=Problem(f"{path} {why}", path.name), missing=missing)


def _open(path: Path, limit: int) -> FileContent | None:
    """Read a file, or say why it can't be; None when it changed while it was read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        return _unusable(path, "does not exist", missing=True)
    except ValueError:  # a NUL, or what no file name can hold
        return _unusable(path, "can't be the name of a file")
    except OSError as error:
        return _unusable(path, f"can't be opened: {error.strerror}")
    try:
        return _read(descriptor, path, limit)
    except OSError as error:
        return _unusable(path, f"can't be read: {error.strerror}")
    finally:
        os.close(descriptor)


def _read(descriptor: int, path: Path, limit: int) -> FileContent | None:
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        return _unusable(path, "is not a regular file")
    if before.st_size > limit:
        return _unusable(path, f"has {before.st_size} bytes, more than the {limit} that it can need")
    if unsafe := unsafe_link(path, before):
        return _unusable(path, unsafe)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        data = file.read(limit + 1)
    changed = len(data) != before.st_size or _fingerprint(path.stat()) != _fingerprint(before)
    return None if changed else FileContent(path.name, data, stat.S_IMODE(before.st_mode), before.st_uid)


def _fingerprint(status: os.stat_result) -> tuple[int, ...]:
    """What changes when a file is written to, or another one is put in its place."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are a text. The error that tells it would carry all of them, so it ends here."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
